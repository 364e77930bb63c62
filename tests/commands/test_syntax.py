"""The notation of syntaxes: what it means, what it refuses, and that every command's own is in it."""

from __future__ import annotations

import pytest

from cluster.commands import all_commands
from cluster.commands.syntax import Argument, parse_syntax


def test_values_and_their_types() -> None:
    assert parse_syntax("key value count:integer ip:port other:key") == (
        Argument("key", "key"), Argument("value", "string"), Argument("count", "integer"),
        Argument("ip:port", "string"), Argument("other", "key"),
    )  # fmt: skip


def test_words_and_their_values() -> None:
    assert parse_syntax("NOACK '~' COUNT count:integer") == (
        Argument("noack", "pure-token", token="NOACK"), Argument("~", "pure-token", token="~"),
        Argument("count", "integer", token="COUNT"),
    )  # fmt: skip


def test_groups() -> None:
    nx, xx = (Argument(word.lower(), "pure-token", token=word) for word in ("NX", "XX"))
    assert parse_syntax("(NX | XX)") == (Argument("nx_xx", "oneof", parts=(nx, xx)),)
    assert parse_syntax("[NX XX]") == (Argument("nx_xx", "block", optional=True, parts=(nx, xx)),)
    assert parse_syntax("[NX]@6.2.0") == (Argument("nx", "pure-token", token="NX", since="6.2.0", optional=True),)
    ends = (Argument("offset", "string"), Argument("count", "string"))
    assert parse_syntax("[LIMIT (offset count)]") == (
        Argument("offset_count", "block", token="LIMIT", optional=True, parts=ends),
    )


def test_what_may_come_again() -> None:
    assert parse_syntax("member...") == (Argument("member", "string", multiple=True),)
    once = Argument("id", "string", token="ID", optional=True, multiple=True)
    assert parse_syntax("[ID id...]") == (once,)
    [each_time] = parse_syntax("[GET id]...")
    assert (each_time.multiple, each_time.repeats_token) == (True, True)


@pytest.mark.parametrize("text", ["[key", "key]", "(a | b", "a )", "A & B", "key#x", "| a)"])
def test_what_is_no_syntax(text: str) -> None:
    with pytest.raises(ValueError):
        parse_syntax(text)


SENT_BY_OTHERS = {"command", "psync", "quit", "replconf"}
"""These take more than anybody needs to type."""


def test_every_syntax_agrees_with_the_arity() -> None:
    """As many arguments as must be there, one for each value and word that cannot be left out."""
    wrong = {}
    for entry in all_commands().every():
        least = sum(map(_least, parse_syntax(entry.syntax)))
        most = None if _is_open(parse_syntax(entry.syntax)) else least
        names = entry.full_name.count("|") + 1
        if entry.handler is not None and (names + least != entry.minimum or (entry.arity > 0) != (most is not None)):
            wrong[entry.full_name] = entry.arity, entry.syntax
    assert set(wrong) == SENT_BY_OTHERS


def _least(argument: Argument) -> int:
    if argument.optional:
        return 0
    parts = [_least(part) for part in argument.parts]
    inner = min(parts) if argument.type == "oneof" else sum(parts) if parts else int(argument.type != "pure-token")
    return inner + (argument.token is not None)


def _is_open(arguments: tuple[Argument, ...]) -> bool:
    """Whether there may be more."""
    return any(
        one.optional or one.multiple or _is_open(one.parts)
        or (one.type == "oneof" and len({_least(part) for part in one.parts}) > 1)
        for one in arguments
    )  # fmt: skip
