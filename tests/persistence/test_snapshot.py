"""SAVE and BGSAVE: what a crash leaves in the directory, and a disk that fails."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.commands.whole import WholeNode


def test_a_save_that_is_cut_off_leaves_a_file_that_the_tools_of_redis_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = WholeNode(tmp_path)
    node("SET", "k", "v")
    seen: list[str] = []
    chunks = node.server.persistence.chunks(node.server.databases)

    def looking(_databases: object) -> Iterator[bytes]:
        seen.extend(os.listdir(tmp_path))
        yield from chunks

    monkeypatch.setattr(node.server.persistence, "chunks", looking)
    assert node("SAVE") == b"OK"
    assert seen == [f"temp-{os.getpid()}.rdb"]
    assert os.listdir(tmp_path) == ["dump.rdb"]


@pytest.mark.parametrize("number", [b"9" * 5000, b"9" * 30, b"-1", b"", b"\xd9\xa3"])
def test_what_a_snapshot_says_of_itself_that_is_no_number_is_passed_over(tmp_path: Path, number: bytes) -> None:
    length = (0x4000 | len(number)).to_bytes(2, "big")
    names = (b"ctime", b"repl-offset", b"repl-stream-db")
    said = b"".join(b"\xfa%c%b%b%b" % (len(name), name, length, number) for name in names)
    said += b"\xfa\x07repl-id\x28" + b"a" * 40
    (tmp_path / "dump.rdb").write_bytes(b"REDIS0010" + said + b"\0\1k\1v\xff" + bytes(8))
    node = WholeNode(tmp_path)
    node.server.persistence.load()
    assert node("GET", "k") == b"v"
    assert node.server.replication.offset == 0
    assert node.server.persistence.loaded_age_ms in (None, 0)


# -- a disk that fails -------------------------------------------------------------------------------------------


class Full:
    """A file that has room for so many bytes."""

    def __init__(self, file: BinaryIO, room: int) -> None:
        self._file = file
        self._room = room

    def write(self, data: bytes) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._file.write(data)

    def __enter__(self) -> Full:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


def failing(error: int) -> Callable[..., None]:
    def call(*_arguments: object, **_options: object) -> None:
        raise OSError(error, os.strerror(error))

    return call


def break_disk(patch: pytest.MonkeyPatch, fault: str) -> None:
    if fault == "room":
        fdopen = os.fdopen
        patch.setattr(os, "fdopen", lambda handle, mode: Full(fdopen(handle, mode), 100))  # type: ignore[arg-type]
    else:
        patch.setattr(os, fault, failing(errno.EIO))


def wait_for_child(node: WholeNode) -> None:
    deadline = time.monotonic() + 20
    while node.server.persistence.in_background:
        assert time.monotonic() < deadline
        node.server.persistence.tick(node.now_ms)


FAULTS = ("room", "open", "fsync", "replace")


@pytest.fixture
def saved(tmp_path: Path) -> WholeNode:
    """A node that has saved one key, and has changed it since."""
    node = WholeNode(tmp_path, ("save", "1000 1000"), ("databases", "1"))
    node("SET", "k", "old")
    assert node("SAVE") == b"OK"
    node("SET", "k", "n" * 200)
    return node


def loaded(tmp_path: Path) -> object:
    node = WholeNode(tmp_path, ("databases", "1"))
    node.server.persistence.load()
    return node("GET", "k")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_save_that_fails_leaves_the_old_file_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: WholeNode, fault: str
) -> None:
    with monkeypatch.context() as patch:
        break_disk(patch, fault)
        assert saved.client.raw("SAVE").startswith(b"-ERR")
    assert os.listdir(tmp_path) == ["dump.rdb"]
    assert loaded(tmp_path) == b"old"
    assert any("Failed opening or writing the RDB file" in text for _, text in saved.logged)
    assert saved("SET", "k", "new") == b"OK", "who asked was told; redis-server does not refuse writes for that"
    assert saved("SAVE") == b"OK"
    assert loaded(tmp_path) == b"new"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_background_save_that_fails_stops_writes_until_one_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: WholeNode, fault: str
) -> None:
    with monkeypatch.context() as patch:
        break_disk(patch, fault)
        saved("BGSAVE")
        wait_for_child(saved)
    assert os.listdir(tmp_path) == ["dump.rdb"]
    assert loaded(tmp_path) == b"old"
    assert "rdb_last_bgsave_status:err" in saved("INFO", "persistence").decode()
    assert any("Background saving error" in text for level, text in saved.logged if level == "warning")
    for write in (("SET", "k", "new"), ("PING",)):
        assert saved.error(*write).startswith("MISCONF Redis is configured to save RDB snapshots")
    assert saved("GET", "k") == b"n" * 200
    saved("BGSAVE")
    wait_for_child(saved)
    assert "rdb_last_bgsave_status:ok" in saved("INFO", "persistence").decode()
    assert saved("SET", "k", "new") == b"OK"
    assert loaded(tmp_path) == b"n" * 200


def test_writes_may_go_on_without_snapshots(monkeypatch: pytest.MonkeyPatch, saved: WholeNode) -> None:
    with monkeypatch.context() as patch:
        break_disk(patch, "fsync")
        saved("BGSAVE")
        wait_for_child(saved)
    assert saved.error("SET", "k", 1).startswith("MISCONF")
    saved("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
    assert saved("SET", "k", 1) == b"OK"
