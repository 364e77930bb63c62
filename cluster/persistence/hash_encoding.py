"""Hashes whose fields have deadlines, inside an RDB (Redis 7.4 and newer).

Both forms begin with the earliest deadline. Then a small hash is a listpack of field, value and deadline (0 for none)
in turn, the earliest first and those without one last, since redis-server searches no further than it has to. In a
large hash each field has its deadline before it, counted from one below the earliest, so that 0 is free for none. The
forms of the release candidates lack the first deadline, and so count from zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cluster.keyspace.expiring_hash import NEVER, ExpiringHashValue
from cluster.keyspace.hash_value import HashValue

MOST_MS = (1 << 48) - 1
"""What redis-server has bits for."""


def in_turn(value: ExpiringHashValue) -> Iterator[bytes]:
    """What a listpack of the hash holds."""
    deadlines = value.deadlines()
    for field, content in sorted(value.fields.items(), key=lambda pair: deadlines.get(pair[0], NEVER)):
        yield field
        yield content
        yield b"%d" % deadlines.get(field, 0)


def of_triples(items: list[bytes]) -> HashValue:
    """The hash that a listpack holds. Raises ValueError."""
    if len(items) % 3:
        raise ValueError("fields without their values and deadlines")
    return of_rows(zip(items[::3], items[1::3], map(int, items[2::3]), strict=True), len(items) // 3)


def of_rows(rows: Iterable[tuple[bytes, bytes, int]], count: int) -> HashValue:
    """The hash of `count` rows of field, value, and deadline (or 0). Raises ValueError."""
    pairs: dict[bytes, bytes] = {}
    deadlines: dict[bytes, int] = {}
    for field, content, deadline_ms in rows:
        pairs[field] = content
        if not 0 <= deadline_ms <= MOST_MS:
            raise ValueError("a deadline out of range")
        if deadline_ms:
            deadlines[field] = deadline_ms
    if not count:
        raise ValueError("an empty collection")
    if len(pairs) != count:
        raise ValueError("an element twice")
    plain = HashValue(pairs.items())
    return ExpiringHashValue(plain, deadlines) if deadlines else plain
