"""A process that ends at any call that reaches the disk: what was acknowledged is there afterwards, in one piece.

A scenario is run again and again, and ended at its first such call, its second, and so on. What counts as a call: a
write or a sync of the append-only file, and any opening, renaming, deleting and syncing around it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cluster.persistence import aof_rewrite
from cluster.safe_file import write_safely
from tests.persistence.aof_node import Node

pytestmark = pytest.mark.timeout(3600)  # with --long; on a usual run some seconds

CALLS = ("open", "rename", "replace", "unlink")
CALLS_OF_OPEN_FILES = ("fsync", "fdatasync", "pwrite", "ftruncate")


class Ended(BaseException):
    """The process is no more."""


class Fate:
    """Counts the calls, and ends the process before one of them, or (`torn`) in the middle of it, if it is a write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path, at: int, *, torn: bool) -> None:
        self.count = 0
        self._root = str(root)
        self._at = at
        self._torn = torn
        for name in CALLS:
            monkeypatch.setattr(os, name, self._watched(getattr(os, name), by_path=True))
        for name in CALLS_OF_OPEN_FILES:
            monkeypatch.setattr(os, name, self._watched(getattr(os, name), by_path=False))

    def _watched(self, call: Callable[..., Any], *, by_path: bool) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            if not by_path or str(arguments[0]).startswith(self._root):
                self.next()
            return call(*arguments, **options)

        return watched

    def next(self) -> None:
        self.count += 1
        if self.count == self._at:
            raise Ended

    def rule(self, node: Node) -> None:
        """Over the disk of this node, too."""
        write, sync = node.disk.write, node.disk.sync

        def watched_write(fd: int, data: bytes | memoryview) -> int:
            if self._torn and self.count + 1 == self._at:
                write(fd, data[: len(data) // 2])
            self.next()
            return write(fd, data)

        def watched_sync(fd: int) -> None:
            self.next()
            sync(fd)

        node.aof.disk.write, node.aof.disk.sync = watched_write, watched_sync


class Child:
    """In place of the forked child: it is through before anything else happens."""

    pid = 1

    def __init__(self, path: Path, chunks: Callable[[], Iterable[bytes]], _log: object, scratch: str) -> None:
        write_safely(path, list(chunks()), temporary=path.with_name(scratch.format(pid=1)))
        self.exit_code = 0

    def poll(self) -> bool:
        return True

    def stop(self) -> None:
        return None


class Story:
    """What was acknowledged: `sure` must be found again, `newest` may be."""

    def __init__(self) -> None:
        self.sure = self.newest = 0
        self.logged = True

    def write(self, node: Node) -> None:
        self.newest += 1
        node.client.chunk(("MULTI",), ("RPUSH", "l", self.newest), ("SET", "n", self.newest), ("EXEC",))
        if self.logged:
            self.sure = self.newest

    def tell(self, node: Node) -> None:
        for _ in range(2):
            self.write(node)
        node("BGREWRITEAOF")
        self.write(node)
        node.tick_aof(100)
        self.write(node)
        self.newest += 1
        node.client.chunk(("RPUSH", "l", self.newest), ("BGREWRITEAOF",), ("SET", "n", self.newest))
        self.sure = self.newest
        node.tick_aof(100)
        self.write(node)
        self.logged = False
        node("CONFIG", "SET", "appendonly", "no")
        self.write(node)
        node("CONFIG", "SET", "appendonly", "yes")
        self.write(node)
        node.tick_aof(100)
        self.logged = True
        self.write(node)


SMALL = (("appendfsync", "always"), ("databases", "1"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pulls the plug here."""
    monkeypatch.setattr(aof_rewrite, "SnapshotChild", Child)
    monkeypatch.setattr(os, "fsync", lambda fd: None)


def lives_on(directory: Path, story: Story) -> None:
    node = Node(directory, *SMALL)
    items = [int(item) for item in node("LRANGE", "l", 0, -1)]
    assert items == list(range(1, len(items) + 1))
    assert story.sure <= len(items) <= story.newest
    assert int(node("GET", "n") or 0) in (len(items), len(items) - 1)
    if story.newest % 3 == 0:
        node("SET", "after", 1)
        node("BGREWRITEAOF")
        node.tick_aof(100)
        assert Node(directory, *SMALL)("GET", "after") == b"1"
    assert not [name for name in os.listdir(directory / "appendonlydir") if name.startswith("temp-") and "incr" in name]


@pytest.mark.parametrize(("preamble", "torn", "first"), [("yes", False, 1), ("no", True, 3)])
def test_a_process_that_ends_at_any_call_has_lost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, preamble: str, torn: bool,
    first: int,
) -> None:
    """Every fourth of them; with --long all."""
    directives = (*SMALL, ("aof-use-rdb-preamble", preamble))
    step = 1 if request.config.getoption("--long") else 4
    at = first - step
    while True:
        at += step
        directory = tmp_path / str(at)
        directory.mkdir()
        story = Story()
        with monkeypatch.context() as patch:
            fate = Fate(patch, tmp_path, at, torn=torn)
            with suppress(Ended):
                node = Node(directory, *directives)
                fate.rule(node)
                story.tell(node)
        lives_on(directory, story)
        if fate.count < at:
            break
    assert at > 60


def test_a_manifest_that_cannot_be_written_leaves_the_old_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever call of a rewrite fails, the node says so and goes on, and nothing is lost by it."""
    node = Node(tmp_path, *SMALL)
    failed = 0
    for at in range(1, 20):
        node("INCR", "n")
        with monkeypatch.context() as patch:
            fate = Fate(patch, tmp_path, at, torn=False)
            patch.setattr(fate, "next", lambda fate=fate: _fail(fate))
            reply = node.client.raw("BGREWRITEAOF")
            node.tick_aof(100)
        if fate.count < at:
            break
        if reply.startswith(b"-"):
            failed += 1
        node("INCR", "n")
        other = Node(tmp_path, *SMALL)
        assert other("GET", "n") == node("GET", "n")
        assert node.exits == []
    assert failed >= 3
    assert node("BGREWRITEAOF") == b"Background append only file rewriting started"


def _fail(fate: Fate) -> None:
    fate.count += 1
    if fate.count == fate._at:
        raise OSError(28, "No space left on device")


def test_old_files_are_kept_for_as_long_as_that_is_wanted(tmp_path: Path) -> None:
    node = Node(tmp_path, *SMALL, ("aof-disable-auto-gc", "yes"))
    node("BGREWRITEAOF")
    node.tick_aof(100)
    files = tmp_path / "appendonlydir"
    old = {"appendonly.aof.1.base.rdb", "appendonly.aof.1.incr.aof"}
    assert old < set(os.listdir(files))
    assert (files / "appendonly.aof.manifest").read_text().count(" type h\n") == 2
    node("CONFIG", "SET", "aof-disable-auto-gc", "no")
    assert not old & set(os.listdir(files))
    assert " type h" not in (files / "appendonly.aof.manifest").read_text()
