"""Sets of slots: as ranges where they are shown or sent, as bits where they are reckoned with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bus.view import SLOT_COUNT, Ranges

# A set of slots as one integer, bit n for slot n: union, intersection and difference cost less than a microsecond.

ALL_SLOTS = (1 << SLOT_COUNT) - 1


def bits_of(ranges: Ranges) -> int:
    bits = 0
    for start, end in ranges:
        bits |= ((1 << (end - start + 1)) - 1) << start
    return bits


def bits_of_slots(slots: Iterable[int]) -> int:
    bits = 0
    for slot in slots:
        bits |= 1 << slot
    return bits


def slots_of_bits(bits: int) -> Iterator[int]:
    """Ascending."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def ranges_of_bits(bits: int) -> Ranges:
    found: list[tuple[int, int]] = []
    while bits:
        start = (bits & -bits).bit_length() - 1
        rest = bits >> start
        length = (~rest & (rest + 1)).bit_length() - 1
        found.append((start, start + length - 1))
        bits = rest >> length << (start + length)
    return tuple(found)
