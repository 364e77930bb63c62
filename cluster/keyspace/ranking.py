"""The members of a sorted set in the order of (score, member): a short one in two arrays, a long one in chunks.

`ShortRanking` takes little memory: the members lie in a list, their scores in an array beside it, and a member is
looked for by going through the list in C. `LongRanking` finds a score by the member's hash, and a place by bisection:
among the last scores of the chunks, then within one chunk; members only where scores are equal, so that hardly any
step compares pairs. Counts for groups of chunks lead from a rank to a place and back.

Both answer alike. Ranks count from the low end, from 0.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, compress, count, islice
from operator import eq
from typing import Self, TypeVar

from cluster.keyspace.buckets import BucketMap, Part
from cluster.keyspace.chunks import GROUP_BITS, find_position, position_of, sums_of

_T = TypeVar("_T")
Scored = tuple[float, bytes]

CHUNK_LIMIT = 1024
"""A chunk that has grown beyond it is cut in two."""
CHUNK_FILL = 768
"""What chunks made from the start hold."""
MERGE_BELOW = 192


def place_in(scores: Sequence[float], members: Sequence[bytes], score: float, member: bytes) -> int:
    """The first place that holds no less than (score, member)."""
    at = bisect_left(scores, score)
    if at < len(scores) and scores[at] == score and members[at] < member:
        return bisect_left(members, member, at + 1, bisect_right(scores, score, at))
    return at


def in_order(scores: list[float], members: list[bytes]) -> tuple[list[float], list[bytes]]:
    """Both in the order of (score, member).

    By the scores alone, and by the members where those are equal, since Python compares numbers several times as
    fast as pairs. What is in order already takes next to nothing.
    """
    order = sorted(range(len(scores)), key=scores.__getitem__)
    scores = list(map(scores.__getitem__, order))
    members = list(map(members.__getitem__, order))
    done = 0
    for at in compress(count(), map(eq, scores, islice(scores, 1, None))):
        if at >= done:
            done = bisect_right(scores, scores[at], at)
            members[at:done] = sorted(members[at:done])
    return scores, members


def _cut(chunks: list[list[_T]], tops: list[_T], at: int) -> None:
    """Cut a chunk in two; the last entries of all chunks are `tops`."""
    whole = chunks[at]
    half = len(whole) // 2
    chunks.insert(at + 1, whole[half:])
    del whole[half:]
    tops.insert(at, whole[-1])


def _join(chunks: list[list[_T]], tops: list[_T], at: int) -> None:
    """Make one chunk of two; not both are empty."""
    chunks[at] += chunks.pop(at + 1)
    del tops[at]
    tops[at] = chunks[at][-1]


class ShortRanking:
    """Every operation is O(n), and quick for as long as n is small."""

    __slots__ = ("_members", "_scores")

    def __init__(self, ordered: Sequence[Scored] = ()) -> None:
        self._scores = array("d", [score for score, _ in ordered]) if ordered else array("d")
        self._members = [member for _, member in ordered] if ordered else []

    def copy(self) -> ShortRanking:
        other = ShortRanking()
        other._scores, other._members = self._scores[:], self._members[:]
        return other

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._members)

    def score(self, member: bytes) -> float | None:
        members = self._members
        return self._scores[members.index(member)] if member in members else None

    def add(self, member: bytes, score: float) -> float | None:
        """Set a score, unless the member has one: that one then."""
        members = self._members
        if member in members:
            return self._scores[members.index(member)]
        self._insert(member, score)
        return None

    def _insert(self, member: bytes, score: float) -> None:
        at = place_in(self._scores, self._members, score, member)
        self._scores.insert(at, score)
        self._members.insert(at, member)

    def remove(self, member: bytes, score: float) -> None:
        del score
        at = self._members.index(member)
        del self._scores[at], self._members[at]

    def move(self, member: bytes, old: float, new: float) -> None:
        self.remove(member, old)
        self._insert(member, new)

    def rank(self, member: bytes, score: float) -> int:
        del score
        return self._members.index(member)

    def ordered(self) -> Iterator[Scored]:
        return zip(self._scores, self._members, strict=True)

    def stretch(self, first: int, behind: int) -> list[Scored]:
        return list(zip(self._scores[first:behind], self._members[first:behind], strict=True))

    def remove_stretch(self, first: int, behind: int) -> None:
        del self._scores[first:behind], self._members[first:behind]

    def rank_of_score(self, score: float, *, after: bool) -> int:
        return (bisect_right if after else bisect_left)(self._scores, score)

    def rank_of_place(self, score: float, member: bytes) -> int:
        return place_in(self._scores, self._members, score, member)


class LongRanking(BucketMap[float]):
    """A map from members to scores that knows their order.

    Finding a score is O(1). Places and ranks are O(log n), but for the sums over groups of chunks: for a million
    members some fifty numbers.
    """

    __slots__ = ("_groups", "_members", "_scores", "_top_members", "_top_scores")

    def __init__(self, items: Collection[tuple[bytes, float]]) -> None:
        """Of (member, score), at least one; of a member that comes twice the last score counts."""
        super().__init__(items, len(items))  # in the order in which they came, which is nearer to that in memory
        if len(self) == len(items):
            self._rank([score for _, score in items], [member for member, _ in items])
        else:
            self._rank(list(self.values()), list(self))

    @classmethod
    def of_parts(cls, parts: list[Part[float]]) -> Self:
        self = cls.__new__(cls)
        self._take_parts(parts)
        self._rank(list(self.values()), list(self))
        return self

    def _rank(self, scores: list[float], members: list[bytes]) -> None:
        scores, members = in_order(scores, members)
        starts = range(0, len(members), CHUNK_FILL)
        self._scores = [scores[at : at + CHUNK_FILL] for at in starts]
        self._members = [members[at : at + CHUNK_FILL] for at in starts]
        self._top_scores = [chunk[-1] for chunk in self._scores]
        self._top_members = [chunk[-1] for chunk in self._members]
        self._groups = sums_of(self._members)

    def copy(self) -> LongRanking:
        other = LongRanking.__new__(LongRanking)
        self._copy_to(other)
        other._scores = [chunk[:] for chunk in self._scores]
        other._members = [chunk[:] for chunk in self._members]
        other._top_scores, other._top_members = self._top_scores[:], self._top_members[:]
        other._groups = self._groups[:]
        return other

    def _chunk_of(self, score: float, member: bytes) -> int:
        """The first chunk whose last entry is no less than (score, member); the last one if there is none."""
        return min(place_in(self._top_scores, self._top_members, score, member), len(self._members) - 1)

    def _set_top(self, chunk: int) -> None:
        self._top_scores[chunk] = self._scores[chunk][-1]
        self._top_members[chunk] = self._members[chunk][-1]

    # -- one member ------------------------------------------------------------------------------------------

    score = BucketMap.get

    def add(self, member: bytes, score: float) -> float | None:
        """Set a score, unless the member has one: that one then."""
        old = self.keep(member, score)
        if old is None:
            self._insert(member, score)
        return old

    def remove(self, member: bytes, score: float) -> None:
        self.pop(member)
        self._delete(member, score)

    def move(self, member: bytes, old: float, new: float) -> None:
        self.set(member, new)
        self._delete(member, old)
        self._insert(member, new)

    def _insert(self, member: bytes, score: float) -> None:
        chunk = place_in(self._top_scores, self._top_members, score, member)
        if chunk == len(self._members):
            chunk -= 1
        scores, members = self._scores[chunk], self._members[chunk]
        at = place_in(scores, members, score, member)
        scores.insert(at, score)
        members.insert(at, member)
        self._groups[chunk >> GROUP_BITS] += 1
        size = len(members)
        if at == size - 1:
            self._top_scores[chunk] = score
            self._top_members[chunk] = member
        if size > CHUNK_LIMIT:
            self._cut_chunk(chunk)

    def _cut_chunk(self, chunk: int) -> None:
        _cut(self._scores, self._top_scores, chunk)
        _cut(self._members, self._top_members, chunk)
        self._groups = sums_of(self._members)

    def _delete(self, member: bytes, score: float) -> None:
        chunk = self._chunk_of(score, member)
        scores, members = self._scores[chunk], self._members[chunk]
        at = place_in(scores, members, score, member)
        del scores[at], members[at]
        self._groups[chunk >> GROUP_BITS] -= 1
        if len(members) < MERGE_BELOW and len(self._members) > 1:
            self._join_next(chunk)
        elif members and at == len(members):
            self._set_top(chunk)

    def _join_next(self, chunk: int) -> None:
        """Join a chunk with the one after it (the last: with the one before), and cut them if that is too large."""
        first = min(chunk, len(self._members) - 2)
        _join(self._scores, self._top_scores, first)
        _join(self._members, self._top_members, first)
        if len(self._members[first]) > CHUNK_LIMIT:
            self._cut_chunk(first)
        else:
            self._groups = sums_of(self._members)

    # -- ranks -----------------------------------------------------------------------------------------------

    def _rank_of(self, chunk: int, at: int) -> int:
        return position_of(self._members, self._groups, chunk) + at

    def rank(self, member: bytes, score: float) -> int:
        return self.rank_of_place(score, member)

    def rank_of_place(self, score: float, member: bytes) -> int:
        chunk = self._chunk_of(score, member)
        return self._rank_of(chunk, place_in(self._scores[chunk], self._members[chunk], score, member))

    def rank_of_score(self, score: float, *, after: bool) -> int:
        bisect = bisect_right if after else bisect_left
        chunk = min(bisect(self._top_scores, score), len(self._scores) - 1)
        return self._rank_of(chunk, bisect(self._scores[chunk], score))

    # -- many members ----------------------------------------------------------------------------------------

    def ordered(self) -> Iterator[Scored]:
        return zip(chain.from_iterable(self._scores), chain.from_iterable(self._members), strict=True)

    def stretch(self, first: int, behind: int) -> list[Scored]:
        found: list[Scored] = []
        if first >= behind:
            return found
        chunk, at = find_position(self._members, self._groups, first)
        left = behind - first
        while left > 0:
            scores, members = self._scores[chunk], self._members[chunk]
            found += zip(scores[at : at + left], members[at : at + left], strict=True)
            left -= len(members) - at
            chunk, at = chunk + 1, 0
        return found

    def remove_stretch(self, first: int, behind: int) -> None:
        """Not all of it."""
        start, at = find_position(self._members, self._groups, first)
        chunk, left = start, behind - first
        while left > 0:
            scores, members = self._scores[chunk], self._members[chunk]
            gone = members[at : at + left]
            self.remove_all(gone)
            del scores[at : at + left], members[at : at + left]
            self._groups[chunk >> GROUP_BITS] -= len(gone)
            left -= len(gone)
            chunk, at = chunk + 1, 0
        self._tidy(start, chunk)

    def _tidy(self, start: int, behind: int) -> None:
        """The chunks from `start` on and before `behind` have lost entries."""
        empty = [chunk for chunk in range(start, behind) if not self._members[chunk]]
        for chunk in reversed(empty):
            del self._scores[chunk], self._members[chunk], self._top_scores[chunk], self._top_members[chunk]
        if empty:
            self._groups = sums_of(self._members)
        for chunk in range(start, behind - len(empty)):
            self._set_top(chunk)
        if start < len(self._members) and len(self._members) > 1 and len(self._members[start]) < MERGE_BELOW:
            self._join_next(start)

    def take_apart(self) -> Iterator[int]:
        """Let go of all members bit by bit: how many there were in each bit that is gone."""
        self._top_scores.clear()
        self._top_members.clear()
        while self._members:
            self._scores.pop()
            yield len(self._members.pop())
        yield from super().take_apart()


Ranking = ShortRanking | LongRanking


def ranking_of(items: list[tuple[bytes, float]], short_limit: int) -> Ranking:
    """Of (member, score); of a member that comes twice the last score counts."""
    if len(items) > short_limit:
        long = LongRanking(items)
        if len(long) > short_limit:
            return long
    return ShortRanking(sorted([(score, member) for member, score in dict(items).items()]))
