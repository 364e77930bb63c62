"""Doubles as texts, as Redis prints them since 7.2.

Redis prints with Grisu2 (Florian Loitsch: Printing Floating-Point Numbers Quickly and Accurately with Integers, 2010),
which reckons with 64 bits. What it prints reads back as the same number, but one number in a thousand takes a digit
more than it has to, or ends in another digit than the nearest: 0.730323 is 0.7303230000000001. So the shortest text,
which Python's repr finds, is where we start from, and then its last digits are those that Grisu2 stops at.
"""

from __future__ import annotations

import math
from typing import Final

_PLAIN_ZEROS: Final = 7
_PLAIN_EXPONENT: Final = 4
_PLAIN_FROM: Final = 1e-3
_PLAIN_BELOW: Final = 1e4
_WHOLE_LIMIT: Final = 1 << 62
"""Whole numbers up to it Redis prints as integers."""

_BITS: Final = 64
_ROUND_UP: Final = 1 << _BITS - 1
_TWO_TO_64: Final = 2.0**_BITS
_MANTISSA_BITS: Final = 53
_FEW_CHARACTERS: Final = 16
"""A point and fifteen digits."""
_HALF_STEP: Final = 1 << 10
"""Half of the last of a double's 53 bits, where the first of 64 is that of its mantissa."""
_NORMAL_FROM: Final = -1021
"""Smaller doubles have fewer bits."""
_FIRST_POWER, _POWER_STEP, _POWERS = -348, 8, 87
"""The powers of ten that Grisu2 scales with."""
_LOG_TEN_OF_TWO: Final = 0.30102999566398114
_NARROWEST, _WIDEST = -60, -32
"""The exponent of two that a scaled number may have: its whole part takes up to 32 bits."""
_LEAST_BINARY, _MOST_BINARY = -1073, 1024
"""The exponents that `math.frexp` finds."""


def _power_of_ten(exponent: int) -> tuple[int, int]:
    """(mantissa of 64 bits, exponent of two) nearest to 10**exponent."""
    above, below = 10 ** max(0, exponent), 10 ** max(0, -exponent)
    binary = above.bit_length() - below.bit_length() - _BITS
    while True:
        numerator, denominator = above << max(0, -binary), below << max(0, binary)
        mantissa = (2 * numerator + denominator) // (2 * denominator)
        if mantissa.bit_length() == _BITS:
            return mantissa, binary
        binary += mantissa.bit_length() - _BITS


def _scales() -> list[tuple[int, int, int]]:
    """By the exponent of a number, from `_LEAST_BINARY` on: (k, the mantissa of 10**k that brings it where it
    has some whole digits, how many bits are behind its point then)."""
    powers = [_power_of_ten(_FIRST_POWER + _POWER_STEP * index) for index in range(_POWERS)]
    found = []
    for binary in range(_LEAST_BINARY - _BITS, _MOST_BINARY - _BITS + 1):
        # Several would do; it is this one that is taken first.
        index = (int(-(binary + _POWERS) * _LOG_TEN_OF_TWO) - _FIRST_POWER) // _POWER_STEP
        while (scaled := binary + powers[index][1] + _BITS) < _NARROWEST or scaled > _WIDEST:
            index += 1 if scaled < _NARROWEST else -1
        found.append((_FIRST_POWER + _POWER_STEP * index, powers[index][0], -scaled))
    return found


_SCALES: Final = _scales()
_TENS: Final[list[int]] = [10**exponent for exponent in range(30)]


def _grisu(value: float, exponent: int) -> tuple[int, int]:
    """(digits as one integer, power of ten) that Grisu2 finds for a positive number, of which the shortest text that
    reads back the same has its last digit at 10**exponent."""
    fraction, binary = math.frexp(value)
    exact = int(fraction * _TWO_TO_64)
    # What lies within half a step is nearer to it than to its neighbours. Below a power of two steps are half as long.
    half = _HALF_STEP if binary >= _NORMAL_FROM else _HALF_STEP << _NORMAL_FROM - binary
    below = exact - (half >> 1 if exact == _ROUND_UP and binary >= _NORMAL_FROM else half)
    k, scale, places = _SCALES[binary - _LEAST_BINARY]
    above = ((exact + half) * scale + _ROUND_UP >> _BITS) - 1
    span = above - (below * scale + _ROUND_UP >> _BITS) - 1
    wanted = above - (exact * scale + _ROUND_UP >> _BITS)
    position = exponent + k
    while True:
        if position >= 0:
            unit = _TENS[position] << places
            digits, rest = divmod(above, unit)
            if rest <= span:
                break
        else:
            ten = _TENS[-position]
            unit = 1 << places
            digits, rest = divmod(above * ten, unit)
            if rest < span * ten:
                span *= ten
                wanted *= ten
                break
        position -= 1
    # From the upper end towards the number itself.
    while rest < wanted and span - rest >= unit and (rest + unit < wanted or wanted - rest > rest + unit - wanted):
        digits -= 1
        rest += unit
    return digits, position - k


def _is_well_inside(value: float, digits: int, places: int) -> bool:
    """Whether digits / 10**places, the shortest text of a positive number, is so much nearer to it than to its
    neighbours that Grisu2 finds it, too. True for nearly all; of fifteen digits there is no second one to be found."""
    numerator, denominator = value.as_integer_ratio()
    if numerator == 1:  # a power of two, whose lower neighbour is twice as near
        return False
    ten = _TENS[places]
    distance = abs(digits * denominator - numerator * ten) << _MANTISSA_BITS + 1 - numerator.bit_length()
    return distance * 512 < 500 * ten


def format_double(value: float) -> bytes:
    """Whole numbers without a point, the others in Grisu2's digits."""
    text = repr(value)
    whole, _, fraction = text.partition(".")
    if fraction == "0":
        return whole.encode()
    magnitude = abs(value)
    if fraction.isdigit() and (len(fraction) < _PLAIN_ZEROS or _PLAIN_FROM <= magnitude < _PLAIN_BELOW):
        # Python lays most numbers out as `_laid_out` does, at a tenth of the cost.
        digits = abs(int(whole + fraction))
        if len(text) <= _FEW_CHARACTERS and _is_well_inside(magnitude, digits, len(fraction)):
            return text.encode()
        found = _grisu(magnitude, -len(fraction))
        return text.encode() if found == (digits, -len(fraction)) else _laid_out(value < 0, *found)
    if math.isinf(value):
        return b"inf" if value > 0 else b"-inf"
    if math.isnan(value):
        return b"nan"
    if magnitude <= _WHOLE_LIMIT and value == int(value):
        return b"%d" % int(value)
    return _laid_out(value < 0, *_grisu(magnitude, _last_place(text)))


def _last_place(text: str) -> int:
    """The power of ten that the last digit of a repr stands for, zeros at its end left out."""
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).rstrip("0")
    return int(exponent or "0") + len(whole) - len(digits)


def _laid_out(negative: bool, mantissa: int, exponent: int) -> bytes:
    """Plain as long as that takes few zeros, else one digit, a point and an exponent."""
    digits = str(mantissa)
    count = len(digits)
    scientific = abs(exponent + count - 1)
    if exponent >= 0 and scientific < count + _PLAIN_ZEROS:
        text = digits + "0" * exponent
    elif exponent < 0 and (exponent > -_PLAIN_ZEROS or scientific < _PLAIN_EXPONENT):
        point = count + exponent
        text = f"{digits[:point]}.{digits[point:]}" if point > 0 else f"0.{'0' * -point}{digits}"
    else:
        fraction = f".{digits[1:]}" if count > 1 else ""
        text = f"{digits[0]}{fraction}e{'+' if exponent + count > 0 else '-'}{scientific}"
    return b"%b%b" % (b"-" if negative else b"", text.encode())
