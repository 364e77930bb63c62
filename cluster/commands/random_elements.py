"""Random elements of a collection: what SRANDMEMBER, HRANDFIELD and ZRANDMEMBER have in common."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from cluster.commands.context import Context
from cluster.errors import CommandError, SyntaxFault
from cluster.keyspace.numbers import INT64_MAX, parse_integer
from cluster.keyspace.values import HashValue, SortedSetValue
from cluster.protocol import replies

_Paired = TypeVar("_Paired", HashValue, SortedSetValue)

_Companion = TypeVar("_Companion")
_Element = TypeVar("_Element")
_Drawn = TypeVar("_Drawn", covariant=True)

_MOST = INT64_MAX // 2
_FEW_OF = 16
"""So many times the elements asked for must be there for it to pay to draw them one by one, not from a list of all."""


class Companions(NamedTuple, Generic[_Paired, _Companion]):
    """What belongs to the elements: the values of fields, or the scores of members."""

    of: Callable[[_Paired, bytes], _Companion]
    pairs: Callable[[_Paired], list[tuple[bytes, _Companion]]]
    text: Callable[[_Companion], bytes]
    encoded: Callable[[_Companion], bytes]
    """In RESP3."""


def parse_count(text: bytes, *, pairs: bool = False) -> int:
    """The COUNT of these commands; with `pairs` each element takes two places of the reply."""
    count = parse_integer(text)
    if count < -INT64_MAX:
        raise CommandError(f"ERR value is out of range, value must between {-INT64_MAX} and {INT64_MAX}")
    if pairs and not -_MOST <= count <= _MOST:
        raise CommandError("ERR value is out of range")
    return count


class Drawable(Protocol[_Drawn]):
    """What elements are drawn from."""

    def __len__(self) -> int: ...
    def elements(self) -> Sequence[_Drawn]: ...
    def random_element(self, rng: random.Random) -> _Drawn: ...


class _Pairs(Generic[_Paired, _Companion]):
    """The elements of `value` with what belongs to each of them."""

    def __init__(self, value: _Paired, kind: Companions[_Paired, _Companion]) -> None:
        self._value: _Paired = value
        self._kind: Companions[_Paired, _Companion] = kind

    def __len__(self) -> int:
        return len(self._value)

    def elements(self) -> list[tuple[bytes, _Companion]]:
        return self._kind.pairs(self._value)

    def random_element(self, rng: random.Random) -> tuple[bytes, _Companion]:
        one = self._value.random_element(rng)
        return one, self._kind.of(self._value, one)


def sample(rng: random.Random, value: Drawable[_Element], count: int) -> list[_Element]:
    """`count` different elements in no particular order, all of them when there are no more; with a negative
    count exactly that many, each drawn from all. The cost is that of what is drawn."""
    size = len(value)
    if not size or not count:
        return []
    if count < 0:
        if -count * _FEW_OF >= size:
            return rng.choices(value.elements(), k=-count)
        return [value.random_element(rng) for _ in range(-count)]
    if count >= size:
        return list(value.elements())
    if count * _FEW_OF >= size:
        return rng.sample(value.elements(), count)
    drawn: dict[_Element, None] = {}
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
    companions: Companions[_Paired, _Companion],
) -> bytes:
    """HRANDFIELD and ZRANDMEMBER: [COUNT [`word`]]."""
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
    if not with_companions:
        return replies.bulk_array(sample(ctx.rng, value, count))
    drawn = sample(ctx.rng, _Pairs(value, companions), count)
    text = companions.text
    if ctx.resp == 2:
        return replies.bulk_array([part for one, other in drawn for part in (one, text(other))])
    encoded = companions.encoded
    return replies.array([b"*2\r\n$%d\r\n%b\r\n%b" % (len(one), one, encoded(other)) for one, other in drawn])
