"""Operations on 32 bits for scripts, with the rules of Lua BitOp: numbers wrap, results are signed."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

_MASK = 0xFFFFFFFF
_WITHOUT_FRACTION = 1.5 * 2**52


def normal(value: float) -> int:
    """The 32 bits of a number, unsigned: a fraction is rounded to the nearest, halves to even. So does a processor when
    a number is added that leaves no place for fractions; with numbers past 2^51 that is not exact, and known so."""
    return int.from_bytes(struct.pack("<d", value + _WITHOUT_FRACTION)[:4], "little")


def _signed(bits: int) -> int:
    return bits - (1 << 32) if bits & 0x80000000 else bits


def _rotated(bits: int, count: int) -> int:
    return (bits << count | bits >> (32 - count)) & _MASK


_ONE: Final[dict[bytes, Callable[[int], int]]] = {
    b"tobit": lambda bits: bits,
    b"bnot": lambda bits: ~bits & _MASK,
    b"bswap": lambda bits: int.from_bytes(bits.to_bytes(4, "little"), "big"),
}
_TWO: Final[dict[bytes, Callable[[int, int], int]]] = {
    b"band": lambda one, other: one & other,
    b"bor": lambda one, other: one | other,
    b"bxor": lambda one, other: one ^ other,
    b"lshift": lambda bits, count: bits << (count & 31) & _MASK,
    b"rshift": lambda bits, count: bits >> (count & 31),
    b"arshift": lambda bits, count: _signed(bits) >> (count & 31) & _MASK,
    b"rol": lambda bits, count: _rotated(bits, count & 31),
    b"ror": lambda bits, count: _rotated(bits, -count & 31),
}


def compute(name: bytes, value: float, other: float = 0) -> int | bytes:
    """One operation by its name in Lua."""
    bits = normal(value)
    if name in _TWO:
        return _signed(_TWO[name](bits, normal(other)))
    if name == b"tohex":
        return _hexadecimal(bits, _signed(normal(other)))
    return _signed(_ONE[name](bits))


def _hexadecimal(bits: int, digits: int) -> bytes:
    """The last digits, in capitals where their number is negative."""
    text = b"%08X" % bits if digits < 0 else b"%08x" % bits
    count = min(abs(digits), 8)
    return text[8 - count :]
