"""Unions, intersections and differences of large sets and sorted sets, which are put together piece by piece."""

from __future__ import annotations

import math
from itertools import product
from random import Random

import pytest

from tests.commands.in_process import InProcessNode

INFINITE = math.inf
SIZES = {"a": 3000, "b": 1500, "c": 40, "d": 0}
"""Of like size, small, and not there."""


def fill(node: InProcessNode) -> dict[str, dict[bytes, float]]:
    """Sorted sets z…, plain sets s… with the same members; what they hold."""
    rng = Random(2)
    held: dict[str, dict[bytes, float]] = {}
    for name, size in SIZES.items():
        members = [b"%d" % number for number in rng.sample(range(5000), size)]
        held["z" + name] = {member: rng.choice([1.0, -2.0, 0.25, INFINITE, -INFINITE]) for member in members}
        held["s" + name] = dict.fromkeys(members, 1.0)
        if members:
            node("ZADD", "z" + name, *[part for one, score in held["z" + name].items() for part in (score, one)])
            node("SADD", "s" + name, *members)
    return held


def stored(node: InProcessNode) -> dict[bytes, float]:
    flat = node("ZRANGE", "to", 0, -1, "WITHSCORES")
    found = dict(zip(flat[::2], map(float, flat[1::2]), strict=True))
    assert sorted(found, key=lambda one: (found[one], one)) == flat[::2]
    assert len(found) == node("ZCARD", "to")
    return found


def number(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def combined(rows: list[list[float]], aggregate: str) -> float:
    total, *others = rows[0]
    for other in others:
        total = {"SUM": number(total + other), "MIN": min(total, other), "MAX": max(total, other)}[aggregate]
    return total


@pytest.mark.parametrize("aggregate", ["SUM", "MIN", "MAX"])
@pytest.mark.parametrize("weights", [(1, 1), (2, 0)])
def test_sorted_sets_are_combined(node: InProcessNode, aggregate: str, weights: tuple[int, int]) -> None:
    held = fill(node)
    for names in product(["za", "zb", "zc", "sa", "sc", "zd"], ["za", "zb", "sb", "sc"]):
        inputs = [held[name] for name in names]
        options = (2, *names, "WEIGHTS", *weights, "AGGREGATE", aggregate)
        for command, members in (
            ("ZUNIONSTORE", set(inputs[0]) | set(inputs[1])), ("ZINTERSTORE", set(inputs[0]) & set(inputs[1])),
        ):  # fmt: skip
            expected = {
                member: combined([[
                    number(weight * one[member]) for one, weight in zip(inputs, weights, strict=True) if member in one
                ]], aggregate)
                for member in members
            }
            assert node(command, "to", *options) == len(expected)
            assert stored(node) == expected
            answered = node(command.removesuffix("STORE"), *options)
            assert answered == sorted(expected, key=lambda one: (expected[one], one))
        assert node("ZINTERCARD", 2, *names) == len(set(inputs[0]) & set(inputs[1]))
        left = {member: score for member, score in inputs[0].items() if member not in inputs[1]}
        assert node("ZDIFFSTORE", "to", 2, *names) == len(left)
        assert stored(node) == left


def test_sets_are_combined(node: InProcessNode) -> None:
    held = fill(node)
    for names in product(["sa", "sb", "sc", "sd"], ["sa", "sb", "sc"], ["sa", "sb"]):
        one, *others = [set(held[name]) for name in names]
        for command, expected in (
            ("SUNION", one.union(*others)), ("SINTER", one.intersection(*others)), ("SDIFF", one.difference(*others)),
        ):
            answered = node(command, *names)
            assert len(answered) == len(expected)
            assert set(answered) == expected
            assert node(command + "STORE", "to", *names) == len(expected)
            assert set(node("SMEMBERS", "to")) == expected
        assert node("SINTERCARD", 3, *names) == len(one.intersection(*others))


def test_a_stored_set_of_integers_is_one_as_long_as_it_is_small(node: InProcessNode) -> None:
    node("SADD", "a", "word", *range(900))
    node("SADD", "b", *range(600, 1500))
    node("SREM", "a", "word")
    node("SINTERSTORE", "small", "a", "b")
    node("SUNIONSTORE", "large", "a", "b")
    assert (node("OBJECT", "ENCODING", "small"), node("OBJECT", "ENCODING", "large")) == (b"intset", b"hashtable")
    assert node("SMEMBERS", "small") == [b"%d" % member for member in range(600, 900)]


@pytest.mark.parametrize(("add", "random", "word"), [
    ("HSET", "HRANDFIELD", "WITHVALUES"), ("ZADD", "ZRANDMEMBER", "WITHSCORES"),
])  # fmt: skip
@pytest.mark.parametrize("resp", [2, 3])
@pytest.mark.parametrize("count", [5, 900, 2000, -5, -900, -3000])
def test_random_pairs_belong_together(
    node: InProcessNode, add: str, random: str, word: str, resp: int, count: int
) -> None:
    node(add, "key", *[part for one in range(1000) for part in (one, one)])
    node("HELLO", resp)
    found = node(random, "key", count, word)
    pairs = found if resp == 3 else list(zip(found[::2], found[1::2], strict=True))
    assert len(pairs) == (min(count, 1000) if count > 0 else -count)
    assert all(int(one) == int(other) for one, other in pairs)
    if count > 0:
        assert len({one for one, _ in pairs}) == len(pairs)
