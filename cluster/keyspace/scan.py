"""The order and the cursors of SCAN, HSCAN, SSCAN and ZSCAN.

The promise: whatever is there from the first call to the last is returned, however much comes and goes in between.
It is kept without any state of the scan: elements are ordered by a hash of their own bytes, a cursor is the hash to
go on from, and elements of equal hash are returned together. So a cursor is as good after a restart, or on the
replica that took over, as it was before.

Large collections are BucketMaps, which lie in the order of hashes. The keys of a slot are in a plain dict, which cannot
be entered at a hash. Small ones are returned whole. Of larger ones `ScanCache` remembers the order it found, in buckets
by hash, each sorted when it is come to. That is an accelerator only: it may forget at any time. A remembered order may
be older than the cursor it serves, but never older than the last start (cursor 0) of a scan over the same slot, and
what has come since that start need not be returned.

Cursors stay below 2**31, since clients keep them in an int.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable
from zlib import crc32

from cluster.errors import CommandError
from cluster.keyspace.buckets import BucketMap
from cluster.keyspace.hashing import SLOT_COUNT, SLOT_MASK, key_slot
from cluster.keyspace.values import Value

WHOLE_LIMIT = 128
"""Collections and slots up to this size are returned in one go, as Redis does with its compact encodings."""
_HASH_BITS = 31
_CURSOR_MASK = (1 << _HASH_BITS) - 1
_SLOT_BITS = 14
_BUCKET_BITS = 10
_BUCKET_SHIFT = 32 - _BUCKET_BITS
_REMEMBERED_ORDERS = 32
_REMEMBERED_MEMBERS = 4_000_000
_CURSOR_DIGITS = 20
"""Those of 2^64 - 1."""
_CURSOR = re.compile(rb"[+-]?\d*")


Members = Iterable[bytes]
"""What HSCAN, SSCAN and ZSCAN go through: a short collection of any kind, or a BucketMap."""


class _Order:
    """The members of a collection at one moment, in buckets by the top bits of their hash."""

    __slots__ = ("buckets", "size", "unsorted")

    def __init__(self, members: Collection[bytes]) -> None:
        self.size = len(members)
        self.buckets: list[list[bytes]] = [[] for _ in range(1 << _BUCKET_BITS)]
        self.unsorted = bytearray(b"\1" * len(self.buckets))
        adders = [bucket.append for bucket in self.buckets]
        for member in members:
            adders[crc32(member) >> _BUCKET_SHIFT](member)

    def bucket(self, index: int) -> list[bytes]:
        if self.unsorted[index]:
            self.buckets[index].sort(key=crc32)
            self.unsorted[index] = 0
        return self.buckets[index]

    def from_position(self, position: int, shift: int, count: int) -> tuple[int, list[bytes]]:
        """(position to go on from, or 0 at the end; members from `position` on, `count` or a few more).

        A position is the hash without its `shift` lowest bits.
        """
        found: list[bytes] = []
        last = -1
        for index in range(position << shift >> _BUCKET_SHIFT, len(self.buckets)):
            for member in self.bucket(index):
                at = crc32(member) >> shift
                if at < position:
                    continue
                if at != last and len(found) >= count:
                    return at, found
                last = at
                found.append(member)
        return 0, found


class ScanCache:
    """Orders of large slots by name, the least recently used forgotten first. One for each server."""

    def __init__(self) -> None:
        self._orders: dict[Hashable, _Order] = {}
        self._members = 0

    def clear(self) -> None:
        self._orders.clear()
        self._members = 0

    def forget(self, name: Hashable) -> None:
        order = self._orders.pop(name, None)
        if order is not None:
            self._members -= order.size

    def order(self, name: Hashable, members: Collection[bytes], *, fresh: bool) -> _Order:
        """The order of `members`; with `fresh` as they are now, otherwise perhaps as they were."""
        order = None if fresh else self._orders.get(name)
        if order is None:
            order = _Order(members)
        self.forget(name)
        self._orders[name] = order
        self._members += order.size
        while len(self._orders) > 1 and (
            len(self._orders) > _REMEMBERED_ORDERS or self._members > _REMEMBERED_MEMBERS
        ):
            self.forget(next(iter(self._orders)))
        return order


def parse_cursor(text: bytes) -> int:
    """The cursor of a SCAN command, as strtoul reads it."""
    if not _CURSOR.fullmatch(text):
        raise CommandError("ERR invalid cursor")
    digits = text.lstrip(b"+-").lstrip(b"0")
    number = int(digits) if 0 < len(digits) <= _CURSOR_DIGITS else 0
    if number >= 1 << 64 or len(digits) > _CURSOR_DIGITS or (text and text in b"+-"):
        raise CommandError("ERR invalid cursor")
    return (-number if text.startswith(b"-") else number) & _CURSOR_MASK


def pattern_slot(pattern: bytes) -> int | None:
    """The one slot whose keys a glob can match, when it names a whole hash tag literally (`{user1}*`)."""
    opened = pattern.find(b"{")
    closed = pattern.find(b"}", opened + 1)
    literal = pattern[: closed + 1]
    if opened < 0 or closed <= opened + 1 or any(byte in b"*?[\\" for byte in literal):
        return None
    return key_slot(literal)


def scan_collection(members: Members, cursor: int, count: int) -> tuple[int, list[bytes]]:
    """One step of HSCAN, SSCAN or ZSCAN: (next cursor, or 0 when done; members).

    cursor: 0 to start, or what the last call gave. count: about how many members to return.
    A collection of at most WHOLE_LIMIT (or `count`) members comes whole, as does whatever is no BucketMap. The cost is
    that of the returned members.
    """
    if isinstance(members, BucketMap) and len(members) > max(WHOLE_LIMIT, count):
        return members.scan(cursor, 1, count)
    return 0, list(members)


def scan_keys(
    cache: ScanCache,
    db_index: int,
    spaces: list[dict[bytes, Value]],
    cursor: int,
    count: int,
    only_slot: int | None = None,
) -> tuple[int, list[bytes]]:
    """One step of SCAN: (next cursor, or 0 when done; keys, expired ones included).

    Slot by slot, and by hash within a large slot: the cursor is position × 16384 + slot. `only_slot` restricts the
    scan to one slot. Empty slots cost next to nothing, so a call passes over all it meets.
    """
    position, slot = cursor >> _SLOT_BITS, cursor & SLOT_MASK
    if only_slot is not None and slot != only_slot:
        if slot > only_slot:
            return 0, []
        position, slot = 0, only_slot
    found: list[bytes] = []
    end = SLOT_COUNT if only_slot is None else only_slot + 1
    while slot < end:
        space = spaces[slot]
        if space:
            if len(found) >= count:
                return position << _SLOT_BITS | slot, found
            if len(space) <= max(WHOLE_LIMIT, count):
                found.extend(space)
            else:
                name = (db_index, slot)
                order = cache.order(name, space, fresh=position == 0)
                position, keys = order.from_position(position, 15, count - len(found))
                found.extend(key for key in keys if key in space)
                if position:
                    return position << _SLOT_BITS | slot, found
                cache.forget(name)
        position = 0
        slot += 1
    return 0, found

