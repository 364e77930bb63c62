"""A database: 16384 dicts of keys, one a slot, and beside each the deadlines of its keys.

Emptying, counting, dumping or moving a slot touches one dict. Deadlines are absolute, in milliseconds since the
epoch. The database knows nothing of clients or journals; `Context` (cluster/commands/context.py) adds the
expiry on access, the bookkeeping and the effects.

A string is `bytes` (or `bytearray` once APPEND, SETRANGE or SETBIT changed it in place, so that growing it costs
no copy); the other types are the classes beside this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress
from typing import Any

from cluster.keyspace.agenda import Agenda
from cluster.keyspace.expiring_hash import NEVER, ExpiringHashValue
from cluster.keyspace.field_deadlines import FieldDeadlines
from cluster.keyspace.hashing import SLOT_COUNT, key_slot
from cluster.keyspace.values import Value


class Database:
    """`spaces[slot]` maps key → value, `deadlines[slot]` key → expiry in ms for the keys that have one.

    `agenda`: when deadlines pass. Whoever sets one notes it there.
    `fields`: which of the hashes have fields with deadlines.
    `used_ms[slot]`: when a key of the slot was used last, in milliseconds since the epoch; 0: not since the start.
    """

    __slots__ = ("agenda", "deadlines", "fields", "index", "spaces", "used_ms")

    def __init__(self, index: int) -> None:
        self.index = index
        self.spaces: list[dict[bytes, Value]] = [{} for _ in range(SLOT_COUNT)]
        self.deadlines: list[dict[bytes, int]] = [{} for _ in range(SLOT_COUNT)]
        self.agenda = Agenda()
        self.fields = FieldDeadlines(index)
        self.used_ms = [0] * SLOT_COUNT

    def __len__(self) -> int:
        return sum(map(len, self.spaces))

    def volatile_count(self) -> int:
        """Keys that have a deadline."""
        return sum(map(len, self.deadlines))

    def get(self, key: bytes) -> Value | None:
        """The stored value, its deadline not looked at."""
        return self.spaces[key_slot(key)].get(key)

    def deadline(self, key: bytes) -> int | None:
        return self.deadlines[key_slot(key)].get(key)

    def store(self, key: bytes, value: Value, deadline_ms: int | None = None) -> None:
        """Set or replace; the deadline is replaced too."""
        slot = key_slot(key)
        self.spaces[slot][key] = value
        if deadline_ms is not None:
            self.deadlines[slot][key] = deadline_ms
            self.agenda.note(slot, deadline_ms)
        else:
            self.deadlines[slot].pop(key, None)
        self.note_fields(key, value)

    def note_fields(self, key: bytes, value: Value) -> None:
        """`value`, which is what `key` holds now, may have got fields with deadlines, or have others than before."""
        if isinstance(value, ExpiringHashValue) and value.next_ms != NEVER:
            self.fields.note(key, value.next_ms)
        else:
            self.fields.forget(key)

    def delete(self, key: bytes) -> bool:
        slot = key_slot(key)
        if self.spaces[slot].pop(key, None) is None:
            return False
        self.deadlines[slot].pop(key, None)
        self.fields.forget(key)
        return True

    def keys(self) -> Iterator[bytes]:
        for space in self.spaces:
            yield from space

    def items(self) -> Iterator[tuple[bytes, Value, int | None]]:
        """(key, value, deadline or None) in slot order. The database must not change meanwhile."""
        for space, deadlines in zip(self.spaces, self.deadlines, strict=True):
            for key, value in space.items():
                yield key, value, deadlines.get(key)

    def clear(self) -> list[dict[bytes, Any]]:
        """Forget everything. The dicts that held something are replaced and returned, for whoever frees them."""
        filled: list[dict[bytes, Any]] = []
        self.agenda, self.fields.agenda = Agenda(), Agenda()
        for tables in (self.spaces, self.deadlines, self.fields.deadlines):
            for slot in list(compress(range(SLOT_COUNT), tables)):
                filled.append(tables[slot])
                tables[slot] = {}
        return filled

    def clear_slot(self, slot: int) -> int:
        """Forget one slot's keys; how many there were."""
        count = len(self.spaces[slot])
        self.spaces[slot] = {}
        self.deadlines[slot] = {}
        self.fields.clear_slot(slot)
        return count
