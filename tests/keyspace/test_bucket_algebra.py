"""Large maps put together: what comes out is what plain sets and dicts of the same keys would give."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.keyspace.bucket_algebra import are_alike, common, left_over, regions, united
from cluster.keyspace.buckets import BUCKET_LIMIT, BucketMap
from cluster.keyspace.ranking import in_order
from cluster.keyspace.sorted_set import SortedSetValue

KEYS = 4000


def some_keys(rng: Random, size: int) -> set[bytes]:
    return {b"%d" % number for number in rng.sample(range(KEYS), size)}


def grown(keys: set[bytes]) -> BucketMap[bool]:
    """One that was split bucket by bucket, so that these stand for ranges of different sizes."""
    found: BucketMap[bool] = BucketMap()
    for key in sorted(keys):
        found.set(key, True)
    return found


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(), sizes=st.lists(st.integers(0, KEYS), min_size=1, max_size=4), one_by_one=st.booleans())
def test_they_are_combined_as_sets(seed: int, sizes: list[int], one_by_one: bool) -> None:
    rng = Random(seed)
    sets = [some_keys(rng, size) for size in sizes]
    maps = [grown(one) if one_by_one else BucketMap(dict.fromkeys(one, True).items()) for one in sets]
    for parts, expected in (
        (united(maps), set.union(*sets)), (common(maps), set.intersection(*sets)),
        (left_over(maps), sets[0].difference(*sets[1:])),
    ):  # fmt: skip
        found = BucketMap.of_parts(list(parts))
        assert len(found) == len(expected)
        assert set(found) == expected
        assert all(key in found for key in expected)
        assert max(map(len, found.buckets())) <= BUCKET_LIMIT
        found.set(b"more", True)
        found.pop(next(iter(sets[0]), b""))
        assert set(found) == expected - set(list(sets[0])[:1]) | {b"more"}
    assert [set(one) for one in maps] == sets


def test_a_region_has_the_keys_of_its_range_in_every_map() -> None:
    rng = Random(5)
    maps = [grown(some_keys(rng, size)) for size in (500, KEYS, 1500)]
    rows = list(regions(maps))
    assert sum(1 / (1 << bits) for bits, _ in rows) == 1
    assert len(rows) > 1
    for index, one in enumerate(maps):
        assert [key for _, row in rows for key in row[index]] == list(one)


@pytest.mark.parametrize(("sizes", "alike"), [((1000, 1000), True), ((1000, 5), False), ((1000, 0), False)])
def test_maps_of_very_different_sizes_are_not_alike(sizes: tuple[int, int], alike: bool) -> None:
    assert are_alike([grown(some_keys(Random(1), size)) for size in sizes]) == alike
    assert not are_alike([])
    assert not are_alike([grown(some_keys(Random(1), sizes[0])), {b"a": True}])


@given(st.lists(st.tuples(st.integers(0, 3).map(float), st.binary(max_size=2)), max_size=60))
def test_scores_and_members_are_put_in_order(pairs: list[tuple[float, bytes]]) -> None:
    scores, members = in_order([score for score, _ in pairs], [member for _, member in pairs])
    assert list(zip(scores, members, strict=True)) == sorted(pairs)


@pytest.mark.parametrize("size", [0, 5, 128, 129, 3000])
def test_a_sorted_set_of_parts_is_the_sorted_set_of_all(size: int) -> None:
    scores = {b"%d" % number: float(number % 7) for number in range(size)}
    whole: BucketMap[float] = BucketMap(scores.items())
    value = SortedSetValue.of_parts((bits, dict(row[0])) for bits, row in regions([whole]))
    expected = SortedSetValue(scores.items())
    assert list(value.items()) == list(expected.items()) == sorted(scores.items(), key=lambda pair: (pair[1], pair[0]))
    assert value.is_short == expected.is_short
    assert (value.peak_count, value.peak_bytes) == (expected.peak_count, expected.peak_bytes)
    copy = value.copy()
    copy.add(b"new", 3.0)
    assert len(copy) == len(value) + 1
    assert (value.score(b"new"), copy.score(b"new")) == (None, 3.0)
