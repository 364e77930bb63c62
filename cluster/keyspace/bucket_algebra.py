"""Large maps put together bucket by bucket.

Keys of equal hashes lie in equal places, so that a range of hashes is a small dict in each map. What these have in
common, C finds without hashing anything anew, and all it touches is near.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from operator import and_, or_, sub

from cluster.keyspace.buckets import BucketMap, Part, V

MOST_UNLIKE = 8
"""Of maps that differ more in size one is small: it is better gone through key by key."""


def are_alike(maps: Sequence[object]) -> bool:
    """Whether all are BucketMaps, and of about one size."""
    sizes = [len(one) for one in maps if isinstance(one, BucketMap)]
    return 0 < len(maps) == len(sizes) and max(sizes) <= MOST_UNLIKE * min(sizes)


def regions(maps: Sequence[BucketMap[V]]) -> Iterator[tuple[int, list[dict[bytes, V]]]]:
    """Ranges of hashes from the lowest to the highest: (how many first bits they share, what each of `maps` has
    there). The dicts may be the buckets themselves."""
    depth = max([one.depth for one in maps])
    place = 0
    while place < 1 << depth:
        found = [one.range_at(place, depth) for one in maps]
        size = max([size for _, size in found])
        yield depth - size.bit_length() + 1, [
            bucket if covered == size else one.joined(place, size, depth)
            for one, (bucket, covered) in zip(maps, found, strict=True)
        ]
        place += size


def united(maps: Sequence[BucketMap[V]]) -> Iterator[Part[V]]:
    """The keys of all; the last map that has one gives its value."""
    for bits, row in regions(maps):
        yield bits, reduce(or_, row, {})


def common(maps: Sequence[BucketMap[bool]]) -> Iterator[Part[bool]]:
    """The keys that all have."""
    for bits, row in regions(maps):
        yield bits, dict.fromkeys(reduce(and_, [one.keys() for one in row]), True)


def left_over(maps: Sequence[BucketMap[bool]]) -> Iterator[Part[bool]]:
    """The keys of the first that no other has."""
    for bits, row in regions(maps):
        yield bits, dict.fromkeys(reduce(sub, [one.keys() for one in row]), True)
