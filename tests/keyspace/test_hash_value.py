"""Hashes, short and long, held against a dict."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.keyspace.flat_fields import POOLED_BYTES, POOLED_NAMES, NamePool
from cluster.keyspace.hash_value import SHORT_LIMIT, HashValue

TEXTS = st.sampled_from([b"", b"a", b"b", b"\xfe", b"\0", b"field", b"value"])
"""So few that a value is often the same as a field."""


def assert_same(value: HashValue, model: dict[bytes, bytes]) -> None:
    assert len(value) == len(value.fields) == len(model)
    assert dict(value.items()) == model
    assert sorted(value.elements()) == sorted(value.fields) == sorted(model)
    assert Counter(value.fields.values()) == Counter(model.values())


@given(changes=st.lists(st.tuples(TEXTS, st.none() | TEXTS)), pooled=st.booleans())
def test_a_short_hash_is_a_dict_in_the_order_of_its_fields(
    changes: list[tuple[bytes, bytes | None]], pooled: bool
) -> None:
    value, model = HashValue(pool=NamePool() if pooled else None), dict[bytes, bytes]()
    for field, content in changes:
        assert value.fields.get(field) == model.get(field)
        assert (field in value.fields) == (field in model)
        if content is None:
            assert value.discard(field) == (model.pop(field, None) is not None)
        else:
            assert value.set(field, content) == (field not in model)
            model[field] = content
            assert value.fields[field] == content
    assert list(value.items()) == list(model.items())
    assert list(value.fields.values()) == list(model.values())
    assert_same(value, model)


@settings(deadline=None)
@given(seed=st.integers(), sizes=st.lists(st.integers(0, 400), min_size=1, max_size=6), pooled=st.booleans())
def test_it_is_a_dict(seed: int, sizes: list[int], pooled: bool) -> None:
    """It grows and shrinks to each of the sizes in turn."""
    rng = Random(seed)
    value, model, peak = HashValue(pool=NamePool() if pooled else None), dict[bytes, bytes](), 0
    for size in sizes:
        while len(model) != size:
            field = b"%d" % rng.randrange(600)
            if len(model) < size:
                content = b"%d" % rng.randrange(600)
                assert value.set(field, content) == (field not in model)
                model[field] = content
            else:
                assert value.discard(field) == (model.pop(field, None) is not None)
            assert value.fields.get(field) == model.get(field)
            peak = max(peak, len(model))
        assert_same(value, model)
    assert value.peak_count == peak
    copy = value.copy()
    assert (copy.peak_count, copy.peak_bytes) == (value.peak_count, value.peak_bytes)
    copy.set(b"copied", b"")
    value.set(b"original", b"")
    assert_same(copy, {**model, b"copied": b""})
    assert_same(HashValue(model.items()), model)


@pytest.mark.parametrize("size", [3, SHORT_LIMIT, 1000])
def test_every_field_is_drawn_as_often_as_any_other(size: int) -> None:
    value = HashValue((b"%d" % number, b"value") for number in range(size))
    rng = Random(3)
    drawn = Counter(value.random_element(rng) for _ in range(200 * size))
    assert set(drawn) == set(value.fields)
    assert min(drawn.values()) > 130
    assert max(drawn.values()) < 280


def test_short_hashes_share_the_names_of_their_fields() -> None:
    pool = NamePool()
    made = HashValue([(b"".join([b"na", b"me"]), b"1")], pool)
    grown = HashValue(pool=pool)
    grown.set(b"".join([b"na", b"me"]), b"2")
    loaded = HashValue([(b"".join([b"na", b"me"]), b"3")])
    loaded.share_names(pool)
    first, *others = [value.elements()[0] for value in (made, grown, loaded, grown.copy())]
    assert all(other is first for other in others)


def test_a_pool_stays_small() -> None:
    pool = NamePool()
    long = b"x" * (POOLED_BYTES + 1)
    assert pool.shared(long) is long
    names = [b"%d" % number for number in range(3 * POOLED_NAMES)]
    assert [pool.shared(name) for name in names] == names
    assert len(pool._names) <= POOLED_NAMES
