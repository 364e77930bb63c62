"""A machine that loses its power at any call that reaches the disk: what was promised is there, and a start finds it.

What was not synced may be there, or not, a file's name as well as its bytes (tests/persistence/power.py).
"""

from __future__ import annotations

import os
import random
from contextlib import suppress
from pathlib import Path

import pytest

from bus.storage import StateFile
from cluster.persistence import aof_rewrite
from tests.commands.whole import WholeNode
from tests.persistence.aof_node import Node
from tests.persistence.power import Watched
from tests.persistence.test_aof_crashes import SMALL, Child, Ended, Fate, Story

pytestmark = pytest.mark.timeout(3600)  # with --long; on a usual run some seconds

CASES = 3
"""Of what may be left after each cut."""


class Cut:
    """A directory, and the power that goes at one call."""

    def __init__(self, tmp_path: Path, patch: pytest.MonkeyPatch, at: int) -> None:
        self.directory = tmp_path / str(at)
        self.directory.mkdir(exist_ok=True)
        self._after = tmp_path / f"{at}-after"
        self._after.mkdir()
        self._rng = random.Random(at)
        self.watched = Watched(patch, self.directory)
        self.fate = Fate(patch, tmp_path, at, torn=False)

    def node(self, *directives: tuple[str, str]) -> Node:
        """One whose disk this is."""
        node = Node(self.directory, *directives)
        node.disk.sync = self.watched.sync  # type: ignore[method-assign]
        self.fate.rule(node)
        return node

    def cases(self) -> list[Path]:
        """Some of what may be left."""
        found = [self._after / str(number) for number in range(CASES)]
        for target in found:
            self.watched.left(target, self._rng)
        self.watched.close()
        return found


def cuts(request: pytest.FixtureRequest, step: int) -> range:
    return range(1, 10_000, 1 if request.config.getoption("--long") else step)


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aof_rewrite, "SnapshotChild", Child)


@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_with_always_no_acknowledged_write_is_missing(
    tmp_path: Path, request: pytest.FixtureRequest, preamble: str
) -> None:
    directives = (*SMALL, ("aof-use-rdb-preamble", preamble))
    for at in cuts(request, 5):
        story = Story()
        with pytest.MonkeyPatch.context() as patch:
            cut = Cut(tmp_path, patch, at)
            with suppress(Ended):
                node = cut.node(*directives)
                story.tell(node)
            cases = cut.cases()
        for case in cases:
            restarted = Node(case, *directives)
            items = [int(item) for item in restarted("LRANGE", "l", 0, -1)]
            assert items == list(range(1, len(items) + 1)), (at, case)
            assert story.sure <= len(items) <= story.newest, (at, case)
            restarted("SET", "after", 1)
            restarted("BGREWRITEAOF")
            restarted.tick_aof(100)
            assert Node(case, *SMALL)("GET", "after") == b"1"
        if cut.fate.count < at:
            break
    assert at > 60


def test_with_everysec_it_loads_and_has_no_hole(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    directives = (("databases", "1"), ("appendfsync", "everysec"))
    for at in cuts(request, 3):
        written = safe = 0
        with pytest.MonkeyPatch.context() as patch:
            cut = Cut(tmp_path, patch, at)
            with suppress(Ended):
                node = cut.node(*directives)
                for number in range(1, 24):
                    written = number
                    node("RPUSH", "l", number)
                    if number % 7 == 0:
                        node("BGREWRITEAOF")
                    node.tick_aof(300)
                    if node.aof.synced == node.aof.appended:
                        safe = number
            cases = cut.cases()
        for case in cases:
            items = [int(item) for item in Node(case, *directives)("LRANGE", "l", 0, -1)]
            assert items == list(range(1, len(items) + 1)), (at, case)
            assert safe <= len(items) <= written, (at, case)
        if cut.fate.count < at:
            break
    assert at > 40


def test_the_move_of_an_old_file_is_finished_by_the_next_start(tmp_path: Path) -> None:
    for at in range(1, 100):
        directory = tmp_path / str(at)
        directory.mkdir()
        (directory / "appendonly.aof").write_bytes(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n5\r\n")
        with pytest.MonkeyPatch.context() as patch:
            cut = Cut(tmp_path, patch, at)
            with suppress(Ended):
                Node(cut.directory, *SMALL)
            cases = cut.cases()
        for case in [*cases, directory]:
            assert Node(case, *SMALL)("GET", "a") == b"5", (at, case)
        if cut.fate.count < at:
            break
    assert at > 8


def test_a_snapshot_that_was_reported_is_there_and_else_the_old(tmp_path: Path) -> None:
    for at in range(1, 100):
        saved = tried = 0
        with pytest.MonkeyPatch.context() as patch:
            cut = Cut(tmp_path, patch, at)
            node = WholeNode(cut.directory, ("databases", "1"))
            with suppress(Ended):
                for number in range(1, 4):
                    node("SET", "n", number)
                    tried = number
                    assert node("SAVE") == b"OK"
                    saved = number
            cases = cut.cases()
        for case in cases:
            restarted = WholeNode(case, ("databases", "1"))
            restarted.server.persistence.load()
            assert saved <= int(restarted("GET", "n") or 0) <= tried, (at, case)
        if cut.fate.count < at:
            break
    assert at > 8


def test_the_state_of_the_cluster_is_one_that_was_saved_and_not_older_than_what_had_to_last(tmp_path: Path) -> None:
    """Epochs that grow, in a file that grows, too. The own file is replaced now and then, and the process is killed in
    between, and once within that."""

    class Killed(Exception):
        pass

    def kill(_directory: Path) -> None:
        raise Killed

    for at in range(1, 200):
        promised = tried = 0
        with pytest.MonkeyPatch.context() as patch:
            cut = Cut(tmp_path, patch, at)
            with suppress(Ended):
                file = StateFile(cut.directory / "nodes.conf")
                file.lock()
                file.load()
                for tried in range(1, 13):
                    file.save(f"epoch {tried}\n" * (1_000 if tried < 8 else 2_500), durable=tried % 3 == 0)
                    if tried % 3 == 0:
                        promised = tried
                    if tried % 4 == 0:
                        file.settle()
                    if tried == 5:
                        with patch.context() as within, suppress(Killed):
                            within.setattr("bus.storage._sync_directory", kill)
                            file.settle()
                    if tried in (2, 5, 10):
                        file.close()
                        file = StateFile(cut.directory / "nodes.conf")
                        file.lock()
                        file.load()
            cases = cut.cases()
            file.close()
        for case in cases:
            again = StateFile(case / "nodes.conf")
            again.lock()
            found = again.load()
            again.close()
            number = int(found.split()[1]) if found is not None else 0
            assert promised <= number <= tried, (at, case, found)
        if cut.fate.count < at:
            break
    assert at > 40


def test_files_whose_manifest_is_gone_are_left_alone(tmp_path: Path) -> None:
    node = Node(tmp_path, *SMALL)
    node("SET", "a", 1)
    files = tmp_path / "appendonlydir"
    (files / "appendonly.aof.manifest").unlink()
    kept = {name: (files / name).read_bytes() for name in os.listdir(files)}
    other = Node(tmp_path, *SMALL)
    assert other("SET", "b", 2) == b"OK"
    assert any("doesn't exist, but appendonlydir has 2 AOF files" in text for text in other.warned())
    assert {name: (files / name).read_bytes() for name in kept} == kept
    assert Node(tmp_path, *SMALL)("GET", "b") == b"2"
