"""The sorted set type: scores by member, and members in the order of (score, member)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from sortedcontainers import SortedList


class SortedSetValue:
    """`scores` maps member → score; `ranking` holds (score, member) in order. `peak_count` and `peak_bytes` (the
    longest member ever held) decide which encoding Redis would show."""

    __slots__ = ("peak_bytes", "peak_count", "ranking", "scores")
    type_name: ClassVar[str] = "zset"

    def __init__(self, items: Iterable[tuple[bytes, float]] = ()) -> None:
        self.scores: dict[bytes, float] = dict(items)
        self.ranking: SortedList = SortedList((score, member) for member, score in self.scores.items())
        self.peak_count = len(self.scores)
        self.peak_bytes = max(map(len, self.scores), default=0)

    def __len__(self) -> int:
        return len(self.scores)

    def items(self) -> Iterator[tuple[bytes, float]]:
        """(member, score), lowest first."""
        return ((member, score) for score, member in self.ranking)

    def copy(self) -> SortedSetValue:
        return SortedSetValue(self.scores.items())

    def add(self, member: bytes, score: float) -> None:
        """A member that is not there yet. O(log n)."""
        scores = self.scores
        scores[member] = score
        self.ranking.add((score, member))
        if len(member) > self.peak_bytes:
            self.peak_bytes = len(member)
        if len(scores) > self.peak_count:
            self.peak_count = len(scores)

    def move(self, member: bytes, old: float, new: float) -> None:
        """Another score for a member that is there."""
        self.ranking.remove((old, member))
        self.ranking.add((new, member))
        self.scores[member] = new

    def drop_zero_signs(self) -> None:
        """Make every score of -0 one of 0."""
        first, behind = self.position_of_score(0.0, after=False), self.position_of_score(0.0, after=True)
        for score, member in self.stretch(first, behind):
            if math.copysign(1.0, score) < 0:
                self.move(member, score, 0.0)

    def discard(self, member: bytes) -> bool:
        """Whether it was there."""
        score = self.scores.pop(member, None)
        if score is None:
            return False
        self.ranking.remove((score, member))
        return True

    def to_draw_from(self) -> Sequence[tuple[float, bytes]]:
        """(score, member), lowest first; each is reached in O(log n)."""
        ranking: Sequence[tuple[float, bytes]] = self.ranking
        return ranking

    def rank(self, member: bytes) -> int:
        """The position of a member that is there. O(log n)."""
        return int(self.ranking.index((self.scores[member], member)))

    def stretch(self, first: int, behind: int, *, descending: bool = False) -> list[tuple[float, bytes]]:
        """(score, member) at the positions first … behind - 1, counted from the low end."""
        return list(self.ranking.islice(first, behind, reverse=descending))

    def remove_stretch(self, first: int, behind: int) -> int:
        """Remove what stands at the positions first … behind - 1; how many that were."""
        for _, member in self.ranking.islice(first, behind):
            del self.scores[member]
        del self.ranking[first:behind]
        return behind - first

    def position_of_score(self, score: float, *, after: bool) -> int:
        """The position of the first member with a score of at least (with `after`: above) `score`."""
        if not after:
            return int(self.ranking.bisect_left((score,)))
        if score == math.inf:
            return len(self.scores)
        return int(self.ranking.bisect_left((math.nextafter(score, math.inf),)))

    def position_of_member(self, member: bytes, *, after: bool) -> int:
        """The same by name, in a set whose scores are all equal."""
        if not self.scores:
            return 0
        place = (self.ranking[0][0], member)
        return int(self.ranking.bisect_right(place) if after else self.ranking.bisect_left(place))
