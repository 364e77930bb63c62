"""COMMAND DOCS says of each command what redis-server says; the prose is our own."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.differential.resp import Reply
from tests.differential.server_pair import ServerPair

Fields = dict[str, Any]

NEWER_THAN_7_0 = {
    "acl|cat",  # another name for the category
    "bitop",  # the operations have a list of their own
    "client|kill", "client|list", "config|get", "xinfo|stream",  # the same, grouped in a simpler way
    "command|getkeys", "command|getkeysandflags", "debug",  # arguments at all
    "geohash", "geopos", "pfmerge",  # what may be left out
    "psubscribe", "module|loadex",  # not a block of one
    "hscan", "zrank", "zrevrank",  # NOVALUES, WITHSCORE
    "xadd", "xtrim",  # KEEPREF, DELREF, ACKED
}  # fmt: skip
"""Commands whose arguments are described otherwise, most of them since 7.2."""
KNOWN_OTHERWISE = {
    ("client|pause", "since"),
    *((name, what) for name in ("quit", "psetex", "setex", "setnx")
      for what in ("doc_flags", "deprecated_since", "replaced_by")),
}  # fmt: skip
"""Corrections that came with 7.2."""
COSTS_OTHERWISE = {
    "cluster|replicas", "cluster|slaves",  # all nodes are looked at
    "geodist", "geohash", "geopos",  # scores stand in a hash table
    "memory|purge", "pfdebug", "pfselftest",  # of which redis-server tells no formula
}  # fmt: skip


def plain(reply: Reply) -> Any:
    """Maps as dicts, in RESP2 too; sets sorted."""
    value: Any = reply.value
    if reply.kind == "%":
        return {key.value.decode(): plain(item) for key, item in value}
    if reply.kind == "~":
        return sorted((plain(item) for item in value), key=repr)
    if reply.kind == "*":
        return [plain(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


def documented(reply: Reply) -> dict[str, Fields]:
    """Full name → fields, of subcommands too."""
    found: dict[str, Fields] = {}
    for name, fields in plain(reply).items():
        found[name] = fields
        found |= fields.get("subcommands", {})
    return found


@pytest.fixture
def both(alone: ServerPair) -> list[tuple[str, Fields, Fields]]:
    """(name, ours, theirs) of every command that both have."""
    alone.begin(3)
    ours, theirs = (documented(reply) for reply in alone.both([b"COMMAND", b"DOCS"]))
    assert len(ours) > 200
    return [(name, ours[name], theirs[name]) for name in sorted(ours.keys() & theirs.keys())]


def test_what_is_known_of_each_is_the_same(both: list[tuple[str, Fields, Fields]]) -> None:
    names = ("since", "group", "doc_flags", "deprecated_since", "replaced_by")
    wrong = {
        (name, what): (ours.get(what), theirs.get(what))
        for name, ours, theirs in both
        for what in names
        if ours.get(what) != theirs.get(what)
    }
    assert set(wrong) == KNOWN_OTHERWISE


def test_costs_are_the_same(both: list[tuple[str, Fields, Fields]]) -> None:
    """The first formula of each."""
    wrong = {}
    for name, ours, theirs in both:
        shown, expected = (re.findall(r"O\(.*?\)+", fields.get("complexity", ""))[:1] for fields in (ours, theirs))
        if "complexity" in theirs and shown != expected and name not in COSTS_OTHERWISE:
            wrong[name] = ours["complexity"], theirs["complexity"]
    assert wrong == {}


NOT_COMPARED = ("arguments", "deprecated_since", "display_text")


def essence(arguments: list[Fields]) -> list[Fields]:
    """Without the names of what is shown by its token or its parts, and without what came with 7.2."""
    found = []
    for one in arguments:
        kept = {what: shown for what, shown in one.items() if what not in NOT_COMPARED}
        if kept["type"] in ("oneof", "block", "pure-token"):
            del kept["name"]
        found.append(kept | {"parts": essence(one.get("arguments", []))})
    return found


def test_arguments_are_the_same(both: list[tuple[str, Fields, Fields]]) -> None:
    differing = {
        name: (ours.get("arguments"), theirs.get("arguments"))
        for name, ours, theirs in both
        if essence(ours.get("arguments", [])) != essence(theirs.get("arguments", []))
    }
    assert {name: pair for name, pair in differing.items() if name not in NEWER_THAN_7_0} == {}
    assert set(differing) == NEWER_THAN_7_0


def test_it_has_the_same_shape_in_resp2(alone: ServerPair) -> None:
    alone.begin(2)
    ours, theirs = alone.both([b"COMMAND", b"DOCS", b"geoadd", b"nonsense", b"client|reply"])
    assert kinds(ours) == kinds(theirs)
    assert alone.both([b"COMMAND", b"DOCS", b"nonsense"])[0] == alone.both([b"COMMAND", b"DOCS", b"nonsense"])[1]


def kinds(reply: Reply) -> object:
    """The kinds of all replies within; of an argument, only what both say."""
    if not isinstance(reply.value, tuple):
        return reply.kind
    words = [item.value for item in reply.value]
    at = words.index(b"display_text") if b"display_text" in words else len(words)
    return reply.kind, [kinds(item) for item in reply.value[:at] + reply.value[at + 2 :]]
