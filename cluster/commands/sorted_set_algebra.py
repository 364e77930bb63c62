"""Sorted sets: union, intersection and difference with weights and aggregates. Plain sets take part with score 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from itertools import chain, islice
from operator import add, and_, sub
from typing import cast

from cluster.commands.context import Context
from cluster.commands.keys import READ, KeySpec, NumKeys
from cluster.commands.registry import DENYOOM, MOVABLE_KEYS, READONLY, WRITE, command
from cluster.commands.set_algebra import parse_limit
from cluster.commands.sorted_set_ranges import store
from cluster.commands.sorted_sets import scored_reply
from cluster.errors import CommandError, NotAFloat, SyntaxFault, WrongType
from cluster.keyspace.bucket_algebra import are_alike, regions
from cluster.keyspace.buckets import BucketMap, Part
from cluster.keyspace.numbers import parse_float, parse_integer
from cluster.keyspace.ranking import LongRanking, in_order
from cluster.keyspace.values import SetValue, SortedSetValue
from cluster.protocol import replies

_STORE_KEYS = (KeySpec(1, 1, 1, ("OW", "update")), NumKeys(2))
_READ_KEYS = (NumKeys(1, READ),)

Scores = dict[bytes, float] | BucketMap[float]
Members = dict[bytes, float] | BucketMap[bool] | BucketMap[float]
"""The members of one input with their scores; of a large plain set, without."""
Region = list[dict[bytes, float]]
"""What each input has, scored, or what it has in a range of hashes (bucket_algebra.py)."""
Column = list[float]
Aggregate = Callable[[float, float], float]
_AGGREGATES: dict[bytes, Aggregate] = {b"SUM": add, b"MIN": min, b"MAX": max}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a command asks for: the scores of each key, and a weight for each of them."""

    inputs: list[Members]
    weights: tuple[float, ...]
    aggregate: Aggregate
    with_scores: bool


def _parse(
    ctx: Context, name: str, numkeys: bytes, rest: tuple[bytes, ...], *, may_weigh: bool = True, stores: bool = False
) -> Plan:
    """In redis-server's order of errors: a key of another type comes before what is wrong with the options."""
    keys = _parse_keys(name, numkeys, rest)
    inputs = _inputs(ctx, keys)
    count = len(keys)
    weights: tuple[float, ...] = (1.0,) * count
    aggregate: Aggregate = add
    with_scores = False
    at = count
    while at < len(rest):
        word, left = rest[at].upper(), len(rest) - at - 1
        if word == b"WEIGHTS" and may_weigh and left >= count:
            weights = tuple(_weight(text) for text in rest[at + 1 : at + 1 + count])
            at += 1 + count
        elif word == b"AGGREGATE" and may_weigh and left >= 1:
            chosen = _AGGREGATES.get(rest[at + 1].upper())
            if chosen is None:
                raise SyntaxFault
            aggregate = chosen
            at += 2
        elif word == b"WITHSCORES" and not stores:
            with_scores = True
            at += 1
        else:
            raise SyntaxFault
    return Plan(inputs, weights, aggregate, with_scores)


def _parse_keys(name: str, numkeys: bytes, rest: tuple[bytes, ...]) -> tuple[bytes, ...]:
    count = parse_integer(numkeys)
    if count < 1:
        raise CommandError(f"ERR at least 1 input key is needed for '{name}' command")
    if count > len(rest):
        raise SyntaxFault
    return rest[:count]


def _weight(text: bytes) -> float:
    try:
        return parse_float(text)
    except NotAFloat:
        raise CommandError("ERR weight value is not a float") from None


def _inputs(ctx: Context, keys: Sequence[bytes]) -> list[Members]:
    """The members of each key, nothing for an absent one."""
    found: list[Members] = []
    for key in keys:
        value = ctx.find(key)
        if value is None:
            found.append({})
        elif isinstance(value, SortedSetValue):
            found.append(value.scores())
        elif isinstance(value, SetValue):
            members = value.members
            found.append(dict.fromkeys(members, 1.0) if isinstance(members, dict) else members)
        else:
            raise WrongType
    return found


def _regions(inputs: Sequence[Members]) -> Iterator[tuple[int, Region]]:
    """The inputs piece by piece. They must be alike."""
    are_plain = [not isinstance(one, LongRanking) for one in inputs]
    for bits, region in regions(cast("Sequence[BucketMap[float]]", inputs)):
        yield bits, [
            dict.fromkeys(scores, 1.0) if plain else scores for scores, plain in zip(region, are_plain, strict=True)
        ]


def _picked(one: Members, members: Sequence[bytes]) -> dict[bytes, float]:
    """The scores of some members, which it has."""
    if isinstance(one, (dict, LongRanking)):
        return dict(zip(members, map(one.__getitem__, members), strict=True))
    return dict.fromkeys(members, 1.0)


def _whole(one: Members) -> dict[bytes, float]:
    if isinstance(one, dict):
        return one
    return dict(one.items()) if isinstance(one, LongRanking) else dict.fromkeys(one, 1.0)


def _settled(column: Column) -> Column:
    """What is no number is 0."""
    return [0.0 if math.isnan(one) else one for one in column] if any(map(math.isnan, column)) else column


def _column(scores: dict[bytes, float], members: Iterable[bytes], weight: float) -> Column:
    """The weighed scores of some members."""
    column = list(map(scores.__getitem__, members))
    return column if weight == 1.0 else _settled([weight * score for score in column])


def _aggregated(plan: Plan, one: Column, other: Column) -> Column:
    return _settled(list(map(plan.aggregate, one, other)))


def _union(plan: Plan) -> Iterator[Part[float]]:
    inputs = plan.inputs
    for bits, region in _regions(inputs) if are_alike(inputs) else [(0, list(map(_whole, inputs)))]:
        total: dict[bytes, float] = {}
        for scores, weight in zip(region, plan.weights, strict=True):
            both = list(total.keys() & scores.keys()) if total else []
            aggregated = _aggregated(plan, _column(total, both, 1.0), _column(scores, both, weight))
            total.update(scores if weight == 1.0 else zip(scores, _column(scores, scores, weight), strict=True))
            total.update(zip(both, aggregated, strict=True))
        yield bits, total


def _intersection(plan: Plan) -> Iterator[Part[float]]:
    inputs = plan.inputs
    # From the smallest on, as redis-server does it: sums of floats depend on their order.
    order = sorted(range(len(inputs)), key=lambda index: len(inputs[index]))
    if are_alike(inputs):
        pieces = _regions(inputs)
    else:
        shared = _common(inputs)
        pieces = iter([(0, [_picked(one, shared) for one in inputs])])
    for bits, region in pieces:
        members = list(reduce(and_, [region[index].keys() for index in order]))
        columns = [_column(region[index], members, plan.weights[index]) for index in order]
        yield bits, dict(zip(members, reduce(partial(_aggregated, plan), columns), strict=True))


def _common(inputs: Sequence[Members], limit: int = 0) -> list[bytes]:
    """Members of all inputs, at most `limit` of them if that is not 0."""
    first, *others = sorted(inputs, key=len)
    found = (member for member in first if all(member in other for other in others))
    return list(islice(found, limit or None))


def _difference(plan: Plan) -> Iterator[Part[float]]:
    first, *others = plan.inputs
    if not are_alike(plan.inputs):
        members = [member for member in first if not any(member in other for other in others)]
        yield 0, _picked(first, members)
        return
    for bits, region in _regions(plan.inputs):
        members = list(reduce(sub, [scores.keys() for scores in region]))
        yield bits, dict(zip(members, _column(region[0], members, 1.0), strict=True))


_Algebra = Callable[[Plan], Iterator[Part[float]]]


def _answer(ctx: Context, plan: Plan, algebra: _Algebra) -> bytes:
    parts = [part for _, part in algebra(plan)]
    scores, members = in_order(
        list(chain.from_iterable([part.values() for part in parts])), list(chain.from_iterable(parts))
    )
    return scored_reply(list(zip(scores, members, strict=True)), ctx.resp, with_scores=plan.with_scores)


def _store(ctx: Context, destination: bytes, plan: Plan, algebra: _Algebra, event: str) -> bytes:
    return store(ctx, destination, SortedSetValue.of_parts(algebra(plan)), event)


@command("ZUNION", arity=-3, flags={READONLY, MOVABLE_KEYS}, keys=_READ_KEYS, group="sorted-set", since="6.2.0",
         summary="Answers the members of any of the sorted sets.",
         complexity="O(N)+O(M*log(M)), where N is the number of members of all inputs and M that of the result",
         syntax="numkeys:integer key... [WEIGHTS weight:integer...] [AGGREGATE (SUM | MIN | MAX)] [WITHSCORES]")
def zunion(ctx: Context, numkeys: bytes, *rest: bytes) -> bytes:
    return _answer(ctx, _parse(ctx, "zunion", numkeys, rest), _union)


@command("ZINTER", arity=-3, flags={READONLY, MOVABLE_KEYS}, keys=_READ_KEYS, group="sorted-set", since="6.2.0",
         summary="Answers the members that all sorted sets have.",
         complexity="O(N*K)+O(M*log(M)) at worst, where N is the size of the smallest of K inputs and M that of the "
                    "result",
         syntax="numkeys:integer key... [WEIGHTS weight:integer...] [AGGREGATE (SUM | MIN | MAX)] [WITHSCORES]")
def zinter(ctx: Context, numkeys: bytes, *rest: bytes) -> bytes:
    return _answer(ctx, _parse(ctx, "zinter", numkeys, rest), _intersection)


@command("ZDIFF", arity=-3, flags={READONLY, MOVABLE_KEYS}, keys=_READ_KEYS, group="sorted-set", since="6.2.0",
         summary="Answers the members of the first sorted set that no other has.",
         complexity="O(L + (N-K)log(N)) at worst, where L is the number of members of all inputs, N the size of the "
                    "first, K that of the result", syntax="numkeys:integer key... [WITHSCORES]")
def zdiff(ctx: Context, numkeys: bytes, *rest: bytes) -> bytes:
    return _answer(ctx, _parse(ctx, "zdiff", numkeys, rest, may_weigh=False), _difference)


@command("ZUNIONSTORE", arity=-4, flags={WRITE, DENYOOM, MOVABLE_KEYS}, keys=_STORE_KEYS, group="sorted-set",
         since="2.0.0", summary="Stores the members of any of the sorted sets.",
         complexity="O(N)+O(M*log(M)), where N is the number of members of all inputs and M that of the result",
         syntax="destination:key numkeys:integer key... [WEIGHTS weight:integer...] [AGGREGATE (SUM | MIN | MAX)]")
def zunionstore(ctx: Context, destination: bytes, numkeys: bytes, *rest: bytes) -> bytes:
    return _store(ctx, destination, _parse(ctx, "zunionstore", numkeys, rest, stores=True), _union, "zunionstore")


@command("ZINTERSTORE", arity=-4, flags={WRITE, DENYOOM, MOVABLE_KEYS}, keys=_STORE_KEYS, group="sorted-set",
         since="2.0.0", summary="Stores the members that all sorted sets have.",
         complexity="O(N*K)+O(M*log(M)) at worst, where N is the size of the smallest of K inputs and M that of the "
                    "result",
         syntax="destination:key numkeys:integer key... [WEIGHTS weight:integer...] [AGGREGATE (SUM | MIN | MAX)]")
def zinterstore(ctx: Context, destination: bytes, numkeys: bytes, *rest: bytes) -> bytes:
    plan = _parse(ctx, "zinterstore", numkeys, rest, stores=True)
    return _store(ctx, destination, plan, _intersection, "zinterstore")


@command("ZDIFFSTORE", arity=-4, flags={WRITE, DENYOOM, MOVABLE_KEYS}, keys=_STORE_KEYS, group="sorted-set",
         since="6.2.0", summary="Stores the members of the first sorted set that no other has.",
         complexity="O(L + (N-K)log(N)) at worst, where L is the number of members of all inputs, N the size of the "
                    "first, K that of the result", syntax="destination:key numkeys:integer key...")
def zdiffstore(ctx: Context, destination: bytes, numkeys: bytes, *rest: bytes) -> bytes:
    plan = _parse(ctx, "zdiffstore", numkeys, rest, may_weigh=False, stores=True)
    return _store(ctx, destination, plan, _difference, "zdiffstore")


@command("ZINTERCARD", arity=-3, flags={READONLY, MOVABLE_KEYS}, keys=_READ_KEYS, group="sorted-set", since="7.0.0",
         summary="Answers how many members all sorted sets have.",
         complexity="O(N*K) at worst, where N is the size of the smallest of K inputs",
         syntax="numkeys:integer key... [LIMIT limit:integer]")
def zintercard(ctx: Context, numkeys: bytes, *rest: bytes) -> bytes:
    keys = _parse_keys("zintercard", numkeys, rest)
    inputs = _inputs(ctx, keys)
    limit = parse_limit(rest[len(keys) :])
    if limit or not are_alike(inputs):
        return replies.integer(len(_common(inputs, limit)))
    return replies.integer(sum([len(reduce(and_, map(dict.keys, region))) for _, region in _regions(inputs)]))
