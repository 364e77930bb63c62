"""The fields of a short hash: one list of fields and values in turn, the fields shared with other hashes.

A dict of ten fields takes 400 bytes, and ten byte strings of a few letters nearly 500. But the hashes of an application
have the same few fields: a `NamePool` gives each name once. A field is looked for by going through the list in C.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TypeVar, overload

POOLED_BYTES = 64
"""A name that is longer is not worth a place in the pool."""
POOLED_NAMES = 10_000
"""With more the pool starts anew. What it gave out stays shared among those who have it."""
_Default = TypeVar("_Default")


class NamePool:
    """Byte strings that are met again and again, each once."""

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: dict[bytes, bytes] = {}

    def shared(self, name: bytes) -> bytes:
        """An equal byte string: the one that others have."""
        found = self._names.get(name)
        if found is not None:
            return found
        if len(name) <= POOLED_BYTES:
            if len(self._names) >= POOLED_NAMES:
                self._names.clear()
            self._names[name] = name
        return name


class FlatFields:
    """A mapping in the order in which the fields came. All is O(n)."""

    __slots__ = ("_flat", "_pool")

    def __init__(self, items: Iterable[tuple[bytes, bytes]] = (), pool: NamePool | None = None) -> None:
        """`items` have distinct fields."""
        self._flat: list[bytes] = list(chain.from_iterable(items)) if items else []
        self._pool = pool
        if pool is not None and self._flat:
            self.share(pool)

    def share(self, pool: NamePool) -> None:
        """Have the names from `pool` from now on."""
        self._pool = pool
        self._flat[::2] = map(pool.shared, self._flat[::2])

    def _find(self, field: bytes) -> int:
        """The place of a field; -1 when it is not there."""
        flat = self._flat
        try:
            at = flat.index(field)
            while at & 1:  # a value that is the same
                at = flat.index(field, at + 1)
        except ValueError:
            return -1
        return at

    def __len__(self) -> int:
        return len(self._flat) >> 1

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._flat[::2])

    def __contains__(self, field: bytes) -> bool:
        return field in self._flat and self._find(field) >= 0

    def __getitem__(self, field: bytes) -> bytes:
        at = self._find(field)
        if at < 0:
            raise KeyError(field)
        return self._flat[at + 1]

    @overload
    def get(self, field: bytes) -> bytes | None: ...
    @overload
    def get(self, field: bytes, default: _Default) -> bytes | _Default: ...
    def get(self, field: bytes, default: object = None) -> object:
        at = self._find(field)
        return default if at < 0 else self._flat[at + 1]

    def set(self, field: bytes, content: bytes) -> bool:
        """Whether the field is new."""
        at = self._find(field)
        if at >= 0:
            self._flat[at + 1] = content
            return False
        self._flat.append(field if self._pool is None else self._pool.shared(field))
        self._flat.append(content)
        return True

    @overload
    def pop(self, field: bytes) -> bytes | None: ...
    @overload
    def pop(self, field: bytes, default: _Default) -> bytes | _Default: ...
    def pop(self, field: bytes, default: object = None) -> object:
        """Remove a field; its value, or `default` when it is not there."""
        at = self._find(field)
        if at < 0:
            return default
        content = self._flat[at + 1]
        del self._flat[at : at + 2]
        return content

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        return zip(self._flat[::2], self._flat[1::2], strict=True)

    def values(self) -> list[bytes]:
        return self._flat[1::2]

    def copy(self) -> FlatFields:
        other = FlatFields()
        other._flat, other._pool = self._flat[:], self._pool
        return other
