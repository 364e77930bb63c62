"""The active expire cycle of the fields of hashes: what expiry.py finds, cleared hash by hash.

Fields are deleted for as long as the caller allows, in portions. So a hash of a million fields that expire in one
moment is cleared over several ticks; meanwhile nobody sees those fields.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cluster.keyspace.database import Database
from cluster.keyspace.expiring_hash import ExpiringHashValue
from cluster.keyspace.expiry import ExpiryCycle

PORTION_FIELDS = 200
"""Deleted between two looks at the clock, and told to replicas in one command."""

Told = Callable[[Database, bytes, ExpiringHashValue, list[bytes]], None]
"""(database, key, its hash, the fields that were taken from it)"""


class FieldExpiryCycle:
    def __init__(self, databases: Sequence[Database]) -> None:
        self._databases = databases
        self._cycle = ExpiryCycle([db.fields for db in databases])
        self._unfinished: tuple[Database, bytes] | None = None
        self.has_more = False
        """The last `run` ran out of time while there was more to do."""

    @property
    def next_ms(self) -> int:
        """When a deadline passes, or an earlier time."""
        return self._cycle.next_ms

    def run(self, now_ms: int, out_of_time: Callable[[], bool], expired: Told) -> None:
        """Take expired fields from their hashes, and tell `expired`, which deletes what is empty then."""
        self.has_more = True
        if self._unfinished is not None and not self._clear(*self._unfinished, now_ms, out_of_time, expired):
            return
        for fields, _, key in self._cycle.due(now_ms, out_of_time):
            if not self._clear(self._databases[fields.index], key, now_ms, out_of_time, expired):
                return
        self.has_more = self._cycle.has_more

    def _clear(
        self, db: Database, key: bytes, now_ms: int, out_of_time: Callable[[], bool], expired: Told
    ) -> bool:
        """Whether there is time left."""
        self._unfinished = None
        while isinstance(value := db.get(key), ExpiringHashValue):
            fields = value.take_expired(now_ms, PORTION_FIELDS)
            if not fields:
                db.note_fields(key, value)
                break
            expired(db, key, value, fields)
            if out_of_time():
                self._unfinished = (db, key)
                return False
            if len(fields) < PORTION_FIELDS:
                break
        return True
