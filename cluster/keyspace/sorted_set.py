"""The sorted set type: scores by member, and members in the order of (score, member)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from sortedcontainers import SortedList


class SortedSetValue:
    """`scores` maps member → score; `ranking` holds (score, member) in order."""

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
