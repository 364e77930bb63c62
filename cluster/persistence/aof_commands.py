"""A dataset → the commands that make it anew: the base of an append-only file without a snapshot.

Pure: an iterator of chunks. A collection comes in commands of 64 elements, so that loading it holds nobody up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from cluster.keyspace.database import Database
from cluster.keyspace.expiring_hash import ExpiringHashValue
from cluster.keyspace.hash_value import HashValue
from cluster.keyspace.list_value import ListValue
from cluster.keyspace.set_value import SetValue
from cluster.keyspace.sorted_set import SortedSetValue
from cluster.keyspace.stream import StreamValue
from cluster.keyspace.stream_group import ConsumerGroup
from cluster.keyspace.stream_id import id_text
from cluster.keyspace.values import Value
from cluster.persistence.rdb_writer import Watcher
from cluster.protocol.doubles import format_double
from cluster.protocol.replies import request

ITEMS_PER_COMMAND = 64
CHUNK_BYTES = 64 * 1024
Command = list[bytes]


def write_commands(
    databases: Sequence[Database],
    functions: Iterable[bytes] = (),
    timestamp: int | None = None,
    watcher: Watcher | None = None,
) -> Iterator[bytes]:
    """The whole, in chunks of about CHUNK_BYTES.

    functions: the code of each library. timestamp: seconds, for a comment that says when it was.
    """
    gathered: list[bytes] = [] if timestamp is None else [annotation(timestamp)]
    size = 0
    for command in chain(([b"FUNCTION", b"LOAD", code] for code in functions), _dataset(databases, watcher)):
        encoded = request(command)
        gathered.append(encoded)
        size += len(encoded)
        if size >= CHUNK_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    yield b"".join(gathered)


def annotation(timestamp: int) -> bytes:
    """The comment that says when what follows was written, in seconds."""
    return b"#TS:%d\r\n" % timestamp


def _dataset(databases: Sequence[Database], watcher: Watcher | None) -> Iterator[Command]:
    written = 0
    for db in databases:
        selected = False
        for key, value, deadline_ms in db.items():
            if watcher is not None and not written % watcher.every:
                watcher.tell(written)
            written += 1
            if not selected:
                selected = True
                yield [b"SELECT", b"%d" % db.index]
            yield from value_commands(key, value)
            if deadline_ms is not None:
                yield [b"PEXPIREAT", key, b"%d" % deadline_ms]


def value_commands(key: bytes, value: Value) -> Iterator[Command]:
    """What makes `key` hold `value`."""
    if isinstance(value, (bytes, bytearray)):
        yield [b"SET", key, bytes(value)]
    elif isinstance(value, ListValue):
        yield from _in_groups([b"RPUSH", key], value, 1)
    elif isinstance(value, SetValue):
        yield from _in_groups([b"SADD", key], value, 1)
    elif isinstance(value, SortedSetValue):
        parts = (part for member, score in value.items() for part in (format_double(score), member))
        yield from _in_groups([b"ZADD", key], parts, 2)
    elif isinstance(value, HashValue):
        yield from _hash(key, value)
    else:
        yield from _stream(key, value)


def _in_groups(head: Command, parts: Iterable[bytes], per_item: int) -> Iterator[Command]:
    iterator = iter(parts)
    while group := list(islice(iterator, ITEMS_PER_COMMAND * per_item)):
        yield head + group


def _hash(key: bytes, value: HashValue) -> Iterator[Command]:
    # `fields` are all there are, those that have expired and wait for their deletion among them.
    yield from _in_groups([b"HMSET", key], (part for pair in value.fields.items() for part in pair), 2)
    if isinstance(value, ExpiringHashValue):
        by_deadline: dict[int, list[bytes]] = {}
        for field, deadline_ms in value.deadlines().items():
            by_deadline.setdefault(deadline_ms, []).append(field)
        for deadline_ms, fields in by_deadline.items():
            for at in range(0, len(fields), ITEMS_PER_COMMAND):
                some = fields[at : at + ITEMS_PER_COMMAND]
                yield [b"HPEXPIREAT", key, b"%d" % deadline_ms, b"FIELDS", b"%d" % len(some), *some]


def _stream(key: bytes, value: StreamValue) -> Iterator[Command]:
    if len(value):
        for entry_id, items in value.between():
            yield [b"XADD", key, id_text(entry_id), *items]
    else:  # an entry that is trimmed at once leaves an empty stream
        yield [b"XADD", key, b"MAXLEN", b"0", b"0-1", b"x", b"y"]
    yield [
        b"XSETID", key, id_text(value.last_id), b"ENTRIESADDED", b"%d" % value.entries_added, b"MAXDELETEDID",
        id_text(value.max_deleted_id),
    ]  # fmt: skip
    for name, group in value.groups.items():
        read = -1 if group.entries_read is None else group.entries_read
        yield [b"XGROUP", b"CREATE", key, name, id_text(group.last_id), b"ENTRIESREAD", b"%d" % read]
        yield from _consumers(key, name, group)


def _consumers(key: bytes, name: bytes, group: ConsumerGroup) -> Iterator[Command]:
    for consumer in group.consumers.values():
        if not len(consumer.pending):
            yield [b"XGROUP", b"CREATECONSUMER", key, name, consumer.name]
        for entry_id, pending in consumer.pending.between():
            yield [
                b"XCLAIM", key, name, consumer.name, b"0", id_text(entry_id), b"TIME", b"%d" % pending.delivered_ms,
                b"RETRYCOUNT", b"%d" % pending.count, b"JUSTID", b"FORCE",
            ]  # fmt: skip
