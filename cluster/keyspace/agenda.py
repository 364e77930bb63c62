"""When to look at which slot of a table of deadlines, so that the expire cycle finds those that have passed.

To find a key at its time costs no look at any other slot: for each slot that may have deadlines it is known when the
earliest of them passes. To set a later one, as nearly every command does that gives the same time to live, takes a
comparison. What is taken back (PERSIST, DEL, another deadline) is left: the slot is looked at once in vain, and told
anew by what is there then.

A look takes in the whole slot. So one with many deadlines is left alone after it, for a while that grows with their
number, and one with very many (a hash tag) is looked through in portions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import islice

from cluster.keyspace.hashing import SLOT_COUNT

NEVER = 1 << 63
"""Later than any deadline."""
PORTION_KEYS = 200
"""Deadlines of a slot looked at in one go."""
_KEYS_PER_MS = 10
"""A slot is left alone for a millisecond for so many of its deadlines, which took a third of a microsecond …"""
_MOST_REST_MS = 1_000
"""… and for no longer than this."""
_HEAP_LIMIT = 4 * SLOT_COUNT

Expired = tuple[int, int, bytes]
"""(deadline, slot, key)"""


class Agenda:
    """True while there may be deadlines in the table. Whoever sets one says so by `note`."""

    __slots__ = ("_heap", "_looks", "_rests", "_scan")

    def __init__(self) -> None:
        self._looks: dict[int, int] = {}  # slot → when to look at it; NEVER for the one that is looked through
        self._heap: list[tuple[int, int]] = []  # (when, slot); what `_looks` does not say any more is void
        self._rests: dict[int, int] = {}  # slot with many deadlines → not to be looked at before
        self._scan: tuple[int, Iterator[bytes], int] | None = None  # slot, keys left, earliest deadline so far

    def __bool__(self) -> bool:
        return bool(self._looks)

    @property
    def next_ms(self) -> int:
        """When there is something to look at, or an earlier time."""
        if self._scan is not None:
            return 0
        return self._heap[0][0] if self._heap else NEVER

    @property
    def pending(self) -> int:
        """How many looks are kept, those that are void with them."""
        return len(self._heap)

    def note(self, slot: int, deadline_ms: int) -> None:
        """A key of `slot` has this deadline now."""
        if deadline_ms < self._looks.get(slot, NEVER):
            self._looks[slot] = deadline_ms
            heappush(self._heap, (deadline_ms, slot))
            if len(self._heap) > _HEAP_LIMIT:
                self._heap = [(at_ms, one) for one, at_ms in self._looks.items()]
                heapify(self._heap)

    def look(self, table: Sequence[dict[bytes, int]], now_ms: int) -> tuple[int, list[Expired]] | None:
        """(deadlines looked at, those of them that have passed), of one slot or a portion of it; None when there is
        nothing to look at. What is expired must be removed, or noted again."""
        if self._scan is not None:
            return self._portion(table, now_ms)
        heap, looks = self._heap, self._looks
        while heap and heap[0][0] <= now_ms:
            at_ms, slot = heappop(heap)
            if looks.get(slot) != at_ms:
                continue
            deadlines = table[slot]
            rest_until = self._rests.pop(slot, 0)
            if rest_until > now_ms and len(deadlines) > PORTION_KEYS:
                self._rests[slot] = rest_until
                self._look_at(slot, rest_until)
                continue
            if len(deadlines) > PORTION_KEYS:
                looks[slot] = NEVER
                self._scan = slot, iter(list(deadlines)), NEVER
                return self._portion(table, now_ms)
            expired = [(deadline, slot, key) for key, deadline in deadlines.items() if deadline <= now_ms]
            if len(expired) == len(deadlines):
                del looks[slot]
            else:
                earliest = min([deadline for deadline in deadlines.values() if deadline > now_ms])
                self._look_at(slot, max(earliest, now_ms + len(deadlines) // _KEYS_PER_MS))
            return len(deadlines), expired
        return None

    def _look_at(self, slot: int, at_ms: int) -> None:
        self._looks[slot] = at_ms
        heappush(self._heap, (at_ms, slot))

    def _portion(self, table: Sequence[dict[bytes, int]], now_ms: int) -> tuple[int, list[Expired]]:
        """Go on with the slot that is looked through."""
        assert self._scan is not None
        slot, left, earliest = self._scan
        deadlines = table[slot]
        keys = list(islice(left, PORTION_KEYS))
        times = [deadlines.get(key, NEVER) for key in keys]
        expired = [(time, slot, key) for time, key in zip(times, keys, strict=True) if time <= now_ms]
        earliest = min([earliest, *[time for time in times if time > now_ms]])
        self._scan = slot, left, earliest
        if len(keys) < PORTION_KEYS:
            self._scan = None
            self._rests[slot] = rest_until = now_ms + min(len(deadlines) // _KEYS_PER_MS, _MOST_REST_MS)
            earliest = min(earliest, self._looks.pop(slot))  # there may be new ones
            if earliest < NEVER:
                self._look_at(slot, max(earliest, rest_until))
        return len(keys), expired
