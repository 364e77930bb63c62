"""The sorted set type: members in the order of (score, member)."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterable, Iterator
from typing import ClassVar

from cluster.keyspace.buckets import BucketMap, Part, peak_of_parts
from cluster.keyspace.ranking import LongRanking, Ranking, ShortRanking, ranking_of

SHORT_LIMIT = 128
"""Beyond so many members the set is kept in chunks, and stays so."""


class SortedSetValue:
    """`peak_count` and `peak_bytes` (the longest member ever held) decide which encoding Redis would show."""

    __slots__ = ("_ranking", "peak_bytes", "peak_count")
    type_name: ClassVar[str] = "zset"

    def __init__(self, items: Iterable[tuple[bytes, float]] | None = None) -> None:
        """Of (member, score); of a member that comes twice the last score counts."""
        self._ranking: Ranking = ShortRanking()
        self.peak_count = 0
        self.peak_bytes = 0
        if items is not None:
            ranking = ranking_of(items if isinstance(items, list) else list(items), SHORT_LIMIT)
            self._hold(ranking, max(map(len, ranking), default=0))

    @classmethod
    def of_parts(cls, parts: Iterable[Part[float]]) -> SortedSetValue:
        """Of what BucketMap.of_parts takes."""
        peak_bytes, given = peak_of_parts(parts)
        if sum([len(part) for _, part in given]) <= SHORT_LIMIT:
            return cls([item for _, part in given for item in part.items()])
        value = cls.__new__(cls)
        value._hold(LongRanking.of_parts(given), peak_bytes)
        return value

    def _hold(self, ranking: Ranking, peak_bytes: int) -> None:
        self._ranking = ranking
        self.peak_count = len(ranking)
        self.peak_bytes = peak_bytes

    def __len__(self) -> int:
        return len(self._ranking)

    def __contains__(self, member: bytes) -> bool:
        return self._ranking.score(member) is not None

    def __iter__(self) -> Iterator[bytes]:
        """The members, lowest score first."""
        return (member for _, member in self._ranking.ordered())

    @property
    def is_short(self) -> bool:
        """Whether it is kept the way that takes little memory."""
        return type(self._ranking) is ShortRanking

    def items(self) -> Iterator[tuple[bytes, float]]:
        """(member, score), lowest first."""
        return ((member, score) for score, member in self._ranking.ordered())

    def scores(self) -> dict[bytes, float] | BucketMap[float]:
        """The scores by member, in any order; a picture, or the thing itself."""
        ranking = self._ranking
        return ranking if isinstance(ranking, LongRanking) else dict(self.items())

    def members(self) -> Collection[bytes] | BucketMap[float]:
        """The members in any order."""
        ranking = self._ranking
        return ranking if isinstance(ranking, LongRanking) else list(self)

    def copy(self) -> SortedSetValue:
        other = SortedSetValue.__new__(SortedSetValue)
        other._ranking = self._ranking.copy()
        other.peak_count, other.peak_bytes = self.peak_count, self.peak_bytes
        return other

    # -- one member ------------------------------------------------------------------------------------------

    def score(self, member: bytes) -> float | None:
        """None when it is not there."""
        return self._ranking.score(member)

    def add(self, member: bytes, score: float) -> float | None:
        """Set the score of a member, unless it has one: that one then. O(log n)."""
        ranking = self._ranking
        old = ranking.add(member, score)
        if old is not None:
            return old
        if len(member) > self.peak_bytes:
            self.peak_bytes = len(member)
        count = len(ranking)
        if count > self.peak_count:
            self.peak_count = count
            if count > SHORT_LIMIT and type(ranking) is ShortRanking:
                self._ranking = LongRanking(list(self.items()))
        return None

    def move(self, member: bytes, old: float, new: float) -> None:
        """Another score for a member that is there. O(log n)."""
        self._ranking.move(member, old, new)

    def discard(self, member: bytes) -> bool:
        """Whether it was there. O(log n)."""
        score = self._ranking.score(member)
        if score is None:
            return False
        self._ranking.remove(member, score)
        return True

    def rank(self, member: bytes) -> int | None:
        """The position of a member, None when it is not there. O(log n)."""
        score = self._ranking.score(member)
        return None if score is None else self._ranking.rank(member, score)

    def elements(self) -> list[bytes]:
        """The members, lowest score first."""
        return list(self)

    def random_element(self, rng: random.Random) -> bytes:
        """A member; there must be one. O(log n)."""
        at = rng.randrange(len(self._ranking))
        [(_, member)] = self._ranking.stretch(at, at + 1)
        return member

    # -- ranges ----------------------------------------------------------------------------------------------

    def stretch(self, first: int, behind: int, *, descending: bool = False) -> list[tuple[float, bytes]]:
        """(score, member) at the positions first … behind - 1, counted from the low end."""
        found = self._ranking.stretch(first, behind)
        if descending:
            found.reverse()
        return found

    def part(self, first: int, behind: int) -> SortedSetValue:
        """A sorted set of its own, of what stands at the positions first … behind - 1."""
        count = len(self._ranking)
        if first == 0 and behind == count > SHORT_LIMIT:  # in a fraction of the time
            whole = SortedSetValue.__new__(SortedSetValue)
            whole._hold(self._ranking.copy(), max(map(len, self._ranking)))
            return whole
        return SortedSetValue([(member, score) for score, member in self._ranking.stretch(first, max(first, behind))])

    def remove_stretch(self, first: int, behind: int) -> None:
        """Remove what stands at the positions first … behind - 1."""
        if behind - first == len(self._ranking):
            self._ranking = ShortRanking()
        else:
            self._ranking.remove_stretch(first, behind)

    def position_of_score(self, score: float, *, after: bool) -> int:
        """The position of the first member with a score of at least (with `after`: above) `score`."""
        return self._ranking.rank_of_score(score, after=after)

    def position_of_member(self, member: bytes, *, after: bool) -> int:
        """The same by name, in a set whose scores are all equal."""
        if not self._ranking:
            return 0
        [(score, _)] = self._ranking.stretch(0, 1)
        position = self._ranking.rank_of_place(score, member)
        return position + (after and self._ranking.score(member) == score)

    def drop_zero_signs(self) -> None:
        """Make every score of -0 one of 0."""
        first, behind = self.position_of_score(0.0, after=False), self.position_of_score(0.0, after=True)
        for score, member in self.stretch(first, behind):
            if math.copysign(1.0, score) < 0:
                self.move(member, score, 0.0)

    def take_apart(self) -> Iterator[int]:
        """Let go of the members bit by bit: how many there were in each bit that is gone."""
        ranking = self._ranking
        return ranking.take_apart() if isinstance(ranking, LongRanking) else iter(())
