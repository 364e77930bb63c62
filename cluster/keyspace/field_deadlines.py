"""Which hashes of a database have fields with deadlines, slot by slot, as it knows the deadlines of its keys."""

from __future__ import annotations

from cluster.keyspace.agenda import Agenda
from cluster.keyspace.hashing import SLOT_COUNT, key_slot


class FieldDeadlines:
    """`deadlines[slot]` maps key → the earliest deadline of a field of its hash, or an earlier moment. It is empty,
    without even its slots, until the first is noted. `agenda` as in Database; `index` is the database's."""

    __slots__ = ("agenda", "deadlines", "index")

    def __init__(self, index: int) -> None:
        self.index = index
        self.deadlines: list[dict[bytes, int]] = []
        self.agenda = Agenda()

    def __len__(self) -> int:
        return sum(map(len, self.deadlines))

    def earliest(self) -> dict[bytes, int]:
        """All of them. O(n)."""
        return {key: deadline_ms for slot in self.deadlines for key, deadline_ms in slot.items()}

    def note(self, key: bytes, deadline_ms: int) -> None:
        self._make_slots()
        slot = key_slot(key)
        self.deadlines[slot][key] = deadline_ms
        self.agenda.note(slot, deadline_ms)

    def forget(self, key: bytes) -> None:
        if self.deadlines:
            self.deadlines[key_slot(key)].pop(key, None)

    def clear_slot(self, slot: int) -> None:
        if self.deadlines:
            self.deadlines[slot] = {}

    def take_from(self, other: FieldDeadlines) -> None:
        """Have what `other` has, which is not to be used any more."""
        if other.deadlines or self.deadlines:
            other._make_slots()
            self._make_slots()
            self.deadlines[:] = other.deadlines
            self.agenda = other.agenda

    def exchange(self, other: FieldDeadlines) -> None:
        if self.deadlines or other.deadlines:
            for one in (self, other):
                one._make_slots()
            self.deadlines[:], other.deadlines[:] = other.deadlines[:], self.deadlines[:]
            self.agenda, other.agenda = other.agenda, self.agenda

    def _make_slots(self) -> None:
        """Once there, they stay: the context holds them."""
        if not self.deadlines:
            self.deadlines.extend({} for _ in range(SLOT_COUNT))
