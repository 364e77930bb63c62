"""Slot maps: owners by slot ↔ ranges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bus.view import SLOT_COUNT, Ranges


def ranges_of(slots: Iterable[int]) -> Ranges:
    """Ascending slots → ranges, both ends included."""
    found: list[tuple[int, int]] = []
    for slot in slots:
        if found and found[-1][1] == slot - 1:
            found[-1] = (found[-1][0], slot)
        else:
            found.append((slot, slot))
    return tuple(found)


def ranges_by_owner(owners: Sequence[str | None]) -> dict[str, Ranges]:
    """Each owner's ranges."""
    slots: dict[str, list[int]] = {}
    for slot, owner in enumerate(owners):
        if owner is not None:
            slots.setdefault(owner, []).append(slot)
    return {owner: ranges_of(owned) for owner, owned in slots.items()}


def slots_in(ranges: Ranges) -> list[int]:
    return [slot for start, end in ranges for slot in range(start, end + 1)]


def owners_from(ranges: dict[str, Ranges]) -> list[str | None]:
    """The opposite of `ranges_by_owner`."""
    owners: list[str | None] = [None] * SLOT_COUNT
    for owner, owned in ranges.items():
        for slot in slots_in(owned):
            owners[slot] = owner
    return owners
