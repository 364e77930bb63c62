"""XDEL, XDELEX and XACKDEL: entries that go by their ids, and what becomes of the groups that still hold them."""

from __future__ import annotations

from typing import NamedTuple

from cluster.commands.context import Context
from cluster.commands.keys import KeySpec, first_key
from cluster.commands.registry import FAST, WRITE, command
from cluster.errors import CommandError, NotAnInteger, SyntaxFault
from cluster.keyspace.events import TOUCHED, Event
from cluster.keyspace.numbers import parse_integer
from cluster.keyspace.stream_id import parse_id
from cluster.keyspace.values import StreamValue
from cluster.protocol import replies

STREAM_DELETE = Event("t", "xdel")

KEEP, FORGET, ACKNOWLEDGED = b"KEEPREF", b"DELREF", b"ACKED"
"""What to do about an entry that groups hold: leave it pending there, make them forget it, or leave the entry."""
POLICIES = (KEEP, FORGET, ACKNOWLEDGED)
_IS_MISSING, _IS_GONE, _IS_HELD = -1, 1, 2
_ACKNOWLEDGING = (KeySpec(1, 1, 1, ("RW", "update", "delete")),)


class _Named(NamedTuple):
    policy: bytes
    ids: tuple[bytes, ...]


def _parse(arguments: tuple[bytes, ...]) -> _Named:
    """`[KEEPREF | DELREF | ACKED] IDS numids id …`, in any order; the last IDS counts."""
    policy = b""
    ids: tuple[bytes, ...] = ()
    at = 0
    while at < len(arguments):
        word = arguments[at].upper()
        at += 1
        if word in POLICIES and not policy:
            policy = word
        elif word == b"IDS" and at < len(arguments):
            count = _count(arguments[at])
            if count > len(arguments) - at - 1:
                raise CommandError("ERR The `numids` parameter must match the number of arguments")
            ids = arguments[at + 1 : at + 1 + count]
            at += 1 + count
        else:
            raise SyntaxFault
    if not ids:
        raise SyntaxFault
    return _Named(policy or KEEP, ids)


def _count(text: bytes) -> int:
    try:
        count = parse_integer(text)
    except NotAnInteger:
        count = 0
    if count <= 0:
        raise CommandError("ERR Number of IDs must be a positive integer")
    return count


def _answer(outcomes: list[int]) -> bytes:
    return replies.array(list(map(replies.integer, outcomes)))


@command("XDEL", arity=-3, flags={WRITE, FAST}, keys=first_key("RW", "delete"), group="stream", since="5.0.0",
         summary="Deletes entries by their ids.", complexity="O(1) for each entry", syntax="key id...")
def xdel(ctx: Context, key: bytes, *ids: bytes) -> bytes:
    value = ctx.typed_for_write(key, StreamValue)
    if value is None:
        return replies.ZERO
    removed = sum(map(value.discard, [parse_id(text) for text in ids]))
    if removed:
        ctx.changed(key, STREAM_DELETE, removed)
    return replies.integer(removed)


@command("XDELEX", arity=-5, flags={WRITE, FAST}, keys=first_key("RW", "delete"), group="stream", since="8.2.0",
         summary="Deletes entries by their ids, also from the groups that hold them, or if none does.",
         complexity="O(1) for each entry, and for each group",
         syntax="key [KEEPREF | DELREF | ACKED] IDS (numids:integer id...)")
def xdelex(ctx: Context, key: bytes, *arguments: bytes) -> bytes:
    value = ctx.typed_for_write(key, StreamValue)
    policy, texts = _parse(arguments)
    if value is None:
        return _answer([_IS_MISSING] * len(texts))
    outcomes = [_delete(value, entry_id, policy) for entry_id in map(parse_id, texts)]
    removed = outcomes.count(_IS_GONE)
    if removed:
        ctx.changed(key, STREAM_DELETE, removed)
    return _answer(outcomes)


def _delete(value: StreamValue, entry_id: int, policy: bytes) -> int:
    if policy == ACKNOWLEDGED and value.is_held(entry_id):
        return _IS_HELD
    if policy == FORGET:
        value.forget(entry_id)
    return _IS_GONE if value.discard(entry_id) else _IS_MISSING


@command("XACKDEL", arity=-6, flags={WRITE, FAST}, keys=_ACKNOWLEDGING, group="stream", since="8.2.0",
         summary="Acknowledges entries, and deletes them.", complexity="O(1) for each entry, and for each group",
         syntax="key group [KEEPREF | DELREF | ACKED] IDS (numids:integer id...)")
def xackdel(ctx: Context, key: bytes, name: bytes, *arguments: bytes) -> bytes:
    value = ctx.typed_for_write(key, StreamValue)
    policy, texts = _parse(arguments)
    group = None if value is None else value.groups.get(name)
    if value is None or group is None:
        return _answer([_IS_MISSING] * len(texts))
    outcomes: list[int] = []
    removed = 0
    for entry_id in [parse_id(text) for text in texts]:
        if not group.acknowledge(entry_id):
            outcomes.append(_IS_MISSING)
            continue
        outcome = _delete(value, entry_id, policy)
        removed += outcome == _IS_GONE
        outcomes.append(_IS_HELD if outcome == _IS_HELD else _IS_GONE)
    acknowledged = len(outcomes) - outcomes.count(_IS_MISSING)
    if removed:
        ctx.changed(key, STREAM_DELETE, acknowledged)
    elif acknowledged:
        ctx.changed_aside(key, TOUCHED, acknowledged)
    return _answer(outcomes)
