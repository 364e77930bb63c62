"""The set type: a dict of its members up to 128, which costs no hashing of its own, and beyond that a BucketMap."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import islice, repeat
from typing import ClassVar

from cluster.keyspace.buckets import BucketMap, Part, peak_of_parts
from cluster.keyspace.numbers import is_integer

SHORT_LIMIT = 128


class SetValue:
    """`members` holds the members as its keys; it is changed by `add` and `discard` only."""

    __slots__ = ("members", "peak_bytes", "peak_count", "was_integers")
    type_name: ClassVar[str] = "set"

    def __init__(self, members: Iterable[bytes] = ()) -> None:
        given = members if isinstance(members, list) else list(members)
        self._hold(BucketMap(zip(given, repeat(True)), len(given)) if len(given) > SHORT_LIMIT else given)
        self.peak_bytes = max(map(len, self.members), default=0)
        self.was_integers = all(map(is_integer, self.members))

    @classmethod
    def of_parts(cls, parts: Iterable[Part[bool]], *, are_integers: bool) -> SetValue:
        """Of what BucketMap.of_parts takes. `are_integers`: all members are known to be."""
        value = cls.__new__(cls)
        value.peak_bytes, given = peak_of_parts(parts)
        value._hold(BucketMap.of_parts(given))
        value.was_integers = are_integers or all(map(is_integer, value.members))
        return value

    def _hold(self, members: list[bytes] | BucketMap[bool]) -> None:
        if isinstance(members, BucketMap) and len(members) > SHORT_LIMIT:
            self.members: dict[bytes, bool] | BucketMap[bool] = members
        else:
            self.members = dict.fromkeys(members, True)
        self.peak_count = len(self.members)

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.members)

    def __contains__(self, member: bytes) -> bool:
        return member in self.members

    def add(self, member: bytes) -> bool:
        """Whether it is new."""
        members = self.members
        if isinstance(members, dict):
            if member in members:
                return False
            members[member] = True
            if len(members) > SHORT_LIMIT:
                self.members = BucketMap(members.items())
        elif not members.set(member, True):
            return False
        count = len(members)
        if count > self.peak_count:
            self.peak_count = count
        if len(member) > self.peak_bytes:
            self.peak_bytes = len(member)
        if self.was_integers and not is_integer(member):
            self.was_integers = False
        return True

    def discard(self, member: bytes) -> bool:
        """Whether it was there."""
        return self.members.pop(member, False)

    def discard_all(self, gone: Iterable[bytes]) -> None:
        members = self.members
        if isinstance(members, BucketMap):
            members.remove_all(gone)
        else:
            for member in gone:
                members.pop(member, None)

    def elements(self) -> list[bytes]:
        return list(self.members)

    def random_element(self, rng: random.Random) -> bytes:
        """A member; there must be one. O(1)."""
        members = self.members
        if isinstance(members, BucketMap):
            return members.random_key(rng)
        return next(islice(members, rng.randrange(len(members)), None))

    def copy(self) -> SetValue:
        other = SetValue()
        other.members = self.members.copy()
        other.peak_count, other.peak_bytes, other.was_integers = self.peak_count, self.peak_bytes, self.was_integers
        return other

    def take_apart(self) -> Iterator[int]:
        """Let go of the members bit by bit: how many there were in each bit that is gone."""
        members = self.members
        return members.take_apart() if isinstance(members, BucketMap) else iter(())
