"""The hash type."""

from __future__ import annotations

import random
from collections.abc import ItemsView, Iterable, Iterator
from typing import ClassVar

from cluster.keyspace.set_value import SetValue

LISTED_LIMIT = 128
"""Up to so many fields a list of them is made whenever some are to be drawn."""


class HashValue:
    """`fields` maps field → value; it is changed by `set` and `discard` only. `peak_count` and `peak_bytes` (the
    longest field or value ever held) decide which encoding Redis would show: its conversion from listpack is for good.
    """

    __slots__ = ("_drawn_from", "fields", "peak_bytes", "peak_count")
    type_name: ClassVar[str] = "hash"

    def __init__(self, items: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.fields: dict[bytes, bytes] = dict(items)
        self._drawn_from: SetValue | None = None  # the fields once more, kept from the first draw from a large hash on
        self.peak_count = len(self.fields)
        self.peak_bytes = max((max(len(field), len(value)) for field, value in self.fields.items()), default=0)

    def __len__(self) -> int:
        return len(self.fields)

    def set(self, field: bytes, content: bytes) -> None:
        self.fields[field] = content
        length = max(len(field), len(content))
        if length > self.peak_bytes:
            self.peak_bytes = length
        if len(self.fields) > self.peak_count:
            self.peak_count = len(self.fields)
        if self._drawn_from is not None:
            self._drawn_from.add(field)

    def discard(self, field: bytes) -> bool:
        """Whether it was there."""
        if self._drawn_from is not None:
            self._drawn_from.discard(field)
        return self.fields.pop(field, None) is not None

    def elements(self) -> list[bytes]:
        """The fields in any order."""
        return list(self.fields)

    def random_element(self, rng: random.Random) -> bytes:
        """A field; there must be one. O(1), but for the first time."""
        if self._drawn_from is None:
            if len(self.fields) <= LISTED_LIMIT:
                return rng.choice(list(self.fields))
            self._drawn_from = SetValue(self.fields)
        return self._drawn_from.random_element(rng)

    def items(self) -> ItemsView[bytes, bytes]:
        return self.fields.items()

    def copy(self) -> HashValue:
        return HashValue(self.fields.items())

    def take_apart(self) -> Iterator[int]:
        """Let go of the fields bit by bit: how many there were in each bit that is gone."""
        self._drawn_from = None
        fields = self.fields
        while fields:
            count = min(len(fields), LISTED_LIMIT)
            for _ in range(count):
                fields.popitem()
            yield count
