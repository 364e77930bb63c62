"""A map for large collections: many small dicts, each for a range of hashes (extendible hashing).

A single dict of a million entries stops everything for tens of milliseconds whenever it grows and when it is freed,
can't be entered in the middle of a scan, and gives no random entry. Here no step touches more than one bucket, but for
the doubling of the directory, which copies a pointer for some dozens of entries.

The directory has 2^depth places, found by the top bits of the CRC-32 of a key. A bucket stands in all places that
begin with the bits its keys share. When it is full it is split in two by the next bit; two that hold little are merged.
As the directory is in the order of hashes, a scan goes on from a hash, whatever was split or merged meanwhile.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain, compress, islice
from operator import is_, not_
from typing import Generic, Self, TypeVar, overload
from zlib import crc32

V = TypeVar("V")
_Default = TypeVar("_Default")
Part = tuple[int, dict[bytes, V]]
"""What there is in a range of hashes: how many first bits these share, and the keys."""

BUCKET_LIMIT = 170
"""What a dict of 256 hash places holds."""
EXPECTED_FILL = 120
"""Of a map that is made with many entries, a bucket holds so many at most, and half of that at least, on average."""
MERGE_BELOW = 40
"""A bucket with fewer entries looks whether its neighbour has few, too."""
MERGED_LIMIT = 80
ENTRIES_PER_PLACE = 16
"""The directory is not made longer when there are fewer: keys were chosen to have the same hash, and share a bucket."""
PLACES_PER_BUCKET = 4
"""The directory is made shorter when there are more, if every bucket stands in two places at least."""
HASH_BITS = 32


def peak_of_parts(parts: Iterable[Part[V]]) -> tuple[int, list[Part[V]]]:
    """(the length of the longest key, the parts): each is looked at while it is near at hand, having just been made."""
    peak = 0
    given: list[Part[V]] = []
    for one in parts:
        peak = max(peak, max(map(len, one[1]), default=0))
        given.append(one)
    return peak, given


class BucketMap(Generic[V]):
    """A mapping from byte strings, in the order of their hashes; it must not change while it is gone through.

    Looking up, setting and removing are O(1), but for the shares of splits. Values must not be None.
    """

    __slots__ = ("_buckets", "_count", "_directory", "_largest", "_shift")

    def __init__(self, items: Iterable[tuple[bytes, V]] = (), count: int | None = None) -> None:
        """count: how many items there are, where that is known."""
        if count is None:
            items = list(items)
            count = len(items)
        depth = (count // EXPECTED_FILL).bit_length()
        self._shift = shift = HASH_BITS - depth  # a key's place is its hash without so many low bits
        self._directory: list[dict[bytes, V]] = [{} for _ in range(1 << depth)]
        directory = self._directory
        for key, value in items:
            directory[crc32(key) >> shift][key] = value
        self._count = sum(map(len, self._directory))
        self._buckets = len(self._directory)
        self._largest = BUCKET_LIMIT
        self._split_all([bucket for bucket in directory if len(bucket) > BUCKET_LIMIT])

    @classmethod
    def of_parts(cls, parts: list[Part[V]]) -> Self:
        """Of dicts for ranges of hashes from the lowest to the highest, which are used up."""
        self = cls.__new__(cls)
        self._take_parts(parts)
        return self

    def _take_parts(self, parts: list[Part[V]]) -> None:
        count = sum([len(part) for _, part in parts])
        if not MERGE_BELOW * len(parts) <= count <= 2 * BUCKET_LIMIT * len(parts):
            BucketMap.__init__(self, chain.from_iterable([part.items() for _, part in parts]), count)
            return
        depth = max([bits for bits, _ in parts])
        self._shift = HASH_BITS - depth
        self._directory = []
        for bits, part in parts:
            self._directory += [part] * (1 << depth - bits)
        self._count = count
        self._buckets = len(parts)
        self._largest = BUCKET_LIMIT
        self._split_all([part for _, part in parts if len(part) > BUCKET_LIMIT])

    def _split_all(self, large: list[dict[bytes, V]]) -> None:
        """Split those that are `large` until none is."""
        while large:
            bucket = large.pop()
            if len(bucket) > BUCKET_LIMIT:
                large += self._split(crc32(next(iter(bucket))) >> self._shift)

    # -- one key ---------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: bytes) -> bool:
        return key in self._directory[crc32(key) >> self._shift]

    def __getitem__(self, key: bytes) -> V:
        return self._directory[crc32(key) >> self._shift][key]

    @overload
    def get(self, key: bytes) -> V | None: ...
    @overload
    def get(self, key: bytes, default: _Default) -> V | _Default: ...
    def get(self, key: bytes, default: object = None) -> object:
        return self._directory[crc32(key) >> self._shift].get(key, default)

    def __setitem__(self, key: bytes, value: V) -> None:
        self.set(key, value)

    def set(self, key: bytes, value: V) -> bool:
        """Whether the key is new."""
        place = crc32(key) >> self._shift
        bucket = self._directory[place]
        size = len(bucket)
        bucket[key] = value
        if len(bucket) == size:
            return False
        self._count += 1
        if size >= BUCKET_LIMIT:
            self._split(place)
        return True

    def keep(self, key: bytes, value: V) -> V | None:
        """Set a key, unless it is there: its value then."""
        place = crc32(key) >> self._shift
        bucket = self._directory[place]
        found = bucket.get(key)
        if found is None:
            bucket[key] = value
            self._count += 1
            if len(bucket) > BUCKET_LIMIT:
                self._split(place)
        return found

    @overload
    def pop(self, key: bytes) -> V | None: ...
    @overload
    def pop(self, key: bytes, default: _Default) -> V | _Default: ...
    def pop(self, key: bytes, default: object = None) -> object:
        """Remove a key; its value, or `default` when it is not there."""
        place = crc32(key) >> self._shift
        bucket = self._directory[place]
        found = bucket.pop(key, None)
        if found is None:
            return default
        self._count -= 1
        if len(bucket) < MERGE_BELOW:
            self._merge(place)
        return found

    def remove_all(self, keys: Iterable[bytes]) -> None:
        """Remove those of `keys` that are there."""
        directory, shift = self._directory, self._shift
        for key in keys:
            place = crc32(key) >> shift
            bucket = directory[place]
            if bucket.pop(key, None) is not None:
                self._count -= 1
                if len(bucket) < MERGE_BELOW:
                    self._merge(place)
                    directory, shift = self._directory, self._shift

    # -- the directory ---------------------------------------------------------------------------------------

    def _run(self, place: int) -> tuple[int, int]:
        """(the first of the places that the bucket at `place` stands in, how many they are, a power of two)."""
        directory = self._directory
        bucket = directory[place]
        size = 1
        while size < len(directory) and directory[place ^ size] is bucket:
            place &= ~size
            size <<= 1
        return place, size

    def _split(self, place: int) -> tuple[dict[bytes, V], ...]:
        """The two that a bucket has become; none if it stays whole."""
        first, size = self._run(place)
        bucket = self._directory[first]
        if size == 1:
            if self._count < ENTRIES_PER_PLACE * len(self._directory):
                self._largest = max(self._largest, len(bucket))
                return ()
            self._directory = [one for one in self._directory for _ in range(2)]
            self._shift -= 1
            first, size = 2 * first, 2
        half = size // 2
        middle = first + half
        are_low = list(map((middle << self._shift).__gt__, map(crc32, bucket)))
        low = dict(compress(bucket.items(), are_low))
        high = dict(compress(bucket.items(), map(not_, are_low)))
        self._directory[first:middle] = [low] * half
        self._directory[middle : middle + half] = [high] * half
        self._buckets += 1
        self._largest = max(self._largest, len(low), len(high))
        return low, high

    def _merge(self, place: int) -> None:
        directory = self._directory
        first, size = self._run(place)
        if size == len(directory):
            return
        other, other_size = self._run(first ^ size)
        bucket, buddy = directory[first], directory[other]
        if other_size != size or len(bucket) + len(buddy) > MERGED_LIMIT:
            return
        start = min(first, other)
        directory[start : start + 2 * size] = [bucket | buddy] * (2 * size)
        self._buckets -= 1
        if len(directory) > PLACES_PER_BUCKET * self._buckets and all(map(is_, directory[::2], directory[1::2])):
            self._directory = directory[::2]
            self._shift += 1

    def buckets(self) -> Iterator[dict[bytes, V]]:
        """Every bucket, in the order of hashes."""
        last = None
        for bucket in self._directory:
            if bucket is not last:
                yield bucket
                last = bucket

    @property
    def depth(self) -> int:
        """The directory has 2^depth places."""
        return HASH_BITS - self._shift

    def range_at(self, place: int, depth: int) -> tuple[dict[bytes, V], int]:
        """(the bucket at a place, how many places it stands in) if the directory had 2^`depth` places, which is as
        many or more."""
        finer = depth - self.depth
        first, size = self._run(place >> finer)
        return self._directory[first], size << finer

    def joined(self, place: int, size: int, depth: int) -> dict[bytes, V]:
        """All keys at `size` places, as `range_at` counts them."""
        finer = depth - self.depth
        found: dict[bytes, V] = {}
        last = None
        for bucket in self._directory[place >> finer : place + size >> finer]:
            if bucket is not last:
                found.update(bucket)
                last = bucket
        return found

    # -- all of it -------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[bytes]:
        return chain.from_iterable(self.buckets())

    def items(self) -> Iterator[tuple[bytes, V]]:
        return chain.from_iterable(map(dict.items, self.buckets()))

    def values(self) -> Iterator[V]:
        return chain.from_iterable(map(dict.values, self.buckets()))

    def copy(self) -> BucketMap[V]:
        other: BucketMap[V] = BucketMap()
        self._copy_to(other)
        return other

    def _copy_to(self, other: BucketMap[V]) -> None:
        other._directory = []
        last = copied = None
        for bucket in self._directory:
            if bucket is not last or copied is None:
                last, copied = bucket, bucket.copy()
            other._directory.append(copied)
        other._shift, other._count = self._shift, self._count
        other._buckets, other._largest = self._buckets, self._largest

    def random_key(self, rng: random.Random) -> bytes:
        """Any key with the same chance; there must be one. O(1) on average."""
        directory = self._directory
        places, largest, draw = len(directory), self._largest, rng.random
        while True:
            place = int(draw() * places)
            bucket = directory[place]
            # Drawn by its places, a bucket is kept by its entries for each place.
            at = int(draw() * largest)
            if at < len(bucket):
                size = self._run(place)[1]
                at = at * size + place % size
                if at < len(bucket):
                    return next(islice(bucket, at, None))

    def scan(self, position: int, shift: int, count: int) -> tuple[int, list[bytes]]:
        """(position to go on from, or 0 at the end; keys from `position` on, `count` or a few more).

        A position is the hash without its `shift` lowest bits; keys of one position come together.
        """
        found: list[bytes] = []
        place = position << shift >> self._shift
        while place < len(self._directory):
            first, size = self._run(place)
            bucket = self._directory[first]
            positions = [crc32(key) >> shift for key in bucket]
            ahead = sorted([at for at in positions if at >= position])
            wanted = count - len(found)
            until = bisect_right(ahead, ahead[wanted - 1]) if 0 < wanted <= len(ahead) else max(wanted, 0)
            if until < len(ahead):
                stop = ahead[until]
                found += [key for key, at in zip(bucket, positions, strict=True) if position <= at < stop]
                return stop, found
            found += [key for key, at in zip(bucket, positions, strict=True) if at >= position]
            place = first + size
        return 0, found

    def take_apart(self) -> Iterator[int]:
        """Let go of all keys bucket by bucket: how many each held that is gone. The map is of no use afterwards."""
        directory = self._directory
        while directory:
            bucket = directory.pop()
            if not directory or directory[-1] is not bucket:
                size = len(bucket)
                del bucket
                yield size
