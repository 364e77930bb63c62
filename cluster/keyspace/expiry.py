"""The active expire cycle: which keys are past their deadline, a bounded look each tick.

Keys die lazily when somebody asks for them; those nobody asks for are found here. A tick goes on where the last one
ended, slot by slot: it looks at some thousands of deadlines whatever they say, and goes on beyond that for as long as
a good share of what it looks at has expired and there is time. So an idle node spends next to nothing, and a burst
of expiries is cleared at the pace the caller allows. Even a slot of a million keys under one hash tag is taken in
portions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import compress, islice

from cluster.keyspace.database import Database
from cluster.keyspace.hashing import SLOT_COUNT

KEYS_PER_TICK = 20_000
"""Deadlines looked at in any case; at some 30 ns each well under 1 % of a tick at the default hz."""
STALE_SHARE = 0.10
"""Go on past KEYS_PER_TICK while more than this share of the keys looked at had expired (Redis's limit)."""
_ROUND_KEYS = 1_000
_PORTION_KEYS = 500
_EMPTY_DATABASE_COST = SLOT_COUNT // 8


class ExpiryCycle:
    """`due` yields expired keys; the caller deletes each before it takes the next."""

    def __init__(self, databases: list[Database]) -> None:
        self._databases = databases
        self._index = 0
        self._slot = 0
        self._portions: Iterator[bytes] | None = None  # the keys left of a large slot

    def due(self, now_ms: int, out_of_time: Callable[[], bool]) -> Iterator[tuple[Database, int, bytes]]:
        """(database, slot, key) of expired keys: at most one lap over the slots, or until the budget is used."""
        looked = round_looked = round_expired = 0
        lap = len(self._databases) * SLOT_COUNT
        visits = SLOT_COUNT
        while lap > 0 and visits > 0:
            db = self._databases[self._index]
            passed = self._skip_empty(db)
            lap -= passed
            visits -= min(passed, _EMPTY_DATABASE_COST)
            if self._slot == SLOT_COUNT:
                self._slot = 0
                self._index = (self._index + 1) % len(self._databases)
                continue
            slot = self._slot
            seen, expired = self._portion(db.deadlines[slot], now_ms)
            for key in expired:
                yield db, slot, key
            if self._portions is None:
                self._slot += 1
                lap -= 1
                visits -= 1
            looked += seen
            round_looked += seen
            round_expired += len(expired)
            if round_looked >= _ROUND_KEYS:
                if out_of_time() or (looked >= KEYS_PER_TICK and round_expired <= STALE_SHARE * round_looked):
                    return
                if round_expired > STALE_SHARE * round_looked:
                    visits = SLOT_COUNT
                round_looked = round_expired = 0

    def _skip_empty(self, db: Database) -> int:
        """Go to the next slot that has deadlines, or past the last; how many slots that were."""
        if self._portions is not None:
            return 0
        first = self._slot
        # One iterator upon another, so that passing over an empty slot runs no bytecode.
        filled = compress(range(first, SLOT_COUNT), islice(db.deadlines, first, None))
        self._slot = next(filled, SLOT_COUNT)
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
