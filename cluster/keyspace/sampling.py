"""Random keys out of a database's 16384 dicts, at a cost that does not depend on how the keys lie in them.

A dict cannot be entered in the middle, and most of the dicts may be empty, or one may hold everything. So the sampler
surveys the dicts now and then: which hold keys, and how many. By that a slot is drawn with the weight of its keys. In
between the survey grows a little old: keys that are gone are drawn in vain, and keys in slots that were empty are not
drawn yet. That is good enough for eviction, which wants likely candidates, and is not for RANDOMKEY.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, compress, islice

USES_PER_SURVEY = 256
MOST_USES_PER_SURVEY = 16_384
"""A survey takes about a millisecond, and serves so many draws, at least and at most; of many keys it ages slowly."""
MISS_USES = 16
"""What a draw in vain counts for."""
STEPS_LIMIT = 1024
"""How many keys may be passed over to reach one. The keys of a larger slot are listed, once for each survey."""

Tables = Sequence[Mapping[bytes, object]]


class KeySampler:
    """`tables[slot]` maps the keys of a slot to anything; the tables are given anew with each call."""

    def __init__(self) -> None:
        self._tables: Tables = ()
        self._slots: list[int] = []
        self._sums: list[int] = []  # keys in that slot and all before it
        self._listed: dict[int, list[bytes]] = {}
        self._uses_left = 0

    def forget(self) -> None:
        """Survey anew at the next call."""
        self._tables = ()

    def sample(self, tables: Tables, count: int, rng: random.Random) -> list[tuple[int, bytes]]:
        """Up to `count` (slot, key), the same perhaps twice; none only when the tables hold nothing."""
        found: list[tuple[int, bytes]] = []
        random = rng.random  # not randrange, which takes four times as long
        if tables is not self._tables:
            self._survey(tables)
        while len(found) < count:
            if self._uses_left <= 0 or not self._slots:
                self._survey(tables)
                if not self._slots:
                    break
            slot = self._slots[bisect_right(self._sums, int(random() * self._sums[-1]))]
            key = self._draw(slot, random)
            if key is None:
                self._uses_left -= MISS_USES
            else:
                self._uses_left -= 1
                found.append((slot, key))
        return found

    def _survey(self, tables: Tables) -> None:
        self._tables = tables
        self._slots = list(compress(range(len(tables)), tables))
        self._sums = list(accumulate(map(len, filter(None, tables))))
        self._listed.clear()
        total = self._sums[-1] if self._sums else 0
        self._uses_left = min(max(USES_PER_SURVEY, total // 8), MOST_USES_PER_SURVEY)

    def _draw(self, slot: int, random: Callable[[], float]) -> bytes | None:
        """A random key of the slot, or None if that one is gone."""
        table = self._tables[slot]
        if not table:
            return None
        listed = self._listed.get(slot)
        if listed is None:
            if len(table) <= STEPS_LIMIT:
                return next(islice(table, int(random() * len(table)), None))
            listed = self._listed[slot] = list(table)
        key = listed[int(random() * len(listed))]
        return key if key in table else None
