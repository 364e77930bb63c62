"""The child that writes a snapshot: it keeps nothing of its parent's, and ends when it is told to."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

from cluster.persistence.child import SnapshotChild
from tests.system.waiting import wait_until

DEADLINE_S = 20.0


class Log:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, level: str, text: str) -> None:
        with self.path.open("a") as file:
            file.write(f"{level} {text}\n")


def endless() -> Iterator[bytes]:
    yield b"begun"
    while True:
        signal.pause()


def finished(child: SnapshotChild) -> int | None:
    wait_until(child.poll, DEADLINE_S, "the child has ended")
    return child.exit_code


def test_it_writes_the_file_and_ends(tmp_path: Path) -> None:
    target = tmp_path / "dump.rdb"
    child = SnapshotChild(target, lambda: [b"one", b"two"], Log(tmp_path / "log"))
    assert finished(child) == 0
    assert target.read_bytes() == b"onetwo"
    child.stop()
    assert (child.exit_code, os.listdir(tmp_path)) == (0, ["dump.rdb"])


def test_stopped_it_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "dump.rdb"
    target.write_bytes(b"old")
    child = SnapshotChild(target, endless, Log(tmp_path / "log"))
    wait_until(lambda: len(os.listdir(tmp_path)) == 2, DEADLINE_S, "the child has begun")
    assert not child.poll()
    child.stop()
    assert (child.exit_code, target.read_bytes(), os.listdir(tmp_path)) == (-signal.SIGKILL, b"old", ["dump.rdb"])


def test_what_its_parent_closes_is_closed(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    theirs.settimeout(DEADLINE_S)
    child = SnapshotChild(tmp_path / "dump.rdb", endless, Log(tmp_path / "log"))
    try:
        wait_until(lambda: os.listdir(tmp_path), DEADLINE_S, "the child has begun")
        ours.close()
        assert theirs.recv(1) == b""
    finally:
        child.stop()
        theirs.close()


def test_signals_to_the_whole_group_are_its_parents_business(tmp_path: Path) -> None:
    child = SnapshotChild(tmp_path / "dump.rdb", endless, Log(tmp_path / "log"))
    wait_until(lambda: os.listdir(tmp_path), DEADLINE_S, "the child has begun")
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(child.pid, number)
    child.stop()
    assert child.exit_code == -signal.SIGKILL


def test_a_file_that_cannot_be_written_and_a_fault_of_ours_are_logged(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")

    def broken() -> Iterator[bytes]:
        yield b"begun"
        raise RuntimeError("of all things")

    assert finished(SnapshotChild(tmp_path / "missing" / "dump.rdb", endless, log)) == 1
    assert finished(SnapshotChild(tmp_path / "dump.rdb", broken, log)) == 1
    text = log.path.read_text()
    assert "warning Write error saving DB on disk: No such file or directory" in text
    assert "RuntimeError: of all things" in text
    assert os.listdir(tmp_path) == ["log"]
