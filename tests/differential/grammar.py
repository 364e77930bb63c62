"""The words commands are made of.

A grammar is a strategy of commands, each a list of arguments. `cmd` builds one from a name and parts; a part is a
constant, a strategy of one argument, or a strategy of a list of arguments. There are few keys and few values on
purpose: commands have to meet.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Command = list[bytes]
Commands = st.SearchStrategy[Command]
Part = bytes | str | st.SearchStrategy[Any]

keys = st.sampled_from([b"a", b"b", b"c", b"d", b"a", b"b", b"c", b"\r\n\x00\xff"])
small = st.integers(-12, 12).map(lambda number: b"%d" % number)
EDGES = [
    b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808", b"-9223372036854775809",
    b"99999999999999999999", b"4294967296", b"2147483648",
]
BAD_INTEGERS = [b"", b"x", b" 1", b"1 ", b"+1", b"01", b"-0", b"1.0", b"1_0", b"0x1"]
integers = st.one_of(small, small, small, st.sampled_from(EDGES), st.sampled_from(BAD_INTEGERS))
FLOATS = [
    b"0", b"1.5", b"-1.5", b"0.1", b"3.0e3", b"1e-10", b"-0", b"+2", b".5", b"5.", b"0x1p3", b"0x.8", b"inf", b"-inf",
    b"Infinity", b"nan", b"1e400", b"1e-400", b"1e4000", b"1e5000", b"", b" 1", b"1 ", b"1_0", b"1e", b"e1", b"--1",
    b"123456789012345678901234567890", b"1.7976931348623157e308", b"-1.7976931348623157e308", b"0.30000000000000004",
    b"2.2250738585072014e-308", b"5e-324", b"2e-324", b"0x1p-1074", b"9007199254740993", b"4611686018427387904",
    b"1" * 40 + b"0" * 300,
]
floats = st.one_of(small, st.sampled_from(FLOATS), st.floats(-1e9, 1e9).map(lambda number: repr(number).encode()))
values = st.one_of(
    small,
    st.sampled_from([b"", b"abc", b"hello world", b"\x00\xff", b"10", b"3.5", *EDGES, *BAD_INTEGERS]),
    st.binary(max_size=10),
    st.sampled_from([5000, 70_000]).map(lambda size: b"\xff" * size),
    st.integers(0, 60).map(lambda size: b"v" * size),
)
patterns = st.one_of(
    st.sampled_from([b"*", b"**", b"?", b"[a-c]", b"[^a]", b"\\a", b"[b-a]", b"[a", b"[]", b"", b"a*", b"*b*"]),
    st.text("abc*?[]^-\\", max_size=8).map(str.encode),
)
FAR = 4_102_444_800
"""A time in the year 2100, in seconds."""


def cmd(name: str, *parts: Part) -> Commands:
    """A command of these parts."""
    strategies = [st.just(part) if isinstance(part, (bytes, str)) else part for part in parts]
    return st.tuples(*strategies).map(lambda drawn: [name.encode(), *_flat(drawn)])


def _flat(parts: tuple[Any, ...]) -> Command:
    found: Command = []
    for part in parts:
        if isinstance(part, (list, tuple)):
            found.extend(_flat(tuple(part)))
        else:
            found.append(part.encode() if isinstance(part, str) else part)
    return found


def several(part: st.SearchStrategy[Any], least: int = 1, most: int = 3) -> st.SearchStrategy[list[Any]]:
    return st.lists(part, min_size=least, max_size=most)


def words(*parts: Part) -> st.SearchStrategy[list[bytes]]:
    """Arguments that belong together: an option and its value."""
    strategies = [st.just(part) if isinstance(part, (bytes, str)) else part for part in parts]
    return st.tuples(*strategies).map(_flat)


Choice = st.SearchStrategy[list[bytes]] | str
"""An option: a word, or a word and its value."""


def options(*choices: Choice, most: int = 3) -> st.SearchStrategy[list[Any]]:
    """Some of the options, in any order, repeated ones too; often none."""
    strategies = [words(choice) if isinstance(choice, str) else choice for choice in choices]
    return st.one_of(st.just([]), st.lists(st.one_of(strategies), max_size=most))
