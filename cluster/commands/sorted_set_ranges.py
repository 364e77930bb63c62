"""Sorted sets: ranges by rank, by score and by name, answered, counted, removed or stored.

The many commands are spellings of one question: which stretch of positions? `Range` is that question.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from cluster.commands.context import Context
from cluster.commands.keys import FIRST_READ, READ, KeySpec, first_key
from cluster.commands.lists import window
from cluster.commands.registry import DENYOOM, FAST, READONLY, WRITE, command
from cluster.commands.sorted_sets import remove_stretch, scored_reply, settle_zeros
from cluster.errors import CommandError, NotAFloat, SyntaxFault
from cluster.keyspace.events import DEL, Event
from cluster.keyspace.numbers import parse_float, parse_integer
from cluster.keyspace.values import SortedSetValue
from cluster.protocol import replies

Stretch = Callable[[SortedSetValue], tuple[int, int]]
"""The positions (first, behind the last), from the low end, that a range covers; empty when first >= behind."""

_DELETE = first_key("RW", "delete")
_ALL = -1
"""The count of a LIMIT that is none."""


# -- what a range covers -----------------------------------------------------------------------------------------


def _score_bound(text: bytes) -> tuple[float, bool]:
    """(score, whether it is excluded)"""
    excluded = text.startswith(b"(")
    # As strtod reads it: blanks before it do not matter, and nothing at all is zero.
    number = (text[1:] if excluded else text).lstrip(b" \t\n\v\f\r")
    try:
        return parse_float(number) if number else 0.0, excluded
    except NotAFloat:
        raise CommandError("ERR min or max is not a float") from None


def by_score(low: bytes, high: bytes) -> Stretch:
    (least, above), (most, below) = _score_bound(low), _score_bound(high)

    def stretch(value: SortedSetValue) -> tuple[int, int]:
        return value.position_of_score(least, after=above), value.position_of_score(most, after=not below)

    return stretch


def _name_bound(text: bytes) -> tuple[int, bytes, bool]:
    """(-1 before all names, 1 behind them, 0 at the name; the name; whether it is excluded)"""
    if text == b"-":
        return -1, b"", False
    if text == b"+":
        return 1, b"", False
    if text[:1] not in (b"(", b"["):
        raise CommandError("ERR min or max not valid string range item")
    return 0, text[1:], text[:1] == b"("


def by_name(low: bytes, high: bytes) -> Stretch:
    bounds = _name_bound(low), _name_bound(high)

    def stretch(value: SortedSetValue) -> tuple[int, int]:
        edges: list[int] = []
        for (side, name, excluded), is_high in zip(bounds, (False, True), strict=True):
            if side:
                edges.append(0 if side < 0 else len(value))
            else:
                edges.append(value.position_of_member(name, after=excluded != is_high))
        return edges[0], edges[1]

    return stretch


def by_rank(first: bytes, last: bytes, *, descending: bool = False) -> Stretch:
    start, end = parse_integer(first), parse_integer(last)

    def stretch(value: SortedSetValue) -> tuple[int, int]:
        low, behind = window(start, end, len(value))
        return (len(value) - behind, len(value) - low) if descending else (low, behind)

    return stretch


# -- ZRANGE and its older spellings ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Range:
    """`limit` is (offset, count) with a negative count for all."""

    kind: bytes = b"RANK"
    descending: bool = False
    with_scores: bool = False
    limit: tuple[int, int] | None = None

    def stretch(self, low: bytes, high: bytes) -> Stretch:
        """What the two ends as given cover: a descending range by score or name is given its high end first."""
        if self.kind == b"RANK":
            return by_rank(low, high, descending=self.descending)
        ends = (high, low) if self.descending else (low, high)
        return by_score(*ends) if self.kind == b"BYSCORE" else by_name(*ends)

    def positions(self, value: SortedSetValue, stretch: Stretch) -> tuple[int, int]:
        """As `Stretch` gives them, within the limit."""
        first, behind = stretch(value)
        if self.limit is not None:
            offset, count = self.limit
            if offset < 0:
                return 0, 0
            if self.descending:
                behind -= offset
                first = first if count < 0 else max(first, behind - count)
            else:
                first += offset
                behind = behind if count < 0 else min(behind, first + count)
        return first, behind

    def items(self, value: SortedSetValue, stretch: Stretch) -> list[tuple[float, bytes]]:
        first, behind = self.positions(value, stretch)
        return value.stretch(first, behind, descending=self.descending) if first < behind else []


def _parse_range(given: Range, options: tuple[bytes, ...], *, unified: bool, scores: bool = True) -> Range:
    """The options behind the two ends. Only the `unified` form (ZRANGE, ZRANGESTORE) chooses what it goes by."""
    rest = iter(options)
    for option in rest:
        word = option.upper()
        if word == b"WITHSCORES" and scores:
            given = replace(given, with_scores=True)
        elif word == b"LIMIT":
            offset, count = next(rest, None), next(rest, None)
            if offset is None or count is None:
                raise SyntaxFault
            given = replace(given, limit=(parse_integer(offset), parse_integer(count)))
        elif unified and word in (b"BYSCORE", b"BYLEX") and given.kind == b"RANK":
            given = replace(given, kind=word)
        elif unified and word == b"REV" and not given.descending:
            given = replace(given, descending=True)
        else:
            raise SyntaxFault
    if given.kind == b"RANK" and given.limit is not None and given.limit[1] == _ALL:
        given = replace(given, limit=None)  # as redis-server takes it, wherever it was to begin
    if given.limit is not None and given.kind == b"RANK":
        raise CommandError("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
    if given.with_scores and given.kind == b"BYLEX":
        raise CommandError("ERR syntax error, WITHSCORES not supported in combination with BYLEX")
    return given


def _answer(ctx: Context, key: bytes, low: bytes, high: bytes, chosen: Range) -> bytes:
    stretch = chosen.stretch(low, high)
    value = ctx.typed(key, SortedSetValue)
    items = [] if value is None else chosen.items(value, stretch)
    return scored_reply(items, ctx.resp, with_scores=chosen.with_scores)


@command("ZRANGE", arity=-4, flags={READONLY}, keys=FIRST_READ, group="sorted-set", since="1.2.0",
         summary="Answers the members of a range by rank, score or name.",
         complexity="O(log(N)+M), where N is the size of the sorted set and M how many are answered",
         syntax="key start stop [BYSCORE | BYLEX]@6.2.0 [REV]@6.2.0 [LIMIT (offset:integer count:integer)]@6.2.0 "
                "[WITHSCORES]")
def zrange(ctx: Context, key: bytes, low: bytes, high: bytes, *options: bytes) -> bytes:
    return _answer(ctx, key, low, high, _parse_range(Range(), options, unified=True))


@command("ZREVRANGE", arity=-4, flags={READONLY}, keys=FIRST_READ, group="sorted-set", since="1.2.0",
         summary="Answers the members of a range by rank, highest score first.",
         complexity="O(log(N)+M), where N is the size of the sorted set and M how many are answered",
         syntax="key start:integer stop:integer [WITHSCORES]", deprecated=("6.2.0", "`ZRANGE` with the `REV` argument"))
def zrevrange(ctx: Context, key: bytes, low: bytes, high: bytes, *options: bytes) -> bytes:
    return _answer(ctx, key, low, high, _parse_range(Range(descending=True), options, unified=False))


@command("ZRANGEBYSCORE", arity=-4, flags={READONLY}, keys=FIRST_READ, group="sorted-set", since="1.0.5",
         summary="Answers the members of a range by score.",
         complexity="O(log(N)+M), where N is the size of the sorted set and M how many are answered",
         syntax="key min:double max:double [WITHSCORES]@2.0.0 [LIMIT (offset:integer count:integer)]",
         deprecated=("6.2.0", "`ZRANGE` with the `BYSCORE` argument"))
def zrangebyscore(ctx: Context, key: bytes, low: bytes, high: bytes, *options: bytes) -> bytes:
    return _answer(ctx, key, low, high, _parse_range(Range(b"BYSCORE"), options, unified=False))


@command("ZREVRANGEBYSCORE", arity=-4, flags={READONLY}, keys=FIRST_READ, group="sorted-set", since="2.2.0",
         summary="Answers the members of a range by score, highest first.",
         complexity="O(log(N)+M), where N is the size of the sorted set and M how many are answered",
         syntax="key max:double min:double [WITHSCORES] [LIMIT (offset:integer count:integer)]",
         deprecated=("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments"))
def zrevrangebyscore(ctx: Context, key: bytes, high: bytes, low: bytes, *options: bytes) -> bytes:
    return _answer(ctx, key, high, low, _parse_range(Range(b"BYSCORE", descending=True), options, unified=False))


@command("ZRANGEBYLEX", arity=-4, flags={READONLY}, keys=FIRST_READ, group="sorted-set", since="2.8.9",
         summary="Answers the members of a range by name.",
         complexity="O(log(N)+M), where N is the size of the sorted set and M how many are answered",
         syntax="key min max [LIMIT (offset:integer count:integer)]",
         deprecated=("6.2.0", "`ZRANGE` with the `BYLEX` argument"))
def zrangebylex(ctx: Context, key: bytes, low: bytes, high: bytes, *options: bytes) -> bytes:
    return _answer(ctx, key, low, high, _parse_range(Range(b"BYLEX"), options, unified=False))


@command("ZREVRANGEBYLEX", arity=-4, flags={READONLY}, keys=FIRST_READ, group="sorted-set", since="2.8.9",
         summary="Answers the members of a range by name, last first.",
         complexity="O(log(N)+M), where N is the size of the sorted set and M how many are answered",
         syntax="key max min [LIMIT (offset:integer count:integer)]",
         deprecated=("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments"))
def zrevrangebylex(ctx: Context, key: bytes, high: bytes, low: bytes, *options: bytes) -> bytes:
    return _answer(ctx, key, high, low, _parse_range(Range(b"BYLEX", descending=True), options, unified=False))


@command("ZRANGESTORE", arity=-5, flags={WRITE, DENYOOM}, group="sorted-set", since="6.2.0",
         keys=(KeySpec(1, 1, 1, ("OW", "update")), KeySpec(2, 2, 1, READ)), summary="Stores the members of a range.",
         complexity="O(log(N)+M), where N is the size of the sorted set and M how many are stored",
         syntax="dst:key src:key min max [BYSCORE | BYLEX] [REV] [LIMIT (offset:integer count:integer)]")
def zrangestore(ctx: Context, destination: bytes, source: bytes, low: bytes, high: bytes, *options: bytes) -> bytes:
    chosen = _parse_range(Range(), options, unified=True, scores=False)
    stretch = chosen.stretch(low, high)
    value = ctx.typed(source, SortedSetValue)
    first, behind = (0, 0) if value is None else chosen.positions(value, stretch)
    found = SortedSetValue() if value is None else value.part(first, behind)
    return store(ctx, destination, found, "zrangestore")


def store(ctx: Context, destination: bytes, value: SortedSetValue, event: str) -> bytes:
    """Put a computed sorted set; an empty one deletes the key."""
    if not value:
        ctx.remove(destination, DEL)
        return replies.ZERO
    settle_zeros(ctx, value)
    ctx.put(destination, value)
    ctx.changed(destination, Event("z", event), len(value))
    return replies.integer(len(value))


# -- counting and removing ---------------------------------------------------------------------------------------


def _count(ctx: Context, key: bytes, stretch: Stretch) -> bytes:
    value = ctx.typed(key, SortedSetValue)
    if value is None:
        return replies.ZERO
    first, behind = stretch(value)
    return replies.integer(max(0, behind - first))


@command("ZCOUNT", arity=4, flags={READONLY, FAST}, keys=FIRST_READ, group="sorted-set", since="2.0.0",
         summary="Counts the members of a range by score.", complexity="O(log(N)) in the size of the sorted set",
         syntax="key min:double max:double")
def zcount(ctx: Context, key: bytes, low: bytes, high: bytes) -> bytes:
    return _count(ctx, key, by_score(low, high))


@command("ZLEXCOUNT", arity=4, flags={READONLY, FAST}, keys=FIRST_READ, group="sorted-set", since="2.8.9",
         summary="Counts the members of a range by name.", complexity="O(log(N)) in the size of the sorted set",
         syntax="key min max")
def zlexcount(ctx: Context, key: bytes, low: bytes, high: bytes) -> bytes:
    return _count(ctx, key, by_name(low, high))


def _remove(ctx: Context, key: bytes, stretch: Stretch, event: str) -> bytes:
    value = ctx.typed_for_write(key, SortedSetValue)
    if value is None:
        return replies.ZERO
    first, behind = stretch(value)
    if first >= behind:
        return replies.ZERO
    remove_stretch(ctx, key, value, first, behind, Event("z", event))
    return replies.integer(behind - first)


@command("ZREMRANGEBYRANK", arity=4, flags={WRITE}, keys=_DELETE, group="sorted-set", since="2.0.0",
         summary="Removes the members of a range by rank.",
         complexity="O(log(N)+M), where N is the size of the sorted set and M how many are removed",
         syntax="key start:integer stop:integer")
def zremrangebyrank(ctx: Context, key: bytes, first: bytes, last: bytes) -> bytes:
    return _remove(ctx, key, by_rank(first, last), "zremrangebyrank")


@command("ZREMRANGEBYSCORE", arity=4, flags={WRITE}, keys=_DELETE, group="sorted-set", since="1.2.0",
         summary="Removes the members of a range by score.",
         complexity="O(log(N)+M), where N is the size of the sorted set and M how many are removed",
         syntax="key min:double max:double")
def zremrangebyscore(ctx: Context, key: bytes, low: bytes, high: bytes) -> bytes:
    return _remove(ctx, key, by_score(low, high), "zremrangebyscore")


@command("ZREMRANGEBYLEX", arity=4, flags={WRITE}, keys=_DELETE, group="sorted-set", since="2.8.9",
         summary="Removes the members of a range by name.",
         complexity="O(log(N)+M), where N is the size of the sorted set and M how many are removed",
         syntax="key min max")
def zremrangebylex(ctx: Context, key: bytes, low: bytes, high: bytes) -> bytes:
    return _remove(ctx, key, by_name(low, high), "zremrangebylex")
