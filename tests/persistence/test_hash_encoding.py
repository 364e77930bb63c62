"""Hashes whose fields have deadlines, in an RDB: the forms of Redis 7.4 and of its release candidates, to the byte."""

from __future__ import annotations

import io

import pytest

from cluster.config.store import Configuration, Setting
from cluster.keyspace.database import Database
from cluster.keyspace.expiring_hash import ExpiringHashValue
from cluster.keyspace.hash_value import HashValue
from cluster.persistence import rdb_format as rdb
from cluster.persistence.encodings import decode_listpack, encode_listpack
from cluster.persistence.rdb_reader import RdbError, load_payload, load_rdb
from cluster.persistence.rdb_writer import dump_payload, dump_value, write_rdb

USUAL = Configuration([])
SMALL = Configuration([Setting("hash-max-listpack-entries", ("2",))])
EARLIEST = 1_800_000_000_000
TAIL = bytes(10)


def sample() -> ExpiringHashValue:
    plain = HashValue([(b"never", b"0"), (b"late", b"1"), (b"soon", b"2")])
    return ExpiringHashValue(plain, {b"late": EARLIEST + 70, b"soon": EARLIEST})


def fields_and_deadlines(value: object) -> tuple[dict[bytes, bytes], dict[bytes, int]]:
    assert isinstance(value, ExpiringHashValue)
    return dict(value.fields.items()), value.deadlines()


def test_a_small_hash_is_a_listpack_with_the_earliest_first() -> None:
    dumped = dump_value(sample(), USUAL)
    assert dumped[0] == rdb.HASH_LISTPACK_DEADLINES
    assert dumped[1:9] == EARLIEST.to_bytes(8, "little")
    assert decode_listpack(dumped[10:]) == [
        b"soon", b"2", b"%d" % EARLIEST, b"late", b"1", b"%d" % (EARLIEST + 70), b"never", b"0", b"0",
    ]  # fmt: skip
    assert fields_and_deadlines(load_payload(dumped + TAIL)) == fields_and_deadlines(sample())


def test_a_large_hash_counts_from_the_earliest() -> None:
    dumped = dump_value(sample(), SMALL)
    assert dumped == (
        bytes((rdb.HASH_DEADLINES,)) + EARLIEST.to_bytes(8, "little") + b"\x03" + b"\0\x05never\xc0\0"
        + b"\x40\x47\x04late\xc0\x01" + b"\x01\x04soon\xc0\x02"
    )  # fmt: skip
    assert fields_and_deadlines(load_payload(dumped + TAIL)) == fields_and_deadlines(sample())


def test_the_forms_of_the_release_candidates_are_read() -> None:
    items = [b"soon", b"2", b"%d" % EARLIEST, b"never", b"0", b"0"]
    listpack = encode_listpack(items)
    small = bytes((rdb.HASH_LISTPACK_DEADLINES_EARLY, len(listpack))) + listpack
    large = (
        bytes((rdb.HASH_DEADLINES_EARLY,)) + b"\x02" + b"\x81" + EARLIEST.to_bytes(8, "big") + b"\x04soon\xc0\x02"
        + b"\0\x05never\xc0\0"
    )  # fmt: skip
    for dumped in (small, large):
        assert fields_and_deadlines(load_payload(dumped + TAIL)) == (
            {b"soon": b"2", b"never": b"0"}, {b"soon": EARLIEST},
        )  # fmt: skip


def test_a_hash_without_deadlines_is_a_plain_one_again() -> None:
    value = sample()
    for field in (b"late", b"soon"):
        value.clear_deadline(field)
    assert dump_value(value, USUAL)[0] == rdb.HASH_LISTPACK
    assert dump_value(value, SMALL)[0] == rdb.HASH
    assert type(load_payload(dump_payload(value, USUAL))) is HashValue


@pytest.mark.parametrize("items", [
    [], [b"f"], [b"f", b"v"], [b"f", b"v", b"0", b"g"], [b"f", b"v", b"x"], [b"f", b"v", b"-1"],
    [b"f", b"v", b"%d" % (1 << 48)], [b"f", b"v", b"1", b"f", b"v", b"2"],
])  # fmt: skip
def test_what_is_no_such_hash_is_refused(items: list[bytes]) -> None:
    listpack = encode_listpack(items)
    with pytest.raises(RdbError, match="offset"):
        load_payload(bytes((rdb.HASH_LISTPACK_DEADLINES,)) + bytes(8) + bytes((len(listpack),)) + listpack + TAIL)


def file_of(value: HashValue) -> bytes:
    db = Database(0)
    db.store(b"h", value)
    db.store(b"s", b"")
    return b"".join(write_rdb([Database(1), db], USUAL, {}))


def test_only_what_holds_deadlines_needs_a_newer_server() -> None:
    plain = HashValue([(b"f", b"v")])
    assert file_of(plain)[5:9] == b"0010"
    assert file_of(sample())[5:9] == b"0012"
    assert dump_payload(plain, USUAL)[-10:-8] == b"\x0a\0"
    assert dump_payload(sample(), USUAL)[-10:-8] == dump_payload(sample(), SMALL)[-10:-8] == b"\x0c\0"


def test_a_file_of_a_cluster_tells_of_its_slots() -> None:
    """What redis-server 8 writes between the keys: a slot, how many keys, how many deadlines."""
    data = file_of(sample())
    at = data.index(bytes((rdb.RESIZE_DB,)))
    told = data[:at] + bytes((rdb.SLOT_INFO, 0x40, 0xFF, 2, 0)) + data[at:-8] + bytes(8)
    assert {entry.key for entry in load_rdb(io.BytesIO(told))} == {b"h", b"s"}
