"""What is read of others: as hiredis reads it, and never more than is set."""

from __future__ import annotations

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.sentinel import replies
from cluster.sentinel.events import ErrorReply
from cluster.sentinel.replies import BadReply, ReplyReader, ReplyTooLong, Unfinished

_encoded: st.SearchStrategy[bytes] = st.recursive(
    st.one_of(
        st.binary(max_size=20).map(lambda value: b"$%d\r\n%b\r\n" % (len(value), value)),
        st.integers(-(2**63), 2**63 - 1).map(lambda value: b":%d\r\n" % value),
        st.sampled_from([b"+PONG\r\n", b"-BUSY a\r\n", b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b"$0\r\n\r\n", b"+\r\n"]),
    ),
    lambda inner: st.lists(inner, max_size=3).map(lambda values: b"*%d\r\n%b" % (len(values), b"".join(values))),
    max_leaves=8,
)


def shown(reply: object) -> object:
    if isinstance(reply, list):
        return [shown(one) for one in reply]
    return f"error {reply}" if isinstance(reply, ErrorReply) else reply


@given(st.lists(_encoded, max_size=5).map(b"".join), st.integers(1, 40))
def test_replies_are_those_that_hiredis_reads_wherever_they_are_cut(data: bytes, size: int) -> None:
    theirs, expected = hiredis.Reader(replyError=ErrorReply), []
    theirs.feed(data)
    while (reply := theirs.gets()) is not False:
        expected.append(shown(reply))
    unfinished = Unfinished()
    ours = ReplyReader(unfinished)
    found = [shown(one) for at in range(0, len(data), size) for one in ours.feed(data[at : at + size])]
    assert found == expected
    assert unfinished.size == 0


@pytest.mark.parametrize("data", [
    b"?\r\n", b":x\r\n", b":\r\n", b"$ 1\r\na\r\n", b"*1_0\r\n", b"%1\r\n", b":" + b"9" * 20 + b"\r\n",
])  # fmt: skip
def test_what_is_no_reply_is_refused(data: bytes) -> None:
    with pytest.raises(BadReply, match="Protocol error"):
        list(ReplyReader(Unfinished()).feed(data))


@pytest.mark.parametrize("data", [
    b"*4294967295\r\n", b"*1\r\n*1001\r\n", b"*1\r\n" * 9, b"$33554433\r\n", b"+" + b"x" * replies.MAX_LINE_BYTES,
], ids=lambda data: data[:12])  # fmt: skip
def test_what_is_too_long_is_refused_before_it_is_there(data: bytes) -> None:
    with pytest.raises(ReplyTooLong):
        list(ReplyReader(Unfinished()).feed(data))


def test_many_small_things_count_for_what_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "MAX_REPLY_BYTES", 100_000)
    reader = ReplyReader(Unfinished())
    inner = b"*1000\r\n" + b":1\r\n" * 1000  # 4 kB on the wire
    assert list(reader.feed(b"*1000\r\n" + inner)) == []
    with pytest.raises(ReplyTooLong, match="more than 100000 bytes"):
        list(reader.feed(inner))


def test_all_connections_together_hold_no_more_than_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "MAX_UNFINISHED_BYTES", 200_000)
    unfinished = Unfinished()
    head = b"$1000000\r\n"
    hoarder, other, small = (ReplyReader(unfinished) for _ in range(3))
    assert list(hoarder.feed(head + b"x" * 190_000)) == []
    assert list(small.feed(b"$20000\r\n" + b"x" * 15_000)) == [], "whoever sends little is not made to suffer"
    with pytest.raises(ReplyTooLong, match="on all connections together"):
        list(other.feed(head + b"x" * 70_000))
    other.close()
    hoarder.close()
    assert list(small.feed(b"x" * 5_000 + b"\r\n")) == [b"x" * 20_000]
    assert unfinished.size == 0
