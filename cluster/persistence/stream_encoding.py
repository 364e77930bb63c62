"""A node of a stream as a listpack, both ways.

A node begins with its master entry: how many entries are in it, how many of them are deleted, the names of the fields
that most of its entries have, and a zero. Each entry follows as flags, what its id is ahead of the node's, its names
(unless they are the master entry's) and values, and how many elements that were, so that it can be read from behind.
"""

from __future__ import annotations

from itertools import chain

from cluster.keyspace.stream import Block, Items, signed
from cluster.keyspace.stream_id import PART_BITS, PART_MAX
from cluster.persistence.encodings import decode_elements, integer_entry, listpack_entry, listpack_of

_DELETED = 1
_SAME_FIELDS = 2


def encode_block(block: Block) -> bytes:
    """The listpack, without a trace of what is deleted in the block."""
    entries = [integer_entry(len(block.ids)), integer_entry(0), integer_entry(len(block.fields))]
    entries += map(listpack_entry, block.fields)
    entries.append(integer_entry(0))
    start_ms, start_seq = block.start >> PART_BITS, block.start & PART_MAX
    for entry_id, items in zip(block.ids, block.contents, strict=True):
        same = items[::2] == block.fields
        entries += (
            integer_entry(_SAME_FIELDS if same else 0),
            integer_entry(signed((entry_id >> PART_BITS) - start_ms)),
            integer_entry(signed((entry_id & PART_MAX) - start_seq)),
        )
        if same:
            entries += map(listpack_entry, items[1::2])
            entries.append(integer_entry(len(block.fields) + 3))
        else:
            entries.append(integer_entry(len(items) // 2))
            entries += map(listpack_entry, items)
            entries.append(integer_entry(len(items) + 4))
    return listpack_of(entries)


def decode_block(start: int, data: bytes) -> Block:
    """The block that begins with the id `start`; nothing in it may be alive, since redis-server's trimming by MINID
    leaves such nodes. Raises ValueError."""
    elements = _Elements(decode_elements(data))
    count, deleted = elements.count(), elements.count()
    fields = elements.take(elements.count())
    elements.take(1)
    block = Block(start, fields)
    block.size = len(data) - len(integer_entry(count)) - len(integer_entry(deleted))
    for _ in range(count + deleted):
        _read_entry(block, elements)
    if len(block.ids) != count or elements.left:
        raise ValueError("a node of a stream with another number of entries")
    block.deleted = deleted
    return block


def _read_entry(block: Block, elements: _Elements) -> None:
    flags, ms, seq = elements.number(), elements.number(), elements.number()
    entry_id = (
        ((block.start >> PART_BITS) + ms & PART_MAX) << PART_BITS | (block.start & PART_MAX) + seq & PART_MAX
    )
    if flags & _SAME_FIELDS:
        values = elements.take(len(block.fields))
        items: Items = tuple(chain.from_iterable(zip(block.fields, values, strict=True)))
    else:
        items = elements.take(2 * elements.count())
    elements.number()
    if entry_id < block.end or (block.ids and entry_id == block.ids[-1]):
        raise ValueError("entries of a stream out of order")
    block.end = entry_id
    if not flags & _DELETED:
        block.ids.append(entry_id)
        block.contents.append(items)


class _Elements:
    """The elements of a listpack, one after the other."""

    __slots__ = ("_at", "_items")

    def __init__(self, items: list[bytes | int]) -> None:
        self._items = items
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._items) - self._at

    def take(self, count: int) -> Items:
        start = self._at
        self._at = end = start + count
        if end > len(self._items):
            raise ValueError("an entry of a stream beyond the end")
        return tuple([b"%d" % item if type(item) is int else item for item in self._items[start:end]])  # type: ignore[misc]

    def number(self) -> int:
        at = self._at
        if at >= len(self._items):
            raise ValueError("an entry of a stream beyond the end")
        self._at = at + 1
        number = self._items[at]
        if type(number) is not int:
            raise ValueError("a text where an entry of a stream has a number")
        return number

    def count(self) -> int:
        number = self.number()
        if not 0 <= number <= len(self._items):
            raise ValueError("an impossible count in a node of a stream")
        return number
