"""The set type: members in a list beside their positions, so that a random member is O(1) too."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import ClassVar

from cluster.keyspace.numbers import is_integer


class SetValue:
    """`positions` maps member → index in `order`; removal moves the last member into the gap."""

    __slots__ = ("order", "peak_bytes", "peak_count", "positions", "was_integers")
    type_name: ClassVar[str] = "set"

    def __init__(self, members: Iterable[bytes] = ()) -> None:
        self.positions: dict[bytes, int] = {}
        self.order: list[bytes] = []
        self.peak_count = 0
        self.peak_bytes = 0
        self.was_integers = True
        for member in members:
            self.add(member)

    @classmethod
    def of_distinct(cls, members: Iterable[bytes]) -> SetValue:
        """Of members that are known to differ, and of which nobody will ask how Redis would encode them."""
        value = cls()
        value.order = list(members)
        value.positions = dict(zip(value.order, range(len(value.order)), strict=True))
        value.was_integers = False
        return value

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.order)

    def __contains__(self, member: bytes) -> bool:
        return member in self.positions

    def add(self, member: bytes) -> bool:
        """Whether it is new."""
        if member in self.positions:
            return False
        self.positions[member] = len(self.order)
        self.order.append(member)
        if len(self.order) > self.peak_count:
            self.peak_count = len(self.order)
        if len(member) > self.peak_bytes:
            self.peak_bytes = len(member)
        if self.was_integers and not is_integer(member):
            self.was_integers = False
        return True

    def discard(self, member: bytes) -> bool:
        """Whether it was there."""
        index = self.positions.pop(member, None)
        if index is None:
            return False
        last = self.order.pop()
        if index < len(self.order):
            self.order[index] = last
            self.positions[last] = index
        return True

    def elements(self) -> list[bytes]:
        return self.order[:]

    def random_element(self, rng: random.Random) -> bytes:
        """A member; there must be one. O(1)."""
        return rng.choice(self.order)

    def copy(self) -> SetValue:
        return SetValue(self.order)

    def take_apart(self) -> Iterator[int]:
        """Let go of the members bit by bit: how many there were in each bit that is gone."""
        while self.positions:
            count = min(len(self.positions), 500)
            del self.order[-count:]
            for _ in range(count):
                self.positions.popitem()
            yield count
