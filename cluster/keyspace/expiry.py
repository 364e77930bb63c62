"""The active expire cycle: which keys are past their deadline, a bounded look each time.

Keys die lazily when somebody asks for them; those nobody asks for are found here, by the agenda of each database
(agenda.py), in rounds of some hundred deadlines. A call goes on for some thousands of deadlines, whatever they say, and
beyond that for as long as a good part of what it looks at has expired and there is time. So an idle node spends next to
nothing, and a burst of expiries is cleared at the pace the caller allows. What expired first goes first, as far as a
round reaches.

The same cycle finds the hashes whose fields expire (field_expiry.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from cluster.keyspace.agenda import NEVER, Expired
from cluster.keyspace.database import Database
from cluster.keyspace.field_deadlines import FieldDeadlines

KEYS_PER_TICK = 20_000
"""Deadlines looked at in any case; at some 30 ns each well under 1 % of a tick at the default hz."""
STALE_SHARE = 0.10
"""Go on past KEYS_PER_TICK while more than this share of the keys looked at had expired (Redis's limit)."""
_ROUND_KEYS = 200
"""Deadlines between two looks at the clock: to delete so many keys takes the better part of a millisecond."""

_Table = TypeVar("_Table", Database, FieldDeadlines)


class ExpiryCycle(Generic[_Table]):
    """`due` yields expired keys; the caller deletes each before it takes the next."""

    def __init__(self, databases: Sequence[_Table]) -> None:
        self._databases: Sequence[_Table] = databases
        self._index = 0
        self.has_more = False
        """The last call of `due` ran out of time while much of what it met had expired."""

    @property
    def next_ms(self) -> int:
        """When a deadline passes, or an earlier time."""
        return min([db.agenda.next_ms for db in self._databases if db.agenda], default=NEVER)

    def due(self, now_ms: int, out_of_time: Callable[[], bool]) -> Iterator[tuple[_Table, int, bytes]]:
        """(database, slot, key) of expired keys, until there are no more or the budget is used."""
        self.has_more = False
        looked = 0
        while (db := self._next_due(now_ms)) is not None:
            round_looked, expired = self._round(db, now_ms)
            much = len(expired) > STALE_SHARE * round_looked
            expired.sort(reverse=True)
            try:
                while expired:
                    _, slot, key = expired.pop()
                    yield db, slot, key
            finally:  # the caller has enough
                for deadline_ms, slot, _ in expired:
                    db.agenda.note(slot, deadline_ms)
            looked += round_looked
            if out_of_time():
                self.has_more = much
                return
            if looked >= KEYS_PER_TICK and not much:
                return

    def _next_due(self, now_ms: int) -> _Table | None:
        """The next database in turn with something to look at."""
        for _ in self._databases:
            self._index = (self._index + 1) % len(self._databases)
            db = self._databases[self._index]
            if db.agenda.next_ms <= now_ms:
                return db
        return None

    def _round(self, db: _Table, now_ms: int) -> tuple[int, list[Expired]]:
        """(deadlines looked at, those that have passed)"""
        looked = 0
        expired: list[Expired] = []
        while looked < _ROUND_KEYS and (found := db.agenda.look(db.deadlines, now_ms)) is not None:
            looked += found[0] or 1
            expired += found[1]
        return looked, expired
