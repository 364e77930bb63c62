"""Random elements of a collection: what SRANDMEMBER, HRANDFIELD and ZRANDMEMBER have in common."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from cluster.errors import CommandError
from cluster.keyspace.numbers import INT64_MAX, parse_integer

_Element = TypeVar("_Element")

_MOST = INT64_MAX // 2


def parse_count(text: bytes, *, pairs: bool = False) -> int:
    """The COUNT of these commands; with `pairs` each element takes two places of the reply."""
    count = parse_integer(text)
    if count < -INT64_MAX:
        raise CommandError(f"ERR value is out of range, value must between {-INT64_MAX} and {INT64_MAX}")
    if pairs and not -_MOST <= count <= _MOST:
        raise CommandError("ERR value is out of range")
    return count


def sample(rng: random.Random, elements: Sequence[_Element], count: int) -> list[_Element]:
    """`count` different elements in no particular order, all of them when there are no more; with a negative
    count exactly that many, each drawn from all."""
    if not elements or not count:
        return []
    if count < 0:
        return rng.choices(elements, k=-count)
    if count >= len(elements):
        return list(elements)
    return rng.sample(elements, count)
