"""What is held for a replica comes out as it went in, whether it lay in memory or in a file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.replication.held_stream import HeldStream

ACTIONS = st.lists(st.one_of(st.binary(min_size=1, max_size=20), st.integers(1, 50)), max_size=40)


@given(limit=st.integers(0, 60), actions=ACTIONS)
def test_bytes_come_out_in_their_order_and_memory_keeps_its_limit(limit: int, actions: list[bytes | int]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        held = HeldStream(Path(directory), limit)
        put, got = b"", b""
        for action in actions:
            if isinstance(action, bytes):
                held.append(action)
                put += action
            else:
                got += held.take(action)
            assert len(held) == len(put) - len(got)
            assert not limit or held.memory_bytes <= limit
        while data := held.take(7):
            got += data
        assert got == put
        assert os.listdir(directory) == [], "the file has no name that could stay behind"
        held.close()


def test_a_second_replica_gets_a_copy_of_its_own(tmp_path: Path) -> None:
    held = HeldStream(tmp_path, 10)
    held.append(b"abc")
    twin = held.copy()
    assert twin is not None
    held.append(b"def")
    assert twin.take(100) == b"abc"
    assert held.take(100) == b"abcdef"
    held.append(b"x" * 11)
    assert held.in_file
    assert held.copy() is None
    held.close()


def test_a_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    held = HeldStream(tmp_path / "gone", 1)
    with pytest.raises(FileNotFoundError):
        held.append(b"too much")
