"""Where a command's keys stand among its arguments, and what it does with them.

One description serves three readers: the router (which slot?), COMMAND INFO's key specifications, and COMMAND
GETKEYSANDFLAGS. Positions count the command's name as 0 (as in the Redis documentation of key specifications).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Arguments = Sequence[bytes]
READ = ("RO", "access")
WRITE = ("RW", "update")
REPLACE = ("OW", "update")
READ_WRITE = ("RW", "access", "update")
REMOVE = ("RM", "delete")


@dataclass(frozen=True, slots=True)
class KeySpec:
    """Keys at fixed positions: `first`, then every `step`-th up to `last` (negative: counted from the end)."""

    first: int
    last: int
    step: int = 1
    flags: tuple[str, ...] = READ_WRITE

    def positions(self, arguments: Arguments) -> list[int]:
        end = self.last if self.last >= 0 else len(arguments) + self.last
        return list(range(self.first, min(end, len(arguments) - 1) + 1, self.step))


@dataclass(frozen=True, slots=True)
class NumKeys:
    """A count at `count_at`, its keys right behind it (EVAL, ZUNION, LMPOP …)."""

    count_at: int
    flags: tuple[str, ...] = READ

    def positions(self, arguments: Arguments) -> list[int]:
        try:
            count = int(arguments[self.count_at])
        except (ValueError, IndexError):
            return []
        first = self.count_at + 1
        if count < 0 or first + count > len(arguments):
            return []
        return list(range(first, first + count))


@dataclass(frozen=True, slots=True)
class Keyword:
    """Keys behind a word found at or after `start`: one (`step`, `last` and `limit` as in Redis's range search: a
    limit of 2 is the first half of what is there)."""

    word: bytes
    start: int
    last: int = 0
    step: int = 1
    flags: tuple[str, ...] = WRITE
    pick_last: bool = field(default=False)
    """SORT takes the last STORE; others the first."""
    limit: int = 0

    def positions(self, arguments: Arguments) -> list[int]:
        found = -1
        last = len(arguments) - 1
        places = range(self.start, last) if self.start >= 0 else range(last + 1 + self.start, 0, -1)
        for index in places:
            if arguments[index].upper() == self.word:
                found = index + 1
                if not self.pick_last:
                    break
        if found < 0:
            return []
        if self.last >= 0:
            end = found + self.last
        elif self.limit:
            end = found + (len(arguments) - found) // self.limit + self.last
        else:
            end = len(arguments) + self.last
        return list(range(found, end + 1, self.step))


@dataclass(frozen=True, slots=True)
class Custom:
    """Keys only code can find (MIGRATE, XREAD's halves …): `find` gives positions; shown as `movablekeys`."""

    find: Callable[[Arguments], list[int]]
    flags: tuple[str, ...] = READ_WRITE

    def positions(self, arguments: Arguments) -> list[int]:
        return self.find(arguments)


Spec = KeySpec | NumKeys | Keyword | Custom
Keys = tuple[Spec, ...]


READS = 1
WRITES = 2
_DOES = {"access": READS, "insert": WRITES, "delete": WRITES, "update": WRITES}


def does(flags: tuple[str, ...]) -> int:
    """What happens to a key in one word: the bits READS (its value is told) and WRITES."""
    bits = 0
    for flag in flags:
        bits |= _DOES.get(flag, 0)
    return bits


def uses(keys: Keys) -> tuple[tuple[Spec, int], ...]:
    """(where, what `does` says of it; -1 where that depends on the line) of what is a key, and not just looks so."""
    return tuple(
        (spec, -1 if "variable_flags" in spec.flags else does(spec.flags))
        for spec in keys
        if "not_key" not in spec.flags
    )


def flags_in(command: str, line: Arguments, names: tuple[str, ...]) -> tuple[str, ...]:
    """What happens to a key in this very line; `names` is what may happen to it with any arguments of `command`."""
    if "variable_flags" in names:
        words = {word.upper() for word in line[2:]}
        if command == "set":
            return READ_WRITE if b"GET" in words else REPLACE
        return READ_WRITE if words & {b"SET", b"INCRBY"} else READ
    return tuple(name for name in names if name != "incomplete")


NO_KEYS: Keys = ()
FIRST: Keys = (KeySpec(1, 1, 1, WRITE),)
FIRST_READ: Keys = (KeySpec(1, 1, 1, READ),)
ALL_READ: Keys = (KeySpec(1, -1, 1, READ),)
ALL_REMOVED: Keys = (KeySpec(1, -1, 1, REMOVE),)
PAIRS: Keys = (KeySpec(1, -1, 2, ("OW", "update")),)


def first_key(*flags: str) -> Keys:
    """One key at position 1 with other flags than FIRST's."""
    return (KeySpec(1, 1, 1, flags),)
