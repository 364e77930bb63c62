"""Large maps: as a dict, with scans that miss nothing and random keys of equal chances."""

from __future__ import annotations

from collections import Counter
from random import Random
from zlib import crc32

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.keyspace.buckets import BUCKET_LIMIT, BucketMap

SHIFT = 1
SAME_HASH = (bytes(5), (0xEDB88320 << 1 | 1).to_bytes(5, "little"))
"""What can stand for each other in a text without a change of its CRC-32: nothing, and the polynomial itself."""


def keys_of_one_hash(count: int) -> list[bytes]:
    digits = range(count.bit_length())
    return [b"".join(SAME_HASH[number >> digit & 1] for digit in digits) for number in range(count)]


def assert_same(found: BucketMap[int], expected: dict[bytes, int]) -> None:
    assert len(found) == len(expected)
    assert dict(found.items()) == expected
    assert sorted(found) == sorted(expected)
    assert Counter(found.values()) == Counter(expected.values())


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(), sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=5))
def test_it_is_a_dict(seed: int, sizes: list[int]) -> None:
    """The map grows and shrinks to each of the sizes in turn."""
    rng = Random(seed)
    found: BucketMap[int] = BucketMap()
    expected: dict[bytes, int] = {}
    for size in sizes:
        while len(expected) != size:
            key = b"%d" % rng.randrange(4000)
            if len(expected) < size:
                number = rng.randrange(1000)
                assert found.set(key, number) == (key not in expected)
                expected[key] = number
            else:
                assert found.pop(key, -1) == expected.pop(key, -1)
        for number in range(0, 4000, 37):
            key = b"%d" % number
            assert (key in found) == (key in expected)
            assert found.get(key, -1) == expected.get(key, -1)
        assert_same(found, expected)
    copy = found.copy()
    copy[b"copied"] = 1
    found[b"original"] = 2
    assert_same(copy, {**expected, b"copied": 1})


def test_no_step_touches_more_than_a_bucket() -> None:
    found: BucketMap[int] = BucketMap((b"%d" % number, number) for number in range(50_000))
    sizes = list(map(len, found.buckets()))
    assert max(sizes) <= BUCKET_LIMIT + 1
    assert 50_000 // BUCKET_LIMIT <= len(sizes) < 50_000 // BUCKET_LIMIT * 4
    for number in range(49_000):
        found.pop(b"%d" % number)
    assert len(list(found.buckets())) < 100, "what was split is merged again"


def test_keys_chosen_to_have_one_hash_cost_no_more_than_their_bucket() -> None:
    keys = keys_of_one_hash(2000)
    assert len(set(map(crc32, keys))) == 1
    found: BucketMap[int] = BucketMap((key, 1) for key in keys)
    assert len(found) == len(list(found)) == 2000
    assert len(list(found.buckets())) < 200
    assert all(found.pop(key) for key in keys)
    assert not found


@settings(deadline=None, max_examples=30)
@given(size=st.integers(0, 2000), count=st.integers(1, 300), seed=st.integers())
def test_a_scan_returns_what_stays(size: int, count: int, seed: int) -> None:
    """Whatever comes and goes meanwhile, by thousands, so that buckets are split and merged."""
    rng = Random(seed)
    staying = [b"stays-%d" % number for number in range(size)]
    found: BucketMap[int] = BucketMap((key, 1) for key in staying)
    passing: list[bytes] = []
    seen: set[bytes] = set()
    position = 0
    while True:
        for key in passing:
            found.pop(key)
        passing = [b"passes-%d-%d" % (position, number) for number in range(rng.choice([0, 3, 3000]))]
        for key in passing:
            found[key] = 1
        position, keys = found.scan(position, SHIFT, count)
        assert len(keys) >= min(count, 1) or not position
        assert position < 1 << 31
        seen.update(keys)
        if not position:
            break
    assert seen >= set(staying)


def test_a_scan_of_what_does_not_change_returns_each_key_once() -> None:
    found: BucketMap[int] = BucketMap((b"%d" % number, 1) for number in range(5000))
    position, keys = found.scan(0, SHIFT, 10)
    assert 10 <= len(keys) < 20
    while position:
        position, more = found.scan(position, SHIFT, 10)
        keys += more
    assert sorted(keys) == sorted(found)


def test_keys_of_one_hash_come_in_one_step() -> None:
    found: BucketMap[int] = BucketMap((key, 1) for key in keys_of_one_hash(500))
    assert len(found.scan(0, SHIFT, 10)[1]) == 500


def test_every_key_is_drawn_as_often_as_any_other() -> None:
    found: BucketMap[int] = BucketMap((b"%d" % number, number) for number in range(1000))
    for number in range(500, 1000):
        found.pop(b"%d" % number)
    rng = Random(7)
    drawn = Counter(found.random_key(rng) for _ in range(100_000))
    assert set(drawn) == set(found)
    assert min(drawn.values()) > 130
    assert max(drawn.values()) < 280


def test_keys_of_one_hash_are_drawn_too() -> None:
    keys = keys_of_one_hash(400)
    found: BucketMap[int] = BucketMap((key, 1) for key in keys)
    for number in range(400):
        found[b"%d" % number] = 1
    rng = Random(7)
    drawn = Counter(found.random_key(rng) for _ in range(40_000))
    assert set(drawn) == set(found)
    assert 18_000 < sum(drawn[key] for key in keys) < 22_000


def test_it_goes_bit_by_bit() -> None:
    found: BucketMap[int] = BucketMap((b"%d" % number, number) for number in range(10_000))
    gone = list(found.take_apart())
    assert sum(gone) == 10_000
    assert max(gone) <= BUCKET_LIMIT + 1


def test_many_keys_are_removed_at_once() -> None:
    rng = Random(5)
    expected = {b"%d" % number: number for number in range(3_000)}
    found = BucketMap(expected.items())
    while expected:
        gone = rng.sample(sorted(expected), min(700, len(expected)))
        found.remove_all([*gone, b"never there"])
        for key in gone:
            del expected[key]
        assert_same(found, expected)
        assert all(key in found for key in expected)
