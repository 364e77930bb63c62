"""Replies: many bulk strings at once, and numbers."""

from __future__ import annotations

import math

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.protocol import replies

TEXTS = st.lists(st.binary(max_size=5) | st.just(b"x" * replies.HEADED_BYTES))


def parsed(encoded: bytes) -> object:
    reader = hiredis.Reader()
    reader.feed(encoded)
    answer = reader.gets()
    assert not reader.has_data()
    return answer


@given(TEXTS)
def test_arrays_maps_and_sets_of_bulk_strings(texts: list[bytes]) -> None:
    assert parsed(replies.bulk_array(texts)) == texts
    assert parsed(replies.bulk_set(texts, 2)) == texts
    assert replies.bulk_set(texts, 3) == b"~" + replies.bulk_array(texts)[1:]
    flat = [part for number, text in enumerate(texts) for part in (b"%d" % number, text)]
    assert parsed(replies.bulk_map(flat, 2)) == flat
    assert parsed(replies.bulk_map(flat, 3)) == {b"%d" % number: text for number, text in enumerate(texts)}
    assert parsed(replies.bulk_or_null_array([*texts, None], 2)) == [*texts, None]


@given(st.floats(allow_nan=False, allow_infinity=False))
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3, 1e12])
def test_a_double_is_shown_as_the_shortest_text_that_reads_back_the_same(scale: float, value: float) -> None:
    value = math.fmod(value, scale)
    shown = replies.format_double(value)
    assert float(shown) == value
    if value != int(value):
        assert shown == replies._shortest(value)


@pytest.mark.parametrize(("value", "shown"), [
    (0.0, b"0"), (-0.0, b"-0"), (3.0, b"3"), (-2.5, b"-2.5"), (1e15, b"1000000000000000"), (1e20, b"1e+20"),
    (0.001, b"0.001"), (0.0001, b"0.0001"), (0.00012345678, b"1.2345678e-4"), (9999.1234567, b"9999.1234567"),
    (10000.1234567, b"1.00001234567e+4"), (12345678.123456, b"12345678.123456"), (1e-7, b"1e-7"),
    (1.5e300, b"1.5e+300"), (math.inf, b"inf"), (-math.inf, b"-inf"),
])  # fmt: skip
def test_how_doubles_are_laid_out(value: float, shown: bytes) -> None:
    assert replies.format_double(value) == shown
