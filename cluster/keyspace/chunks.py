"""What sequences kept in chunks have in common: which chunk holds a position, and which position a chunk begins with.

The sizes of GROUP chunks are summed up in a list of `groups`. So to count up to a chunk takes a look at its group's
neighbours and at some sums: for a million elements some fifty numbers.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from itertools import islice

GROUP_BITS = 5
GROUP = 1 << GROUP_BITS


def sums_of(chunks: Sequence[Sized]) -> list[int]:
    """The groups of `chunks`."""
    sizes = list(map(len, chunks))
    return [sum(sizes[at : at + GROUP]) for at in range(0, len(sizes), GROUP)]


def find_position(chunks: Sequence[Sized], groups: list[int], position: int) -> tuple[int, int]:
    """(chunk, place in it) of a position below the sum of all sizes."""
    at = 0
    for count in groups:
        if position < count:
            break
        position -= count
        at += GROUP
    for chunk in islice(chunks, at, None):
        if position < len(chunk):
            break
        position -= len(chunk)
        at += 1
    return at, position


def position_of(chunks: Sequence[Sized], groups: list[int], at: int) -> int:
    """The position of the first element of a chunk."""
    group = at >> GROUP_BITS
    return sum(groups[:group]) + sum(map(len, chunks[group << GROUP_BITS : at]))
