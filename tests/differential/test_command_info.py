"""COMMAND describes each command as redis-server does: arity, flags, key positions, categories, tips, subcommands."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.commands import all_commands
from tests.differential.resp import Reply
from tests.differential.server_pair import ServerPair

Described = dict[str, dict[str, object]]
"""Name of a command or a subcommand → what COMMAND INFO says of it."""

NEWER_THAN_7_0 = {
    ("command|getkeys", "arity"), ("command|getkeysandflags", "arity"),  # a command without arguments will do
    ("config|resetstat", "tips"), ("config|rewrite", "tips"),  # a cluster's client sends them to every node
    ("acl|deluser", "tips"), ("acl|save", "tips"), ("acl|setuser", "tips"),  # the same
    ("zrank", "arity"), ("zrevrank", "arity"),  # WITHSCORE
    ("wait", "categories"),  # it blocks, and is @blocking since
    # Scripts may call what waits: they are given what is there.
    *((name, "flags") for name in ("blmove", "blpop", "brpop", "brpoplpush", "bzpopmax", "bzpopmin", "wait")),
}  # fmt: skip
NEW_IN_7_2 = {"client|no-touch", "client|setinfo", "cluster|myshardid", "waitaof"}
NEWER_STILL = {entry.full_name for entry in all_commands().every() if entry.since > "7.2.9"}


def commands(pair: ServerPair) -> list[bytes]:
    names, _ = pair.both([b"COMMAND", b"LIST"])
    return sorted(name for name in _words(names) if b"|" not in name)


def _items(reply: Reply) -> tuple[Reply, ...]:
    assert isinstance(reply.value, tuple)
    return reply.value


def _words(reply: Reply) -> list[Any]:
    return [item.value for item in _items(reply)]


def described(reply: Reply) -> Described:
    name, arity, flags, first, last, step, categories, tips, specs, subcommands = _items(reply)
    assert isinstance(name.value, bytes)
    found: Described = {
        name.value.decode(): {
            "arity": arity,
            "flags": sorted(_words(flags)),
            "range": (first, last, step),
            "categories": sorted(_words(categories)),
            "tips": _words(tips),
            "keys": [_key_spec(spec) for spec in _items(specs)],
        }
    }
    for one in _items(subcommands):
        found |= described(one)
    return found


def _key_spec(spec: Reply) -> object:
    """In RESP2 maps are flat lists; the order of flags is nobody's business."""
    fields = {key.value: value for key, value in zip(_items(spec)[::2], _items(spec)[1::2], strict=True)}
    return sorted(_words(fields[b"flags"])), fields[b"begin_search"], fields[b"find_keys"], b"notes" in fields


def both_described(pair: ServerPair, name: bytes) -> tuple[Described, Described]:
    """Empty for redis-server where it has no such command."""
    ours, theirs = pair.both([b"COMMAND", b"INFO", name])
    their_entry = _items(theirs)[0]
    return described(_items(ours)[0]), {} if their_entry.value is None else described(their_entry)


def test_commands_are_described_alike(alone: ServerPair) -> None:
    alone.begin(2)
    wrong = {}
    for name in commands(alone):
        ours, theirs = both_described(alone, name)
        for command in ours.keys() & theirs.keys():
            for what, shown in ours[command].items():
                if shown != theirs[command][what] and (command, what) not in NEWER_THAN_7_0:
                    wrong[command, what] = shown, theirs[command][what]
    assert wrong == {}


def test_subcommands_are_the_same(alone: ServerPair) -> None:
    alone.begin(2)
    more, fewer = set(), set()
    for name in commands(alone):
        ours, theirs = both_described(alone, name)
        more |= ours.keys() - theirs.keys()
        fewer |= theirs.keys() - ours.keys()
    assert more == NEW_IN_7_2 | NEWER_STILL
    assert fewer == set()


def test_all_are_listed_with_their_subcommands(alone: ServerPair) -> None:
    alone.begin(2)
    ours, theirs = (set(_words(names)) for names in alone.both([b"COMMAND", b"LIST"]))
    assert theirs <= ours
    assert {name.decode() for name in ours - theirs} - {"quit"} <= NEW_IN_7_2 | NEWER_STILL
    assert b"config|get" in ours


def test_every_difference_listed_is_one(alone: ServerPair) -> None:
    alone.begin(2)
    for command, what in NEWER_THAN_7_0:
        ours, theirs = both_described(alone, command.partition("|")[0].encode())
        assert ours[command][what] != theirs[command][what]


LINES = """
GET a
MSET a 1 b 2 c 3
MSET a
MGET a b c
DEL a
SORT a
SORT a BY w* GET # STORE d
SORT a STORE d STORE e
SORT a STORE
SORT_RO a BY w*
COPY a b DB 1
RENAME a b
BITOP AND d a b
BITFIELD a GET u8 0
LCS a b LEN
OBJECT ENCODING a
OBJECT HELP
MEMORY USAGE a
DEBUG OBJECT a
MIGRATE h 1 a 0 10
MIGRATE h 1 a 0 10 COPY REPLACE
MIGRATE h 1 "" 0 10 KEYS a b c
MIGRATE h 1 "" 0 10 AUTH KEYS KEYS a b
RESTORE a 0 payload
ZUNIONSTORE d 2 a b
ZUNIONSTORE d 5 b
ZUNIONSTORE d 0 b
ZUNIONSTORE d -1 b
ZUNIONSTORE d x b
ZINTERSTORE d 9223372036854775807 b
ZDIFFSTORE d 2 b
ZUNION 2 a
ZINTERCARD 0 a
SINTERCARD 99999999999 a b
LMPOP 2 a LEFT
BLMPOP 0 -1 a LEFT
ZMPOP x a MIN
WATCH a b
CLUSTER KEYSLOT a
SET a 1 EX 10
SET a 1 GET
BITFIELD a GET u8 0 INCRBY u8 0 1
GETEX a PERSIST
CONFIG GET a
NONSENSE a
EXISTS a a
UNLINK a
TOUCH a b
EXPIRE a 1
PFADD a x y
PFCOUNT a b c
PFMERGE a b c
PFDEBUG ENCODING a
XADD a * f v
XREAD STREAMS a 0
XREAD COUNT 1 STREAMS a b c 0 0 0
XREAD COUNT STREAMS STREAMS a 0
XREAD STREAMS a b 0
XREAD COUNT 1 BLOCK 0
XREADGROUP GROUP g c STREAMS a b > >
XREADGROUP GROUP STREAMS c STREAMS a >
XREADGROUP GROUP g c NOACK STREAMS a
XGROUP CREATE a g 0
XGROUP HELP
XINFO STREAM a FULL
XCLAIM a g c 0 1
SSUBSCRIBE a b
SUNSUBSCRIBE a
SPUBLISH a b
PUBLISH a b
GEOADD a 1 1 m
GEORADIUS a 1 1 1 m
GEORADIUS a 1 1 1 m STORE d
GEORADIUS a 1 1 1 m STORE d STOREDIST e
GEORADIUS a 1 1 1 m STORE d STORE e
GEORADIUS a 1 1 1 m STORE STORE STORE d
GEORADIUS a 1 1 1 m STORE
GEORADIUSBYMEMBER a m 1 m WITHDIST STOREDIST d
GEORADIUS_RO a 1 1 1 m STORE d
GEOSEARCH a FROMMEMBER m BYRADIUS 1 m
GEOSEARCHSTORE d a FROMMEMBER m BYRADIUS 1 m
""".strip().splitlines()


@pytest.mark.parametrize("resp", [2, 3])
@pytest.mark.parametrize("word", ["GETKEYS", "GETKEYSANDFLAGS"])
def test_the_keys_of_a_line(alone: ServerPair, word: str, resp: int) -> None:
    alone.begin(resp)
    wrong = {}
    for line in LINES:
        command = [b"" if part == '""' else part.encode() for part in line.split()]
        ours, theirs = alone.both([b"COMMAND", word.encode(), *command])
        if _ordered(ours) != _ordered(theirs):
            wrong[line] = ours, theirs
    assert wrong == {}


def _ordered(reply: Reply) -> object:
    """As it is, the flags of a key in one order."""
    if not isinstance(reply.value, tuple):
        return reply
    return [(item.value[0], sorted(_words(item.value[1]))) if item.kind == "*" else item for item in reply.value]


@pytest.mark.parametrize("category", [
    "keyspace", "read", "write", "string", "bitmap", "hyperloglog", "stream", "geo", "admin", "fast", "slow",
    "blocking", "dangerous", "connection", "transaction", "pubsub",
])  # fmt: skip
def test_the_commands_of_a_category(alone: ServerPair, category: str) -> None:
    """Of those that both have; what 7.2 counts otherwise is listed above."""
    alone.begin(2)
    ours, theirs = alone.both([b"COMMAND", b"LIST", b"FILTERBY", b"ACLCAT", category.encode()])
    known = set(_words(alone.oracle(b"COMMAND", b"LIST"))) & set(commands(alone))
    assert set(_words(ours)) & known - {b"wait"} == set(_words(theirs)) & known - {b"wait"}


def test_a_pattern_finds_the_same_names(alone: ServerPair) -> None:
    alone.begin(2)
    for pattern in (b"get*", b"*ttl*", b"config|*", b"CLUSTER|*SLOT", b"[", b""):
        ours, theirs = alone.both([b"COMMAND", b"LIST", b"FILTERBY", b"PATTERN", pattern])
        known = {word for word in _words(theirs) if alone.both([b"COMMAND", b"INFO", word])[0].value[0].value}  # type: ignore[index]
        assert set(_words(ours)) - {name.encode() for name in NEW_IN_7_2 | NEWER_STILL} == known
