"""Ranges, bits and sets of slots say the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bus.slots import ALL_SLOTS, bits_of, bits_of_slots, ranges_of_bits, slots_of_bits
from bus.view import SLOT_COUNT, Ranges

SLOTS = st.sets(st.one_of(st.integers(0, 40), st.integers(0, SLOT_COUNT - 1)), max_size=60)


def naive_ranges(slots: set[int]) -> Ranges:
    """Slot by slot, as one would by hand."""
    found: list[tuple[int, int]] = []
    for slot in sorted(slots):
        if found and found[-1][1] == slot - 1:
            found[-1] = (found[-1][0], slot)
        else:
            found.append((slot, slot))
    return tuple(found)


@given(SLOTS)
def test_bits_give_back_their_slots_in_order(slots: set[int]) -> None:
    assert list(slots_of_bits(bits_of_slots(slots))) == sorted(slots)


@given(SLOTS)
def test_bits_and_ranges_say_the_same(slots: set[int]) -> None:
    ranges = ranges_of_bits(bits_of_slots(slots))
    assert ranges == naive_ranges(slots)
    assert bits_of(ranges) == bits_of_slots(slots)


def test_all_slots() -> None:
    assert ranges_of_bits(ALL_SLOTS) == ((0, SLOT_COUNT - 1),)
    assert ranges_of_bits(0) == ()
