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
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import is_
from typing import Generic, TypeVar, overload
from zlib import crc32

V = TypeVar("V")
_Default = TypeVar("_Default")

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


class BucketMap(Generic[V]):
    """A mapping from byte strings, in the order of their hashes; it must not change while it is gone through.

    Looking up, setting and removing are O(1), but for the shares of splits. Values must not be None.
    """

    __slots__ = ("_buckets", "_count", "_directory", "_largest", "_shift")

    def __init__(self, items: Iterable[tuple[bytes, V]] = ()) -> None:
        given = list(items)
        depth = (len(given) // EXPECTED_FILL).bit_length()
        self._shift = shift = HASH_BITS - depth  # a key's place is its hash without so many low bits
        self._directory: list[dict[bytes, V]] = [{} for _ in range(1 << depth)]
        directory = self._directory
        for key, value in given:
            directory[crc32(key) >> shift][key] = value
        self._count = sum(map(len, self._directory))
        self._buckets = len(self._directory)
        self._largest = BUCKET_LIMIT
        for key, _ in given if max(map(len, self._directory)) > BUCKET_LIMIT else ():
            place = crc32(key) >> self._shift
            if len(self._directory[place]) > BUCKET_LIMIT:
                self._split(place)

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

    def _split(self, place: int) -> None:
        first, size = self._run(place)
        bucket = self._directory[first]
        if size == 1:
            if self._count < ENTRIES_PER_PLACE * len(self._directory):
                self._largest = max(self._largest, len(bucket))
                return
            self._directory = [one for one in self._directory for _ in range(2)]
            self._shift -= 1
            first, size = 2 * first, 2
        half = size // 2
        middle, shift = first + half, self._shift
        low: dict[bytes, V] = {}
        high: dict[bytes, V] = {}
        for key, value in bucket.items():
            (low if crc32(key) >> shift < middle else high)[key] = value
        self._directory[first:middle] = [low] * half
        self._directory[middle : middle + half] = [high] * half
        self._buckets += 1
        self._largest = max(self._largest, len(low), len(high))

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

    # -- all of it -------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[bytes]:
        for bucket in self.buckets():
            yield from bucket

    def items(self) -> Iterator[tuple[bytes, V]]:
        for bucket in self.buckets():
            yield from bucket.items()

    def values(self) -> Iterator[V]:
        for bucket in self.buckets():
            yield from bucket.values()

    def copy(self) -> BucketMap[V]:
        other: BucketMap[V] = BucketMap()
        other._directory = []
        last = copied = None
        for bucket in self._directory:
            if bucket is not last or copied is None:
                last, copied = bucket, bucket.copy()
            other._directory.append(copied)
        other._shift, other._count = self._shift, self._count
        other._buckets, other._largest = self._buckets, self._largest
        return other

    def random_key(self, rng: random.Random) -> bytes:
        """Any key with the same chance; there must be one. O(1) on average."""
        directory = self._directory
        while True:
            place = rng.randrange(len(directory))
            bucket = directory[place]
            # Drawn by its places, a bucket is kept by its entries for each place.
            at = int(rng.random() * self._largest * self._run(place)[1])
            if at < len(bucket):
                return next(islice(bucket, at, None))

    def scan(self, position: int, shift: int, count: int) -> tuple[int, list[bytes]]:
        """(position to go on from, or 0 at the end; keys from `position` on, `count` or a few more).

        A position is the hash without its `shift` lowest bits; keys of one position come together.
        """
        found: list[bytes] = []
        last = -1
        place = position << shift >> self._shift
        while place < len(self._directory):
            first, size = self._run(place)
            for at, key in sorted([(crc32(key) >> shift, key) for key in self._directory[place]]):
                if at < position:
                    continue
                if at != last and len(found) >= count:
                    return at, found
                last = at
                found.append(key)
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
