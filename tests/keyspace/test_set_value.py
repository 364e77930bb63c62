"""Sets, short and long, held against Python's."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.keyspace.set_value import SHORT_LIMIT, SetValue


@settings(deadline=None)
@given(seed=st.integers(), sizes=st.lists(st.integers(0, 400), min_size=1, max_size=6), spread=st.integers(400, 3000))
def test_it_is_a_set(seed: int, sizes: list[int], spread: int) -> None:
    """It grows and shrinks to each of the sizes in turn."""
    rng = Random(seed)
    value, model, peak = SetValue(), set[bytes](), 0
    for size in sizes:
        while len(model) != size:
            member = b"%d" % rng.randrange(spread)
            assert (member in value) == (member in model)
            if len(model) < size:
                assert value.add(member) == (member not in model)
                model.add(member)
            else:
                assert value.discard(member) == (member in model)
                model.discard(member)
            peak = max(peak, len(model))
        assert len(value) == len(model)
        assert set(value) == set(value.elements()) == model
    assert value.peak_count == peak
    assert value.was_integers
    copy = value.copy()
    copy.add(b"copied")
    assert set(value) == model
    assert set(copy) == model | {b"copied"}
    assert not copy.was_integers


def test_small_sets_keep_the_order_in_which_members_came() -> None:
    value = SetValue(b"%d" % number for number in range(SHORT_LIMIT))
    value.discard(b"7")
    assert list(value) == [b"%d" % number for number in range(SHORT_LIMIT) if number != 7]


@pytest.mark.parametrize("size", [3, SHORT_LIMIT, 1000])
def test_every_member_is_drawn_as_often_as_any_other(size: int) -> None:
    value = SetValue(b"%d" % number for number in range(size))
    rng = Random(3)
    drawn = Counter(value.random_element(rng) for _ in range(200 * size))
    assert set(drawn) == set(value)
    assert min(drawn.values()) > 130
    assert max(drawn.values()) < 280


def test_what_it_was_and_what_a_copy_is() -> None:
    value = SetValue([b"1", b"a long member", b"2"])
    assert not value.was_integers
    value.discard(b"a long member")
    assert (value.was_integers, value.peak_count, value.peak_bytes) == (False, 3, 13)
    copy = value.copy()
    assert list(copy) == [b"1", b"2"]
    assert (copy.was_integers, copy.peak_count, copy.peak_bytes) == (False, 3, 13)
