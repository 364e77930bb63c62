"""The encoding that redis-server would have for a value: what OBJECT ENCODING shows, how RDB writes it.

Our values have no such encodings, but they know how many elements they ever held, and how long the longest was. From
these and the thresholds (`hash-max-listpack-entries` and its kin) the encoding follows, for as long as the thresholds
stay: redis-server converts a value when it has grown past one of them, and never back. Where that is not all, an
encoding is imposed on the value: on copies, on what is made of very many elements at once, and on what is there when
the thresholds change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import NamedTuple, Protocol

from cluster.keyspace.database import Database
from cluster.keyspace.expiring_hash import ExpiringHashValue
from cluster.keyspace.hash_value import HashValue
from cluster.keyspace.list_value import ListValue
from cluster.keyspace.numbers import is_integer
from cluster.keyspace.set_value import SetValue
from cluster.keyspace.sorted_set import SortedSetValue
from cluster.keyspace.values import StreamValue, StringValue, Value

SETTLED_AT_ONCE = 5_000
"""Keys whose encodings outlast a change of the thresholds: as many as take some milliseconds. Those of the rest follow
the new ones at once."""
_CONVERTED_BYTES = 1 << 62
"""A length past every threshold."""
_EMBEDDED_LIMIT = 44
_LISTPACK_BYTES = {-1: 4096, -2: 8192, -3: 16384, -4: 32768, -5: 65536}
_SAFE_LISTPACK_BYTES = 8192
"""A list bounded by elements is bounded by this size too."""
_LISTPACK_OVERHEAD = 7
_ENTRY_OVERHEAD = 2


class Thresholds(Protocol):
    """The part of the configuration that decides."""

    @property
    def hash_max_listpack_entries(self) -> int: ...
    @property
    def hash_max_listpack_value(self) -> int: ...
    @property
    def set_max_intset_entries(self) -> int: ...
    @property
    def set_max_listpack_entries(self) -> int: ...
    @property
    def set_max_listpack_value(self) -> int: ...
    @property
    def zset_max_listpack_entries(self) -> int: ...
    @property
    def zset_max_listpack_value(self) -> int: ...
    @property
    def list_max_listpack_size(self) -> int: ...


class Picture(NamedTuple):
    """The thresholds at some time."""

    hash_max_listpack_entries: int
    hash_max_listpack_value: int
    set_max_intset_entries: int
    set_max_listpack_entries: int
    set_max_listpack_value: int
    zset_max_listpack_entries: int
    zset_max_listpack_value: int
    list_max_listpack_size: int


def picture(limits: Thresholds) -> Picture:
    return Picture(*(getattr(limits, name) for name in Picture._fields))


def encoding(value: Value, limits: Thresholds) -> str:
    """The name of the encoding."""
    if isinstance(value, (bytes, bytearray)):
        return _string_encoding(value)
    if isinstance(value, ListValue):
        return _list_encoding(value, limits.list_max_listpack_size)
    if isinstance(value, HashValue):
        if not is_compact_hash(value, limits):
            return "hashtable"
        return "listpackex" if isinstance(value, ExpiringHashValue) else "listpack"
    if isinstance(value, SetValue):
        return set_encoding(value, limits)
    if isinstance(value, StreamValue):
        return "stream"
    return "listpack" if is_compact_sorted_set(value, limits) else "skiplist"


def is_compact_hash(value: HashValue, limits: Thresholds) -> bool:
    return value.peak_count <= limits.hash_max_listpack_entries and value.peak_bytes <= limits.hash_max_listpack_value


def is_compact_sorted_set(value: SortedSetValue, limits: Thresholds) -> bool:
    return value.peak_count <= limits.zset_max_listpack_entries and value.peak_bytes <= limits.zset_max_listpack_value


def set_encoding(value: SetValue, limits: Thresholds) -> str:
    if value.was_integers:
        return "intset" if value.peak_count <= limits.set_max_intset_entries else "hashtable"
    few = value.peak_count <= limits.set_max_listpack_entries
    return "listpack" if few and value.peak_bytes <= limits.set_max_listpack_value else "hashtable"


def _string_encoding(value: StringValue) -> str:
    if isinstance(value, bytearray):
        return "raw"
    if is_integer(value):
        return "int"
    return "embstr" if len(value) <= _EMBEDDED_LIMIT else "raw"


def _list_encoding(value: ListValue, limit: int) -> str:
    """A list is a listpack for as long as it fits into one node of a quicklist, and again when it has shrunk."""
    if len(value) * _ENTRY_OVERHEAD > _LISTPACK_BYTES[-5]:
        return "quicklist"
    size = _LISTPACK_OVERHEAD + sum(map(len, value.items)) + _ENTRY_OVERHEAD * len(value.items)
    if limit >= 0:
        fits = (value.peak_count <= limit or len(value) <= limit // 2) and size <= _SAFE_LISTPACK_BYTES
    else:
        fits = size <= _LISTPACK_BYTES.get(limit, _LISTPACK_BYTES[-5])
    return "listpack" if fits else "quicklist"


# -- where it does not follow from what the value held ---------------------------------------------------------------


def impose(value: Value, shown: str) -> None:
    """`value` has this encoding, whatever it held so far; what it gets from now on counts. Strings and lists show what
    they hold now in any case."""
    if not isinstance(value, (HashValue, SetValue, SortedSetValue)):
        return
    compact = shown not in ("hashtable", "skiplist")
    value.peak_count = 0
    value.peak_bytes = 0 if compact else _CONVERTED_BYTES
    if isinstance(value, SetValue):
        value.was_integers = shown == "intset"


def expect_members(value: SetValue, first: bytes, count: int, limits: Thresholds) -> None:
    """`count` members, some of which may be equal, are about to be added at once."""
    if value:
        most = {"intset": limits.set_max_intset_entries, "listpack": limits.set_max_listpack_entries}
        if count > most.get(set_encoding(value, limits), count):
            impose(value, "hashtable")
    elif not is_integer(first) or count > limits.set_max_intset_entries:
        impose(value, "listpack" if count <= limits.set_max_listpack_entries else "hashtable")


def settle(databases: Iterable[Database], before: Thresholds) -> None:
    """The thresholds are others now: what is there keeps the encoding that it has by those of `before`."""
    for value in islice(_values(databases), SETTLED_AT_ONCE):
        if type(value) is not bytes:
            impose(value, encoding(value, before))


def _values(databases: Iterable[Database]) -> Iterator[Value]:
    for db in databases:
        yield from chain.from_iterable(space.values() for space in db.spaces if space)
