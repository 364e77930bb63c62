"""The list type: a deque, and a LongList when it has grown long: both ends are O(1), the middle is near."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import ClassVar

from cluster.keyspace.long_list import LongList

SHORT_LIMIT = 2048
"""Elements that a deque holds: its middle is no more than sixteen steps away."""


class ListValue:
    """`items` is the list, head first; whoever makes it longer calls `grown`. `peak_count` and `peak_bytes` (the
    longest element ever held) decide which encoding Redis would show: its conversion from listpack is for good."""

    __slots__ = ("items", "peak_bytes", "peak_count")
    type_name: ClassVar[str] = "list"

    def __init__(self, items: Iterable[bytes] = ()) -> None:
        self.items: deque[bytes] | LongList = deque(items)
        self.peak_count = 0
        self.peak_bytes = 0
        self.grown(max(map(len, self.items), default=0))

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.items)

    def grown(self, longest: int) -> int:
        """Elements of at most `longest` bytes came in; how many there are now."""
        if longest > self.peak_bytes:
            self.peak_bytes = longest
        count = len(self.items)
        if count > self.peak_count:
            self.peak_count = count
            if count > SHORT_LIMIT and isinstance(self.items, deque):
                self.items = LongList(self.items)
        return count

    def replace(self, items: Iterable[bytes]) -> ListValue:
        """Hold some of the elements only, in their order. A list that holds what was there before."""
        gone = ListValue()
        gone.items, self.items = self.items, deque(items)
        if len(self.items) > SHORT_LIMIT:
            self.items = LongList(self.items)
        return gone

    def stretch(self, first: int, behind: int) -> list[bytes]:
        """The elements from `first` on and before `behind`, positions that are there."""
        items = self.items
        if isinstance(items, LongList):
            return items.stretch(first, behind)
        if first == 0 and behind == len(items):
            return list(items)
        return list(islice(items, first, behind))

    def copy(self) -> ListValue:
        other = ListValue()
        other.items = self.items.copy()
        other.grown(self.peak_bytes)
        return other

    def take_apart(self) -> Iterator[int]:
        """Let go of the elements bit by bit: how many there were in each bit that is gone."""
        return self.items.take_apart() if isinstance(self.items, LongList) else iter(())
