"""A node with an append-only file in this process: a disk that may fail, and a hand in place of the thread."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

from cluster.persistence.aof import AppendOnly
from tests.commands.whole import WholeNode

NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


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

    def end_rewrite(self) -> None:
        """Until its child has ended, and what came of that is done."""
        deadline = time.monotonic() + 20
        while self.aof.rewrite.is_running:
            assert time.monotonic() < deadline
            self.tick_aof(100)

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
