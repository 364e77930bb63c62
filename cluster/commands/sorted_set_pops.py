"""Sorted sets: taking the lowest or the highest members, from the first set that has some, and waiting for some."""

from __future__ import annotations

from cluster.commands.context import Context
from cluster.commands.keys import KeySpec, NumKeys, first_key
from cluster.commands.lists import positive_count
from cluster.commands.registry import BLOCKING, FAST, MOVABLE_KEYS, WRITE, command
from cluster.commands.sorted_sets import remove_stretch, scored_reply
from cluster.commands.waiting import parse_pop, served, served_or_waiting, timeout_ms
from cluster.errors import SyntaxFault
from cluster.keyspace.events import Event
from cluster.keyspace.values import SortedSetValue
from cluster.protocol import replies

POP_MIN = Event("z", "zpopmin")
POP_MAX = Event("z", "zpopmax")

_POPPED = ("RW", "access", "delete")
_POP = first_key(*_POPPED)
_ALL_BUT_LAST = (KeySpec(1, -2, 1, _POPPED),)
_ENDS = {b"MIN": True, b"MAX": False}


def _popped(ctx: Context, key: bytes, value: SortedSetValue, count: int, *, lowest: bool) -> list[tuple[float, bytes]]:
    length = len(value)
    count = min(count, length)
    first, behind = (0, count) if lowest else (length - count, length)
    items = value.stretch(first, behind, descending=not lowest)
    remove_stretch(ctx, key, value, first, behind, POP_MIN if lowest else POP_MAX)
    return items


def _pop(ctx: Context, key: bytes, options: tuple[bytes, ...], *, lowest: bool) -> bytes:
    if len(options) > 1:
        raise SyntaxFault
    count = positive_count(options[0]) if options else 1
    value = ctx.typed_for_write(key, SortedSetValue)
    if value is None or not count:
        return replies.EMPTY_ARRAY
    items = _popped(ctx, key, value, count, lowest=lowest)
    if options:
        return scored_reply(items, ctx.resp, with_scores=True)
    [(score, member)] = items
    return replies.array([replies.bulk(member), replies.double(score, ctx.resp)])


@command("ZPOPMIN", arity=-2, flags={WRITE, FAST}, keys=_POP, group="sorted-set", since="5.0.0",
         summary="Takes the members of the lowest scores.",
         complexity="O(log(N)*M), where N is the size of the sorted set and M how many are popped",
         syntax="key [count:integer]")
def zpopmin(ctx: Context, key: bytes, *count: bytes) -> bytes:
    return _pop(ctx, key, count, lowest=True)


@command("ZPOPMAX", arity=-2, flags={WRITE, FAST}, keys=_POP, group="sorted-set", since="5.0.0",
         summary="Takes the members of the highest scores.",
         complexity="O(log(N)*M), where N is the size of the sorted set and M how many are popped",
         syntax="key [count:integer]")
def zpopmax(ctx: Context, key: bytes, *count: bytes) -> bytes:
    return _pop(ctx, key, count, lowest=False)


def _blocking_pop(ctx: Context, arguments: tuple[bytes, ...], *, lowest: bool) -> bytes | None:
    def serve(ctx: Context, key: bytes) -> bytes | None:
        value = ctx.typed_for_write(key, SortedSetValue)
        if value is None:
            return None
        [(score, member)] = _popped(ctx, key, value, 1, lowest=lowest)
        ctx.propagate(b"ZPOPMIN" if lowest else b"ZPOPMAX", key)
        return replies.array([replies.bulk(key), replies.bulk(member), replies.double(score, ctx.resp)])

    *keys, timeout = arguments
    return served_or_waiting(ctx, keys, timeout_ms(ctx, timeout), serve, SortedSetValue)


@command("BZPOPMIN", arity=-3, flags={WRITE, BLOCKING, FAST}, keys=_ALL_BUT_LAST, group="sorted-set",
         since="5.0.0", own_effects=True, summary="Takes the member of the lowest score, and waits for one.",
         complexity="O(log(N)) in the size of the sorted set", syntax="key... timeout:double")
def bzpopmin(ctx: Context, *arguments: bytes) -> bytes | None:
    return _blocking_pop(ctx, arguments, lowest=True)


@command("BZPOPMAX", arity=-3, flags={WRITE, BLOCKING, FAST}, keys=_ALL_BUT_LAST, group="sorted-set",
         since="5.0.0", own_effects=True, summary="Takes the member of the highest score, and waits for one.",
         complexity="O(log(N)) in the size of the sorted set", syntax="key... timeout:double")
def bzpopmax(ctx: Context, *arguments: bytes) -> bytes | None:
    return _blocking_pop(ctx, arguments, lowest=False)


def _pop_many(ctx: Context, key: bytes, count: int, *, lowest: bool) -> bytes | None:
    value = ctx.typed_for_write(key, SortedSetValue)
    if value is None:
        return None
    items = _popped(ctx, key, value, count, lowest=lowest)
    ctx.propagate(b"ZPOPMIN" if lowest else b"ZPOPMAX", key, b"%d" % len(items))
    # In either protocol: a pair for each member.
    shown = [replies.array([replies.bulk(member), replies.double(score, ctx.resp)]) for score, member in items]
    return replies.array([replies.bulk(key), replies.array(shown)])


@command("ZMPOP", arity=-4, flags={WRITE, MOVABLE_KEYS}, keys=(NumKeys(1, _POPPED),), group="sorted-set",
         since="7.0.0", own_effects=True, summary="Takes members from the first sorted set that has some.",
         complexity="O(K) + O(M*log(N)), where K is the number of keys, N the size of the sorted set and M how many "
                    "are popped", syntax="numkeys:integer key... (MIN | MAX) [COUNT count:integer]")
def zmpop(ctx: Context, numkeys: bytes, *rest: bytes) -> bytes:
    keys, lowest, count = parse_pop(numkeys, rest, _ENDS)
    return served(ctx, keys, lambda ctx, key: _pop_many(ctx, key, count, lowest=lowest)) or ctx.null_array


@command("BZMPOP", arity=-5, flags={WRITE, BLOCKING, MOVABLE_KEYS}, keys=(NumKeys(2, _POPPED),), group="sorted-set",
         since="7.0.0", own_effects=True, summary="Takes members from the first set that has some, and waits.",
         complexity="O(K) + O(M*log(N)), where K is the number of keys, N the size of the sorted set and M how many "
                    "are popped", syntax="timeout:double numkeys:integer key... (MIN | MAX) [COUNT count:integer]")
def bzmpop(ctx: Context, timeout: bytes, numkeys: bytes, *rest: bytes) -> bytes | None:
    keys, lowest, count = parse_pop(numkeys, rest, _ENDS)
    wait_ms = timeout_ms(ctx, timeout)
    return served_or_waiting(
        ctx, keys, wait_ms, lambda ctx, key: _pop_many(ctx, key, count, lowest=lowest), SortedSetValue
    )
