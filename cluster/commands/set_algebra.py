"""Sets: intersection, union and difference, answered, counted or stored."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.commands.context import Context
from cluster.commands.keys import ALL_READ, READ, KeySpec, NumKeys
from cluster.commands.registry import DENYOOM, MOVABLE_KEYS, READONLY, WRITE, command
from cluster.commands.sets import is_intset, members_reply, shown
from cluster.commands.waiting import parse_numkeys
from cluster.errors import CommandError, NotAnInteger, SyntaxFault
from cluster.keyspace.bucket_algebra import are_alike, common, left_over, united
from cluster.keyspace.buckets import BucketMap
from cluster.keyspace.events import DEL, Event
from cluster.keyspace.numbers import parse_integer
from cluster.keyspace.values import SetValue
from cluster.protocol import replies

_UNORDERED = ("nondeterministic_output_order",)


def _store_keys(*flags: str) -> tuple[KeySpec, ...]:
    return (KeySpec(1, 1, 1, flags), KeySpec(2, -1, 1, READ))


def _sets(ctx: Context, keys: Sequence[bytes]) -> list[SetValue | None]:
    return [ctx.typed(key, SetValue) for key in keys]


def _large(ctx: Context, sets: list[SetValue | None]) -> list[BucketMap[bool]] | None:
    """Their members, if bucket_algebra.py is to take them: they are large, and nobody expects an order."""
    maps = [value.members for value in sets if value is not None and isinstance(value.members, BucketMap)]
    if len(maps) < len(sets) or not are_alike(maps) or any(value and is_intset(ctx, value) for value in sets):
        return None
    return maps


Found = list[bytes] | SetValue
"""What comes out; a value when it is large, and ready to be stored."""


def _common(ctx: Context, sets: list[SetValue | None], limit: int = 0) -> Found:
    """Members of all sets, at most `limit` of them if that is not 0. Any absent set makes it empty."""
    present = sorted([value for value in sets if value is not None], key=len)
    if len(present) < len(sets) or not present:
        return []
    maps = _large(ctx, sets) if not limit else None
    if maps is not None:
        return SetValue.of_parts(common(maps), are_integers=any(value.was_integers for value in present))
    smallest, *others = present
    found: list[bytes] = []
    for member in shown(ctx, smallest):
        if all(member in other.members for other in others):
            found.append(member)
            if len(found) == limit:
                break
    return found


def _united(ctx: Context, sets: list[SetValue | None]) -> Found:
    present = [value for value in sets if value is not None]
    maps = _large(ctx, [*present])
    if maps is not None:
        return SetValue.of_parts(united(maps), are_integers=all(value.was_integers for value in present))
    total: dict[bytes, None] = {}
    for value in present:
        total.update(dict.fromkeys(shown(ctx, value)))
    return list(total)


def _left_over(ctx: Context, sets: list[SetValue | None]) -> Found:
    """Members of the first set that no other has."""
    first, *others = sets
    if first is None:
        return []
    present = [other for other in others if other is not None]
    maps = _large(ctx, [first, *present])
    if maps is not None:
        return SetValue.of_parts(left_over(maps), are_integers=first.was_integers)
    there = [other.members for other in present]
    return [member for member in shown(ctx, first) if not any(member in other for other in there)]


def _answer(ctx: Context, found: Found) -> bytes:
    return members_reply(found if isinstance(found, list) else found.elements(), ctx.resp)


def _store(ctx: Context, destination: bytes, found: Found, event: str) -> bytes:
    if not found:
        ctx.remove(destination, DEL)
        return replies.ZERO
    ctx.put(destination, found if isinstance(found, SetValue) else SetValue(found))
    ctx.changed(destination, Event("s", event), len(found))
    return replies.integer(len(found))


@command("SINTER", arity=-2, flags={READONLY}, keys=ALL_READ, group="set", since="1.0.0", tips=_UNORDERED,
         summary="Answers the members that all sets have.",
         complexity="O(N*M) at worst, where N is the size of the smallest set and M the number of sets",
         syntax="key...")
def sinter(ctx: Context, *keys: bytes) -> bytes:
    return _answer(ctx, _common(ctx, _sets(ctx, keys)))


@command("SUNION", arity=-2, flags={READONLY}, keys=ALL_READ, group="set", since="1.0.0", tips=_UNORDERED,
         summary="Answers the members that any of the sets has.",
         complexity="O(N) in the number of elements of all sets", syntax="key...")
def sunion(ctx: Context, *keys: bytes) -> bytes:
    return _answer(ctx, _united(ctx, _sets(ctx, keys)))


@command("SDIFF", arity=-2, flags={READONLY}, keys=ALL_READ, group="set", since="1.0.0", tips=_UNORDERED,
         summary="Answers the members of the first set that no other has.",
         complexity="O(N) in the number of elements of all sets", syntax="key...")
def sdiff(ctx: Context, *keys: bytes) -> bytes:
    return _answer(ctx, _left_over(ctx, _sets(ctx, keys)))


@command("SINTERSTORE", arity=-3, flags={WRITE, DENYOOM}, keys=_store_keys("RW", "update"), group="set",
         since="1.0.0", summary="Stores the members that all sets have.",
         complexity="O(N*M) at worst, where N is the size of the smallest set and M the number of sets",
         syntax="destination:key key...")
def sinterstore(ctx: Context, destination: bytes, *keys: bytes) -> bytes:
    return _store(ctx, destination, _common(ctx, _sets(ctx, keys)), "sinterstore")


@command("SUNIONSTORE", arity=-3, flags={WRITE, DENYOOM}, keys=_store_keys("OW", "update"), group="set",
         since="1.0.0", summary="Stores the members that any of the sets has.",
         complexity="O(N) in the number of elements of all sets", syntax="destination:key key...")
def sunionstore(ctx: Context, destination: bytes, *keys: bytes) -> bytes:
    return _store(ctx, destination, _united(ctx, _sets(ctx, keys)), "sunionstore")


@command("SDIFFSTORE", arity=-3, flags={WRITE, DENYOOM}, keys=_store_keys("OW", "update"), group="set",
         since="1.0.0", summary="Stores the members of the first set that no other has.",
         complexity="O(N) in the number of elements of all sets", syntax="destination:key key...")
def sdiffstore(ctx: Context, destination: bytes, *keys: bytes) -> bytes:
    return _store(ctx, destination, _left_over(ctx, _sets(ctx, keys)), "sdiffstore")


def parse_limit(options: tuple[bytes, ...]) -> int:
    """The LIMIT of SINTERCARD and ZINTERCARD, 0 for none."""
    limit = 0
    while options:
        if options[0].upper() != b"LIMIT" or len(options) < 2:
            raise SyntaxFault
        try:
            limit = parse_integer(options[1])
        except NotAnInteger:
            limit = -1
        if limit < 0:
            raise CommandError("ERR LIMIT can't be negative")
        options = options[2:]
    return limit


@command("SINTERCARD", arity=-3, flags={READONLY, MOVABLE_KEYS}, keys=(NumKeys(1),), group="set", since="7.0.0",
         summary="Answers how many members all sets have.",
         complexity="O(N*M) at worst, where N is the size of the smallest set and M the number of sets",
         syntax="numkeys:integer key... [LIMIT limit:integer]")
def sintercard(ctx: Context, numkeys: bytes, *rest: bytes) -> bytes:
    keys, options = parse_numkeys(numkeys, rest)
    if len(keys) < int(numkeys):
        raise CommandError("ERR Number of keys can't be greater than number of args")
    limit = parse_limit(options)
    return replies.integer(len(_common(ctx, _sets(ctx, keys), limit)))
