"""A hash whose fields may have deadlines of their own.

It takes the place of the plain hash under its key with the first deadline, and stays until the key is replaced, so that
hashes without deadlines pay nothing for those that have them.

The deadlines are kept as a sorted set keeps its scores: those that come first are found at once, and those of a field
too. A field whose time is up stays stored until a primary deletes it (`take_expired`), which it does in portions, and a
replica until it is told to. Until then it is hidden: whoever hands the hash to a command sets `now_ms` first, and all
that a command reads or changes is as of that moment. `fields` and `waiting` hold everything.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping

from cluster.keyspace.buckets import BucketMap
from cluster.keyspace.hash_value import HashValue
from cluster.keyspace.sorted_set import SortedSetValue

NEVER = 1 << 62
"""Later than any deadline."""
_TRIES = 100
"""To draw a field that is alive."""


class ExpiringHashValue(HashValue):
    """`waiting` has, for each field with a deadline, milliseconds since the epoch as its score; it is changed by the
    methods only. `next_ms` is the earliest of them, or NEVER. `now_ms`: what is past at this time is hidden."""

    __slots__ = ("next_ms", "now_ms", "waiting")

    def __init__(self, plain: HashValue, deadlines: Mapping[bytes, int] | None = None) -> None:
        """Take over what `plain` holds, which is not to be used any more. `deadlines`: of some of its fields."""
        self.fields = plain.fields
        self.peak_count = plain.peak_count
        self.peak_bytes = plain.peak_bytes
        self.waiting = SortedSetValue(deadlines.items() if deadlines else ())
        self.next_ms = self._earliest()
        self.now_ms = 0

    # -- as commands see it ----------------------------------------------------------------------------------

    @property
    def hides(self) -> bool:
        """Whether it holds fields whose time is up."""
        return self.next_ms <= self.now_ms

    def has_expired(self, field: bytes) -> bool:
        deadline_ms = self.waiting.score(field)
        return deadline_ms is not None and deadline_ms <= self.now_ms

    def living(self, fields: Iterable[bytes]) -> Iterable[bytes]:
        """Those of `fields`, all stored, whose time is not up."""
        return [field for field in fields if not self.has_expired(field)] if self.hides else fields

    def __len__(self) -> int:
        """Fields that are alive."""
        return len(self.fields) - (self._expired_count(self.now_ms) if self.hides else 0)

    def __bool__(self) -> bool:
        """Whether there is anything at all. A hash is deleted with its last field, and replicas, who know the time by
        clocks of their own, must have been told to delete each."""
        return len(self.fields) > 0

    def __contains__(self, field: bytes) -> bool:
        return field in self.fields and not (self.hides and self.has_expired(field))

    def get(self, field: bytes) -> bytes | None:
        return None if self.hides and self.has_expired(field) else self.fields.get(field)

    def many(self, fields: Iterable[bytes]) -> Iterable[bytes | None]:
        return map(self.get, fields)

    def set(self, field: bytes, content: bytes) -> bool:
        revived = self.hides and self.has_expired(field)
        self.clear_deadline(field)
        return super().set(field, content) or revived

    def update(self, field: bytes, content: bytes) -> bool:
        return super().set(field, content)

    def discard(self, field: bytes) -> bool:
        """Whether it was there and alive. What has expired is left to those who tell replicas of that."""
        if self.hides and self.has_expired(field):
            return False
        self.clear_deadline(field)
        return super().discard(field)

    def elements(self) -> list[bytes]:
        return list(self.names())

    def random_element(self, rng: random.Random) -> bytes:
        """A field that is alive; there must be one. O(1), but O(n) where nearly all have expired."""
        for _ in range(_TRIES):
            field = super().random_element(rng)
            if not (self.hides and self.has_expired(field)):
                return field
        return rng.choice(self.elements())

    def names(self) -> Iterable[bytes]:
        return self.living(self.fields)

    def contents(self) -> Iterable[bytes]:
        return (content for _, content in self.items())

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        if not self.hides:
            return self.fields.items()
        return (pair for pair in self.fields.items() if not self.has_expired(pair[0]))

    def deadline(self, field: bytes) -> int | None:
        deadline_ms = self.waiting.score(field)
        return None if deadline_ms is None else int(deadline_ms)

    def set_deadline(self, field: bytes, deadline_ms: int) -> None:
        """Give a field that is there a deadline, or another one. O(log n)."""
        old = self.waiting.score(field)
        if old is None:
            self.waiting.add(field, deadline_ms)
        else:
            self.waiting.move(field, old, deadline_ms)
        if deadline_ms < self.next_ms:
            self.next_ms = deadline_ms
        elif old == self.next_ms:
            self.next_ms = self._earliest()

    def clear_deadline(self, field: bytes) -> bool:
        """Whether it had one."""
        old = self.waiting.score(field)
        if old is None:
            return False
        self.waiting.discard(field)
        if old == self.next_ms:
            self.next_ms = self._earliest()
        return True

    # -- as it is --------------------------------------------------------------------------------------------

    def deadlines(self) -> dict[bytes, int]:
        """Field → milliseconds since the epoch, the earliest first. O(n)."""
        return {field: int(deadline_ms) for field, deadline_ms in self.waiting.items()}

    def take_expired(self, now_ms: int, limit: int) -> list[bytes]:
        """Remove fields whose time is up, `limit` at most; which these were. O(log n), and O(1) a field."""
        if self.next_ms > now_ms:
            return []
        behind = min(limit, self._expired_count(now_ms))
        expired = [field for _, field in self.waiting.stretch(0, behind)]
        if behind == len(self.waiting):
            self.waiting = SortedSetValue()
            self.next_ms = NEVER
        else:
            self.waiting.remove_stretch(0, behind)
            self.next_ms = self._earliest()
        if isinstance(self.fields, BucketMap):
            self.fields.remove_all(expired)
        else:
            for field in expired:
                self.fields.pop(field)
        return expired

    def take_named(self, fields: Iterable[bytes]) -> list[bytes]:
        """Remove those of `fields` whose time is up; which these are."""
        expired = [field for field in dict.fromkeys(fields) if self.has_expired(field)]
        for field in expired:
            self.clear_deadline(field)
            self.fields.pop(field)
        return expired

    def copy(self) -> ExpiringHashValue:
        return ExpiringHashValue(super().copy(), self.deadlines())

    def take_apart(self) -> Iterator[int]:
        yield from super().take_apart()
        yield from self.waiting.take_apart()

    def _earliest(self) -> int:
        if not len(self.waiting):
            self.waiting = SortedSetValue()  # a long one has no way to be empty
            return NEVER
        [(first_ms, _)] = self.waiting.stretch(0, 1)
        return int(first_ms)

    def _expired_count(self, now_ms: int) -> int:
        return self.waiting.position_of_score(now_ms, after=True)


def expiring(value: HashValue) -> ExpiringHashValue:
    """`value` as one that takes deadlines; it must be put in its place."""
    return value if isinstance(value, ExpiringHashValue) else ExpiringHashValue(value)
