"""Snapshots as a user meets them: save points, progress, what fails and how it is mended, what a full sync leaves."""

from __future__ import annotations

import os
import signal
from itertools import count
from pathlib import Path
from threading import Event, Thread

import pytest

from cluster.bringup.client import Argument, ReplyError
from cluster.persistence.rdb_reader import load_rdb
from tests.system.harness import Harness, Server, ServerKind
from tests.system.pairs import ALONE, DEADLINE_S, Pair
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

SLOWLY = "20000000"
"""Microseconds for each key: longer than a test takes."""
SAVING = {"cluster-enabled": "no", "save": "3600 1000000", "enable-protected-configs": "yes"}


def facts(server: Server) -> dict[str, str]:
    return server.info("persistence")


def refusal(server: Server, *command: Argument) -> str:
    with pytest.raises(ReplyError) as caught:
        server.call(*command)
    return str(caught.value)


def children(server: Server) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()]


def wait_saved(server: Server) -> None:
    wait_until(lambda: facts(server)["rdb_bgsave_in_progress"] == "0", DEADLINE_S, "the background save is over")


def saving_slowly(server: Server) -> int:
    """Begin a background save that will not end by itself; its process."""
    server.call("CONFIG", "SET", "rdb-key-save-delay", SLOWLY)
    assert server.call("BGSAVE") == "Background saving started"
    [child] = children(server)
    return child


def save(server: Server) -> None:
    server.call("CONFIG", "SET", "rdb-key-save-delay", 0)
    assert server.call("BGSAVE") == "Background saving started"
    wait_saved(server)


def test_without_a_word_the_save_points_are_those_of_redis_conf(harness: Harness) -> None:
    server = harness.server({"cluster-enabled": "no"}, start=False)
    del server.directives["save"]
    server.start()
    assert server.call("CONFIG", "GET", "save") == ["save", "3600 1 300 100 60 10000"]


def test_a_save_point_is_of_changes_and_of_seconds_and_may_be_set_any_time(harness: Harness) -> None:
    server = harness.server(SAVING)
    server.call("CONFIG", "SET", "save", "3600 1 1 3")
    assert server.call("CONFIG", "GET", "save") == ["save", "3600 1 1 3"]
    with server.client() as client:
        client.call("SET", "a", 1)
        client.call("SET", "a", 2)
        assert facts(server)["rdb_saves"] == "0"
        client.call("SET", "a", 3)
    wait_until(lambda: facts(server)["rdb_changes_since_last_save"] == "0", DEADLINE_S, "three changes are saved")
    assert facts(server)["rdb_saves"] == "1"
    assert "3 changes in 1 seconds. Saving..." in server.log()
    assert abs(int(str(server.call("LASTSAVE"))) - int(facts(server)["rdb_last_save_time"])) <= 1
    for wrong in ("900", "900 x", "0 1", "1 -1", "900 1 "):
        assert "Invalid save parameters" in refusal(server, "CONFIG", "SET", "save", wrong)
    server.call("CONFIG", "SET", "save", "")
    assert server.call("CONFIG", "GET", "save") == ["save", ""]


AT_WORK = {"rdb_bgsave_in_progress": "0", "aof_rewrite_in_progress": "0"}


@pytest.mark.parametrize("what", ["BGSAVE", "a base of keys", "a base of commands", "a full sync"])
def test_info_tells_how_far_a_child_is(harness: Harness, what: str) -> None:
    preamble = "no" if what == "a base of commands" else "yes"
    server = harness.server({**SAVING, "aof-use-rdb-preamble": preamble})
    idle = {name: value for name, value in facts(server).items() if name.startswith("current_")}
    assert set(idle.values()) == {"0", "0.00"}
    server.call("DEBUG", "POPULATE", 1_200)
    server.call("CONFIG", "SET", "rdb-key-save-delay", 1_000)
    kind, other = ("aof_rewrite", "rdb_bgsave") if "base" in what else ("rdb_bgsave", "aof_rewrite")
    if what == "a full sync":
        server.call("DEBUG", "POPULATE", 4_000, "more")
        server.call("CONFIG", "SET", "rdb-key-save-delay", 150)
        harness.server(ALONE).call("REPLICAOF", server.host, server.port)
    else:
        server.call("BGREWRITEAOF" if "base" in what else "BGSAVE")
    keys = int(str(server.call("DBSIZE")))

    def under_way() -> bool:
        return keys // 2 < int(facts(server)["current_save_keys_processed"]) < keys

    wait_until(under_way, DEADLINE_S, "half of the keys are written")
    found = facts(server)
    assert found["current_save_keys_total"] == str(keys)
    assert 50 < float(found["current_fork_perc"]) <= 100
    assert int(found["current_cow_peak"]) >= int(found["current_cow_size"]) > 10_000
    assert 0 <= int(found["current_cow_size_age"]) < DEADLINE_S
    assert (found[f"{kind}_in_progress"], found[f"{other}_in_progress"]) == ("1", "0")
    times = [int(found[name]) for name in ("rdb_current_bgsave_time_sec", "aof_current_rewrite_time_sec")]
    assert (times if kind == "rdb_bgsave" else times[::-1]) == [pytest.approx(2, abs=2), -1]
    wait_until(lambda: AT_WORK.items() <= facts(server).items(), DEADLINE_S, "it is over")
    found = facts(server)
    assert int(found["aof_last_cow_size" if "base" in what else "rdb_last_cow_size"]) > 10_000
    assert {name: value for name, value in found.items() if name.startswith("current_")} == idle
    assert int(server.info("stats")["latest_fork_usec"]) > 0


def test_one_at_a_time(harness: Harness) -> None:
    server = harness.server(SAVING)
    server.call("SET", "a", 1)
    child = saving_slowly(server)
    busy = "ERR Background save already in progress"
    for command in (("BGSAVE",), ("BGSAVE", "SCHEDULE"), ("SAVE",)):
        assert refusal(server, *command) == busy
    with server.client() as client:
        client.call("MULTI")
        client.call("BGSAVE")
        assert [str(one) for one in client.call("EXEC")] == [busy]  # type: ignore[attr-defined]
    assert server.call("BGREWRITEAOF") == "Background append only file rewriting scheduled"
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: facts(server)["aof_rewrite_in_progress"] == "1", DEADLINE_S, "the rewrite's turn has come")
    assert refusal(server, "BGSAVE").startswith("ERR Another child process is active (AOF?)")
    assert server.call("BGSAVE", "SCHEDULE") == "Background saving scheduled"
    server.call("CONFIG", "SET", "rdb-key-save-delay", 0)
    os.kill(children(server)[0], signal.SIGKILL)
    wait_until(lambda: facts(server)["rdb_saves"] == "2", DEADLINE_S, "then the save's")


def test_a_killed_save_leaves_the_old_file_and_refuses_writes_until_one_succeeds(harness: Harness) -> None:
    server = harness.server(SAVING)
    server.call("SET", "a", 1)
    server.call("SAVE")
    old = (server.directory / "dump.rdb").read_bytes()
    server.call("SET", "a", 2)
    os.kill(saving_slowly(server), signal.SIGKILL)
    wait_saved(server)
    assert facts(server)["rdb_last_bgsave_status"] == "err"
    assert (server.directory / "dump.rdb").read_bytes() == old
    assert not [path for path in server.directory.iterdir() if path.name.startswith("temp-")]
    for command in (("SET", "a", 3), ("FLUSHALL",), ("PING",), ("EVAL", "return redis.call('set', 'a', 3)", 0)):
        assert "MISCONF Redis is configured to save RDB snapshots" in refusal(server, *command)
    assert server.call("GET", "a") == "2"
    server.call("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
    assert server.call("SET", "a", 3) == "OK"
    server.call("CONFIG", "SET", "stop-writes-on-bgsave-error", "yes")
    refusal(server, "SET", "a", 4)
    server.call("CONFIG", "SET", "save", "")
    assert server.call("SET", "a", 4) == "OK"
    server.call("CONFIG", "SET", "save", SAVING["save"])
    refusal(server, "SET", "a", 5)
    save(server)
    assert facts(server)["rdb_last_bgsave_status"] == "ok"
    assert server.call("SET", "a", 5) == "OK"


def test_a_save_that_is_ended_on_purpose_is_no_error(harness: Harness) -> None:
    server = harness.server(SAVING)
    server.call("SET", "a", 1)
    os.kill(saving_slowly(server), signal.SIGUSR1)
    wait_saved(server)
    assert facts(server)["rdb_last_bgsave_status"] == "ok"
    assert server.call("SET", "a", 2) == "OK"


def test_save_in_the_foreground_says_itself_what_failed_and_refuses_no_writes(harness: Harness) -> None:
    server = harness.server(SAVING)
    gone = server.directory / "gone"
    gone.mkdir()
    server.call("CONFIG", "SET", "dir", str(gone))
    gone.rmdir()
    refusal(server, "SAVE")
    assert server.call("SET", "a", 1) == "OK"
    server.call("BGSAVE")
    wait_until(lambda: facts(server)["rdb_last_bgsave_status"] == "err", DEADLINE_S, "in the background it fails, too")
    assert "MISCONF" in refusal(server, "SET", "a", 2)
    server.call("CONFIG", "SET", "dir", str(server.directory))
    save(server)
    assert server.call("SET", "a", 3) == "OK"


def test_compression_and_checksum_are_as_configured(harness: Harness) -> None:
    server = harness.server({**SAVING, "rdbchecksum": "no"})
    file = server.directory / "dump.rdb"
    server.call("SET", "a", "x" * 10_000)
    server.call("SAVE")
    assert file.stat().st_size < 1_000
    assert file.read_bytes()[-8:] == bytes(8)
    server.call("CONFIG", "SET", "rdbcompression", "no")
    server.call("SAVE")
    assert file.stat().st_size > 10_000
    assert "can't set immutable config" in refusal(server, "CONFIG", "SET", "rdbchecksum", "yes")
    server.kill()
    server.start()
    assert server.call("STRLEN", "a") == 10_000


# -- what a full sync leaves -------------------------------------------------------------------------------------


@pytest.mark.parametrize("deleted", ["no", "yes"])
def test_the_file_of_a_full_sync_is_the_snapshot_from_then_on(harness: Harness, deleted: str) -> None:
    directives = {**ALONE, "repl-diskless-sync": "no", "rdb-del-sync-files": deleted}
    pair = Pair(harness.server(directives), harness.server(directives))
    pair.primary.call("DEBUG", "POPULATE", 6_000)
    pair.join()
    pair.catch_up()
    files = [server.directory / "dump.rdb" for server in (pair.primary, pair.replica)]
    wait_until(
        lambda: [file.exists() for file in files] == [deleted == "no"] * 2, DEADLINE_S, f"dump.rdb deleted: {deleted}"
    )
    pair.replica.kill()
    pair.primary.call("SET", "later", 1)
    pair.replica.start()
    assert pair.replica.call("DBSIZE") == (0 if deleted == "yes" else 6_000)
    pair.join()
    pair.catch_up()
    assert pair.replica.call("DBSIZE") == 6_001
    assert pair.synced("sync_full") == (2 if deleted == "yes" else 1)


def test_what_begins_by_itself_waits_until_a_full_sync_has_its_snapshot(harness: Harness) -> None:
    logged = {**ALONE, "appendonly": "yes", "repl-diskless-sync": "no"}
    pair = Pair(harness.server(logged), harness.server(ALONE))
    primary = pair.primary
    primary.call("DEBUG", "POPULATE", 6_000)
    primary.call("CONFIG", "SET", "rdb-key-save-delay", SLOWLY)
    pair.replica.call("REPLICAOF", primary.host, primary.port)
    wait_until(lambda: children(primary), DEADLINE_S, "the snapshot is being written")
    assert primary.call("BGREWRITEAOF") == "Background append only file rewriting scheduled"
    primary.call("CONFIG", "SET", "save", "1 1")
    saved = int(facts(primary)["rdb_last_save_time"])
    primary.call("SET", "a", 1)
    wait_until(lambda: int(primary.call("TIME")[0]) > saved + 1, DEADLINE_S, "a save point is reached")  # type: ignore[index]
    assert len(children(primary)) == 1
    primary.call("CONFIG", "SET", "rdb-key-save-delay", 0)
    pair.replica.call("REPLICAOF", "NO", "ONE")
    wait_until(lambda: facts(primary)["aof_rewrites"] == "1", DEADLINE_S, "the rewrite is made")
    wait_until(lambda: facts(primary)["rdb_changes_since_last_save"] == "0", DEADLINE_S, "the save is made")


def test_it_stays_where_somebody_counts_on_snapshots(harness: Harness) -> None:
    directives = {**ALONE, "rdb-del-sync-files": "yes", "save": "3600 1000000"}
    pair = Pair(harness.server(directives), harness.server(directives))
    pair.primary.call("SET", "a", 1)
    pair.join()
    assert (pair.replica.directory / "dump.rdb").exists()


def test_it_does_not_take_the_place_of_a_newer_one(harness: Harness) -> None:
    pair = Pair(harness.server({**ALONE, "repl-diskless-sync": "no"}), harness.server(ALONE))
    primary = pair.primary
    primary.call("DEBUG", "POPULATE", 6_000)
    primary.call("CONFIG", "SET", "rdb-key-save-delay", 500)
    pair.replica.call("REPLICAOF", primary.host, primary.port)
    wait_until(lambda: children(primary), DEADLINE_S, "the snapshot is being written")
    primary.call("SET", "newer", 1)
    primary.call("SAVE")
    newer = (primary.directory / "dump.rdb").read_bytes()
    pair.catch_up()
    assert (primary.directory / "dump.rdb").read_bytes() == newer


# -- in the process itself ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["primary", "replica"])
def test_a_snapshot_made_in_the_process_is_of_one_moment(harness: Harness, server_kind: ServerKind, role: str) -> None:
    """Each MSET gives all keys the same value, so that all of them in a snapshot are equal."""
    if server_kind != "ours":
        pytest.skip("redis-server always forks")
    keys = 1_500
    primary = harness.server({**ALONE, "bgsave-method": "in-process"})
    saver = primary
    if role == "replica":
        saver = harness.server({**ALONE, "bgsave-method": "in-process"})
        Pair(primary, saver).join()
    over = Event()

    def write() -> None:
        with primary.client() as client:
            for number in count():
                client.call("MSET", *(word for key in range(keys) for word in (f"key:{key}", number)))
                if over.is_set():
                    return

    writer = Thread(target=write)
    writer.start()
    try:
        wait_until(lambda: saver.call("DBSIZE") == keys, DEADLINE_S, "the keys are there")
        for _ in range(3):
            before = int(saver.text("GET", "key:0"))
            saver.call("BGSAVE")
            wait_saved(saver)
            with (saver.directory / "dump.rdb").open("rb") as file:
                found = {entry.value for entry in load_rdb(file)}
            assert len(found) == 1, f"values of several moments: {found}"
            assert int(bytes(found.pop())) >= before  # type: ignore[arg-type]
    finally:
        over.set()
        writer.join()
    assert facts(saver)["rdb_last_bgsave_status"] == "ok"
    assert facts(saver)["rdb_last_cow_size"] == "0"
    assert saver.info("stats")["total_forks"] == "0"
