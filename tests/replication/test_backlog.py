"""The backlog against a naive twin: the whole stream, of which it may promise the last `size` bytes and no others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cluster.replication.backlog import Backlog

CHUNKS = st.lists(st.binary(max_size=20), max_size=30)


@given(size=st.integers(1, 40), end=st.integers(0, 1000), chunks=CHUNKS)
def test_it_gives_every_byte_that_it_promises_and_no_other(size: int, end: int, chunks: list[bytes]) -> None:
    backlog = Backlog(size, end)
    for chunk in chunks:
        backlog.append(chunk)
    stream = b"".join(chunks)
    assert backlog.end == end + len(stream)
    assert len(backlog) == min(size, len(stream))
    assert backlog.first == backlog.end - len(backlog) + 1
    for number in range(backlog.first, backlog.end + 2):
        assert backlog.since(number) == stream[number - end - 1 :]
    assert backlog.since(backlog.first - 1) is None
    assert backlog.since(backlog.end + 2) is None


@given(size=st.integers(1, 40), chunks=CHUNKS)
def test_it_holds_little_more_than_it_promises(size: int, chunks: list[bytes]) -> None:
    backlog = Backlog(size)
    for chunk in chunks:
        backlog.append(chunk)
    assert backlog.held_bytes < size + max(map(len, chunks), default=1) + 1


def test_a_replica_that_has_everything_is_given_nothing() -> None:
    backlog = Backlog(10, end=7)
    assert backlog.since(8) == b""
    assert backlog.since(7) is None, "those bytes were before its time"
    assert backlog.since(9) is None, "nobody has said those yet"
