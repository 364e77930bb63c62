"""Consumer groups: how far a group has read, and what its consumers were given and have not acknowledged.

A pending entry is one object in two orders: among all of its group, and among those of its consumer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from sortedcontainers import SortedDict

from cluster.keyspace.stream_id import MAX_ID

_LET_GO_AT_ONCE = 100


class Pending:
    """An entry that `consumer` was given `count` times, last at `delivered_ms`."""

    __slots__ = ("consumer", "count", "delivered_ms")

    def __init__(self, consumer: Consumer, delivered_ms: int, count: int) -> None:
        self.consumer = consumer
        self.delivered_ms = delivered_ms
        self.count = count


class PendingList:
    """Pending entries by id, in the order of ids. Adding, removing and finding are O(log n)."""

    __slots__ = ("_by_id",)

    def __init__(self) -> None:
        self._by_id: SortedDict = SortedDict()

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, entry_id: int) -> bool:
        return entry_id in self._by_id

    def get(self, entry_id: int) -> Pending | None:
        found: Pending | None = self._by_id.get(entry_id)
        return found

    def add(self, entry_id: int, pending: Pending) -> None:
        self._by_id[entry_id] = pending

    def pop(self, entry_id: int) -> Pending | None:
        """Remove an entry and return it, None when it is not there."""
        found: Pending | None = self._by_id.pop(entry_id, None)
        return found

    def between(self, first: int = 0, last: int = MAX_ID) -> Iterator[tuple[int, Pending]]:
        """(id, pending entry) from `first` to `last`, both included. The list must not change meanwhile."""
        by_id = self._by_id
        for entry_id in by_id.irange(first, last):
            yield entry_id, by_id[entry_id]

    def take(self, first: int, last: int, count: int) -> list[tuple[int, Pending]]:
        """The first `count` of `between`, safe from changes."""
        return list(islice(self.between(first, last), count))

    def take_apart(self) -> Iterator[int]:
        """Let go of the entries bit by bit: how many there were in each bit that is gone."""
        by_id = self._by_id
        while by_id:
            for _ in range(min(len(by_id), _LET_GO_AT_ONCE)):
                by_id.popitem()
            yield _LET_GO_AT_ONCE

    @property
    def first_id(self) -> int:
        """Of a list that is not empty."""
        return int(self._by_id.keys()[0])

    @property
    def last_id(self) -> int:
        return int(self._by_id.keys()[-1])


class Consumer:
    """`seen_ms`: when it last asked; `active_ms`: when it last got something, None if never."""

    __slots__ = ("active_ms", "name", "pending", "seen_ms")

    def __init__(self, name: bytes, seen_ms: int, active_ms: int | None = None) -> None:
        self.name = name
        self.seen_ms = seen_ms
        self.active_ms = active_ms
        self.pending = PendingList()


class ConsumerGroup:
    """`last_id`: the last entry it was given; `entries_read`: how many that were, None when it cannot be told."""

    __slots__ = ("consumers", "entries_read", "last_id", "pending")

    def __init__(self, last_id: int, entries_read: int | None = None) -> None:
        self.last_id = last_id
        self.entries_read = entries_read
        self.pending = PendingList()
        self.consumers: dict[bytes, Consumer] = {}

    def copy(self) -> ConsumerGroup:
        other = ConsumerGroup(self.last_id, self.entries_read)
        for name, consumer in self.consumers.items():
            other.consumers[name] = Consumer(name, consumer.seen_ms, consumer.active_ms)
        for entry_id, pending in self.pending.between():
            other.give(entry_id, other.consumers[pending.consumer.name], pending.delivered_ms, pending.count)
        return other

    def consumer(self, name: bytes, now_ms: int) -> tuple[Consumer, bool]:
        """(the consumer of that name, whether it was made just now)."""
        found = self.consumers.get(name)
        if found is not None:
            return found, False
        found = self.consumers[name] = Consumer(name, now_ms)
        return found, True

    def give(self, entry_id: int, consumer: Consumer, now_ms: int, count: int = 1) -> Pending:
        """Make an entry pending with `consumer`, whosever it was before."""
        pending = self.pending.get(entry_id)
        if pending is None:
            pending = Pending(consumer, now_ms, count)
            self.pending.add(entry_id, pending)
            consumer.pending.add(entry_id, pending)
            return pending
        pending.delivered_ms = now_ms
        pending.count = count
        if pending.consumer is not consumer:
            pending.consumer.pending.pop(entry_id)
            pending.consumer = consumer
            consumer.pending.add(entry_id, pending)
        return pending

    def acknowledge(self, entry_id: int) -> bool:
        """The entry is pending no more; whether it was."""
        pending = self.pending.pop(entry_id)
        if pending is None:
            return False
        pending.consumer.pending.pop(entry_id)
        return True

    def take_apart(self) -> Iterator[int]:
        yield from self.pending.take_apart()
        for consumer in self.consumers.values():
            yield from consumer.pending.take_apart()

    def remove_consumer(self, name: bytes) -> int | None:
        """Forget a consumer and all that is pending with it; how many entries that were, None if there is no such."""
        consumer = self.consumers.pop(name, None)
        if consumer is None:
            return None
        for entry_id, _ in consumer.pending.between():
            self.pending.pop(entry_id)
        return len(consumer.pending)
