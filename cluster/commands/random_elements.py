"""Random elements of a collection: what SRANDMEMBER, HRANDFIELD and ZRANDMEMBER have in common."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from cluster.commands.context import Context
from cluster.errors import CommandError, SyntaxFault
from cluster.keyspace.numbers import INT64_MAX, parse_integer
from cluster.keyspace.values import HashValue, SortedSetValue
from cluster.protocol import replies

_Element = TypeVar("_Element")
_Paired = TypeVar("_Paired", HashValue, SortedSetValue)

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


def random_pairs(
    ctx: Context,
    key: bytes,
    options: tuple[bytes, ...],
    *,
    kind: type[_Paired],
    word: bytes,
    elements: Callable[[_Paired], Sequence[_Element]],
    name: Callable[[_Element], bytes],
    companion: Callable[[_Paired, _Element], bytes],
) -> bytes:
    """HRANDFIELD and ZRANDMEMBER: [COUNT [`word`]].

    elements: what to draw from. name: the field or member that an element stands for. companion: its value or score,
    encoded.
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
        return replies.bulk(name(ctx.rng.choice(elements(value))))
    drawn = sample(ctx.rng, elements(value), count)
    if not with_companions:
        return replies.bulk_array(map(name, drawn))
    return replies.pairs([(replies.bulk(name(one)), companion(value, one)) for one in drawn], ctx.resp)
