"""The hash type."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable
from typing import ClassVar


class HashValue:
    """`fields` maps field → value. `peak_count` and `peak_bytes` (the longest field or value ever held) decide
    which encoding Redis would show: its conversion from listpack is for good."""

    __slots__ = ("fields", "peak_bytes", "peak_count")
    type_name: ClassVar[str] = "hash"

    def __init__(self, items: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.fields: dict[bytes, bytes] = dict(items)
        self.peak_count = len(self.fields)
        self.peak_bytes = max((max(len(field), len(value)) for field, value in self.fields.items()), default=0)

    def __len__(self) -> int:
        return len(self.fields)

    def items(self) -> ItemsView[bytes, bytes]:
        return self.fields.items()

    def copy(self) -> HashValue:
        return HashValue(self.fields.items())
