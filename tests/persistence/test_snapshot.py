"""SAVE in place: what lies in the directory while it is at work, which is what a crash leaves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

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
