"""Numbers in arguments and values, read and written as Redis does.

Integers are strict: no blank, no plus sign, no leading zero, 64 bits. Doubles are what C's strtod takes to the last
character: decimal or hexadecimal, infinities, but neither blanks nor NaN nor what over- or underflows. INCRBYFLOAT
and HINCRBYFLOAT reckon in x86's extended precision (a mantissa of 64 bits); whole numbers do that here exactly,
since a Python float has only 53.
"""

from __future__ import annotations

import re
from math import isinf
from typing import Final, NamedTuple

from cluster.errors import CommandError, NotAFloat, NotAnInteger

INT32_MIN: Final = -(1 << 31)
INT32_MAX: Final = (1 << 31) - 1
INT64_MIN: Final = -(1 << 63)
INT64_MAX: Final = (1 << 63) - 1
_INT64_DIGITS = 20
_SURE_DIGITS = 19
"""With fewer digits every number fits."""
_ZERO = ord("0")
_FLOAT_TEXT_LIMIT = 5 * 1024
"""Redis reads extended floats through a buffer of this size; longer texts are errors."""
_MANTISSA_BITS = 64
_MAX_EXPONENT = 16384
_MIN_EXPONENT = -16445
_DECIMALS = 17
_PIECE_DIGITS = 4000

_DECIMAL = re.compile(rb"([+-]?)(?:(\d+)(?:\.(\d*))?|\.(\d+))(?:[eE]([+-]?\d+))?")
_HEXADECIMAL = re.compile(
    rb"([+-]?)0[xX](?:([0-9a-fA-F]+)(?:\.([0-9a-fA-F]*))?|\.([0-9a-fA-F]+))(?:[pP]([+-]?\d+))?"
)
_INFINITE = re.compile(rb"([+-]?)inf(?:inity)?", re.IGNORECASE)


def parse_integer(text: bytes | bytearray) -> int:
    """A signed 64-bit integer in its one canonical spelling; raises NotAnInteger."""
    if text.isdigit() and len(text) < _SURE_DIGITS and (text[0] != _ZERO or len(text) == 1):
        return int(text)
    try:
        number = int(text)
    except ValueError:
        raise NotAnInteger from None
    if b"%d" % number != text or not INT64_MIN <= number <= INT64_MAX:
        raise NotAnInteger
    return number


def count_of(text: str) -> int | None:
    """A count or an offset as a file or another server tells it; None for what is none, or beyond 63 bits."""
    if not (text.isascii() and text.isdigit() and len(text) <= _INT64_DIGITS):
        return None
    number = int(text)
    return number if number <= INT64_MAX else None


def parse_int32(text: bytes) -> int:
    """An integer that Redis keeps in 32 bits (the number of a database)."""
    number = parse_integer(text)
    if not INT32_MIN <= number <= INT32_MAX:
        raise CommandError(f"ERR value is out of range, value must between {INT32_MIN} and {INT32_MAX}")
    return number


def is_integer(text: bytes | bytearray) -> bool:
    """Whether `parse_integer` would take it (which strings and sets Redis stores as numbers)."""
    digits = text[1:] if text[:1] == b"-" else text
    size = len(digits)
    if not digits.isdigit() or size >= _INT64_DIGITS:
        return False
    if digits[0] == _ZERO:
        return len(text) == 1
    return size < _SURE_DIGITS or INT64_MIN <= int(text) <= INT64_MAX


def parse_float(text: bytes | bytearray) -> float:
    """A double, infinities included; raises NotAFloat."""
    if text.isdigit() and len(text) < _SURE_DIGITS:
        return float(text)
    if _DECIMAL.fullmatch(text):
        value = float(text)
        overflows = isinf(value)
        underflows = not value and bool(text.lower().partition(b"e")[0].strip(b"+-0."))
        if overflows or underflows:
            raise NotAFloat
        return value
    if _HEXADECIMAL.fullmatch(text):
        try:
            value = float.fromhex(text.decode())
        except OverflowError:
            raise NotAFloat from None
        if not value and text.lower().lstrip(b"+-")[2:].partition(b"p")[0].strip(b"0."):
            raise NotAFloat
        return value
    infinite = _INFINITE.fullmatch(text)
    if infinite is None:
        raise NotAFloat
    return float("-inf") if infinite[1] == b"-" else float("inf")


class LongDouble(NamedTuple):
    """An extended-precision number: mantissa × 2**exponent, or an infinity of the mantissa's sign."""

    mantissa: int
    exponent: int
    infinite: bool = False


def parse_long_double(text: bytes | bytearray) -> LongDouble:
    """The nearest extended-precision number, as strtold finds it; raises NotAFloat."""
    if len(text) >= _FLOAT_TEXT_LIMIT:
        raise NotAFloat
    found = _DECIMAL.fullmatch(text)
    if found is not None:
        numerator, scale = _scaled(found, 10)
        if not numerator:
            return LongDouble(0, 0)
        # Far outside the range of the type: no need to build the power of ten to see it.
        if not -10_100 < scale < 5_000:
            raise NotAFloat
        rounded = _rounded_ratio(numerator * 10 ** max(0, scale), 10 ** max(0, -scale))
    else:
        found = _HEXADECIMAL.fullmatch(text)
        if found is None:
            infinite = _INFINITE.fullmatch(text)
            if infinite is None:
                raise NotAFloat
            return LongDouble(-1 if infinite[1] == b"-" else 1, 0, infinite=True)
        numerator, scale = _scaled(found, 16)
        rounded = _normal(numerator, scale)
    if rounded.infinite or (numerator and not rounded.mantissa):
        raise NotAFloat
    return rounded


def _scaled(found: re.Match[bytes], base: int) -> tuple[int, int]:
    """(signed digits as one integer, the power of ten or of two they are multiplied with)."""
    sign, whole, fraction, bare_fraction, exponent = found.groups(b"")
    digits = _whole_number(whole + fraction + bare_fraction, base)
    places = len(fraction) + len(bare_fraction)
    shift = int((exponent or b"0")[:12])
    return (-digits if sign == b"-" else digits), shift - places * (1 if base == 10 else 4)


def _whole_number(digits: bytes, base: int) -> int:
    """The number of many digits, in pieces: Python refuses to convert more than some thousand at once."""
    number = 0
    for start in range(0, len(digits), _PIECE_DIGITS):
        piece = digits[start : start + _PIECE_DIGITS]
        number = number * base ** len(piece) + int(piece, base)
    return number


def _decimal_digits(number: int) -> bytes:
    pieces = []
    while number >= 10**_PIECE_DIGITS:
        number, piece = divmod(number, 10**_PIECE_DIGITS)
        pieces.append(b"%0*d" % (_PIECE_DIGITS, piece))
    pieces.append(b"%d" % number)
    return b"".join(reversed(pieces))


def _half_even(numerator: int, denominator: int) -> int:
    """numerator / denominator, both non-negative, to the nearest integer, ties to the even one."""
    quotient, rest = divmod(numerator, denominator)
    doubled = 2 * rest
    return quotient + (doubled > denominator or (doubled == denominator and quotient & 1))


def _rounded_ratio(numerator: int, denominator: int) -> LongDouble:
    magnitude = abs(numerator)
    exponent = magnitude.bit_length() - denominator.bit_length() - _MANTISSA_BITS
    while True:
        scaled = (magnitude << -exponent, denominator) if exponent < 0 else (magnitude, denominator << exponent)
        if scaled[0] // scaled[1] < 1 << _MANTISSA_BITS and exponent >= _MIN_EXPONENT:
            break
        exponent = max(exponent + 1, _MIN_EXPONENT)
    mantissa = _half_even(*scaled)
    return _checked(-mantissa if numerator < 0 else mantissa, exponent)


def _normal(mantissa: int, exponent: int) -> LongDouble:
    """mantissa × 2**exponent rounded to what the type holds."""
    excess = max(abs(mantissa).bit_length() - _MANTISSA_BITS, _MIN_EXPONENT - exponent)
    if excess <= 0:
        return _checked(mantissa, exponent)
    if excess > abs(mantissa).bit_length() + 1:
        return LongDouble(0, 0)
    rounded = _half_even(abs(mantissa), 1 << excess)
    return _checked(-rounded if mantissa < 0 else rounded, exponent + excess)


def _checked(mantissa: int, exponent: int) -> LongDouble:
    if mantissa and abs(mantissa).bit_length() + exponent > _MAX_EXPONENT:
        return LongDouble(1 if mantissa > 0 else -1, 0, infinite=True)
    return LongDouble(mantissa, exponent)


def add_floats(current: LongDouble, increment: LongDouble) -> LongDouble:
    """The extended-precision sum; raises when it is no finite number."""
    if not (current.infinite or increment.infinite):
        exponent = min(current.exponent, increment.exponent)
        total = _normal(
            (current.mantissa << current.exponent - exponent) + (increment.mantissa << increment.exponent - exponent),
            exponent,
        )
        if not total.infinite:
            return total
    raise CommandError("ERR increment would produce NaN or Infinity")


def format_long_double(value: LongDouble) -> bytes:
    """Fixed point with at most 17 decimals, trailing zeros cut: how INCRBYFLOAT stores its result."""
    magnitude = abs(value.mantissa) * 10**_DECIMALS
    if value.exponent >= 0:
        scaled = magnitude << value.exponent
    else:
        scaled = _half_even(magnitude, 1 << -value.exponent)
    digits = _decimal_digits(scaled).rjust(_DECIMALS + 1, b"0")
    text = (digits[:-_DECIMALS] + b"." + digits[-_DECIMALS:]).rstrip(b"0").rstrip(b".")
    return b"-" + text if value.mantissa < 0 and scaled else text


def incremented(current: bytes | bytearray | None, increment: bytes) -> bytes:
    """The text of `current` (None: nothing there yet) plus `increment`: NotAFloat, or an error past the range."""
    start = LongDouble(0, 0) if current is None else parse_long_double(current)
    return format_long_double(add_floats(start, parse_long_double(increment)))
