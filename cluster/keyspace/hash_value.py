"""The hash type: FlatFields while it is short, which take little memory, and a BucketMap beyond. Commands reach the
fields by its methods, since those of ExpiringHashValue hide some."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import ClassVar

from cluster.keyspace.buckets import BucketMap
from cluster.keyspace.flat_fields import FlatFields, NamePool

SHORT_LIMIT = 32
"""Fields that are still found quickly by going through all of them."""


class HashValue:
    """`fields` maps field → value; it is changed by `set` and `discard` only, and holds all that is stored.
    `peak_count` and `peak_bytes` (the longest field or value ever held) decide which encoding Redis would show: its
    conversion from listpack is for good.
    """

    __slots__ = ("fields", "peak_bytes", "peak_count")
    type_name: ClassVar[str] = "hash"

    def __init__(self, items: Iterable[tuple[bytes, bytes]] | None = None, pool: NamePool | None = None) -> None:
        """pool: where a short hash has the names of its fields from."""
        if items is None:
            self.fields: FlatFields | BucketMap[bytes] = FlatFields((), pool)
            self.peak_count = self.peak_bytes = 0
            return
        given = items if isinstance(items, list) else list(items)
        large = BucketMap(given, len(given)) if len(given) > SHORT_LIMIT else None
        self.fields = large if large and len(large) > SHORT_LIMIT else FlatFields(dict(given).items(), pool)
        self.peak_count = len(self.fields)
        self.peak_bytes = max(map(len, chain(self.fields, self.fields.values())), default=0)

    def __len__(self) -> int:
        return len(self.fields)

    def share_names(self, pool: NamePool) -> None:
        """Have the names of the fields from `pool`, if there are few."""
        if isinstance(self.fields, FlatFields):
            self.fields.share(pool)

    def __contains__(self, field: bytes) -> bool:
        return field in self.fields

    def get(self, field: bytes) -> bytes | None:
        return self.fields.get(field)

    def many(self, fields: Iterable[bytes]) -> Iterable[bytes | None]:
        """The value of each."""
        return map(self.fields.get, fields)

    def set(self, field: bytes, content: bytes) -> bool:
        """Whether the field is new. It has no deadline any more."""
        fields = self.fields
        length = len(field)
        if length < len(content):
            length = len(content)
        if length > self.peak_bytes:
            self.peak_bytes = length
        if not fields.set(field, content):
            return False
        count = len(fields)
        if count > self.peak_count:
            self.peak_count = count
            if count > SHORT_LIMIT and isinstance(fields, FlatFields):
                self.fields = BucketMap(fields.items())
        return True

    def update(self, field: bytes, content: bytes) -> bool:
        """As `set`, but a field that has a deadline keeps it."""
        return self.set(field, content)

    def discard(self, field: bytes) -> bool:
        """Whether it was there."""
        return self.fields.pop(field) is not None

    def elements(self) -> list[bytes]:
        """The fields in any order."""
        return list(self.fields)

    def random_element(self, rng: random.Random) -> bytes:
        """A field; there must be one. O(1)."""
        fields = self.fields
        return fields.random_key(rng) if isinstance(fields, BucketMap) else rng.choice(list(fields))

    def deadline(self, field: bytes) -> int | None:
        """When the field expires, in milliseconds since the epoch: never, in a plain hash."""
        return None

    def clear_deadline(self, field: bytes) -> bool:
        """Whether it had one."""
        return False

    def names(self) -> Iterable[bytes]:
        return self.fields

    def contents(self) -> Iterable[bytes]:
        return self.fields.values()

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        return self.fields.items()

    def copy(self) -> HashValue:
        other = HashValue()
        other.fields = self.fields.copy()
        other.peak_count, other.peak_bytes = self.peak_count, self.peak_bytes
        return other

    def take_apart(self) -> Iterator[int]:
        """Let go of the fields bit by bit: how many there were in each bit that is gone."""
        return self.fields.take_apart() if isinstance(self.fields, BucketMap) else iter(())
