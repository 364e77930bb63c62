"""A long list: chunks of some hundred elements each, so that its middle is as near as its ends.

It does what the commands for lists need of a deque, in the same words. An element is reached in O(log n) but for the
sums over chunks (chunks.py); to look for a value is O(n).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from cluster.keyspace.chunks import GROUP_BITS, find_position, position_of, sums_of

CHUNK_LIMIT = 1024
CHUNK_FILL = 512
"""What chunks made from the start hold, and one that is full is cut to."""


class LongList:
    """No chunk is empty, unless it is the only one."""

    __slots__ = ("_chunks", "_groups", "_length")

    def __init__(self, items: Iterable[bytes] = ()) -> None:
        rest = iter(items)
        self._chunks: list[deque[bytes]] = []
        while chunk := deque(islice(rest, CHUNK_FILL)):
            self._chunks.append(chunk)
        self._count()

    def _count(self) -> None:
        if not self._chunks:
            self._chunks.append(deque())
        self._groups = sums_of(self._chunks)
        self._length = sum(self._groups)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        return chain.from_iterable(self._chunks)

    def __reversed__(self) -> Iterator[bytes]:
        return chain.from_iterable(map(reversed, reversed(self._chunks)))

    # -- the ends --------------------------------------------------------------------------------------------

    def append(self, item: bytes) -> None:
        if len(self._chunks[-1]) >= CHUNK_LIMIT:
            self._begin_last()
        self._chunks[-1].append(item)
        self._groups[-1] += 1
        self._length += 1

    def appendleft(self, item: bytes) -> None:
        if len(self._chunks[0]) >= CHUNK_LIMIT:
            self._begin_first()
        self._chunks[0].appendleft(item)
        self._groups[0] += 1
        self._length += 1

    def extend(self, items: Sequence[bytes]) -> None:
        at = 0
        while at < len(items):
            if len(self._chunks[-1]) >= CHUNK_LIMIT:
                self._begin_last()
            chunk = self._chunks[-1]
            some = items[at : at + CHUNK_LIMIT - len(chunk)]
            chunk.extend(some)
            self._groups[-1] += len(some)
            at += len(some)
        self._length += at

    def extendleft(self, items: Sequence[bytes]) -> None:
        """The last of `items` becomes the first element."""
        at = 0
        while at < len(items):
            if len(self._chunks[0]) >= CHUNK_LIMIT:
                self._begin_first()
            chunk = self._chunks[0]
            some = items[at : at + CHUNK_LIMIT - len(chunk)]
            chunk.extendleft(some)
            self._groups[0] += len(some)
            at += len(some)
        self._length += at

    def _begin_last(self) -> None:
        self._chunks.append(deque())
        if len(self._chunks) > len(self._groups) << GROUP_BITS:
            self._groups.append(0)

    def _begin_first(self) -> None:
        self._chunks.insert(0, deque())
        self._groups = sums_of(self._chunks)

    def pop(self) -> bytes:
        """The last element; there must be one."""
        chunk = self._chunks[-1]
        item = chunk.pop()
        self._groups[-1] -= 1
        self._length -= 1
        if not chunk:
            self._drop(len(self._chunks) - 1)
        return item

    def popleft(self) -> bytes:
        """The first element; there must be one."""
        chunk = self._chunks[0]
        item = chunk.popleft()
        self._groups[0] -= 1
        self._length -= 1
        if not chunk:
            self._drop(0)
        return item

    def take(self, count: int, *, left: bool) -> list[bytes]:
        """Remove `count` elements from one end, which are there, and give them in the order they come off."""
        found: list[bytes] = []
        emptied = 0
        for chunk in self._chunks if left else reversed(self._chunks):
            wanted = count - len(found)
            if wanted < len(chunk):
                pop = chunk.popleft if left else chunk.pop
                found += [pop() for _ in range(wanted)]
                break
            found += chunk if left else reversed(chunk)
            emptied += 1
        if left:
            del self._chunks[:emptied]
        else:
            del self._chunks[len(self._chunks) - emptied :]
        self._count()
        return found

    def _drop(self, at: int) -> None:
        """A chunk has become empty."""
        if len(self._chunks) > 1:
            del self._chunks[at]
            if at < len(self._chunks):
                self._count()
            elif len(self._chunks) == len(self._groups) - 1 << GROUP_BITS:
                self._groups.pop()

    # -- the middle ------------------------------------------------------------------------------------------

    def _find(self, index: int) -> tuple[int, int]:
        """(chunk, place in it) of an element that is there, counted from the end if `index` is negative."""
        return find_position(self._chunks, self._groups, index + self._length if index < 0 else index)

    def __getitem__(self, index: int) -> bytes:
        at, place = self._find(index)
        return self._chunks[at][place]

    def __setitem__(self, index: int, item: bytes) -> None:
        at, place = self._find(index)
        self._chunks[at][place] = item

    def index(self, item: bytes) -> int:
        """The first position of `item`. Raises ValueError."""
        for at, chunk in enumerate(self._chunks):
            if item in chunk:
                return position_of(self._chunks, self._groups, at) + chunk.index(item)
        raise ValueError

    def insert(self, index: int, item: bytes) -> None:
        """Before the element at `index`, or at the end."""
        if index >= self._length:
            self.append(item)
            return
        at, place = self._find(index)
        chunk = self._chunks[at]
        chunk.insert(place, item)
        self._groups[at >> GROUP_BITS] += 1
        self._length += 1
        if len(chunk) > CHUNK_LIMIT:
            self._chunks[at : at + 1] = [
                deque(islice(chunk, CHUNK_FILL)), deque(islice(chunk, CHUNK_FILL, None))
            ]  # fmt: skip
            self._count()

    def stretch(self, first: int, behind: int) -> list[bytes]:
        """The elements from `first` on and before `behind`."""
        found: list[bytes] = []
        if first < behind:
            at, place = self._find(first)
            left = behind - first
            while left > 0:
                found += islice(self._chunks[at], place, place + left)
                left = behind - first - len(found)
                at, place = at + 1, 0
        return found

    def copy(self) -> LongList:
        other = LongList.__new__(LongList)
        other._chunks = [chunk.copy() for chunk in self._chunks]
        other._groups, other._length = self._groups[:], self._length
        return other

    def take_apart(self) -> Iterator[int]:
        """Let go of the elements bit by bit: how many there were in each bit that is gone."""
        while self._chunks:
            yield len(self._chunks.pop())
