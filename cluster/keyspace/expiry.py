"""The active expire cycle: which keys are past their deadline, a bounded look each tick.

Keys die lazily when somebody asks for them; those nobody asks for are found here. A tick goes on where the last one
ended, slot by slot: it looks at a share of the slots and some thousands of deadlines, whatever they say, and goes on
beyond that for as long as a good part of what it looks at has expired and there is time. So an idle node spends next
to nothing, and a burst of expiries is cleared at the pace the caller allows. A database in which a lap has met no
deadline is left out until it has one again. Even a slot of a million keys under one hash tag is taken in portions.

The same cycle finds the hashes whose fields expire (field_expiry.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import compress, islice
from typing import Generic, TypeVar

from cluster.keyspace.database import Database
from cluster.keyspace.field_deadlines import FieldDeadlines
from cluster.keyspace.hashing import SLOT_COUNT

KEYS_PER_TICK = 20_000
"""Deadlines looked at in any case; at some 30 ns each well under 1 % of a tick at the default hz."""
STALE_SHARE = 0.10
"""Go on past KEYS_PER_TICK while more than this share of the keys looked at had expired (Redis's limit)."""
_ROUND_KEYS = 200
"""Deadlines between two looks at the clock: to delete so many keys takes the better part of a millisecond."""
_PORTION_KEYS = 200


_Table = TypeVar("_Table", Database, FieldDeadlines)


class ExpiryCycle(Generic[_Table]):
    """`due` yields expired keys; the caller deletes each before it takes the next."""

    def __init__(self, databases: Sequence[_Table]) -> None:
        self._databases: Sequence[_Table] = databases
        self._index = 0
        self._slot = 0
        self._portions: Iterator[bytes] | None = None  # the keys left of a large slot
        self.has_more = False
        """The last call of `due` ran out of time while much of what it met had expired."""

    def look_everywhere(self) -> None:
        """Deadlines may have come in without a word (a replica's data are replaced as a whole)."""
        for db in self._databases:
            db.may_expire = True

    def due(
        self, now_ms: int, out_of_time: Callable[[], bool], *, ticks_per_lap: int = 1
    ) -> Iterator[tuple[_Table, int, bytes]]:
        """(database, slot, key) of expired keys: a share of a lap over the slots, or until the budget is used.

        While much has expired the share is a whole lap.
        """
        self.has_more = False
        looked = round_looked = round_expired = 0
        lap = SLOT_COUNT * self._filled_databases()
        visits = -(-lap // ticks_per_lap)
        turns = len(self._databases) + 1  # the first may be in the middle of its lap
        while turns > 0 and visits > 0:
            db = self._databases[self._index]
            visits -= self._skip_empty(db, visits)
            if self._slot == SLOT_COUNT:
                self._slot = 0
                self._index = (self._index + 1) % len(self._databases)
                turns -= 1
                continue
            if visits <= 0:
                return
            slot = self._slot
            db.may_expire = True
            seen, expired = self._portion(db.deadlines[slot], now_ms)
            for key in expired:
                yield db, slot, key
            if self._portions is None:
                self._slot += 1
                visits -= 1
            looked += seen
            round_looked += seen
            round_expired += len(expired)
            if round_looked >= _ROUND_KEYS:
                much = round_expired > STALE_SHARE * round_looked
                if out_of_time():
                    self.has_more = much
                    return
                if looked >= KEYS_PER_TICK and not much:
                    return
                if much:
                    visits = lap
                round_looked = round_expired = 0

    def _filled_databases(self) -> int:
        """Those that may hold deadlines; that of the lap under way says so only once it has met one."""
        return sum(db.may_expire or (self._slot > 0 and db is self._databases[self._index]) for db in self._databases)

    def _skip_empty(self, db: _Table, most: int) -> int:
        """Go to the next slot that has deadlines, or past the last, or `most` slots on; how many slots that were."""
        if self._portions is not None:
            return 0
        if self._slot == 0:
            if not db.may_expire:
                self._slot = SLOT_COUNT
                return 0
            db.may_expire = False  # until this lap meets a deadline, or somebody sets one
        first = self._slot
        end = min(first + most, SLOT_COUNT)
        # One iterator upon another, so that passing over an empty slot runs no bytecode.
        filled = compress(range(first, end), islice(db.deadlines, first, end))
        self._slot = next(filled, end)
        return self._slot - first

    def _portion(self, deadlines: dict[bytes, int], now_ms: int) -> tuple[int, list[bytes]]:
        """(keys looked at, those of them that have expired) of the slot at hand."""
        if self._portions is None:
            if len(deadlines) <= _PORTION_KEYS:
                return len(deadlines), [key for key, deadline in deadlines.items() if deadline <= now_ms]
            self._portions = iter(list(deadlines))
        keys = list(islice(self._portions, _PORTION_KEYS))
        if len(keys) < _PORTION_KEYS:
            self._portions = None
        return len(keys), [key for key in keys if deadlines.get(key, now_ms + 1) <= now_ms]
