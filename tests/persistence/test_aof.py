"""The append-only file of a node in the test's own process: what is written and synced when, and a disk that fails."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.persistence.aof import AppendOnly
from cluster.persistence.aof_directory import AofError
from cluster.protocol.replies import request as encoded
from tests.commands.whole import WholeNode
from tests.persistence.test_aof_commands import DATA

NO_SPACE = OSError(errno.ENOSPC, "No space left on device")
IO_ERROR = OSError(errno.EIO, "Input/output error")
REFUSED = "MISCONF Errors writing to the AOF file: No space left on device"


class Disk:
    """What reaches the disk, and what may go wrong there. `safe` is the size of each file as of its last sync."""

    def __init__(self, aof: AppendOnly) -> None:
        self.writes = 0
        self.syncs = 0
        self.room = 1 << 40
        self.write_error: OSError | None = None
        self.sync_error: OSError | None = None
        self.truncate_error: OSError | None = None
        self.safe: dict[str, int] = {}
        aof.disk.write, aof.disk.sync, aof.disk.truncate = self.write, self.sync, self.truncate

    def write(self, fd: int, data: bytes | memoryview) -> int:
        if self.write_error is not None:
            raise self.write_error
        if not self.room:
            raise NO_SPACE
        self.writes += 1
        written = os.write(fd, data[: self.room])
        self.room -= written
        return written

    def sync(self, fd: int) -> None:
        if self.sync_error is not None:
            raise self.sync_error
        self.syncs += 1
        self.safe[os.readlink(f"/proc/self/fd/{fd}")] = os.fstat(fd).st_size

    def truncate(self, fd: int, size: int) -> None:
        if self.truncate_error is not None:
            raise self.truncate_error
        os.ftruncate(fd, size)

    def lose_power(self) -> None:
        """What was never synced is gone."""
        for name, size in self.safe.items():
            os.truncate(name, size)


class Hand:
    """In place of the thread that syncs: it does its work at once, or (`slow`) when the test says so."""

    def __init__(self) -> None:
        self.slow = False
        self.jobs: list[tuple[Callable[[], None], Callable[[OSError | None], None] | None]] = []
        self._results: list[tuple[Callable[[OSError | None], None], OSError | None]] = []

    def do(self, job: Callable[[], None], then: Callable[[OSError | None], None] | None = None) -> None:
        self.jobs.append((job, then))
        if not self.slow:
            self.work()

    def work(self) -> None:
        jobs, self.jobs = self.jobs, []
        for job, then in jobs:
            failure = None
            try:
                job()
            except OSError as error:
                failure = error
            if then is not None:
                self._results.append((then, failure))

    def done(self) -> None:
        results, self._results = self._results, []
        for then, error in results:
            then(error)

    def close(self) -> None:
        self.work()
        self.done()


class Node(WholeNode):
    """With an append-only file, a disk and a hand; started over what lies in its directory."""

    def __init__(self, directory: Path, *directives: tuple[str, str]) -> None:
        super().__init__(directory, ("appendonly", "yes"), ("save", ""), ("databases", "4"), *directives)
        self.aof = self.server.persistence.aof
        self.disk = Disk(self.aof)
        self.hand = Hand()
        self.aof.syncer = self.hand  # type: ignore[assignment]
        self.aof.directory._syncer = self.hand  # type: ignore[assignment]
        self.exits: list[int] = []
        self.server.shell.exit = self.exits.append
        self.server.persistence.load()

    def tick_aof(self, milliseconds: int = 0) -> None:
        self.advance(milliseconds)
        self.server.start_batch()
        self.aof.tick(self.now_ms)

    def info(self) -> dict[str, str]:
        return dict(line.split(":", 1) for line in self("INFO", "persistence").decode().splitlines() if ":" in line)

    def written(self) -> bytes:
        """What the increment at hand holds."""
        return (self.aof.directory.path / self.aof.directory.manifest.increments[-1].name).read_bytes()

    def warned(self) -> list[str]:
        return [text for level, text in self.logged if level == "warning"]


def digest(node: WholeNode) -> bytes:
    found = node("DEBUG", "DIGEST")
    assert isinstance(found, bytes)
    return found


def again(node: Node, directory: Path, *directives: tuple[str, str]) -> Node:
    """Another process over the same files, at the same time of day."""
    other = Node(directory, *directives)
    other.now_ms = node.now_ms
    return other


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


def test_no_rewrite_begins_before_what_came_earlier_is_written(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.disk.write_error = IO_ERROR
    node("INCR", "a")
    assert node.error("BGREWRITEAOF").startswith("ERR Can't execute an AOF background rewriting.")
    node.disk.write_error = None
    node.tick_aof(100)
    assert again(node, tmp_path)("GET", "a") == b"1"


# -- what a start finds --------------------------------------------------------------------------------------


def torn(tmp_path: Path, tail: bytes) -> tuple[Node, Path]:
    node = Node(tmp_path)
    node("SET", "a", 1)
    file = node.aof.directory.path / node.aof.directory.manifest.increments[-1].name
    with file.open("ab") as increment:
        increment.write(tail)
    return node, file


@pytest.mark.parametrize("tail", [
    b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1", b"*", b"*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n",
    b"*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nEXEC\r\n*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n*1\r\n$4\r\nEX",
])  # fmt: skip
def test_a_torn_end_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    node, file = torn(tmp_path, tail)
    good = len(file.read_bytes()) - len(tail) + (29 if b"EXEC\r\n*1" in tail else 0)
    other = again(node, tmp_path)
    assert digest(other) == digest(node)
    assert len(file.read_bytes()) == good
    assert f"!!! Truncating the AOF {file.name} at offset {good} !!!" in other.warned()
    other("INCR", "a")
    assert digest(again(other, tmp_path)) == digest(other)


def test_or_the_server_does_not_start(tmp_path: Path) -> None:
    node, file = torn(tmp_path, b"*1\r\n")
    before = file.read_bytes()
    with pytest.raises(AofError, match=r"Unexpected end of file reading the append only file .*\.incr\.aof\. You can"):
        again(node, tmp_path, ("aof-load-truncated", "no"))
    assert file.read_bytes() == before


def test_what_is_no_command_is_named_by_its_place(tmp_path: Path) -> None:
    node, file = torn(tmp_path, b"\0\0\0\0")
    size = len(file.read_bytes())
    with pytest.raises(AofError, match=rf"Bad file format reading the append only file .*at offset {size - 4}"):
        again(node, tmp_path)
    assert len(file.read_bytes()) == size


def test_what_changes_no_data_is_passed_over(tmp_path: Path) -> None:
    node, _ = torn(tmp_path, b"".join(map(encoded, [
        [b"PING"], [b"SHUTDOWN", b"NOSAVE"], [b"CONFIG", b"SET", b"maxmemory", b"1"], [b"GET", b"a"], [b"INCR", b"a"],
        [b"MONITOR"], [b"DEBUG", b"SEGFAULT"], [b"SUBSCRIBE", b"c"], [b"BLPOP", b"none", b"0"], [b"INCR", b"a"],
    ])))  # fmt: skip
    other = again(node, tmp_path)
    assert other("GET", "a") == b"3"
    assert (other.shutdowns, other.crashed, other("CONFIG", "GET", "maxmemory")) == ([], False, [b"maxmemory", b"0"])


def damaged(rng: random.Random, data: bytes) -> bytes:
    """A few bytes are others, or a stretch is gone, or stands elsewhere too."""
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at, behind = sorted(rng.randrange(len(changed)) for _ in range(2))
        how = rng.randrange(3)
        if how == 0:
            changed[at] = rng.randrange(256)
        elif how == 1:
            del changed[at : min(behind, at + 40)]
        else:
            changed[behind:behind] = changed[at : at + 40]
    return bytes(changed)


@pytest.mark.parametrize("base", ["rdb", "aof"])
def test_a_damaged_file_is_loaded_or_complained_of(
    tmp_path: Path, request: pytest.FixtureRequest, base: str
) -> None:
    """Nothing else comes of it: no other error, no hang, no crash."""
    node = Node(tmp_path)
    for command in DATA:
        node.client.raw(*command)
    manifest, file = node.aof.directory.manifest.rewritten("appendonly.aof", base)
    whole = b"".join(node.aof.rewrite.chunks(base))
    node.aof.directory.save(manifest)
    rng = random.Random(base)
    complaints: list[str] = []
    for _ in range(2000 if request.config.getoption("--long") else 30):
        (node.aof.directory.path / file.name).write_bytes(damaged(rng, whole))
        try:
            Node(tmp_path, ("databases", "4"), ("aof-load-truncated", rng.choice(["yes", "no"])))
        except AofError as error:
            complaints.append(str(error))
    assert len(complaints) > 10
    assert all(file.name in complaint for complaint in complaints)


def test_an_unknown_command_ends_the_start(tmp_path: Path) -> None:
    node, _ = torn(tmp_path, b"*1\r\n$5\r\nBOGUS\r\n")
    with pytest.raises(AofError, match="Unknown command 'BOGUS' reading the append only file"):
        again(node, tmp_path)


def test_a_file_before_the_last_is_not_cut(tmp_path: Path) -> None:
    node, file = torn(tmp_path, b"*1\r\n$4\r\nPI")
    node.aof.begin_increment()
    before = file.read_bytes()
    with pytest.raises(AofError, match="the truncated file is not the last file"):
        again(node, tmp_path)
    assert file.read_bytes() == before


def test_a_missing_file_ends_the_start(tmp_path: Path) -> None:
    node = Node(tmp_path)
    (node.aof.directory.path / "appendonly.aof.1.base.rdb").unlink()
    with pytest.raises(AofError, match=r"Unable to obtain the AOF file appendonly\.aof\.1\.base\.rdb length"):
        again(node, tmp_path)


def test_a_broken_base_ends_the_start(tmp_path: Path) -> None:
    node = Node(tmp_path)
    base = node.aof.directory.path / "appendonly.aof.1.base.rdb"
    base.write_bytes(base.read_bytes()[:-9])
    with pytest.raises(AofError, match=r"Error reading the RDB base file .*at offset"):
        again(node, tmp_path)


def test_a_file_that_no_manifest_names_is_nobodys(tmp_path: Path) -> None:
    node = Node(tmp_path)
    stray = node.aof.directory.path / "appendonly.aof.2.incr.aof"
    stray.write_bytes(b"left by a process that died too early")
    node.aof.begin_increment()
    node("SET", "a", 1)
    assert digest(again(node, tmp_path)) == digest(node)


def test_the_one_file_of_old_is_moved_in(tmp_path: Path) -> None:
    old = tmp_path / "appendonly.aof"
    old.write_bytes(b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n5\r\n")
    node = Node(tmp_path)
    assert node("INCR", "a") == 6
    assert not old.exists()
    assert "Successfully migrated an old-style AOF file (appendonly.aof) into the AOF directory (appendonlydir)." in [
        text for _, text in node.logged
    ]
    assert (tmp_path / "appendonlydir" / "appendonly.aof.manifest").read_text() == (
        "file appendonly.aof seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
    )
    assert digest(again(node, tmp_path)) == digest(node)


def test_turned_on_in_the_configuration_it_begins_with_the_snapshot(tmp_path: Path) -> None:
    before = WholeNode(tmp_path)
    before("SET", "a", 1)
    before("SAVE")
    node = Node(tmp_path)
    node("INCR", "a")
    (tmp_path / "dump.rdb").unlink()
    assert again(node, tmp_path)("GET", "a") == b"2"


def test_expired_keys_are_those_of_the_moment_not_of_the_load(tmp_path: Path) -> None:
    """What had expired when the process ended is deleted by what the file says, or by time, afterwards."""
    node = Node(tmp_path)
    node.client.chunk(("SET", "a", 1, "PX", 100), ("RPUSH", "l", 1), ("PEXPIRE", "l", 100))
    node.advance(200)
    node.client.chunk(("SET", "a", 2), ("RPUSH", "l", 2), ("HSET", "h", "f", 1, "g", 2))
    node("HPEXPIRE", "h", 50, "FIELDS", 1, "f")
    node.advance(100)
    node("HGETALL", "h")
    other = again(node, tmp_path)
    assert other("LRANGE", "l", 0, -1) == [b"2"]
    assert other("GET", "a") == b"2"
    assert digest(other) == digest(node)
