"""What Redis before 7.0 wrote is read, whatever the encoding, and what a module wrote is refused by its name."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from cluster.keyspace.hash_value import HashValue
from cluster.keyspace.list_value import ListValue
from cluster.keyspace.set_value import SetValue
from cluster.keyspace.sorted_set import SortedSetValue
from cluster.keyspace.values import Value
from cluster.persistence import rdb_format as rdb
from cluster.persistence.rdb_reader import Entry, RdbError, load_payload, load_rdb, payload_is_whole
from tests.commands.whole import WholeNode
from tests.persistence.old_payloads import PAYLOADS, OldPayload, old_file, payload


def content(value: Value) -> list[bytes]:
    """The elements, those of sets and hashes sorted."""
    if isinstance(value, ListValue):
        return list(value)
    if isinstance(value, SetValue):
        return sorted(value)
    assert isinstance(value, HashValue)
    return [part for pair in sorted(value.items()) for part in pair]


def in_order(old: OldPayload) -> list[bytes]:
    """What it holds, likewise."""
    if old.command[0] == "SMEMBERS":
        return sorted(old.content)
    if old.command[0] == "HGETALL":
        pairs = sorted(zip(old.content[::2], old.content[1::2], strict=True))
        return [part for pair in pairs for part in pair]
    return old.content


def test_every_type_of_value_that_redis_ever_wrote_has_a_sample_here() -> None:
    sampled = {old.kind for old in PAYLOADS}
    assert sampled == set(range(rdb.LIST, rdb.LIST_QUICKLIST + 1)) - rdb.MODULE_TYPES - {8}  # 8 was never used


@pytest.mark.parametrize("old", PAYLOADS, ids=[old.name for old in PAYLOADS])
def test_a_value_holds_what_it_held(old: OldPayload) -> None:
    data = payload(old)
    assert payload_is_whole(data)
    value = load_payload(data)
    if old.command[0] == "ZRANGE":
        assert isinstance(value, SortedSetValue)
        items = [part for member, score in value.items() for part in (member, score)]
        expected = [float(part) if number % 2 else part for number, part in enumerate(old.content)]
        assert items == expected
    else:
        assert content(value) == in_order(old)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_file_without_a_checksum_is_whole_at_its_end(version: int) -> None:
    found = {one.key: one for one in load_rdb(io.BytesIO(old_file(version)))}
    assert found[b"ms"] == Entry(0, b"ms", b"v", 4_000_000_000_123, None, None)
    assert found[b"s"] == Entry(0, b"s", b"v", 2_000_000_000_000, None, None)
    assert found[b"number"] == Entry(3, b"number", b"-2147483648", None, None, None)
    assert found[b"packed"].value == b"a" * 100
    assert len(found) == 4 + len(PAYLOADS)
    with pytest.raises(RdbError, match="Unexpected end"):
        list(load_rdb(io.BytesIO(old_file(version)[:-1])))


def test_what_a_module_wrote_is_refused_by_its_name() -> None:
    type_id = 0
    for letter in "ReJSON-RL":
        type_id = type_id << 6 | "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(letter)
    packed = b"\x81" + (type_id << 10 | 3).to_bytes(8, "big")
    for kind in rdb.MODULE_TYPES:
        with pytest.raises(RdbError, match="no matching module type 'ReJSON-RL'"):
            list(load_rdb(io.BytesIO(b"REDIS0009" + bytes((kind,)) + b"\x01k" + packed + b"\xff" + bytes(8))))
    with pytest.raises(RdbError, match=r"AUX module data .* no matching module 'ReJSON-RL'"):
        list(load_rdb(io.BytesIO(b"REDIS0009" + bytes((rdb.MODULE_AUX,)) + packed + b"\xff" + bytes(8))))
    with pytest.raises(RdbError, match="no matching module type 'ReJSON-RL'"):
        load_payload(bytes((rdb.MODULE_2,)) + packed + bytes(10))


@pytest.mark.parametrize(("policy", "command", "shown"), [
    ("allkeys-lru", "IDLETIME", 100), ("allkeys-lfu", "FREQ", 77), ("noeviction", "IDLETIME", None),
])  # fmt: skip
def test_how_a_key_was_used_is_taken_from_the_file_and_written_again(
    policy: str, command: str, shown: int | None, tmp_path: Path
) -> None:
    used = b"\xf8\x40\x64\x00\x04idle\x01v\xf9\x4d\x00\x04freq\x01v"
    (tmp_path / "dump.rdb").write_bytes(b"REDIS0009" + used + b"\xff" + bytes(8))
    key = "idle" if command == "IDLETIME" else "freq"
    for _ in range(2):
        node = WholeNode(tmp_path, ("maxmemory-policy", policy))
        node.server.persistence.load()
        found = node("OBJECT", command, key)
        assert found == shown if shown is not None else found < 100
        assert node("SAVE") == b"OK"
