"""Append-only files of a running node: turned on and off, rewritten under writes, loaded while clients wait."""

from __future__ import annotations

import os
import resource
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from cluster.bringup.client import ReplyError
from cluster.protocol.replies import request
from tests.system.clusters import Cluster
from tests.system.harness import Harness, Server, ServerKind
from tests.system.test_snapshot_children import child_of
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 20.0
LOGGED = {"cluster-enabled": "no", "appendonly": "yes"}


def files(server: Server) -> list[str]:
    return sorted(os.listdir(server.directory / "appendonlydir"))


def persistence(server: Server, field: str) -> str:
    return server.info("persistence")[field]


def wait_rewritten(server: Server, times: int = 1) -> None:
    def rewritten() -> bool:
        found = server.info("persistence")
        is_idle = found["aof_rewrite_scheduled"] == found["aof_rewrite_in_progress"] == "0"
        return is_idle and int(found["aof_rewrites"]) >= times

    wait_until(rewritten, DEADLINE_S, lambda: f"it is rewritten\n{server.log_tail()}")


class Counting:
    """Increments one counter, and pairs of others in transactions, until the block ends."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._count)
        self.acknowledged = 0

    def _count(self) -> None:
        with self._server.client() as client:
            while not self._over.is_set():
                client.pipeline(*[("INCR", "n")] * 20, ("MULTI",), ("INCR", "a"), ("RPUSH", "b", "x"), ("EXEC",))
                self.acknowledged += 20

    def __enter__(self) -> Counting:
        self._thread.start()
        wait_until(lambda: self.acknowledged > 200, DEADLINE_S, "writes are acknowledged")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)


def restarted_alike(server: Server) -> None:
    """Killed and started, it has the data it had. (What waits for a slow disk may be lost, with everysec.)"""
    wait_until(lambda: persistence(server, "aof_buffer_length") == "0", DEADLINE_S, "all is written")
    shown = server.call("DEBUG", "DIGEST")
    server.kill()
    server.start()
    assert server.call("DEBUG", "DIGEST") == shown


def test_a_rewrite_under_writes_loses_none(harness: Harness) -> None:
    server = harness.server(LOGGED)
    server.call("DEBUG", "POPULATE", 20_000)
    with Counting(server) as load:
        for times in (1, 2):
            before = load.acknowledged
            assert server.call("BGREWRITEAOF") == "Background append only file rewriting started"
            wait_rewritten(server, times)
            wait_until(lambda: load.acknowledged > before + 100, DEADLINE_S, "writes go on")  # noqa: B023
    assert server.call("GET", "n") == str(load.acknowledged)
    wait_until(lambda: len(files(server)) == 3, DEADLINE_S, "the old files are gone")
    restarted_alike(server)
    assert server.call("LLEN", "b") == int(str(server.call("GET", "a")))


def test_it_grows_and_is_rewritten_by_itself(harness: Harness) -> None:
    server = harness.server({**LOGGED, "auto-aof-rewrite-min-size": "20kb", "auto-aof-rewrite-percentage": "100"})
    with server.client() as client:
        client.pipeline(*[("SET", "k", "x" * 100)] * 400)
        wait_rewritten(server)
        assert "Starting automatic rewriting of AOF on" in server.log()
        assert int(persistence(server, "aof_base_size")) < 20_000
        client.call("CONFIG", "SET", "auto-aof-rewrite-percentage", 0)
        client.pipeline(*[("SET", "k", "y" * 100)] * 400)
    restarted_alike(server)


def test_it_is_turned_on_and_off_live(harness: Harness) -> None:
    server = harness.server({"cluster-enabled": "no", "save": "", "appendfsync": "always"})
    server.call("DEBUG", "POPULATE", 5_000)
    with Counting(server):
        server.call("CONFIG", "SET", "appendonly", "yes")
        wait_rewritten(server)
    assert files(server) == ["appendonly.aof.1.base.rdb", "appendonly.aof.1.incr.aof", "appendonly.aof.manifest"]
    server.call("CONFIG", "REWRITE")
    restarted_alike(server)
    server.call("CONFIG", "SET", "appendonly", "no")
    server.call("SET", "unlogged", 1)
    assert persistence(server, "aof_enabled") == "0"
    server.call("CONFIG", "SET", "appendonly", "yes")
    wait_rewritten(server)
    restarted_alike(server)
    assert server.call("GET", "unlogged") == "1"


def test_turning_it_on_where_no_file_can_be_is_refused(harness: Harness) -> None:
    server = harness.server({"cluster-enabled": "no"})
    (server.directory / "appendonlydir").write_text("in the way")
    with pytest.raises(ReplyError, match=r"Unable to turn on AOF\. Check server logs\."):
        server.call("CONFIG", "SET", "appendonly", "yes")
    assert server.call("CONFIG", "GET", "appendonly") == ["appendonly", "no"]
    (server.directory / "appendonlydir").unlink()
    assert server.call("CONFIG", "SET", "appendonly", "yes") == "OK"
    wait_rewritten(server)


def test_within_a_transaction_it_begins_behind_it(harness: Harness) -> None:
    server = harness.server({"cluster-enabled": "no"})
    with server.client() as client:
        client.pipeline(("MULTI",), ("INCR", "a"), ("CONFIG", "SET", "appendonly", "yes"), ("INCR", "a"), ("EXEC",))
        wait_rewritten(server)
        answers = client.pipeline(("MULTI",), ("INCR", "a"), ("BGREWRITEAOF",), ("INCR", "a"), ("EXEC",))[-1]
        assert answers == [3, "Background append only file rewriting scheduled", 4]
        wait_rewritten(server, 2)
        client.call("CONFIG", "REWRITE")
    restarted_alike(server)


def test_one_child_at_a_time(harness: Harness) -> None:
    server = harness.server({**LOGGED, "save": "3600 1000000"})
    server.call("DEBUG", "POPULATE", 100_000)
    server.call("BGSAVE")
    child = child_of(server)
    assert server.call("BGREWRITEAOF") == "Background append only file rewriting scheduled"
    assert persistence(server, "aof_rewrite_scheduled") == "1"
    os.kill(child, 9)
    wait_rewritten(server)
    server.call("BGREWRITEAOF")
    child = child_of(server)
    with pytest.raises(ReplyError, match="Background append only file rewriting already in progress"):
        server.call("BGREWRITEAOF")
    with pytest.raises(ReplyError, match="Another child process is active"):
        server.call("BGSAVE")
    assert server.call("BGSAVE", "SCHEDULE") == "Background saving scheduled"
    os.kill(child, 9)
    # They are counted when they begin, and the first was killed.
    wait_until(lambda: persistence(server, "rdb_saves") == "2", DEADLINE_S, "the scheduled save is made")
    assert persistence(server, "aof_last_bgrewrite_status") == "err"
    assert "Background AOF rewrite terminated by signal 9" in server.log()
    restarted_alike(server)


def test_a_replica_has_a_file_of_its_own(harness: Harness) -> None:
    primary = harness.server({"cluster-enabled": "no"})
    replica = harness.server(LOGGED)
    replica.call("SET", "old", 1)
    primary.call("SET", "n", 1)
    replica.call("REPLICAOF", primary.host, primary.port)
    wait_until(lambda: replica.call("GET", "n") == "1", DEADLINE_S, "the replica has its primary's data")
    wait_rewritten(replica)
    with primary.client() as client:
        client.pipeline(("MULTI",), ("INCR", "n"), ("SELECT", 3), ("SET", "m", 5), ("EXEC",), ("SPOP", "none"))
        client.call("WAIT", 1, 5000)
    shown = primary.call("DEBUG", "DIGEST")
    primary.kill()
    replica.kill()
    replica.start()
    assert replica.call("DEBUG", "DIGEST") == shown


@pytest.mark.parametrize(("above", "below"), [("ours", "newer"), ("newer", "ours"), ("ours", "ours")])
def test_waitaof_counts_who_has_synced(harness: Harness, above: ServerKind, below: ServerKind) -> None:
    primary = harness.server(LOGGED, kind=above)
    replica = harness.server(LOGGED, kind=below)
    replica.call("REPLICAOF", primary.host, primary.port)
    with primary.client() as client:
        client.call("SET", "n", 1)
        wait_until(lambda: replica.call("GET", "n") == "1", DEADLINE_S, "the replica has its primary's data")
        client.call("SET", "n", 2)
        assert client.call("WAITAOF", 1, 1, 15_000) == [1, 1]
        replica.call("CONFIG", "SET", "appendonly", "no")
        client.call("SET", "n", 3)
        answer = client.call("WAITAOF", 0, 1, 100)
        assert isinstance(answer, list)
        assert answer[1] == 0


def limit_files(server: Server, size: int) -> None:
    """A file that grows beyond it cannot: the disk is full, for this process."""
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def fill_up(server: Server) -> int:
    """Write until that fails: the last number that was acknowledged."""
    number = 0
    with suppress(ReplyError, OSError), server.client() as client:
        while number < 10_000:
            client.call("SET", "n", f"{number + 1:0100}")
            number += 1
    assert 0 < number < 10_000
    return number


def test_a_full_disk_is_waited_for(harness: Harness) -> None:
    server = harness.server(LOGGED)
    limit_files(server, 60_000)
    acknowledged = fill_up(server)
    with pytest.raises(ReplyError, match="MISCONF Errors writing to the AOF file: File too large"):
        server.call("SET", "m", 1)
    assert int(str(server.call("GET", "n"))) == acknowledged
    assert persistence(server, "aof_last_write_status") == "err"
    limit_files(server, resource.RLIM_INFINITY)
    wait_until(lambda: persistence(server, "aof_last_write_status") == "ok", DEADLINE_S, "it writes again")
    server.call("SET", "m", 1)
    restarted_alike(server)


def test_with_always_a_full_disk_is_the_end_and_nothing_is_lost(harness: Harness) -> None:
    server = harness.server({**LOGGED, "appendfsync": "always"})
    limit_files(server, 60_000)
    acknowledged = fill_up(server)
    assert server.wait_end() == 1
    assert "Exiting..." in server.log_tail(3)
    server.start()
    assert int(str(server.call("GET", "n"))) == acknowledged


def test_a_rewrite_that_fails_costs_nothing(harness: Harness) -> None:
    server = harness.server(LOGGED)
    server.call("DEBUG", "POPULATE", 20_000)
    limit_files(server, 50_000)
    for _ in range(3):
        server.call("BGREWRITEAOF")
        wait_until(lambda: persistence(server, "aof_rewrite_in_progress") == "0", DEADLINE_S, "it is over")
    found = server.info("persistence")
    assert (found["aof_last_bgrewrite_status"], found["aof_rewrites"]) == ("err", "0")
    limit_files(server, resource.RLIM_INFINITY)
    server.call("SET", "n", 1)
    server.call("BGREWRITEAOF")
    wait_rewritten(server)
    assert persistence(server, "aof_last_bgrewrite_status") == "ok"
    assert len(files(server)) == 3
    assert not [path for path in server.directory.iterdir() if path.name.startswith("temp-")]
    restarted_alike(server)


LOADED_KEYS = 4_000


def slow_to_load(harness: Harness) -> Server:
    """A server that is starting, and takes a second for its data."""
    server = harness.server(
        {**LOGGED, "key-load-delay": "300", "loading-process-events-interval-bytes": "1024"}, start=False
    )
    directory = server.directory / "appendonlydir"
    directory.mkdir(parents=True)
    (directory / "appendonly.aof.manifest").write_text("file a.aof seq 1 type b\n")
    commands = [request([b"SET", b"k:%d" % number, b"v"]) for number in range(LOADED_KEYS)]
    (directory / "a.aof").write_bytes(b"".join(commands))
    server.start(wait=False)
    return server


def test_clients_hear_of_the_load(harness: Harness) -> None:
    server = slow_to_load(harness)
    directory = server.directory / "appendonlydir"
    seen: list[dict[str, str]] = []
    refused: list[str] = []

    def loading() -> bool:
        with server.client() as client:
            try:
                client.call("GET", "k:0")
            except ReplyError as error:
                refused.append(str(error))
            found = server.info("persistence")
            seen.append(found)
            return found["loading"] == "1" and int(found["loading_loaded_bytes"]) > 0

    wait_until(loading, DEADLINE_S, "it is seen loading")
    assert refused[0].startswith("LOADING ")
    assert 0 < float(seen[-1]["loading_loaded_perc"]) < 100
    assert int(seen[-1]["loading_total_bytes"]) == (directory / "a.aof").stat().st_size
    with server.client() as client:
        client.call("SUBSCRIBE", "c")
    server.wait_answering()
    assert server.call("DBSIZE") == LOADED_KEYS
    assert persistence(server, "loading") == "0"


def test_a_load_can_be_ended(harness: Harness) -> None:
    server = slow_to_load(harness)
    file = server.directory / "appendonlydir" / "a.aof"
    whole = file.read_bytes()
    wait_until(lambda: persistence(server, "loading") == "1", DEADLINE_S, "it is loading")
    assert server.terminate() == 0
    assert file.read_bytes() == whole


def test_what_cannot_be_loaded_keeps_the_server_down(harness: Harness) -> None:
    server = harness.server({**LOGGED, "aof-load-truncated": "no"})
    server.call("SET", "a", 1)
    assert server.terminate() == 0
    file = server.directory / "appendonlydir" / "appendonly.aof.1.incr.aof"
    whole = file.read_bytes()
    for broken, said in ((whole[:-3], "Unexpected end of file"), (whole + b"junk", f"at offset {len(whole)}")):
        file.write_bytes(broken)
        server.start(wait=False)
        assert server.wait_end() == 1
        assert said in server.log_tail(4)
    file.write_bytes(whole)
    server.start()
    assert server.call("GET", "a") == "1"


def test_a_whole_cluster_comes_back_from_its_files(harness: Harness) -> None:
    cluster = Cluster.create(harness, 3, 0, {"appendonly": "yes", "cluster-node-timeout": "2000"})
    keys = [f"key:{number}" for number in range(60)]
    for server in cluster.servers:
        with server.client() as client:
            for key, answer in zip(keys, client.pipeline(*[("SET", key, key) for key in keys]), strict=True):
                assert answer == "OK" or str(answer).startswith("MOVED"), key
    before = [server.call("DEBUG", "DIGEST") for server in cluster.servers]
    for server in cluster.servers:
        server.kill()
    for server in cluster.servers:
        server.start()
    cluster.wait_whole()
    assert [server.call("DEBUG", "DIGEST") for server in cluster.servers] == before
    assert sum(int(str(server.call("DBSIZE"))) for server in cluster.servers) == len(keys)


def test_loadaof_gives_the_same_data(harness: Harness) -> None:
    server = harness.server(LOGGED)
    with server.client() as client:
        client.pipeline(("SET", "a", 1), ("RPUSH", "l", 1, 2), ("SELECT", 2), ("HSET", "h", "f", "v"))
        shown = client.call("DEBUG", "DIGEST")
        assert client.call("DEBUG", "LOADAOF") == "OK"
        assert client.call("DEBUG", "DIGEST") == shown
        assert client.call("HGET", "h", "f") == "v"
    restarted_alike(server)


def test_names_are_as_they_are_set(harness: Harness) -> None:
    server = harness.server({**LOGGED, "appendfilename": '"my log.aof"', "appenddirname": "elsewhere"})
    server.call("SET", "a", 1)
    found = {path.name for path in Path(server.directory / "elsewhere").iterdir()}
    assert found == {"my log.aof.1.base.rdb", "my log.aof.1.incr.aof", "my log.aof.manifest"}
    restarted_alike(server)
