"""Doubles as texts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.protocol.doubles import format_double


@given(st.floats(allow_nan=False, allow_infinity=False))
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3, 1e12, math.inf])
def test_a_text_reads_back_as_the_same_number_and_takes_two_digits_too_many_at_most(scale: float, value: float) -> None:
    value = math.fmod(value, scale)
    shown = format_double(value)
    assert float(shown) == value

    def digits(text: str) -> int:
        return len(text.partition("e")[0].replace(".", "").strip("-0"))

    if value != int(value):
        assert digits(shown.decode()) - digits(repr(value)) <= 2


@pytest.mark.parametrize(("value", "shown"), [
    (0.0, b"0"), (-0.0, b"-0"), (3.0, b"3"), (-2.5, b"-2.5"), (1e15, b"1000000000000000"), (1e20, b"1e+20"),
    (0.001, b"0.001"), (0.0001, b"0.0001"), (0.00012345678, b"1.2345678e-4"), (9999.1234567, b"9999.1234567"),
    (10000.1234567, b"1.00001234567e+4"), (12345678.123456, b"12345678.123456"), (1e-7, b"1e-7"),
    (1.5e300, b"1.5e+300"), (math.inf, b"inf"), (-math.inf, b"-inf"), (2.0**62, b"4611686018427387904"),
    (5e-324, b"5e-324"), (2.0**-1022, b"2.2250738585072014e-308"),
])  # fmt: skip
def test_how_doubles_are_laid_out(value: float, shown: bytes) -> None:
    assert format_double(value) == shown


@pytest.mark.parametrize(("value", "shown"), [
    (0.730323, b"0.7303230000000001"), (886002.29277, b"8.860022927699999e+5"),
    (-706332777740730.2, b"-706332777740730.3"), (7.583561129068938e-43, b"7.583561129068939e-43"),
])  # fmt: skip
def test_some_have_a_digit_more_than_they_need_or_another_one(value: float, shown: bytes) -> None:
    assert format_double(value) == shown
