"""The pure helpers beside the real thing: extended-precision sums, number parsing, glob patterns."""

from __future__ import annotations

import math
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import CommandError
from cluster.keyspace.glob import Glob
from cluster.keyspace.numbers import incremented, parse_float, parse_integer
from tests.differential.grammar import FLOATS
from tests.differential.machine import EXAMPLES, Pair
from tests.differential.resp import Reply

SETTINGS = settings(max_examples=10 * EXAMPLES, deadline=None)

decimals = st.from_regex(r"-?[0-9]{0,25}(\.[0-9]{0,25})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
wide = st.from_regex(r"-?[1-9](\.[0-9]{0,25})?[eE][+-]?[0-9]{1,4}", fullmatch=True)
hexadecimals = st.from_regex(r"-?0[xX][0-9a-fA-F]{0,20}(\.[0-9a-fA-F]{0,8})?([pP][+-]?[0-9]{1,3})?", fullmatch=True)
float_texts = st.one_of(
    decimals, wide, hexadecimals, st.floats().map(repr), st.sampled_from([one.decode() for one in FLOATS])
).map(str.encode)
number_texts = st.one_of(float_texts, st.text(" +-.0123456789_", max_size=21).map(str.encode), st.binary(max_size=4))


def answer(ours: Callable[[], Reply]) -> Reply:
    """What a command would answer with: the reply, or the error raised on the way to it."""
    try:
        return ours()
    except CommandError as error:
        return Reply("-", error.message.encode())


@SETTINGS
@given(current=float_texts, increment=float_texts)
def test_float_sums_are_those_of_extended_precision(pair: Pair, current: bytes, increment: bytes) -> None:
    pair.oracle(b"SET", b"sum", current)
    theirs = pair.oracle(b"INCRBYFLOAT", b"sum", increment)
    assert answer(lambda: Reply("$", incremented(current, increment))) == theirs


@SETTINGS
@given(text=number_texts)
def test_integers_are_parsed_alike(pair: Pair, text: bytes) -> None:
    pair.oracle(b"SET", b"counter", b"0")
    theirs = pair.oracle(b"INCRBY", b"counter", text)
    assert answer(lambda: Reply(":", b"%d" % parse_integer(text))) == theirs


@SETTINGS
@given(text=number_texts)
def test_doubles_are_parsed_alike(pair: Pair, text: bytes) -> None:
    pair.oracle(b"DEL", b"scores")
    theirs = pair.oracle(b"ZINCRBY", b"scores", text, b"member")
    if theirs.kind != "-":
        assert isinstance(theirs.value, bytes)
        theirs = Reply("$", repr(float(theirs.value)).encode())
    assert answer(lambda: Reply("$", repr(parse_float(text)).encode())) == theirs


doubles = st.one_of(
    st.floats(allow_nan=False), st.floats(-1e300, 1e300).map(lambda number: math.fmod(number, 1e6)),
    st.floats(-1e6, 1e6).flatmap(lambda number: st.integers(1, 9).map(lambda places: round(number, places))),
    st.floats(allow_nan=False, width=32), st.integers(-(2**64), 2**64).map(float),
)  # fmt: skip


@SETTINGS
@given(numbers=st.lists(doubles, min_size=1, max_size=140))
def test_doubles_are_printed_alike(newer_pair: Pair, numbers: list[float]) -> None:
    """More than 128 members are a skiplist, and up to it they are a listpack."""
    newer_pair.begin(3)
    pairs = [part for at, number in enumerate(numbers) for part in (b"%r" % number, b"%d" % at)]
    newer_pair.both([b"ZADD", b"z", *pairs])
    for command in ([b"ZRANGE", b"z", b"0", b"-1", b"WITHSCORES"], [b"ZADD", b"z", b"INCR", b"0", b"0"]):
        ours, theirs = newer_pair.both(command)
        assert ours == theirs
    ours, theirs = newer_pair.both([b"ZSCAN", b"z", b"0", b"COUNT", b"1000"])
    assert _scanned(ours) == _scanned(theirs)


def _scanned(reply: Reply) -> list[tuple[object, object]]:
    assert isinstance(reply.value, tuple)
    flat = reply.value[1].value
    assert isinstance(flat, tuple)
    return sorted(zip([item.value for item in flat[::2]], [item.value for item in flat[1::2]], strict=True), key=repr)


globs = st.text("ab*?[]^-\\AB", max_size=10).map(str.encode)
texts = st.lists(st.text("ab[]-\\^AB", max_size=6).map(str.encode), min_size=1, max_size=5, unique=True)


@SETTINGS
@given(pattern=globs, names=texts)
def test_globs_match_alike(pair: Pair, pattern: bytes, names: list[bytes]) -> None:
    pair.oracle(b"FLUSHALL")
    pair.oracle(b"MSET", *[part for name in names for part in (name, b"")])
    theirs = pair.oracle(b"KEYS", pattern).value
    assert isinstance(theirs, tuple)
    glob = Glob(pattern)
    ours = names if pattern == b"*" else [name for name in names if glob.matches(name)]
    assert sorted(ours) == sorted(reply.value for reply in theirs)
