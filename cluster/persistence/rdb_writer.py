"""Values → RDB bytes: for DUMP and MIGRATE, for snapshots, for a full sync.

Pure: a snapshot is an iterator of chunks, so that whoever writes it decides how much at a time. Small collections are
written in the compact encodings redis-server would use.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import lzf

from cluster.keyspace.database import Database
from cluster.keyspace.encodings import is_compact_hash, is_compact_sorted_set, set_encoding
from cluster.keyspace.expiring_hash import NEVER, ExpiringHashValue
from cluster.keyspace.hash_value import HashValue
from cluster.keyspace.list_value import ListValue
from cluster.keyspace.numbers import is_integer
from cluster.keyspace.set_value import SetValue
from cluster.keyspace.sorted_set import SortedSetValue
from cluster.keyspace.stream import StreamValue
from cluster.keyspace.stream_id import PART_BITS, PART_MAX
from cluster.keyspace.values import Value
from cluster.persistence import rdb_format as rdb
from cluster.persistence.encodings import encode_intset, encode_listpack, listpack_entry, listpack_of
from cluster.persistence.hash_encoding import in_turn
from cluster.persistence.stream_encoding import encode_block

if TYPE_CHECKING:
    from cluster.config.store import Configuration

CHUNK_BYTES = 64 * 1024
COMPRESS_ABOVE_BYTES = 20
_NUMBER_BYTES = 11
"""A longer text is no number of 32 bits."""
_JOINED = 64
"""Elements of one part, unless they are long."""
_LIST_NODE_BYTES = {-1: 4096, -2: 8192, -3: 16384, -4: 32768, -5: 65536}
_SAFE_NODE_BYTES = 8192
_DOUBLE = struct.Struct("<d")
_MOMENT = struct.Struct("<q")
_UNKNOWN = PART_MAX
"""How many entries a group has read, where that cannot be told."""
Usage = Callable[[Database, bytes], bytes]


class Watcher(NamedTuple):
    """Who is told how many keys have been written, before the first and then `every` so many."""

    every: int
    tell: Callable[[int], None]


def length(count: int) -> bytes:
    if count < 64:
        return bytes((count,))
    if count < 1 << 14:
        return bytes((0x40 | count >> 8, count & 0xFF))
    if count < 1 << 32:
        return struct.pack(">BI", rdb.LENGTH_32, count)
    return struct.pack(">BQ", rdb.LENGTH_64, count & rdb.MOST_64)  # no count may keep a snapshot from being made


def string(value: bytes, *, compress: bool = True) -> bytes:
    """A string: as a number where it is one of 32 bits, compressed where that is shorter."""
    size = len(value)
    if size <= _NUMBER_BYTES and is_integer(value):
        number = int(value)
        if -128 <= number < 128:
            return struct.pack("<Bb", 0xC0, number)
        if -32768 <= number < 32768:
            return struct.pack("<Bh", 0xC1, number)
        if -2147483648 <= number < 2147483648:
            return struct.pack("<Bi", 0xC2, number)
    return raw_string(value, compress=compress)


def raw_string(value: bytes, *, compress: bool = True) -> bytes:
    size = len(value)
    if compress and size > COMPRESS_ABOVE_BYTES:
        packed = lzf.compress(value)
        if packed is not None and len(packed) < size - 4:
            return b"\xc3" + length(len(packed)) + length(size) + bytes(packed)
    return length(size) + value


def dump_value(value: Value, config: Configuration) -> bytes:
    """The type byte and the body."""
    if type(value) is bytes:
        return b"\0" + string(value, compress=config.rdbcompression)
    return b"".join(value_parts(value, config, compress=config.rdbcompression))


def value_parts(value: Value, config: Configuration, *, compress: bool) -> Iterator[bytes]:
    """The same in small parts. The value may change once the first of them is out, that does not show in the others.

    A part may be empty: so who encodes a large value a while at a time has the control often enough.
    """
    if isinstance(value, (bytes, bytearray)):
        return _string(bytes(value), compress)
    if isinstance(value, HashValue):
        return _hash(value, config, compress)
    if isinstance(value, ListValue):
        return _list(value, config, compress)
    if isinstance(value, SetValue):
        return _set(value, config, compress)
    if isinstance(value, SortedSetValue):
        return _sorted_set(value, config, compress)
    return _stream(value.copy(), compress)


def _typed(kind: int, *parts: bytes) -> bytes:
    return bytes((kind,)) + b"".join(parts)


def _string(value: bytes, compress: bool) -> Iterator[bytes]:
    yield bytes((rdb.STRING,))
    if compress or len(value) <= CHUNK_BYTES:
        yield string(value, compress=compress)
        return
    yield length(len(value))
    for at in range(0, len(value), CHUNK_BYTES):
        yield value[at : at + CHUNK_BYTES]


def _hash(value: HashValue, config: Configuration, compress: bool) -> Iterator[bytes]:
    small = is_compact_hash(value, config)
    if isinstance(value, ExpiringHashValue) and value.next_ms != NEVER:
        yield from _expiring_hash(value, small, compress)
        return
    flat = list(chain.from_iterable(value.fields.items()))
    if small:
        yield _typed(rdb.HASH_LISTPACK, raw_string(encode_listpack(flat), compress=compress))
        return
    yield _typed(rdb.HASH, length(len(flat) // 2))
    yield from _strings(flat, compress)


def _expiring_hash(value: ExpiringHashValue, small: bool, compress: bool) -> Iterator[bytes]:
    first_ms = value.next_ms
    earliest = _MOMENT.pack(first_ms)
    if small:
        listpack = raw_string(encode_listpack(in_turn(value)), compress=compress)
        yield _typed(rdb.HASH_LISTPACK_DEADLINES, earliest, listpack)
        return
    deadlines = dict(value.deadlines())
    pairs = list(value.fields.items())
    yield _typed(rdb.HASH_DEADLINES, earliest, length(len(pairs)))
    for field, content in pairs:
        wait = deadlines[field] - first_ms + 1 if field in deadlines else 0
        yield length(wait) + string(field, compress=compress) + string(content, compress=compress)


def _strings(values: Sequence[bytes], compress: bool) -> Iterator[bytes]:
    for at in range(0, len(values), _JOINED):
        some = values[at : at + _JOINED]
        if sum(map(len, some)) > CHUNK_BYTES:
            for value in some:
                yield string(value, compress=compress)
            continue
        yield b"".join([
            b"%c%b" % (size, value)
            if _NUMBER_BYTES < (size := len(value)) <= COMPRESS_ABOVE_BYTES
            else string(value, compress=compress)
            for value in some
        ])


def _list(value: ListValue, config: Configuration, compress: bool) -> Iterator[bytes]:
    items = list(value)
    yield _typed(rdb.LIST_QUICKLIST_2)
    packed = length(rdb.NODE_PACKED)
    nodes: list[bytes] = []
    for node in _list_nodes(items, config.list_max_listpack_size):
        nodes.append(packed + raw_string(node, compress=compress))
        yield b""
    yield length(len(nodes))
    yield from nodes


def _list_nodes(items: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Listpacks of the size list-max-listpack-size asks for."""
    most_bytes = _LIST_NODE_BYTES.get(limit, _SAFE_NODE_BYTES)
    most_items = limit if limit > 0 else 1 << 62
    entries: list[bytes] = []
    size = 7
    for item in items:
        entry = listpack_entry(item)
        if entries and (size + len(entry) > most_bytes or len(entries) >= most_items):
            yield listpack_of(entries)
            entries, size = [], 7
        entries.append(entry)
        size += len(entry)
    if entries:
        yield listpack_of(entries)


def _set(value: SetValue, config: Configuration, compress: bool) -> Iterator[bytes]:
    if set_encoding(value, config) == "intset":
        numbers = sorted(int(member) for member in value)
        yield _typed(rdb.SET_INTSET, raw_string(encode_intset(numbers), compress=compress))
        return
    members = list(value)
    yield _typed(rdb.SET, length(len(members)))
    yield from _strings(members, compress)


def _sorted_set(value: SortedSetValue, config: Configuration, compress: bool) -> Iterator[bytes]:
    scored = value.stretch(0, len(value))
    if is_compact_sorted_set(value, config):
        flat = [part for score, member in scored for part in (member, _score_text(score))]
        yield _typed(rdb.ZSET_LISTPACK, raw_string(encode_listpack(flat), compress=compress))
        return
    yield _typed(rdb.ZSET_2, length(len(scored)))
    pack = _DOUBLE.pack
    scored.reverse()  # redis-server writes the highest first, which makes its own loading faster
    for at in range(0, len(scored), _JOINED):
        some = scored[at : at + _JOINED]
        if sum([len(member) for _, member in some]) > CHUNK_BYTES:
            for score, member in some:
                yield string(member, compress=compress) + pack(score)
            continue
        # Most are neither a number nor worth compressing.
        yield b"".join([
            b"%c%b%b" % (size, member, pack(score))
            if _NUMBER_BYTES < (size := len(member)) <= COMPRESS_ABOVE_BYTES
            else string(member, compress=compress) + pack(score)
            for score, member in some
        ])


def _score_text(score: float) -> bytes:
    if score == int(score) if abs(score) < 1e18 else False:
        return b"%d" % int(score)
    return b"%.17g" % score


def _stream(value: StreamValue, compress: bool) -> Iterator[bytes]:
    yield _typed(rdb.STREAM_LISTPACKS_2, length(len(value.blocks)))
    for block in value.blocks:
        yield raw_string(_stream_id(block.start)) + raw_string(encode_block(block), compress=compress)
    yield length(value.length)
    yield _id_lengths(value.last_id) + _id_lengths(value.first_id) + _id_lengths(value.max_deleted_id)
    yield length(value.entries_added) + length(len(value.groups))
    for name, group in sorted(value.groups.items()):
        read = _UNKNOWN if group.entries_read is None else group.entries_read & _UNKNOWN
        yield raw_string(name) + _id_lengths(group.last_id) + length(read) + length(len(group.pending))
        for entry_id, pending in group.pending.between():
            yield _stream_id(entry_id) + _MOMENT.pack(pending.delivered_ms) + length(pending.count)
        yield length(len(group.consumers))
        for _, consumer in sorted(group.consumers.items()):
            yield raw_string(consumer.name) + _MOMENT.pack(consumer.seen_ms) + length(len(consumer.pending))
            for entry_id, _ in consumer.pending.between():
                yield _stream_id(entry_id)


def _stream_id(entry_id: int) -> bytes:
    return entry_id.to_bytes(16, "big")


def _id_lengths(entry_id: int) -> bytes:
    return length(entry_id >> PART_BITS) + length(entry_id & PART_MAX)


# -- DUMP --------------------------------------------------------------------------------------------------------


def _version(value: Value) -> bytes:
    """The least version of RDB that knows such a value."""
    with_deadlines = isinstance(value, ExpiringHashValue) and value.next_ms != NEVER
    return (rdb.VERSION_OF_DEADLINES if with_deadlines else rdb.VERSION).to_bytes(2, "little")


def dump_payload(value: Value, config: Configuration) -> bytes:
    """What DUMP answers and RESTORE takes: the value, the RDB version, and a CRC-64 over both."""
    body = dump_value(value, config) + _version(value)
    checksum: int = rdb.CRC.calc(body)
    return body + checksum.to_bytes(8, "little")


def payload_parts(value: Value, config: Configuration, *, compress: bool) -> Iterator[bytes]:
    """The same in chunks of about CHUNK_BYTES, or less; see `value_parts`."""
    checksum = 0
    for chunk in _chunks(chain(value_parts(value, config, compress=compress), (_version(value),))):
        checksum = rdb.CRC.calc(chunk, checksum)
        yield chunk
    yield checksum.to_bytes(8, "little")


def functions_payload(codes: Iterable[bytes], config: Configuration) -> bytes:
    """What FUNCTION DUMP answers and FUNCTION RESTORE takes."""
    body = b"".join(function_part(code, config) for code in codes) + rdb.VERSION.to_bytes(2, "little")
    checksum: int = rdb.CRC.calc(body)
    return body + checksum.to_bytes(8, "little")


def function_part(code: bytes, config: Configuration) -> bytes:
    return _typed(rdb.FUNCTION_2, raw_string(code, compress=config.rdbcompression))


# -- snapshots ---------------------------------------------------------------------------------------------------


def idle_part(seconds: int) -> bytes:
    """What stands before a key that was used so long ago."""
    return _typed(rdb.IDLE, length(seconds))


def frequency_part(counter: int) -> bytes:
    """What stands before a key that is used so often."""
    return bytes((rdb.FREQ, counter))


def write_rdb(
    databases: Sequence[Database],
    config: Configuration,
    aux: Mapping[str, str],
    functions: Iterable[bytes] = (),
    usage: Usage | None = None,
    watcher: Watcher | None = None,
) -> Iterator[bytes]:
    """A whole RDB in chunks of about CHUNK_BYTES, the checksum last. The databases must not change meanwhile.

    functions: the code of each library. usage: the `idle_part` or the `frequency_part` of a key.
    """
    checksum = 0
    for chunk in _chunks(_parts(databases, config, aux, functions, usage, watcher)):
        if config.rdbchecksum:
            checksum = rdb.CRC.calc(chunk, checksum)
        yield chunk
    yield checksum.to_bytes(8, "little")


def _chunks(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The parts, gathered; an empty one is passed on at once, with what there is."""
    gathered: list[bytes] = []
    size = 0
    for part in parts:
        gathered.append(part)
        size += len(part)
        if size >= CHUNK_BYTES or not part:
            yield b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)


def _parts(
    databases: Sequence[Database],
    config: Configuration,
    aux: Mapping[str, str],
    functions: Iterable[bytes],
    usage: Usage | None,
    watcher: Watcher | None,
) -> Iterator[bytes]:
    yield from file_head(databases, config, aux, functions)
    written = 0
    for db in databases:
        if not len(db):
            continue
        yield database_head(db)
        for key, value, deadline in db.items():
            if watcher is not None and not written % watcher.every:
                watcher.tell(written)
            written += 1
            yield key_bytes(db, key, value, deadline, config, usage)
    yield bytes((rdb.EOF,))


def file_head(
    databases: Sequence[Database], config: Configuration, aux: Mapping[str, str], functions: Iterable[bytes]
) -> Iterator[bytes]:
    """What stands before all keys."""
    with_deadlines = any(len(db.fields) for db in databases)
    yield rdb.MAGIC + b"%04d" % (rdb.VERSION_OF_DEADLINES if with_deadlines else rdb.VERSION)
    for name, text in aux.items():
        yield _typed(rdb.AUX, string(name.encode()), string(text.encode()))
    for function in functions:
        yield function_part(function, config)


def select_part(index: int) -> bytes:
    """The keys that follow are of this database."""
    return _typed(rdb.SELECT_DB, length(index))


def database_head(db: Database) -> bytes:
    """The keys that follow are of `db`, which has so many."""
    return select_part(db.index) + _typed(rdb.RESIZE_DB, length(len(db)), length(db.volatile_count()))


def key_bytes(
    db: Database, key: bytes, value: Value, deadline: int | None, config: Configuration, usage: Usage | None
) -> bytes:
    """A key: its deadline and its use, where there are such, and its value."""
    dumped = dump_value(value, config)
    entry = dumped[:1] + string(key, compress=config.rdbcompression) + dumped[1:]
    if usage is not None:
        entry = usage(db, key) + entry
    return entry if deadline is None else struct.pack("<Bq", rdb.EXPIRE_MS, deadline) + entry


def key_parts(
    db: Database, key: bytes, value: Value, deadline: int | None, config: Configuration, usage: Usage | None
) -> Iterator[bytes]:
    """The same in parts, as `value_parts`."""
    parts = value_parts(value, config, compress=config.rdbcompression)
    first = next(parts)
    head = b"" if usage is None else usage(db, key)
    if deadline is not None:
        head = struct.pack("<Bq", rdb.EXPIRE_MS, deadline) + head
    yield head + first[:1] + string(key, compress=config.rdbcompression) + first[1:]
    yield from parts
