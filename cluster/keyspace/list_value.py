"""The list type: a deque, so both ends are O(1) and the middle is as far as in Redis."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import ClassVar

_LET_GO_AT_ONCE = 500


class ListValue:
    """`items` is the list, head first. `peak_count` and `peak_bytes` (the longest element ever held) decide which
    encoding Redis would show: its conversion from listpack is for good."""

    __slots__ = ("items", "peak_bytes", "peak_count")
    type_name: ClassVar[str] = "list"

    def __init__(self, items: Iterable[bytes] = ()) -> None:
        self.items: deque[bytes] = deque(items)
        self.peak_count = len(self.items)
        self.peak_bytes = max(map(len, self.items), default=0)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.items)

    def take_apart(self) -> Iterator[int]:
        """Let go of the elements bit by bit: how many there were in each bit that is gone."""
        items = self.items
        while items:
            count = min(len(items), _LET_GO_AT_ONCE)
            for _ in range(count):
                items.pop()
            yield count

    def copy(self) -> ListValue:
        return ListValue(self.items)
