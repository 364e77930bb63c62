"""Random elements of a collection: what SRANDMEMBER, HRANDFIELD and ZRANDMEMBER have in common."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol, TypeVar

from cluster.commands.context import Context
from cluster.errors import CommandError, SyntaxFault
from cluster.keyspace.numbers import INT64_MAX, parse_integer
from cluster.keyspace.values import HashValue, SortedSetValue
from cluster.protocol import replies

_Paired = TypeVar("_Paired", HashValue, SortedSetValue)

_MOST = INT64_MAX // 2
_FEW_OF = 3
"""So many times the elements asked for must be there for it to pay to draw them one by one."""


def parse_count(text: bytes, *, pairs: bool = False) -> int:
    """The COUNT of these commands; with `pairs` each element takes two places of the reply."""
    count = parse_integer(text)
    if count < -INT64_MAX:
        raise CommandError(f"ERR value is out of range, value must between {-INT64_MAX} and {INT64_MAX}")
    if pairs and not -_MOST <= count <= _MOST:
        raise CommandError("ERR value is out of range")
    return count


class Drawable(Protocol):
    """What elements are drawn from."""

    def __len__(self) -> int: ...
    def elements(self) -> list[bytes]: ...
    def random_element(self, rng: random.Random) -> bytes: ...


def sample(rng: random.Random, value: Drawable, count: int) -> list[bytes]:
    """`count` different elements in no particular order, all of them when there are no more; with a negative
    count exactly that many, each drawn from all. The cost is that of what is drawn."""
    size = len(value)
    if not size or not count:
        return []
    if count < 0:
        if -count >= size:
            return rng.choices(value.elements(), k=-count)
        return [value.random_element(rng) for _ in range(-count)]
    if count >= size:
        return value.elements()
    if count * _FEW_OF >= size:
        return rng.sample(value.elements(), count)
    drawn: dict[bytes, None] = {}
    while len(drawn) < count:
        drawn[value.random_element(rng)] = None
    return list(drawn)


def random_pairs(
    ctx: Context,
    key: bytes,
    options: tuple[bytes, ...],
    *,
    kind: type[_Paired],
    word: bytes,
    companion: Callable[[_Paired, bytes], bytes],
) -> bytes:
    """HRANDFIELD and ZRANDMEMBER: [COUNT [`word`]].

    companion: the value of a field or the score of a member, encoded.
    """
    with_companions = len(options) > 1
    if len(options) > 2 or (with_companions and options[1].upper() != word):
        parse_count(options[0])
        raise SyntaxFault
    count = parse_count(options[0], pairs=with_companions) if options else 1
    value = ctx.typed(key, kind)
    if value is None:
        return replies.EMPTY_ARRAY if options else ctx.null
    if not options:
        return replies.bulk(value.random_element(ctx.rng))
    drawn = sample(ctx.rng, value, count)
    if not with_companions:
        return replies.bulk_array(drawn)
    return replies.pairs([(replies.bulk(one), companion(value, one)) for one in drawn], ctx.resp)
