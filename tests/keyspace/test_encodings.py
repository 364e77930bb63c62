"""Encodings that do not follow from what a value held."""

from __future__ import annotations

import pytest

from cluster.config.store import Configuration
from cluster.keyspace.database import Database
from cluster.keyspace.encodings import SETTLED_AT_ONCE, encoding, impose, picture, settle
from cluster.keyspace.hash_value import SHORT_LIMIT, HashValue
from cluster.keyspace.set_value import SetValue
from cluster.keyspace.sorted_set import SortedSetValue
from cluster.keyspace.values import Value

LIMITS = picture(Configuration())
NARROW = LIMITS._replace(hash_max_listpack_entries=1, set_max_intset_entries=1, zset_max_listpack_entries=1)


@pytest.mark.parametrize(("value", "shown"), [
    (HashValue([(b"a", b"1"), (b"b", b"2")]), "listpack"), (SetValue([b"1", b"2"]), "intset"),
    (SortedSetValue([(b"a", 1.0), (b"b", 2.0)]), "listpack"),
])  # fmt: skip
def test_a_change_of_thresholds_leaves_the_encoding(value: Value, shown: str) -> None:
    db = Database(0)
    db.store(b"k", value)
    settle([db], LIMITS)
    assert encoding(value, NARROW) == shown
    settle([db], NARROW)
    assert encoding(value, NARROW) == shown


def test_a_converted_value_stays_converted() -> None:
    db, value = Database(0), HashValue([(b"a", b"1"), (b"b", b"2")])
    db.store(b"k", value)
    settle([db], NARROW)
    assert encoding(value, LIMITS) == "hashtable"


def test_a_hash_with_an_imposed_encoding_grows_as_any_other() -> None:
    """Long ones are not kept the short way."""
    value = HashValue([(b"a", b"1")])
    impose(value, "hashtable")
    for number in range(SHORT_LIMIT):
        value.set(b"%d" % number, b"")
    long = HashValue((b"%d" % number, b"") for number in range(SHORT_LIMIT + 1))
    assert type(value.fields) is type(long.fields)


def test_a_change_takes_no_longer_for_many_keys_than_for_some() -> None:
    db = Database(0)
    for number in range(SETTLED_AT_ONCE + 10):
        db.store(b"%d" % number, SetValue([b"1", b"2"]))
    settle([db], LIMITS)
    shown = [encoding(value, NARROW) for _, value, _ in db.items()]
    assert shown.count("intset") == SETTLED_AT_ONCE
