"""Scan cursors: whatever is there throughout is returned, however the rest changes and whatever is forgotten."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import CommandError
from cluster.keyspace.buckets import BucketMap
from cluster.keyspace.database import Database
from cluster.keyspace.hashing import SLOT_COUNT, key_slot
from cluster.keyspace.scan import WHOLE_LIMIT, ScanCache, parse_cursor, pattern_slot, scan_collection, scan_keys
from cluster.keyspace.values import Value


@settings(deadline=None)
@given(size=st.integers(0, 600), count=st.integers(1, 100), seed=st.integers())
def test_members_that_stay_are_returned(size: int, count: int, seed: int) -> None:
    rng = Random(seed)
    staying = [b"stays-%d" % number for number in range(size)]
    members = BucketMap((member, True) for member in staying)
    seen: set[bytes] = set()
    cursor = 0
    while True:
        for number in range(rng.randrange(5)):
            members[b"comes-%d-%d" % (cursor, number)] = True
        leaving = [member for member in members if member.startswith(b"comes")]
        for member in rng.sample(leaving, len(leaving) // 2):
            members.pop(member)
        cursor, found = scan_collection(members, cursor, count)
        assert set(found) <= set(members)
        seen.update(found)
        if not cursor:
            break
    assert seen >= set(staying)


def test_a_step_returns_about_as_many_as_asked_for() -> None:
    members = BucketMap((b"%d" % number, True) for number in range(5000))
    cursor, found = scan_collection(members, 0, 50)
    assert 50 <= len(found) <= 60
    assert 0 < cursor < 1 << 31


def test_small_collections_come_whole() -> None:
    members = BucketMap((b"%d" % number, True) for number in range(WHOLE_LIMIT))
    assert scan_collection(members, 0, 1) == (0, list(members))


def test_a_scan_that_starts_later_sees_what_came_meanwhile() -> None:
    members = BucketMap((b"%d" % number, True) for number in range(500))
    scan_collection(members, 0, 10)
    members[b"late"] = True
    cursor, seen = scan_collection(members, 0, 10)
    while cursor:
        cursor, found = scan_collection(members, cursor, 10)
        seen += found
    assert sorted(seen) == sorted(members)


def scan_all(db: Database, count: int) -> list[bytes]:
    cache, cursor, seen = ScanCache(), 0, []
    while True:
        cursor, found = scan_keys(cache, 0, db.spaces, cursor, count)
        assert cursor < 1 << 31
        seen += found
        if not cursor:
            return seen


def test_every_key_is_returned_once_when_nothing_changes() -> None:
    db = Database(0)
    for number in range(2000):
        db.store(b"key:%d" % number, b"")
        db.store(b"{one slot}%d" % number, b"")
    seen = scan_all(db, 10)
    assert len(seen) == len(db)
    assert set(seen) == set(db.keys())


def test_one_slot_can_be_scanned_alone() -> None:
    db = Database(0)
    for number in range(300):
        db.store(b"{tag}%d" % number, b"")
        db.store(b"other:%d" % number, b"")
    slot = next(slot for slot, space in enumerate(db.spaces) if len(space) >= 300)
    cache, cursor, seen = ScanCache(), 0, []
    while True:
        cursor, found = scan_keys(cache, 0, db.spaces, cursor, 10, only_slot=slot)
        seen += found
        if not cursor:
            break
    assert sorted(seen) == sorted(db.spaces[slot])


@settings(deadline=None, max_examples=30)
@given(size=st.integers(0, 600), count=st.integers(1, 100), seed=st.integers(), forgetful=st.booleans())
def test_keys_of_one_slot_that_stay_are_returned(size: int, count: int, seed: int, forgetful: bool) -> None:
    rng = Random(seed)
    slot = key_slot(b"{tag}")
    staying = [b"{tag}stays-%d" % number for number in range(size)]
    spaces: list[dict[bytes, Value]] = [{} for _ in range(SLOT_COUNT)]
    keys = spaces[slot] = dict.fromkeys(staying, b"")
    cache = ScanCache()
    seen: set[bytes] = set()
    cursor = 0
    while True:
        for number in range(rng.randrange(5)):
            keys[b"{tag}comes-%d-%d" % (cursor, number)] = b""
        leaving = [key for key in keys if key.startswith(b"{tag}comes")]
        for key in rng.sample(leaving, len(leaving) // 2):
            del keys[key]
        if forgetful:
            cache.clear()
        cursor, found = scan_keys(cache, 0, spaces, cursor, count)
        assert set(found) <= keys.keys()
        seen.update(found)
        if not cursor:
            break
    assert seen >= set(staying)


def test_a_scan_of_keys_that_starts_later_sees_what_came_meanwhile() -> None:
    db = Database(0)
    for number in range(500):
        db.store(b"{tag}%d" % number, b"")
    cache = ScanCache()
    scan_keys(cache, 0, db.spaces, 0, 10)
    db.store(b"{tag}late", b"")
    cursor, seen = scan_keys(cache, 0, db.spaces, 0, 10)
    while cursor:
        cursor, found = scan_keys(cache, 0, db.spaces, cursor, 10)
        seen += found
    assert sorted(seen) == sorted(db.keys())


@pytest.mark.parametrize(
    ("pattern", "key"),
    [(b"{tag}*", b"{tag}"), (b"a{tag}?", b"a{tag}"), (b"{}*", None), (b"*{tag}", None), (b"{ta*}", None),
     (b"a*", None), (b"{[ab]}", None), (b"{a\\b}", None), (b"{open", None), (b"}{tag}*", b"{tag}")],
)
def test_a_pattern_with_a_whole_hash_tag_has_one_slot(pattern: bytes, key: bytes | None) -> None:
    assert pattern_slot(pattern) == (None if key is None else key_slot(key))


@pytest.mark.parametrize("text", [b"x", b" 1", b"1 ", b"1x", b"99999999999999999999"])
def test_bad_cursors(text: bytes) -> None:
    with pytest.raises(CommandError, match="ERR invalid cursor"):
        parse_cursor(text)
