"""Scan cursors: whatever is there throughout is returned, however the rest changes and whatever is forgotten."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import CommandError
from cluster.keyspace.database import Database
from cluster.keyspace.hashing import key_slot
from cluster.keyspace.scan import WHOLE_LIMIT, ScanCache, parse_cursor, pattern_slot, scan_collection, scan_keys

NAME = (0, b"key")


@settings(deadline=None)
@given(size=st.integers(0, 600), count=st.integers(1, 100), seed=st.integers(), forgetful=st.booleans())
def test_members_that_stay_are_returned(size: int, count: int, seed: int, forgetful: bool) -> None:
    rng = Random(seed)
    staying = [b"stays-%d" % number for number in range(size)]
    members = dict.fromkeys(staying)
    cache = ScanCache()
    seen: set[bytes] = set()
    cursor = 0
    while True:
        for number in range(rng.randrange(5)):
            members[b"comes-%d-%d" % (cursor, number)] = None
        leaving = [member for member in members if member.startswith(b"comes")]
        for member in rng.sample(leaving, len(leaving) // 2):
            del members[member]
        if forgetful:
            cache.clear()
        cursor, found = scan_collection(cache, NAME, members, cursor, count)
        assert set(found) <= members.keys()
        seen.update(found)
        if not cursor:
            break
    assert seen >= set(staying)


def test_a_step_returns_about_as_many_as_asked_for() -> None:
    members = {b"%d" % number: None for number in range(5000)}
    cursor, found = scan_collection(ScanCache(), NAME, members, 0, 50)
    assert 50 <= len(found) <= 60
    assert 0 < cursor < 1 << 31


def test_small_collections_come_whole() -> None:
    members = {b"%d" % number: None for number in range(WHOLE_LIMIT)}
    assert scan_collection(ScanCache(), NAME, members, 0, 1) == (0, list(members))


def test_a_scan_that_starts_later_sees_what_came_meanwhile() -> None:
    members = {b"%d" % number: None for number in range(500)}
    cache = ScanCache()
    scan_collection(cache, NAME, members, 0, 10)
    members[b"late"] = None
    cursor, seen = scan_collection(cache, NAME, members, 0, 10)
    while cursor:
        cursor, found = scan_collection(cache, NAME, members, cursor, 10)
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
