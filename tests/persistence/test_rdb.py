"""RDB there and back: every value in every encoding comes back as it was; broken input gives one error, at once."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.commands.hash_deadlines import LATEST_MS
from cluster.config.store import Configuration, Setting
from cluster.keyspace.database import Database
from cluster.keyspace.expiring_hash import ExpiringHashValue
from cluster.keyspace.hash_value import HashValue
from cluster.keyspace.list_value import ListValue
from cluster.keyspace.set_value import SetValue
from cluster.keyspace.sorted_set import SortedSetValue
from cluster.keyspace.stream import StreamValue
from cluster.keyspace.stream_group import ConsumerGroup
from cluster.keyspace.values import Value
from cluster.persistence import rdb_format as rdb
from cluster.persistence.rdb_reader import RdbError, load_payload, load_rdb, payload_is_whole
from cluster.persistence.rdb_writer import dump_payload, dump_value, payload_parts, value_parts, write_rdb
from cluster.persistence.stream_encoding import encode_block

USUAL = Configuration([])
SMALL = Configuration([
    Setting("hash-max-listpack-entries", ("3",)), Setting("zset-max-listpack-entries", ("3",)),
    Setting("set-max-intset-entries", ("3",)), Setting("list-max-listpack-size", ("2",)),
    Setting("rdbcompression", ("no",)), Setting("rdbchecksum", ("no",)),
])  # fmt: skip
"""Under these, collections of some members are past their compact encodings already."""
CONFIGURATIONS = st.sampled_from([USUAL, SMALL])

EDGES = st.sampled_from([
    b"", b"0", b"-0", b"+1", b"01", b" 1", b"1.5", b"\0", b"x" * 19, b"x" * 20, b"x" * 21, b"x" * 63, b"x" * 64,
    b"abc" * 1400, b"y" * 16383, b"y" * 16384, b"z" * 70000,
    *(b"%d" % (sign * (1 << bits) + step) for bits in (0, 6, 7, 12, 15, 23, 31, 63) for sign in (-1, 1)
      for step in (-1, 0, 1)),
])  # fmt: skip
ITEMS = st.one_of(st.binary(max_size=30), EDGES, st.integers(-(1 << 63), (1 << 63) - 1).map(lambda n: b"%d" % n))
SCORES = st.one_of(st.floats(allow_nan=False), st.integers(-(1 << 60), 1 << 60).map(float))
ENTRY_IDS = st.one_of(st.integers(0, 20), st.integers(0, (1 << 128) - 1))


@st.composite
def streams(draw: st.DrawFn) -> StreamValue:
    value = StreamValue()
    fields = draw(st.lists(ITEMS, min_size=1, max_size=3))
    for entry_id in sorted(draw(st.sets(ENTRY_IDS, max_size=12)) - {0}):
        names = fields if draw(st.booleans()) else draw(st.lists(ITEMS, min_size=1, max_size=2))
        value.append(entry_id, tuple(part for name in names for part in (name, draw(ITEMS))), 400, 5)
        if draw(st.integers(0, 5)) == 0:
            value.discard(entry_id)
    for name in draw(st.sets(ITEMS, max_size=2)):
        group = value.groups[name] = ConsumerGroup(draw(ENTRY_IDS), draw(st.none() | st.integers(0, 99)))
        for consumer_name in draw(st.sets(ITEMS, max_size=2)):
            consumer, _ = group.consumer(consumer_name, draw(st.integers(0, 1 << 45)))
            for entry_id in draw(st.sets(ENTRY_IDS, max_size=4)):
                group.give(entry_id, consumer, draw(st.integers(0, 1 << 45)), draw(st.integers(0, 1 << 40)))
    return value


@st.composite
def expiring_hashes(draw: st.DrawFn) -> ExpiringHashValue:
    fields = draw(st.dictionaries(ITEMS, ITEMS, min_size=1, max_size=12))
    some = draw(st.lists(st.sampled_from(list(fields)), min_size=1))
    return ExpiringHashValue(HashValue(fields.items()), {field: draw(st.integers(1, LATEST_MS)) for field in some})


VALUES: st.SearchStrategy[Value] = st.one_of(
    streams(),
    ITEMS,
    ITEMS.map(bytearray),
    st.lists(ITEMS, min_size=1, max_size=12).map(ListValue),
    st.sets(ITEMS, min_size=1, max_size=12).map(SetValue),
    st.sets(st.integers(-(1 << 63), (1 << 63) - 1), min_size=1).map(lambda some: SetValue(b"%d" % n for n in some)),
    st.dictionaries(ITEMS, ITEMS, min_size=1, max_size=12).map(lambda some: HashValue(some.items())),
    expiring_hashes(),
    st.dictionaries(ITEMS, SCORES, min_size=1, max_size=12).map(lambda some: SortedSetValue(some.items())),
)


def content(value: Value) -> object:
    """What a client can see of a value, without its encoding."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, ListValue):
        return list(value)
    if isinstance(value, SetValue):
        return set(value)
    if isinstance(value, StreamValue):
        return list(value.between()), value.last_id, value.max_deleted_id, value.entries_added, _groups(value)
    if isinstance(value, ExpiringHashValue):
        return dict(value.items()), value.deadlines()
    return dict(value.items())


def _groups(value: StreamValue) -> object:
    return {
        name: (group.last_id, group.entries_read, [
            (entry_id, one.consumer.name, one.delivered_ms, one.count) for entry_id, one in group.pending.between()
        ], [
            (consumer.name, consumer.seen_ms, [entry_id for entry_id, _ in consumer.pending.between()])
            for consumer in sorted(group.consumers.values(), key=lambda one: one.name)
        ])
        for name, group in value.groups.items()
    }  # fmt: skip


def database(entries: dict[bytes, tuple[Value, int | None]], index: int = 0) -> Database:
    db = Database(index)
    for key, (value, deadline) in entries.items():
        db.store(key, value, deadline)
    return db


@given(value=VALUES, config=CONFIGURATIONS)
def test_a_payload_comes_back_as_it_was(value: Value, config: Configuration) -> None:
    payload = dump_payload(value, config)
    assert payload_is_whole(payload)
    loaded = load_payload(payload)
    assert type(loaded) is (bytes if isinstance(value, bytearray) else type(value))
    assert content(loaded) == content(value)
    assert dump_payload(loaded, config) == payload


def spoil(value: Value) -> None:
    """Take from a value what it has."""
    if isinstance(value, bytearray):
        value.clear()
    elif isinstance(value, ListValue):
        while value:
            value.items.pop()
    elif isinstance(value, StreamValue):
        for entry_id, _ in list(value.between()):
            value.discard(entry_id)
        for group in value.groups.values():
            for entry_id, _ in list(group.pending.between()):
                group.pending.pop(entry_id)
        value.groups.clear()
    elif not isinstance(value, bytes):
        for member in [item[0] for item in value.items()] if not isinstance(value, SetValue) else list(value):
            value.discard(member)


@given(value=VALUES, config=CONFIGURATIONS)
def test_what_changes_while_a_value_is_encoded_does_not_show(value: Value, config: Configuration) -> None:
    payload = dump_payload(value, config)
    assert b"".join(payload_parts(value, config, compress=config.rdbcompression)) == payload
    parts = value_parts(value, config, compress=config.rdbcompression)
    first = next(parts)
    spoil(value)
    assert first + b"".join(parts) == payload[:-10]


@given(
    first=st.dictionaries(ITEMS, st.tuples(VALUES, st.none() | st.integers(1, 1 << 45)), max_size=6),
    second=st.dictionaries(ITEMS, st.tuples(VALUES, st.none()), max_size=3),
    config=CONFIGURATIONS,
)
def test_a_snapshot_comes_back_as_it_was(
    first: dict[bytes, tuple[Value, int | None]], second: dict[bytes, tuple[Value, int | None]], config: Configuration
) -> None:
    data = b"".join(write_rdb([database(first), database(second, 7)], config, {"redis-ver": "7.2.4"}))
    aux: dict[str, str] = {}
    loaded = list(load_rdb(io.BytesIO(data), aux.__setitem__))
    assert aux == {"redis-ver": "7.2.4"}
    assert {(one.db, one.key): (content(one.value), one.deadline_ms) for one in loaded} == {
        (db, key): (content(value), deadline)
        for db, entries in ((0, first), (7, second)) for key, (value, deadline) in entries.items()
    }


@pytest.mark.parametrize(("value", "kind"), [
    (SetValue([b"1", b"2"]), rdb.SET_INTSET),
    (SetValue([b"1", b"a"]), rdb.SET),
    (SetValue(b"%d" % n for n in range(513)), rdb.SET),
    (HashValue([(b"a", b"1")]), rdb.HASH_LISTPACK),
    (HashValue([(b"a", b"x" * 65)]), rdb.HASH),
    (HashValue((b"%d" % n, b"") for n in range(513)), rdb.HASH),
    (SortedSetValue([(b"a", 1.0)]), rdb.ZSET_LISTPACK),
    (SortedSetValue([(b"x" * 65, 1.0)]), rdb.ZSET_2),
    (SortedSetValue((b"%d" % n, n) for n in range(129)), rdb.ZSET_2),
    (ListValue([b"a"]), rdb.LIST_QUICKLIST_2),
    (StreamValue(), rdb.STREAM_LISTPACKS_2),
])  # fmt: skip
def test_collections_are_written_in_the_encoding_that_redis_would_use(value: Value, kind: int) -> None:
    assert dump_value(value, USUAL)[0] == kind


# -- broken input ------------------------------------------------------------------------------------------------



def small_stream() -> StreamValue:
    value = StreamValue()
    for entry_id in (3, 5 << 64, (5 << 64) + 1):
        value.append(entry_id, (b"field", b"v", b"n", b"-300") if entry_id > 3 else (b"other", b"1"))
    value.discard(5 << 64)
    group = value.groups[b"group"] = ConsumerGroup(3, 1)
    group.give(3, group.consumer(b"alice", 1_700_000_000_000)[0], 1_700_000_000_001, 2)
    group.consumer(b"bob", 1_700_000_000_000)
    return value


SAMPLE: dict[bytes, Value] = {
    b"string": b"a text that repeats, that repeats, that repeats, that repeats",
    b"number": b"12345",
    b"list": ListValue([b"one", b"2", b"x" * 100]),
    b"intset": SetValue([b"1", b"70000"]),
    b"set": SetValue([b"a", b"b"]),
    b"hash": HashValue([(b"field", b"value"), (b"n", b"-5")]),
    b"big hash": HashValue([(b"field", b"v" * 70)]),
    b"zset": SortedSetValue([(b"a", 1.0), (b"b", 2.5)]),
    b"big zset": SortedSetValue([(b"m" * 70, 1e300)]),
    b"stream": small_stream(),
}
FILE = b"".join(write_rdb([database({key: (value, None) for key, value in SAMPLE.items()})], USUAL, {"a": "b"}))
CHECKED_BYTES = len(FILE)
MEMORY_LIMIT_BYTES = 8 << 20
"""Broken input of less than a kilobyte must not make us take more."""


def load_all(data: bytes) -> int:
    return sum(1 for _ in load_rdb(io.BytesIO(data)))


def refusal(data: bytes) -> str:
    """The error's text; where the input happens to be readable, a remark in place of it."""
    try:
        load_all(data)
    except RdbError as error:
        return str(error)
    return "no offset needed"


def without_checksum(data: bytes) -> bytes:
    """The same file as a server with `rdbchecksum no` writes it: nothing but the reader's own care is left."""
    return data[:-8] + bytes(8)


@pytest.fixture
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY_LIMIT_BYTES
    finally:
        tracemalloc.stop()


def test_a_file_cut_anywhere_is_refused_with_the_offset(little_memory: None) -> None:
    for size in range(len(FILE)):
        with pytest.raises(RdbError, match=r"\(at offset \d+\)"):
            load_all(FILE[:size])


def test_a_flipped_bit_never_goes_unseen() -> None:
    for position in range(5, len(FILE)):
        broken = bytearray(FILE)
        broken[position] ^= 1 << position % 8
        with pytest.raises(RdbError, match="offset"):
            load_all(bytes(broken))


def test_a_flipped_bit_without_a_checksum_gives_other_data_or_the_one_error(little_memory: None) -> None:
    plain = without_checksum(FILE)
    for position in range(len(plain) - 8):
        for bit in range(8):
            broken = bytearray(plain)
            broken[position] ^= 1 << bit
            assert "offset" in refusal(bytes(broken))


@given(position=st.integers(0, CHECKED_BYTES), junk=st.binary(min_size=1, max_size=12), skip=st.integers(0, 12))
def test_junk_inside_a_file_gives_other_data_or_the_one_error(position: int, junk: bytes, skip: int) -> None:
    plain = without_checksum(FILE)
    assert "offset" in refusal(plain[:position] + junk + plain[position + skip :])


@given(kind=st.integers(0, 26), body=st.binary(max_size=60))
def test_any_body_behind_a_valid_checksum_is_a_value_or_the_one_error(kind: int, body: bytes) -> None:
    payload = bytes((kind,)) + body + rdb.VERSION.to_bytes(2, "little")
    payload += int(rdb.CRC.calc(payload)).to_bytes(8, "little")
    try:
        value = load_payload(payload)
    except RdbError as error:
        text = str(error)
    else:
        text = "no offset needed"
        assert content(load_payload(dump_payload(value, USUAL))) == content(value)
    assert "offset" in text


HUGE = b"\x81" + (1 << 62).to_bytes(8, "big")


@pytest.mark.parametrize("body", [
    bytes((rdb.STRING,)) + HUGE + b"little",
    bytes((rdb.LIST,)) + HUGE + b"\x01a",
    bytes((rdb.SET,)) + HUGE + b"\x01a",
    bytes((rdb.HASH,)) + HUGE + b"\x01a\x01b",
    bytes((rdb.ZSET_2,)) + HUGE + b"\x01a" + bytes(8),
    bytes((rdb.LIST_QUICKLIST_2,)) + HUGE + b"\x01\x01a",
    bytes((rdb.STRING, 0xC3)) + HUGE + HUGE + b"packed",
    bytes((rdb.STRING, 0xC3, 4)) + HUGE + b"pack",
    bytes((rdb.STREAM_LISTPACKS_2,)) + HUGE + b"\x10" + bytes(16) + b"\x01a",
    bytes((rdb.STREAM_LISTPACKS_2,)) + bytes(9) + b"\x01\x01g" + bytes(3) + HUGE + bytes(30),
    bytes((rdb.SET_INTSET, 12)) + b"\x02\0\0\0\xff\xff\xff\x7f1234",
    bytes((rdb.HASH_LISTPACK, 8)) + b"\xff\xff\xff\xff\xff\xff\0\xff",
])  # fmt: skip
def test_a_claimed_length_costs_nothing(body: bytes, little_memory: None) -> None:
    payload = body + rdb.VERSION.to_bytes(2, "little")
    payload += int(rdb.CRC.calc(payload)).to_bytes(8, "little")
    with pytest.raises(RdbError, match=r"\(at offset \d+\)"):
        load_payload(payload)


def test_counters_that_nobody_can_have_reached_do_no_harm() -> None:
    """A stream whose counter has run full could be dumped never again, and no snapshot be made."""
    full = b"\x81" + b"\xff" * 8
    body = bytes((rdb.STREAM_LISTPACKS_2,)) + bytes(8) + full + b"\x01\x01g" + bytes(3) + bytes(2)
    value = load_payload(body + bytes(10))
    assert isinstance(value, StreamValue)
    value.append(1, (b"f", b"v"))
    assert content(load_payload(dump_payload(value, USUAL))) != b""
    assert value.entries_added <= 1 << 63


def test_what_this_server_does_not_have_is_named() -> None:
    with pytest.raises(RdbError, match="module"):
        load_payload(bytes((rdb.MODULE_2,)) + bytes(30))


def test_a_stream_of_redis_server_is_read_whatever_its_age() -> None:
    """As redis-server 5 and 7.2 write it: without counters, and with the time when a consumer got something last."""
    node = encode_block(small_stream().blocks[0])
    moment = (1_700_000_000_000).to_bytes(8, "little")
    entry = (3).to_bytes(16, "big")
    head = b"\x01\x10" + entry + bytes((len(node),)) + node + b"\x02\x05\x01"
    pending = b"\x01" + entry + moment + b"\x02\x01"
    old = bytes((rdb.STREAM_LISTPACKS,)) + head + b"\x01\x01g\x00\x03" + pending + b"\x01c" + moment + b"\x01" + entry
    new = (
        bytes((rdb.STREAM_LISTPACKS_3,)) + head + b"\x00\x03\x05\x00\x03\x01\x01g\x00\x03\x01" + pending
        + b"\x01c" + moment + b"\xff" * 8 + b"\x01" + entry
    )  # fmt: skip
    found = []
    for body in (old, new):
        value = load_payload(body + bytes(10))
        assert isinstance(value, StreamValue)
        found.append(value)
    assert list(found[0].between()) == list(found[1].between()) == list(small_stream().between())
    assert [(one.entries_added, one.max_deleted_id) for one in found] == [(2, 0), (3, 5 << 64)]
    groups = [one.groups[b"g"] for one in found]
    assert [group.entries_read for group in groups] == [1, 1]
    assert [group.consumers[b"c"].active_ms for group in groups] == [1_700_000_000_000, None]
    assert [one.consumer.name for group in groups for _, one in group.pending.between()] == [b"c", b"c"]


@pytest.mark.parametrize(("payload", "whole"), [
    (b"", False), (bytes(9), False), (bytes(10), False), (dump_payload(b"", USUAL), True),
    (dump_payload(b"", USUAL)[:-1], False),
])  # fmt: skip
def test_a_payload_is_whole_by_its_checksum(payload: bytes, whole: bool) -> None:
    assert payload_is_whole(payload) is whole


def test_a_payload_of_a_later_version_is_refused() -> None:
    payload = b"\0\x01a" + (rdb.NEWEST_READABLE + 1).to_bytes(2, "little")
    assert not payload_is_whole(payload + int(rdb.CRC.calc(payload)).to_bytes(8, "little"))
