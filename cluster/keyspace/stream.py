"""The stream type: entries in the order of their ids, and the groups of consumers that read them.

Entries lie in blocks, each a list of ids beside a list of contents, and a list of the blocks' first ids leads to the
block of an id. Appending is O(1), finding O(log n), trimming from the front costs a slice of a list. A content is a
tuple of fields and values; entries of the same fields share those, as nearly all entries of a stream do.

A block is what a node of redis-server's is: it is full by the same count (stream-node-max-entries) and by the bytes a
listpack would take (stream-node-max-bytes), what is deleted in it goes on counting, and it goes when all of it is. That
matters to clients, since `MAXLEN ~` removes whole nodes only.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import chain, islice
from typing import ClassVar

from cluster.keyspace.listpack_size import HEADER_BYTES, element_bytes, integer_bytes
from cluster.keyspace.stream_group import ConsumerGroup
from cluster.keyspace.stream_id import MAX_ID, PART_BITS, PART_MAX

Items = tuple[bytes, ...]
"""field, value, field, value, …"""
Entry = tuple[int, Items]
"""(id, its fields and values)"""

LARGEST_NODE_BYTES = 1 << 30
"""redis-server keeps a node below it whatever stream-node-max-bytes says."""


class Block:
    """`start` is the id the block began with, which may be deleted by now, `end` the last one it ever held. `fields`
    are those of its first entry, `size` the bytes of a listpack but for its two counters."""

    __slots__ = ("contents", "deleted", "end", "fields", "ids", "size", "start")

    def __init__(self, start: int, fields: Items) -> None:
        self.start = self.end = start
        self.fields = fields
        self.ids: list[int] = []
        self.contents: list[Items] = []
        self.deleted = 0
        self.size = HEADER_BYTES + integer_bytes(len(fields)) + sum(map(element_bytes, fields)) + 2

    @property
    def bytes_used(self) -> int:
        return self.size + integer_bytes(len(self.ids)) + integer_bytes(self.deleted)

    def append(self, entry_id: int, items: Items) -> None:
        same = items[::2] == self.fields
        counted = len(self.fields) + 3 if same else len(items) + 4
        self.size += (
            2
            + integer_bytes(signed((entry_id >> PART_BITS) - (self.start >> PART_BITS)))
            + integer_bytes(signed((entry_id & PART_MAX) - (self.start & PART_MAX)))
            + integer_bytes(counted)
        )
        if same:
            values = items[1::2]
            self.size += sum(map(element_bytes, values))
            items = tuple(chain.from_iterable(zip(self.fields, values, strict=True)))
        else:
            self.size += integer_bytes(len(items) // 2) + sum(map(element_bytes, items))
        self.ids.append(entry_id)
        self.contents.append(items)
        self.end = entry_id

    def remove_first(self, count: int) -> None:
        del self.ids[:count]
        del self.contents[:count]
        self.deleted += count

    def copy(self) -> Block:
        other = Block.__new__(Block)
        other.start, other.end, other.fields = self.start, self.end, self.fields
        other.ids, other.contents = self.ids[:], self.contents[:]
        other.deleted, other.size = self.deleted, self.size
        return other


def signed(number: int) -> int:
    """`number` in 64 bits, as C's int64_t shows it."""
    return ((number + (1 << 63)) & PART_MAX) - (1 << 63)


class StreamValue:
    """`last_id` is the highest id ever given, `max_deleted_id` the highest that XDEL took, `entries_added` how many
    there ever were. Length 0 does not end a stream."""

    __slots__ = ("blocks", "entries_added", "groups", "last_id", "length", "max_deleted_id", "starts")
    type_name: ClassVar[str] = "stream"

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.starts: list[int] = []
        self.length = 0
        self.last_id = 0
        self.max_deleted_id = 0
        self.entries_added = 0
        self.groups: dict[bytes, ConsumerGroup] = {}

    def __len__(self) -> int:
        return self.length

    @property
    def weight(self) -> int:
        """How many things it holds, those that only groups know among them."""
        return self.length + sum(len(group.pending) for group in self.groups.values())

    def copy(self) -> StreamValue:
        other = StreamValue()
        other.blocks = [block.copy() for block in self.blocks]
        other.starts = self.starts[:]
        other.length, other.last_id = self.length, self.last_id
        other.max_deleted_id, other.entries_added = self.max_deleted_id, self.entries_added
        other.groups = {name: group.copy() for name, group in self.groups.items()}
        return other

    def take_apart(self) -> Iterator[int]:
        """Let go of everything bit by bit: how much there was in each bit that is gone."""
        self.starts.clear()  # ids that would keep the memory around them from being given back bit by bit
        while self.blocks:
            yield len(self.blocks.pop().ids)
        while self.groups:
            _, group = self.groups.popitem()
            yield from group.take_apart()

    # -- entries ---------------------------------------------------------------------------------------------

    @property
    def first_id(self) -> int:
        """The id of the first entry, 0 when there is none."""
        return self.blocks[0].ids[0] if self.blocks else 0

    @property
    def top_id(self) -> int:
        """The id of the last entry, 0 when there is none."""
        return self.blocks[-1].ids[-1] if self.blocks else 0

    def append(self, entry_id: int, items: Items, node_bytes: int = 4096, node_entries: int = 100) -> None:
        """Add an entry behind all others. `node_bytes` and `node_entries`: stream-node-max-…, 0 for no limit."""
        block = self.blocks[-1] if self.blocks else None
        if block is None or _is_full(block, items, node_bytes, node_entries):
            block = Block(entry_id, items[::2])
            self.blocks.append(block)
            self.starts.append(entry_id)
        block.append(entry_id, items)
        self.length += 1
        self.entries_added += 1
        self.last_id = entry_id

    def _block_of(self, entry_id: int) -> int:
        """The position of the only block that can hold the id; -1 for an id before all."""
        return bisect_right(self.starts, entry_id) - 1

    def get(self, entry_id: int) -> Items | None:
        at = self._block_of(entry_id)
        if at < 0:
            return None
        block = self.blocks[at]
        place = bisect_left(block.ids, entry_id)
        return block.contents[place] if place < len(block.ids) and block.ids[place] == entry_id else None

    def discard(self, entry_id: int) -> bool:
        """XDEL of one entry; whether it was there."""
        if not self._remove(entry_id):
            return False
        self.max_deleted_id = max(self.max_deleted_id, entry_id)
        return True

    def _remove(self, entry_id: int) -> bool:
        at = self._block_of(entry_id)
        if at < 0:
            return False
        block = self.blocks[at]
        place = bisect_left(block.ids, entry_id)
        if place == len(block.ids) or block.ids[place] != entry_id:
            return False
        del block.ids[place], block.contents[place]
        block.deleted += 1
        self.length -= 1
        if not block.ids:
            del self.blocks[at], self.starts[at]
        return True

    def between(self, first: int = 0, last: int = MAX_ID) -> Iterator[Entry]:
        """The entries with ids from `first` to `last`, both included. The stream must not change meanwhile."""
        for at in range(max(0, self._block_of(first)), len(self.blocks)):
            block = self.blocks[at]
            if block.start > last:
                return
            low = bisect_left(block.ids, first) if block.start < first else 0
            high = bisect_right(block.ids, last) if block.end > last else len(block.ids)
            yield from zip(islice(block.ids, low, high), islice(block.contents, low, high), strict=True)

    def between_reversed(self, first: int = 0, last: int = MAX_ID) -> Iterator[Entry]:
        """As `between`, highest id first."""
        for at in range(self._block_of(last), -1, -1):
            block = self.blocks[at]
            if block.end < first:
                return
            low = bisect_left(block.ids, first) if block.start < first else 0
            high = bisect_right(block.ids, last) if block.end > last else len(block.ids)
            for place in range(high - 1, low - 1, -1):
                yield block.ids[place], block.contents[place]

    # -- trimming --------------------------------------------------------------------------------------------

    def trim_to_length(self, most: int, *, whole_blocks: bool = False, limit: int = 0) -> int:
        """Remove from the front until at most `most` entries are left; how many went.

        whole_blocks: as `MAXLEN ~`, stop at the first block that would have to be cut. limit: stop before more
        entries than that (0: any number) would go.
        """
        surplus = self.length - most
        gone = blocks = 0
        for block in self.blocks:
            count = len(block.ids)
            if gone >= surplus or (limit and gone + count > limit) or count > surplus - gone:
                break
            gone += count
            blocks += 1
        within_limit = not limit or blocks == len(self.blocks) or gone + len(self.blocks[blocks].ids) <= limit
        self._drop_blocks(blocks, gone)
        if not whole_blocks and gone < surplus and within_limit:
            self.blocks[0].remove_first(surplus - gone)
            self.length -= surplus - gone
            gone = surplus
        return max(0, gone)

    def trim_to_id(self, lowest: int, *, whole_blocks: bool = False, limit: int = 0) -> int:
        """The same for the entries with ids below `lowest`."""
        gone = blocks = 0
        for block in self.blocks:
            count = len(block.ids)
            if (limit and gone + count > limit) or block.end >= lowest:
                break
            gone += count
            blocks += 1
        within_limit = not limit or blocks == len(self.blocks) or gone + len(self.blocks[blocks].ids) <= limit
        self._drop_blocks(blocks, gone)
        if not whole_blocks and self.blocks and within_limit:
            rest = bisect_left(self.blocks[0].ids, lowest)
            gone += rest
            if rest == len(self.blocks[0].ids):
                self._drop_blocks(1, rest)
            elif rest:
                self.blocks[0].remove_first(rest)
                self.length -= rest
        return gone

    def trim_acknowledged(self, last: int, most: int | None, limit: int = 0) -> list[int]:
        """Remove the first entries that no group holds, with ids up to `last`; at most `most` and `limit` (0: any
        number). The ids that went."""
        least_read = min((group.last_id for group in self.groups.values()), default=MAX_ID)
        free = (one for one, _ in self.between(0, min(last, least_read)) if not self.is_held(one))
        bounds = [bound for bound in (most, limit or None) if bound is not None]
        doomed = list(islice(free, min(bounds) if bounds else None))
        for entry_id in doomed:
            self._remove(entry_id)
        return doomed

    def _drop_blocks(self, count: int, entries: int) -> None:
        if count:
            del self.blocks[:count], self.starts[:count]
            self.length -= entries

    # -- what groups hold ------------------------------------------------------------------------------------

    def is_held(self, entry_id: int) -> bool:
        """Whether a group has still to be given the entry, or to acknowledge it."""
        return any(group.last_id < entry_id or entry_id in group.pending for group in self.groups.values())

    def forget(self, entry_id: int) -> None:
        """The entry is pending nowhere any more."""
        for group in self.groups.values():
            group.acknowledge(entry_id)

    # -- what groups have read -------------------------------------------------------------------------------

    def has_tombstones(self, first: int, last: int = MAX_ID) -> bool:
        """Whether XDEL may have taken entries with ids between these, both included, that lie among those left."""
        deleted = self.max_deleted_id
        return bool(self.length and deleted and self.first_id <= deleted and first <= deleted <= last)

    def entries_up_to(self, entry_id: int) -> int | None:
        """How many entries there ever were up to this one; None where that cannot be told, since some are deleted."""
        if not self.entries_added or (not self.length and entry_id <= self.last_id) or entry_id == self.last_id:
            return self.entries_added
        first = self.first_id
        if entry_id > self.last_id or entry_id > first:
            return None
        if self.max_deleted_id and self.max_deleted_id >= first:
            return None
        return self.entries_added - self.length + (entry_id == first)

    def lag(self, group: ConsumerGroup) -> int | None:
        """How many entries a group has still to be given; None where that cannot be told."""
        if not self.length:
            return 0
        first = self.first_id
        if group.last_id < first and self.max_deleted_id < first:
            return self.length
        read = group.entries_read
        if read is None or self.has_tombstones(group.last_id):
            read = self.entries_up_to(group.last_id)
        return None if read is None else self.entries_added - read


def _is_full(block: Block, items: Items, node_bytes: int, node_entries: int) -> bool:
    if node_entries and len(block.ids) + block.deleted >= node_entries:
        return True
    limit = min(node_bytes or LARGEST_NODE_BYTES, LARGEST_NODE_BYTES)
    return block.bytes_used + sum(map(len, items)) >= limit
