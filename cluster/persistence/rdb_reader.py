"""RDB bytes → values. The input is not trusted: every length is held against the bytes that are there.

`load_payload` reads what DUMP made; `load_rdb` goes through a whole file or stream, record by record.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from cluster.errors import CommandError
from cluster.keyspace.flat_fields import NamePool
from cluster.keyspace.hash_value import HashValue
from cluster.keyspace.list_value import ListValue
from cluster.keyspace.set_value import SetValue
from cluster.keyspace.sorted_set import SortedSetValue
from cluster.keyspace.stream import StreamValue
from cluster.keyspace.stream_group import Consumer, ConsumerGroup
from cluster.keyspace.stream_id import make_id
from cluster.keyspace.values import Value
from cluster.persistence import rdb_format as rdb
from cluster.persistence.encodings import decode_intset, decode_listpack, decode_ziplist, decode_zipmap
from cluster.persistence.hash_encoding import of_rows, of_triples
from cluster.persistence.rdb_fields import SHORT_STRING, Fields
from cluster.persistence.rdb_format import RdbError
from cluster.persistence.stream_encoding import decode_block

FOOTER_BYTES = 10
_ID_BYTES = 16
_MOST = (1 << 63) - 1
"""A counter that has a greater value was damaged: clients could not be told of it."""

__all__ = ["Entry", "RdbError", "Reader", "load_payload", "load_rdb"]


class Entry(NamedTuple):
    """A key of a snapshot. `idle_seconds` and `frequency` are None where the file says nothing."""

    db: int
    key: bytes
    value: Value
    deadline_ms: int | None
    idle_seconds: int | None
    frequency: int | None


class Reader(Fields):
    """Takes values, too. `names`: for the fields of short hashes."""

    def __init__(self, source: BinaryIO, *, checks: bool = False, names: NamePool | None = None) -> None:
        super().__init__(source, checks=checks)
        self._names = names

    def value(self, kind: int) -> Value:
        """A value of the type that its type byte names."""
        if kind == rdb.STRING:
            return self.string()
        loader = _LOADERS.get(kind)
        if loader is None:
            if kind in rdb.MODULE_TYPES:
                raise self.fail(f"Module data I can't load: no matching module type '{rdb.module_name(self.length())}'")
            raise self.fail(f"Unknown type {kind}")
        try:
            value = loader(self)
            if self._names is not None and isinstance(value, HashValue):
                value.share_names(self._names)
            return value
        except ValueError as error:
            raise self.fail(f"Corrupt value: {error}") from None


# -- values ------------------------------------------------------------------------------------------------------


def _pairs(items: list[bytes]) -> list[tuple[bytes, bytes]]:
    if len(items) % 2:
        raise ValueError("an odd number of elements")
    return list(zip(items[::2], items[1::2], strict=True))


def _score(text: bytes) -> float:
    score = float(text)
    if math.isnan(score):
        raise ValueError("a score that is no number")
    return score


def _distinct(count: int, found: int) -> None:
    if not count:
        raise ValueError("an empty collection")
    if found != count:
        raise ValueError("an element twice")


def _new_hash(pairs: list[tuple[bytes, bytes]]) -> HashValue:
    value = HashValue(pairs)
    _distinct(len(pairs), len(value))
    return value


def _new_set(members: list[bytes]) -> SetValue:
    value = SetValue(members)
    _distinct(len(members), len(value))
    return value


def _new_sorted_set(pairs: list[tuple[bytes, float]]) -> SortedSetValue:
    value = SortedSetValue(pairs)
    _distinct(len(pairs), len(value))
    return value


def _new_list(items: list[bytes]) -> ListValue:
    if not items:
        raise ValueError("an empty collection")
    return ListValue(items)


def _load_list(reader: Reader) -> ListValue:
    return _new_list([reader.string() for _ in range(reader.length())])


def _load_set(reader: Reader) -> SetValue:
    return _new_set([reader.string() for _ in range(reader.length())])


def _load_hash(reader: Reader) -> HashValue:
    return _new_hash([(reader.string(), reader.string()) for _ in range(reader.length())])


def _load_hash_with_deadlines(reader: Reader, *, early: bool = False) -> HashValue:
    before = 0 if early else _moment(reader) - 1
    count = reader.length()
    rows: list[tuple[bytes, bytes, int]] = []
    for _ in range(count):
        wait = reader.length()
        rows.append((reader.string(), reader.string(), before + wait if wait else 0))
    return of_rows(rows, count)


def _load_listpack_with_deadlines(reader: Reader) -> HashValue:
    _moment(reader)  # the earliest, which the fields tell too
    return of_triples(decode_listpack(reader.string()))


def _load_sorted_set(reader: Reader) -> SortedSetValue:
    pairs = [(reader.string(), reader.old_double()) for _ in range(reader.length())]
    if any(math.isnan(score) for _, score in pairs):
        raise ValueError("a score that is no number")
    return _new_sorted_set(pairs)


def _load_sorted_set_2(reader: Reader) -> SortedSetValue:
    pairs = [(reader.string(), reader.double()) for _ in range(reader.length())]
    if any(math.isnan(score) for _, score in pairs):
        raise ValueError("a score that is no number")
    return _new_sorted_set(pairs)


def _load_quicklist(reader: Reader) -> ListValue:
    items: list[bytes] = []
    for _ in range(reader.length()):
        items += decode_ziplist(reader.string())
    return _new_list(items)


def _load_quicklist_2(reader: Reader) -> ListValue:
    items: list[bytes] = []
    for _ in range(reader.length()):
        container = reader.length()
        node = reader.string()
        if container == rdb.NODE_PLAIN:
            items.append(node)
        elif container == rdb.NODE_PACKED:
            items += decode_listpack(node)
        else:
            raise ValueError(f"a list node of unknown kind {container}")
    return _new_list(items)


def _scored(items: list[bytes]) -> SortedSetValue:
    return _new_sorted_set([(member, _score(score)) for member, score in _pairs(items)])


def _load_stream(reader: Reader, version: int) -> StreamValue:
    value = StreamValue()
    end = -1
    for _ in range(reader.length()):
        name = reader.string()
        if len(name) != _ID_BYTES:
            raise ValueError("a node of a stream with no id")
        block = decode_block(int.from_bytes(name, "big"), reader.string())
        if block.start <= end:
            raise ValueError("nodes of a stream out of order")
        end = block.end
        if block.ids:
            value.blocks.append(block)
            value.starts.append(block.start)
            value.length += len(block.ids)
    if reader.length() != value.length:
        raise ValueError("a stream with another number of entries")
    value.last_id = max(_id_of_lengths(reader), end if value.length else 0)
    value.entries_added = value.length
    if version >= 2:
        _id_of_lengths(reader)  # the first id, which the entries tell too
        value.max_deleted_id = _id_of_lengths(reader)
        value.entries_added = min(reader.length(), _MOST)
    for _ in range(reader.length()):
        name = reader.string()
        if name in value.groups:
            raise ValueError("a consumer group twice")
        value.groups[name] = _load_group(reader, value, version)
    return value


def _load_group(reader: Reader, stream: StreamValue, version: int) -> ConsumerGroup:
    last_id = _id_of_lengths(reader)
    read = reader.length() if version >= 2 else stream.entries_up_to(last_id)
    group = ConsumerGroup(last_id, None if read is None or read >= 1 << 63 else read)
    given: dict[int, tuple[int, int]] = {}
    for _ in range(reader.length()):
        entry_id = int.from_bytes(reader.take(_ID_BYTES), "big")
        if entry_id in given:
            raise ValueError("an entry pending twice")
        given[entry_id] = (_moment(reader), min(reader.length(), _MOST))
    for _ in range(reader.length()):
        name, seen_ms = reader.string(), _moment(reader)
        if name in group.consumers:
            raise ValueError("a consumer twice")
        consumer = group.consumers[name] = Consumer(name, seen_ms, seen_ms)
        if version >= 3:
            active_ms = _moment(reader)
            consumer.active_ms = active_ms if active_ms >= 0 else None
        for _ in range(reader.length()):
            entry_id = int.from_bytes(reader.take(_ID_BYTES), "big")
            if entry_id not in given:
                raise ValueError("an entry that is pending with a consumer only, or with two")
            group.give(entry_id, consumer, *given.pop(entry_id))
    if given:
        raise ValueError("an entry that is pending with no consumer")
    return group


def _id_of_lengths(reader: Reader) -> int:
    return make_id(reader.length(), reader.length())


def _moment(reader: Reader) -> int:
    return int.from_bytes(reader.take(8), "little", signed=True)


_LOADERS: dict[int, Callable[[Reader], Value]] = {
    rdb.LIST: _load_list,
    rdb.SET: _load_set,
    rdb.ZSET: _load_sorted_set,
    rdb.HASH: _load_hash,
    rdb.ZSET_2: _load_sorted_set_2,
    rdb.HASH_ZIPMAP: lambda reader: _new_hash(_pairs(decode_zipmap(reader.string()))),
    rdb.LIST_ZIPLIST: lambda reader: _new_list(decode_ziplist(reader.string())),
    rdb.SET_INTSET: lambda reader: _new_set(decode_intset(reader.string())),
    rdb.ZSET_ZIPLIST: lambda reader: _scored(decode_ziplist(reader.string())),
    rdb.HASH_ZIPLIST: lambda reader: _new_hash(_pairs(decode_ziplist(reader.string()))),
    rdb.LIST_QUICKLIST: _load_quicklist,
    rdb.HASH_LISTPACK: lambda reader: _new_hash(_pairs(decode_listpack(reader.string()))),
    rdb.ZSET_LISTPACK: lambda reader: _scored(decode_listpack(reader.string())),
    rdb.LIST_QUICKLIST_2: _load_quicklist_2,
    rdb.STREAM_LISTPACKS: lambda reader: _load_stream(reader, 1),
    rdb.STREAM_LISTPACKS_2: lambda reader: _load_stream(reader, 2),
    rdb.STREAM_LISTPACKS_3: lambda reader: _load_stream(reader, 3),
    rdb.HASH_DEADLINES: _load_hash_with_deadlines,
    rdb.HASH_DEADLINES_EARLY: lambda reader: _load_hash_with_deadlines(reader, early=True),
    rdb.HASH_LISTPACK_DEADLINES: _load_listpack_with_deadlines,
    rdb.HASH_LISTPACK_DEADLINES_EARLY: lambda reader: of_triples(decode_listpack(reader.string())),
    rdb.SET_LISTPACK: lambda reader: _new_set(decode_listpack(reader.string())),
}


# -- DUMP's payload ----------------------------------------------------------------------------------------------


def payload_is_whole(payload: bytes, *, may_be_empty: bool = False) -> bool:
    """Whether version and checksum are right."""
    if len(payload) < FOOTER_BYTES + (not may_be_empty):
        return False
    if int.from_bytes(payload[-10:-8], "little") > rdb.NEWEST_READABLE:
        return False
    checksum: int = rdb.CRC.calc(payload[:-8])
    return checksum == int.from_bytes(payload[-8:], "little")


def load_payload(payload: bytes, names: NamePool | None = None) -> Value:
    """The value in a payload that is whole. `names`: for the fields of short hashes. Raises RdbError."""
    if not payload[1:2] or len(payload) <= FOOTER_BYTES:
        raise RdbError("An empty payload")
    if payload[0] == rdb.STRING and payload[1] == len(payload) - FOOTER_BYTES - 2 < SHORT_STRING:
        return payload[2:-FOOTER_BYTES]  # most of what MIGRATE moves, without a reader
    reader = Reader(io.BytesIO(payload[:-FOOTER_BYTES]), names=names)
    value = reader.value(reader.byte())
    if reader.offset < len(payload) - FOOTER_BYTES:
        raise reader.fail("Bytes behind the value")
    return value


def function_codes(payload: bytes) -> list[bytes]:
    """The code of each library in what FUNCTION DUMP gave, which is whole. Raises CommandError."""
    reader = Reader(io.BytesIO(payload[:-FOOTER_BYTES]))
    codes: list[bytes] = []
    while reader.offset < len(payload) - FOOTER_BYTES:
        kind = reader.byte()
        if kind == rdb.FUNCTION_EARLY:
            raise CommandError("ERR Pre-GA function format not supported")
        if kind != rdb.FUNCTION_2:
            raise CommandError("ERR given type is not a function")
        try:
            codes.append(reader.string())
        except RdbError:
            raise CommandError("ERR Failed loading library payload") from None
    return codes


# -- whole files -------------------------------------------------------------------------------------------------


def load_rdb(
    source: BinaryIO,
    on_aux: Callable[[str, str], None] | None = None,
    names: NamePool | None = None,
    on_function: Callable[[bytes], None] | None = None,
) -> Iterator[Entry]:
    """Every key of an RDB; its AUX fields go to `on_aux`. Raises RdbError, also for a wrong checksum at the end. What
    follows it in `source` is left there.

    names: for the fields of short hashes. on_function: is given the code of each library of functions, and may raise
    CommandError.
    """
    reader = Reader(source, checks=True, names=names)
    if reader.take(5) != rdb.MAGIC:
        raise reader.fail("Wrong signature trying to load DB from file")
    version = reader.take(4)
    if not version.isdigit() or not 1 <= int(version) <= rdb.NEWEST_READABLE:
        raise reader.fail(f"Can't handle RDB format version {version.decode('latin-1')}")
    yield from _entries(reader, on_aux, on_function)
    if int(version) >= 5:
        expected = reader.checksum
        stored = int.from_bytes(reader.take(8), "little")
        if stored not in (0, expected):
            raise reader.fail("Wrong RDB checksum")
    reader.close()


def _entries(
    reader: Reader, on_aux: Callable[[str, str], None] | None, on_function: Callable[[bytes], None] | None
) -> Iterator[Entry]:
    db = 0
    deadline: int | None = None
    idle: int | None = None
    frequency: int | None = None
    while (code := reader.byte()) != rdb.EOF:
        if code < rdb.FIRST_OPCODE:
            key = reader.string()
            value = reader.string() if code == rdb.STRING else reader.value(code)
            yield Entry(db, key, value, deadline, idle, frequency)
            deadline = idle = frequency = None
        elif code == rdb.EXPIRE_MS:
            deadline = int.from_bytes(reader.take(8), "little", signed=True)
        elif code == rdb.EXPIRE_S:
            deadline = int.from_bytes(reader.take(4), "little", signed=True) * 1000
        elif code == rdb.IDLE:
            idle = min(reader.length(), _MOST)
        elif code == rdb.FREQ:
            frequency = reader.byte()
        elif code == rdb.SELECT_DB:
            db = reader.length()
        elif code == rdb.RESIZE_DB:
            reader.length()
            reader.length()
        elif code == rdb.AUX:
            name, text = reader.string(), reader.string()
            if on_aux is not None:
                on_aux(name.decode("utf-8", "replace"), text.decode("utf-8", "replace"))
        elif code == rdb.SLOT_INFO:  # so many keys and deadlines are to come
            for _ in range(3):
                reader.length()
        elif code == rdb.FUNCTION_2:
            _function(reader, on_function)
        elif code == rdb.MODULE_AUX:
            raise reader.fail(f"AUX module data I can't load: no matching module '{rdb.module_name(reader.length())}'")
        else:
            raise reader.fail("Functions of a release candidate of Redis 7.0")


def _function(reader: Reader, on_function: Callable[[bytes], None] | None) -> None:
    code = reader.string()
    if on_function is None:
        return
    try:
        on_function(code)
    except CommandError as error:
        raise reader.fail(f"A library of functions cannot be loaded: {error.message.removeprefix('ERR ')}") from None
