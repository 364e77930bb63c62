"""The append-only file of a node in the test's own process: what is written and synced when, and a disk that fails."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from tests.commands.whole import WholeNode
from tests.persistence.aof_node import NO_SPACE, Node, again, digest

IO_ERROR = OSError(errno.EIO, "Input/output error")
REFUSED = "MISCONF Errors writing to the AOF file: No space left on device"


# -- what is written, and synced -----------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["always", "everysec", "no"])
def test_a_batch_is_one_write_before_its_replies_go_out(tmp_path: Path, policy: str) -> None:
    node = Node(tmp_path, ("appendfsync", policy))
    node.hand.slow = True
    node.client.chunk(("SET", "a", 1), ("INCR", "a"), ("SELECT", 2), ("SET", "b", 1), ("GET", "a"))
    assert node.disk.writes == 1
    assert node.disk.syncs == (1 if policy == "always" else 0)
    assert node.written().count(b"SELECT") == 2
    node("GET", "a")
    assert node.disk.writes == 1


def test_without_it_nothing_is_written(tmp_path: Path) -> None:
    node = WholeNode(tmp_path)
    node.server.persistence.load()
    node("SET", "a", 1)
    assert os.listdir(tmp_path) == []
    assert not node.server.persistence.aof.is_open


def test_with_always_the_loss_of_all_that_was_not_synced_costs_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path, ("appendfsync", "always"))
    for number in range(20):
        node("RPUSH", "l", number)
    node.disk.lose_power()
    assert digest(again(node, tmp_path)) == digest(node)


def test_with_everysec_it_costs_what_came_after_the_last_sync(tmp_path: Path) -> None:
    node = Node(tmp_path)
    for number in range(45):
        node("RPUSH", "l", number)
        node.tick_aof(100)
    node.disk.lose_power()
    kept = again(node, tmp_path)("LLEN", "l")
    assert 35 <= kept < 45
    assert node.disk.syncs == 5


def test_everysec_syncs_what_no_further_write_comes_after(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node("SET", "a", 1)
    node("SET", "a", 2)
    assert node.disk.syncs == 1
    node.tick_aof(1100)
    node.tick_aof()
    assert node.disk.syncs == 2
    assert node.aof.synced == node.aof.appended
    node.tick_aof(1100)
    assert node.disk.syncs == 2


def test_writes_wait_for_a_sync_under_way_but_not_for_long(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.hand.slow = True
    node("SET", "a", 1)
    assert node.info()["aof_pending_bio_fsync"] == "1"
    node("SET", "a", 2)
    assert node.disk.writes == 1
    assert int(node.info()["aof_buffer_length"]) > 0
    node.tick_aof(1900)
    assert node.disk.writes == 1
    node.tick_aof(200)
    assert (node.disk.writes, node.info()["aof_delayed_fsync"], node.info()["aof_buffer_length"]) == (2, "1", "0")
    assert any("Asynchronous AOF fsync is taking too long" in text for _, text in node.logged)


def test_writes_go_on_when_the_sync_is_through(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.hand.slow = True
    node("SET", "a", 1)
    node("SET", "a", 2)
    assert node.disk.writes == 1
    node.hand.work()
    node.tick_aof(100)
    assert (node.disk.writes, node.info()["aof_delayed_fsync"]) == (2, "0")


def test_messages_are_nobodys_data(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.client.chunk(("SELECT", 3), ("PUBLISH", "c", "m"))
    assert node.written() == b""
    node.client.chunk(("PUBLISH", "c", "m"), ("SET", "a", 1))
    assert b"PUBLISH" not in node.written()
    assert b"SELECT" in node.written()


def test_replicas_and_the_file_have_the_same_bytes(tmp_path: Path) -> None:
    node = Node(tmp_path)
    replica = node.connect()
    replica.raw("SYNC")
    node("SET", "a", 1)
    node.client.chunk(("SELECT", 3), ("PUBLISH", "c", "m"), ("SET", "b", "x" * 2000))
    node("SPOP", "none")
    replica.received()
    before = len(node.written())
    node.client.chunk(("SET", "c", 1), ("MULTI",), ("INCR", "c"), ("INCR", "c"), ("EXEC",))
    assert node.written()[before:] == replica.received() != b""


def test_timestamps_are_comments_that_a_load_passes_over(tmp_path: Path) -> None:
    node = Node(tmp_path, ("aof-timestamp-enabled", "yes"))
    for _ in range(3):
        node.client.chunk(("INCR", "a"), ("INCR", "a"))
        node.advance(600)
    stamp = node.now_ms // 1000 - 1
    assert node.written().count(b"#TS:") == 2
    assert node.written().startswith(b"#TS:%d\r\n*2\r\n$6\r\nSELECT" % stamp)
    assert again(node, tmp_path)("GET", "a") == b"6"


# -- a disk that fails ---------------------------------------------------------------------------------------


def test_a_full_disk_stops_writes_until_there_is_room(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node("SET", "a", 1)
    node.disk.room = 10
    assert node("SET", "a", 2) == b"OK"
    assert node.error("SET", "a", 3) == REFUSED
    assert node.error("PING") == REFUSED
    assert node("GET", "a") == b"2"
    assert node.info()["aof_last_write_status"] == "err"
    assert "Error writing to the AOF file: No space left on device" in node.warned()
    assert any(text.startswith("Short write while writing to the AOF file: (nwritten=10") for text in node.warned())
    assert digest(again(node, tmp_path)) != digest(node)
    node.disk.room = 1 << 30
    node.tick_aof(100)
    assert node.info()["aof_last_write_status"] == "ok"
    assert "AOF write error looks solved, Redis can write again." in node.warned()
    assert node("SET", "a", 4) == b"OK"
    assert digest(again(node, tmp_path)) == digest(node)


def test_what_cannot_be_taken_back_is_gone_on_with(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node("SET", "a", 1)
    node.disk.room, node.disk.truncate_error = 10, IO_ERROR
    node("SET", "a", 2)
    assert any("Could not remove short write" in text for text in node.warned())
    node.disk.room = 1 << 30
    node.tick_aof(100)
    node("SET", "b", 3)
    assert digest(again(node, tmp_path)) == digest(node)
    assert not [text for text in node.warned() if "short read" in text]


@pytest.mark.parametrize("fault", ["write_error", "sync_error"])
def test_with_always_a_disk_that_fails_is_the_end(tmp_path: Path, fault: str) -> None:
    node = Node(tmp_path, ("appendfsync", "always"))
    node("SET", "a", 1)
    setattr(node.disk, fault, IO_ERROR)
    node("SET", "a", 2)
    assert node.exits[:1] == [1]
    assert any(text.endswith("Exiting...") for text in node.warned())


def test_a_sync_that_fails_stops_writes_until_one_succeeds(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.disk.sync_error = IO_ERROR
    node("SET", "a", 1)
    node.tick_aof(100)
    assert node.error("SET", "a", 2) == "MISCONF Errors writing to the AOF file: Input/output error"
    assert node.info()["aof_last_write_status"] == "err"
    node.disk.sync_error = None
    node.tick_aof(1000)
    node.tick_aof(100)
    assert node("SET", "a", 2) == b"OK"
    assert node.info()["aof_last_write_status"] == "ok"


def test_turned_off_the_disk_is_nobodys_business(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.disk.write_error = IO_ERROR
    node("SET", "a", 1)
    assert node.error("SET", "a", 2).startswith("MISCONF")
    assert node("CONFIG", "SET", "appendonly", "no") == b"OK"
    assert node("SET", "a", 2) == b"OK"


def test_a_rewrite_helps_where_the_disk_is_full_and_does_nothing_twice(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node("INCR", "n")
    node.disk.room = 10
    node("RPUSH", "l", "first")
    assert node.error("INCR", "n") == REFUSED
    assert node("BGREWRITEAOF") == b"Background append only file rewriting started"
    node.disk.room = 1 << 30  # so much has the new base freed …
    node.tick_aof(100)
    assert node.error("INCR", "n") == REFUSED, "it is not over"
    node.aof.feed([(0, [b"RPUSH", b"l", b"later"])], 0, None)  # … and this comes from a primary meanwhile
    node.end_rewrite()
    assert "AOF write error looks solved, Redis can write again." in node.warned()
    assert node.info()["aof_last_write_status"] == node.info()["aof_last_bgrewrite_status"] == "ok"
    assert node("INCR", "n") == 2
    other = again(node, tmp_path)
    assert other("LRANGE", "l", 0, -1) == [b"first", b"later"]
    assert other("GET", "n") == b"2"


def test_a_rewrite_that_holds_all_that_was_to_be_written_ends_the_refusal(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.disk.write_error = NO_SPACE
    node("INCR", "n")
    assert node.error("INCR", "n") == REFUSED
    node("BGREWRITEAOF")
    node.end_rewrite()
    node.disk.write_error = None
    assert node.aof.synced == node.aof.appended, "the base is on disk"
    assert int(node.info()["aof_last_cow_size"]) > 10_000
    assert node("INCR", "n") == 2
    assert again(node, tmp_path)("GET", "n") == b"2"


def test_a_rewrite_of_a_full_disk_that_fails_loses_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.disk.write_error = NO_SPACE
    node("INCR", "n")
    node("BGREWRITEAOF")
    child = node.aof.rewrite._child
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    node.end_rewrite()
    assert node.info()["aof_last_bgrewrite_status"] == "err"
    assert node.error("INCR", "n") == REFUSED
    node.disk.write_error = None
    node.tick_aof(100)
    assert node("INCR", "n") == 2
    assert again(node, tmp_path)("GET", "n") == b"2"


def test_turned_off_amid_such_a_rewrite_it_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.disk.write_error = NO_SPACE
    node("INCR", "n")
    node("BGREWRITEAOF")
    node.disk.write_error = None
    node("CONFIG", "SET", "appendonly", "no")
    assert again(node, tmp_path)("GET", "n") == b"1"


def test_no_rewrite_begins_behind_half_a_command(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.disk.room, node.disk.truncate_error = 10, IO_ERROR
    node("INCR", "a")
    assert node.error("BGREWRITEAOF").startswith("ERR Can't execute an AOF background rewriting.")
    node.disk.room = 1 << 30
    node.tick_aof(100)
    assert node("BGREWRITEAOF") == b"Background append only file rewriting started"
    node.end_rewrite()
    assert again(node, tmp_path)("GET", "a") == b"1"
