"""A disk that is full, and has room again: what fails says so, nothing is lost by it, and no restart is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from cluster.bringup.client import ReplyError
from tests.system.harness import Harness, Server
from tests.system.pairs import ALONE, Pair
from tests.system.small_disks import SmallDisk, small_disk
from tests.system.test_aof import fill_up
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DISK_BYTES = 2 << 20
DEADLINE_S = 20.0
LOGGED = {"cluster-enabled": "no", "appendonly": "yes"}
SAVING = {"cluster-enabled": "no", "save": "3600 1000000", "rdbcompression": "no"}


@pytest.fixture
def disk(harness: Harness) -> Iterator[SmallDisk]:
    with small_disk(harness.directory / "disk", DISK_BYTES) as found:
        if isinstance(found, str):
            pytest.skip(found)
        yield found


def wait_for(server: Server, field: str, value: str) -> None:
    wait_until(lambda: server.info("persistence")[field] == value, DEADLINE_S, f"{field} is {value}")


def refusal(server: Server) -> str:
    """Of a write."""
    with pytest.raises(ReplyError) as caught:
        server.call("SET", "refused", 1)
    return str(caught.value)


def test_the_append_only_file_goes_on_when_there_is_room(harness: Harness, disk: SmallDisk) -> None:
    server = disk.server(harness, LOGGED)
    server.call("DEBUG", "POPULATE", 4_000)
    server.call("SET", "a", "x" * 100_000)
    wait_for(server, "aof_buffer_length", "0")
    disk.fill()
    acknowledged = fill_up(server)
    assert refusal(server) == "MISCONF Errors writing to the AOF file: No space left on device"
    assert server.info("persistence")["aof_last_write_status"] == "err"
    assert server.text("GET", "n") == f"{acknowledged:0100}"
    disk.empty()
    wait_for(server, "aof_last_write_status", "ok")
    assert server.call("SET", "m", 1) == "OK"
    wait_for(server, "aof_buffer_length", "0")

    before = disk.files()
    for room in (0, 32_768):  # not even for a new increment; for that, but for no base
        disk.fill(but_bytes=room)
        with suppress(ReplyError):
            server.call("BGREWRITEAOF")
        wait_for(server, "aof_rewrite_in_progress", "0")
        assert server.info("persistence")["aof_last_bgrewrite_status"] == "err"
        left = [name for name in disk.files() if "temp" in name and (disk.path / name).stat().st_size]
        assert not left, "it would take the room for ever"
        assert before <= disk.files()
        disk.empty()
        assert server.call("SET", "b", room) == "OK"
    rewrite(server)
    wait_until(lambda: len(disk.files()) == 3, DEADLINE_S, "the old files are gone")

    server.call("CONFIG", "SET", "appendonly", "no")
    disk.fill()
    with suppress(ReplyError):
        server.call("CONFIG", "SET", "appendonly", "yes")
    wait_for(server, "aof_last_bgrewrite_status", "err")
    assert server.call("STRLEN", "a") == 100_000
    disk.empty()
    server.call("CONFIG", "SET", "appendonly", "yes")
    rewrite(server)
    wait_for(server, "aof_buffer_length", "0")
    shown = server.call("DEBUG", "DIGEST")
    server.kill()
    server.start()
    assert server.call("DEBUG", "DIGEST") == shown


def rewrite(server: Server) -> None:
    times = int(server.info("persistence")["aof_rewrites"])
    with suppress(ReplyError):  # one may have begun by itself
        server.call("BGREWRITEAOF")
    wait_until(lambda: int(server.info("persistence")["aof_rewrites"]) > times, DEADLINE_S, "it is rewritten")
    wait_for(server, "aof_last_bgrewrite_status", "ok")


def test_with_always_it_ends_and_a_start_finds_what_was_acknowledged(harness: Harness, disk: SmallDisk) -> None:
    server = disk.server(harness, {**LOGGED, "appendfsync": "always"})
    server.call("SET", "n", 0)
    disk.fill()
    acknowledged = fill_up(server)
    assert server.wait_end() == 1
    assert "Exiting..." in server.log_tail(3)
    disk.empty()
    server.start()
    assert server.text("GET", "n") == f"{acknowledged:0100}"
    assert server.call("SET", "n", 1) == "OK"


def test_a_snapshot_that_finds_no_room_leaves_the_old_and_stops_writes(harness: Harness, disk: SmallDisk) -> None:
    server = disk.server(harness, SAVING)
    server.call("SET", "a", "old")
    server.call("SAVE")
    file = disk.path / "dump.rdb"
    for method in ("fork", "in-process") if harness.kind == "ours" else ("fork",):
        if harness.kind == "ours":
            server.call("CONFIG", "SET", "bgsave-method", method)
        old = file.read_bytes()
        server.call("SET", "a", method + "x" * 300_000)
        disk.fill()
        with pytest.raises(ReplyError):
            server.call("SAVE")
        assert server.call("SET", "b", 1) == "OK", "who asked has heard of it"
        server.call("BGSAVE")
        wait_for(server, "rdb_last_bgsave_status", "err")
        assert refusal(server).startswith("MISCONF Redis is configured to save RDB snapshots, but it's currently")
        assert "No space left on device" in server.log()
        assert disk.files() == {"dump.rdb"}, "what was begun would take the room for ever"
        assert file.read_bytes() == old
        disk.empty()
        server.call("BGSAVE")
        wait_for(server, "rdb_last_bgsave_status", "ok")
        assert server.call("SET", "c", 1) == "OK"
    server.kill()
    server.start()
    assert server.text("GETRANGE", "a", 0, 10) == (method + "x" * 11)[:11]


def test_a_full_sync_comes_when_there_is_room(harness: Harness, disk: SmallDisk) -> None:
    """Through a pipe it is the replica's file that has none, through a file the primary's."""
    primary = disk.server(harness, {**ALONE, "repl-diskless-sync": "yes"})
    replica = disk.server(harness, {**ALONE, "repl-diskless-load": "disabled", "dbfilename": "replica.rdb"})
    primary.call("DEBUG", "POPULATE", 6_000, "k", 100)
    pair = Pair(primary, replica)
    for diskless, failing in (("yes", replica), ("no", primary)):
        primary.call("CONFIG", "SET", "repl-diskless-sync", diskless)
        disk.fill()
        replica.call("REPLICAOF", primary.host, primary.port)
        wait_until(lambda: "No space left on device" in failing.log(), DEADLINE_S, "it says why")  # noqa: B023
        assert primary.call("SET", "a", diskless) == "OK"
        disk.empty()
        pair.catch_up()
        assert replica.call("GET", "a") == diskless
        assert replica.call("DBSIZE") == 6_001
        replica.call("REPLICAOF", "NO", "ONE")
        replica.call("FLUSHALL")  # which begins another history
        primary.call("DEBUG", "CHANGE-REPL-ID")
