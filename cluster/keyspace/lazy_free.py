"""Freeing large values in slices.

To let go of the last reference to a container frees it whole, at some 20 to 100 ns an element: a million elements hold
up every client for up to a tenth of a second. So what leaves the keyspace and is large comes here, and is taken apart
bit by bit for as long as there is time. That is so for DEL as for UNLINK; the directives lazyfree-lazy-… decide only
whether redis-server would have freed a value in the background, and so what INFO counts.

A value that somebody else holds when its turn comes (RENAME puts it under another name) is left alone.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from cluster.keyspace.stream import StreamValue
from cluster.keyspace.values import Value

AT_ONCE_LIMIT = 512
"""Elements of a value that is freed then and there: some tens of microseconds."""
COUNTED_ABOVE = 64
"""redis-server frees a value with fewer elements at once, even when it is to be freed in the background."""
ELEMENTS_PER_LOOK = 128
"""Freed between two looks at the clock. With the last of them whole regions go back to the system, one by one."""

_EMPTY_TABLE = 1
"""What passing over one counts for, in elements."""

Table = dict[bytes, Any]
"""A slot's keys, or their deadlines."""


def _references(value: object) -> int:
    return sys.getrefcount(value)


class LazyFree:
    """`pending_objects` and `freed_objects` are INFO's: keys to be freed in the background, and those that were."""

    def __init__(self) -> None:
        self._queue: deque[tuple[Value | list[Table], int]] = deque()
        self._parts: Iterator[int] | None = None  # of what is being taken apart
        self._counted = 0
        alone = object()
        self._references_alone = _references(alone)  # as many as it takes to ask, which is CPython's affair
        self.pending_objects = 0
        self.freed_objects = 0

    @property
    def is_busy(self) -> bool:
        return self._parts is not None or bool(self._queue)

    def take(self, value: Value, *, counted: bool) -> None:
        """`value` has left the keyspace. `counted`: redis-server would free it in the background."""
        weight = value.weight if type(value) is StreamValue else len(value)
        objects = int(counted and weight > COUNTED_ABOVE)
        if weight <= AT_ONCE_LIMIT or isinstance(value, (bytes, bytearray)):
            self.freed_objects += objects
            return
        self.pending_objects += objects
        self._queue.append((value, objects))

    def take_tables(self, tables: list[Table], objects: int) -> None:
        """The tables of whole slots are used no more; INFO is to count `objects`."""
        self.pending_objects += objects
        self._queue.append((tables, objects))

    def work(self, out_of_time: Callable[[], bool]) -> bool:
        """Free until there is nothing left or no time; whether there is something left."""
        elements = 0
        while self._parts is not None or self._next():
            assert self._parts is not None
            for gone in self._parts:
                elements += gone
                if elements >= ELEMENTS_PER_LOOK:
                    elements = 0
                    if out_of_time():
                        return True
            self._parts = None
            self.pending_objects -= self._counted
            self.freed_objects += self._counted
        return False

    def _next(self) -> bool:
        """Begin with the next in the queue; whether there is one."""
        while self._queue:
            value, self._counted = self._queue.popleft()
            if isinstance(value, list):
                self._parts = self._take_tables_apart(value)
            elif _references(value) > self._references_alone or isinstance(value, (bytes, bytearray)):
                self.pending_objects -= self._counted
                continue
            else:
                self._parts = value.take_apart()
            return True
        return False

    def _take_tables_apart(self, tables: list[Table]) -> Iterator[int]:
        while tables:
            table = tables.pop()
            while len(table) > AT_ONCE_LIMIT:
                yield from self._take_values_apart([table.popitem()[1] for _ in range(AT_ONCE_LIMIT)])
            if table:
                values = list(table.values())
                del table
                yield from self._take_values_apart(values)
            else:
                yield _EMPTY_TABLE

    def _take_values_apart(self, values: list[Any]) -> Iterator[int]:
        """Values of a table; their keys are gone."""
        elements = 0
        while values:
            value = values.pop()
            elements += 1
            if type(value) is bytes or type(value) is int or type(value) is bytearray:
                continue
            weight = value.weight if type(value) is StreamValue else len(value)
            if weight > AT_ONCE_LIMIT and _references(value) <= self._references_alone:
                yield from value.take_apart()
            else:
                elements += weight
                if elements > AT_ONCE_LIMIT:
                    yield elements
                    elements = 0
        yield elements
