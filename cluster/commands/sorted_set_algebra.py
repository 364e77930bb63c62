"""Sorted sets: union, intersection and difference with weights and aggregates. Plain sets take part with score 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cluster.commands.context import Context
from cluster.commands.keys import READ, KeySpec, NumKeys
from cluster.commands.registry import DENYOOM, MOVABLE_KEYS, READONLY, WRITE, command
from cluster.commands.set_algebra import parse_limit
from cluster.commands.sorted_set_ranges import store
from cluster.commands.sorted_sets import scored_reply
from cluster.errors import CommandError, NotAFloat, SyntaxFault, WrongType
from cluster.keyspace.buckets import BucketMap
from cluster.keyspace.numbers import parse_float, parse_integer
from cluster.keyspace.values import SetValue, SortedSetValue
from cluster.protocol import replies

_STORE_KEYS = (KeySpec(1, 1, 1, ("OW", "update")), NumKeys(2))
_READ_KEYS = (NumKeys(1, READ),)

Scores = Mapping[bytes, float] | BucketMap[float]
Aggregate = Callable[[float, float], float]


def _sum(one: float, other: float) -> float:
    total = one + other
    return 0.0 if math.isnan(total) else total


_AGGREGATES: dict[bytes, Aggregate] = {b"SUM": _sum, b"MIN": min, b"MAX": max}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a command asks for: the scores of each key, and a weight for each of them."""

    inputs: list[Scores]
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
    aggregate: Aggregate = _sum
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


def _inputs(ctx: Context, keys: Sequence[bytes]) -> list[Scores]:
    """The scores of each key, a plain set's as 1, an absent key's as nothing."""
    found: list[Scores] = []
    for key in keys:
        value = ctx.find(key)
        if value is None:
            found.append({})
        elif isinstance(value, SortedSetValue):
            found.append(value.scores())
        elif isinstance(value, SetValue):
            found.append(dict.fromkeys(value, 1.0))
        else:
            raise WrongType
    return found


def _weighed(weight: float, score: float) -> float:
    weighed = weight * score
    return 0.0 if math.isnan(weighed) else weighed


def _union(plan: Plan) -> Scores:
    total: dict[bytes, float] = {}
    for scores, weight in zip(plan.inputs, plan.weights, strict=True):
        for member, score in scores.items():
            weighed = _weighed(weight, score)
            total[member] = plan.aggregate(total[member], weighed) if member in total else weighed
    return total


def _intersection(plan: Plan) -> Scores:
    inputs = plan.inputs
    # From the smallest on, as redis-server does it: sums of floats depend on their order.
    order = sorted(range(len(inputs)), key=lambda index: len(inputs[index]))
    first, *others = order
    found: dict[bytes, float] = {}
    for member, score in inputs[first].items():
        if all(member in inputs[index] for index in others):
            total = _weighed(plan.weights[first], score)
            for index in others:
                total = plan.aggregate(total, _weighed(plan.weights[index], inputs[index][member]))
            found[member] = total
    return found


def _difference(plan: Plan) -> Scores:
    first, *others = plan.inputs
    return {member: score for member, score in first.items() if not any(member in other for other in others)}


_Algebra = Callable[[Plan], Scores]


def _answer(ctx: Context, plan: Plan, algebra: _Algebra) -> bytes:
    items = sorted((score, member) for member, score in algebra(plan).items())
    return scored_reply(items, ctx.resp, with_scores=plan.with_scores)


def _store(ctx: Context, destination: bytes, plan: Plan, algebra: _Algebra, event: str) -> bytes:
    return store(ctx, destination, SortedSetValue(algebra(plan).items()), event)


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
    first, *others = sorted(inputs, key=len)
    count = 0
    for member in first:
        count += all(member in other for other in others)
        if limit and count == limit:
            break
    return replies.integer(count)
