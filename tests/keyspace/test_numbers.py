"""Numbers: the strict integers, C's doubles, and sums in extended precision."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.errors import CommandError, NotAFloat, NotAnInteger
from cluster.keyspace.numbers import (
    INT64_MAX,
    INT64_MIN,
    add_floats,
    format_long_double,
    incremented,
    is_integer,
    parse_float,
    parse_integer,
    parse_long_double,
)


@given(st.integers(INT64_MIN, INT64_MAX))
def test_every_64_bit_integer_is_read_back(number: int) -> None:
    assert parse_integer(b"%d" % number) == number
    assert is_integer(b"%d" % number)


@pytest.mark.parametrize(
    "text",
    [b"", b" 1", b"1 ", b"+1", b"01", b"-0", b"-", b"1.0", b"1_000", b"0x10", b"9223372036854775808", b"\xd9\xa1",
     b"1" * 5000],
)
def test_other_spellings_are_no_integers(text: bytes) -> None:
    with pytest.raises(NotAnInteger):
        parse_integer(text)
    assert not is_integer(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [(b"0x1p3", 8.0), (b".5", 0.5), (b"5.", 5.0), (b"+2", 2.0), (b"-INF", float("-inf")), (b"infinity", float("inf")),
     (b"5e-324", 5e-324), (b"0e-999", 0.0)],
)
def test_doubles_are_what_c_takes(text: bytes, number: float) -> None:
    assert parse_float(text) == number


@pytest.mark.parametrize("text", [b"", b"nan", b" 1", b"1 ", b"1_0", b"1e400", b"1e-400", b"0x1p-2000", b"1\x00"])
def test_other_texts_are_no_doubles(text: bytes) -> None:
    with pytest.raises(NotAFloat):
        parse_float(text)


def test_sums_keep_what_a_python_float_would_lose() -> None:
    assert incremented(b"0.1", b"0.2") == b"0.3"
    assert incremented(b"9007199254740993", b"0") == b"9007199254740993"
    assert incremented(b"-1.5", b"1.5") == b"0"
    assert incremented(None, b"3.0e3") == b"3000"


@given(st.integers(-(1 << 62), 1 << 62), st.integers(-(1 << 62), 1 << 62))
def test_integers_of_63_bits_add_up_exactly(one: int, other: int) -> None:
    assert incremented(b"%d" % one, b"%d" % other) == b"%d" % (one + other)


@given(st.fractions(-(10**9), 10**9, max_denominator=10**6))
def test_a_text_is_rounded_to_64_bits_of_mantissa(number: Fraction) -> None:
    text = f"{number.numerator // number.denominator}.{abs(number.numerator) % 10**9:09d}".encode()
    read = parse_long_double(text)
    exact = Fraction(text.decode())
    assert abs(Fraction(read.mantissa) * Fraction(2) ** read.exponent - exact) <= abs(exact) / 2**64


def test_the_sum_may_not_leave_the_range() -> None:
    largest = parse_long_double(b"1.18e4932")
    with pytest.raises(CommandError, match="increment would produce NaN or Infinity"):
        add_floats(largest, largest)
    with pytest.raises(CommandError, match="increment would produce NaN or Infinity"):
        incremented(b"inf", b"-inf")


def test_thousands_of_digits_are_written_out() -> None:
    assert len(format_long_double(parse_long_double(b"1e4900"))) == 4901
