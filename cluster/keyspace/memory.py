"""Memory: how much is used, whether that is more than maxmemory, and when each key was used.

One figure is INFO's used_memory and what maxmemory is compared with: what the process takes beside the keys, the keys,
and the buffers of clients and of replication. The program itself is left out, as redis-server's is: a limit of 64 MB is
one for data, and the interpreter with all its modules is more than that. Python tells no allocator figure per value, so
the keys are an estimate from `sys.getsizeof`, collections by a sample of their elements. They are not counted while
maxmemory is 0: the process's resident size is the figure then. When a limit is set, a pass over the keyspace, in
slices, sizes what is there; the keys it has not come to are taken for average ones; and what the process takes beside
is set so that the figure goes on from where it was. Each change moves the sum, and the one that crosses the limit is
noticed at once, so that commands go their usual way, and ask nothing, for as long as everything fits.

What has to go is eviction.py's. The access clocks exist only under an LRU or LFU policy.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from cluster.keyspace.database import Database
from cluster.keyspace.eviction import Eviction
from cluster.keyspace.expiring_hash import ExpiringHashValue
from cluster.keyspace.flat_fields import FlatFields
from cluster.keyspace.hash_value import HashValue
from cluster.keyspace.hashing import SLOT_COUNT, key_slot
from cluster.keyspace.list_value import ListValue
from cluster.keyspace.set_value import SetValue
from cluster.keyspace.sorted_set import SortedSetValue
from cluster.keyspace.stream import StreamValue
from cluster.keyspace.values import Value

if TYPE_CHECKING:
    from cluster.server import Server

KEY_OVERHEAD_BYTES = 50
"""A dict entry and its share of the table, measured over 0.1 to 0.7 M keys."""
NOTED_BYTES = 80
"""The size or the clock of a key, in a dict of them; measured as well."""
SIZED_PER_LOOK = 64
"""Keys sized without asking whether the time is over."""
SIZED_AT_ONCE = 1_024
"""Keys sized when a limit is set: enough to know about how much there is."""
STARTUP_BYTES = 1 << 20
"""What an empty node is said to use: about as much as redis-server does."""
LFU_INITIAL = 5
UNEXPLAINED_BYTES = 16 << 20
"""What a process may have grown by beside its keys, when the limit is set …"""
UNEXPLAINED_SHARE = 4
"""… and what an estimate of the keys may be wrong by, as a divisor. What is resident beyond that is free memory of the
allocator: to count it would let nothing be written that has room there."""
_CLIENTS_PER_MS = 10
_BUFFERS_EVERY_MS = 100
"""Buffers are summed up no more often than that, and less often where there are more clients than so many a ms."""
SHORT_FIELD_BYTES, LONG_FIELD_BYTES = 9, 20
"""For a field, and for its value: a place in a list, half a dict entry. Names are counted as if none were shared."""
SET_MEMBER_BYTES = 40
"""A dict entry."""
SHORT_MEMBER_BYTES = 18
"""A place in a list and one in an array."""
LONG_MEMBER_BYTES = 95
"""A score, a dict entry, and two places in a chunk."""
_STREAM_ENTRY_BYTES = 60
"""An id, and its places in the lists of its block."""
_BLOCK_BYTES = 400
_PENDING_BYTES = 400
"""In the two orders that it stands in."""
_CONSUMER_BYTES = 1_000


def value_bytes(value: Value, samples: int = 5) -> int:
    """Estimated bytes of a value; `samples` elements of a collection are looked at (0: all of them)."""
    if isinstance(value, (bytes, bytearray)):
        return sys.getsizeof(value)
    if isinstance(value, ListValue):
        return _sampled(iter(value.items), len(value.items), samples, 8)
    if isinstance(value, HashValue):
        pairs = (part for pair in value.fields.items() for part in pair)
        each = SHORT_FIELD_BYTES if isinstance(value.fields, FlatFields) else LONG_FIELD_BYTES
        size = _sampled(pairs, 2 * len(value.fields), 2 * samples, each)
        if isinstance(value, ExpiringHashValue):
            size += value_bytes(value.waiting, samples)
        return size
    if isinstance(value, SetValue):
        return _sampled(iter(value), len(value), samples, SET_MEMBER_BYTES)
    if isinstance(value, StreamValue):
        return _stream_bytes(value, samples)
    scored: SortedSetValue = value
    each = SHORT_MEMBER_BYTES if scored.is_short else LONG_MEMBER_BYTES
    return _sampled(iter(scored), len(scored), samples, each)


def _stream_bytes(value: StreamValue, samples: int) -> int:
    entries = value.length
    looked = min(entries, samples) if samples else entries
    size = 400 + _BLOCK_BYTES * len(value.blocks)
    if looked:
        sizes = (
            sys.getsizeof(items) + sum(map(sys.getsizeof, items[1::2]))
            for _, items in islice(value.between(), looked)
        )
        size += entries * _STREAM_ENTRY_BYTES + sum(sizes) * entries // looked
    pending = sum(len(group.pending) for group in value.groups.values())
    consumers = sum(len(group.consumers) for group in value.groups.values())
    return size + pending * _PENDING_BYTES + (consumers + len(value.groups)) * _CONSUMER_BYTES


def _sampled(elements: Iterator[bytes], count: int, samples: int, each: int) -> int:
    looked = min(count, samples) if samples else count
    if not looked:
        return 128
    size = sum(map(sys.getsizeof, islice(elements, looked)))
    return 128 + count * each + size * count // looked


class Buffers(NamedTuple):
    """Bytes that are neither keys nor there for ever; `exempt`: those that grow by evicting, and so do not count."""

    counted: int = 0
    exempt: int = 0


class MemoryAccount:
    """`used` is the memory in use, `limited_bytes` what of it maxmemory is compared with, and `is_over` whether that is
    more. The server is told when it begins to be (`has_followups`) and when it ends."""

    def __init__(
        self, server: Server, resident_bytes: Callable[[], int], buffers: Callable[[], Buffers] = Buffers
    ) -> None:
        self._server = server
        self.resident_bytes = resident_bytes
        self._sum_of_buffers = buffers
        self._buffers = Buffers()
        self._next_buffers_ms = 0
        self.is_over = False
        self._sizes: list[dict[bytes, int]] = []
        self._sum = 0
        self._base = 0
        self._pass: Iterator[tuple[Database, bytes]] | None = None
        self._unsized = 0  # keys that the pass has still to come to, about
        self._had_keys: list[bool] = []  # by database: when the pass began
        self._limit = 0
        self._ceiling: float = math.inf
        """What the sum may reach before it is too much, with the keys that are not in it yet."""
        self._each = KEY_OVERHEAD_BYTES
        self.eviction = Eviction(server, self)
        self._over_since_us = 0
        self.clocked = ""
        """What the policy asks for: lru, lfu, or nothing."""
        self._clocked_since = server.ctx.now_ms // 1000
        self._there_since = self._clocked_since  # the data, as far as nobody has used it
        self.clocks: list[dict[bytes, int]] = [{} for _ in server.databases]
        """By database: key → seconds of the last use (LRU), or minutes << 8 | counter (LFU)."""
        resident = self.resident_bytes()
        self.startup_bytes = min(resident, STARTUP_BYTES)
        self.program_bytes = resident - self.startup_bytes
        self.peak_bytes = self.startup_bytes
        self.count_anew()

    # -- accounting ------------------------------------------------------------------------------------------

    @property
    def policy(self) -> str:
        return self._server.config.maxmemory_policy

    def configure(self) -> None:
        """maxmemory or its policy was set."""
        clocked = self._clocked()
        if bool(self._server.config.maxmemory) is not bool(self._limit) or clocked != self.clocked:
            self.count_anew()
        else:
            self._limit = self._server.config.maxmemory
            self.eviction.forget()
            self._set_ceiling()

    def count_anew(self) -> None:
        """Size everything, with the limit that holds now: it was not done so far, or these are other data. The clocks
        stay, unless they are to show something else."""
        server = self._server
        self._sizes = [{} for _ in server.databases]
        self._sum = 0
        self.eviction.forget()
        self._limit = server.config.maxmemory
        clocked = self._clocked()
        server.ctx.tracks_access = bool(clocked)
        if clocked != self.clocked:
            self.clocked = clocked
            self._clocked_since = server.ctx.now_ms // 1000
            self.clocks = [{} for _ in server.databases]
        self._each = KEY_OVERHEAD_BYTES + NOTED_BYTES * (2 if clocked else 1)
        self._base = self.startup_bytes
        self._pass = None
        self._unsized = 0
        if self._limit:
            self._buffers = self._sum_of_buffers()
            counts = list(map(len, server.databases))
            self._had_keys = list(map(bool, counts))
            self._unsized = sum(counts)
            self._pass = self._every_key()
            self._size_some(SIZED_AT_ONCE)
            self._find_base()
        self._set_ceiling()

    def _clocked(self) -> str:
        return self.policy[-3:] if self.policy.endswith(("lru", "lfu")) else ""

    def _every_key(self) -> Iterator[tuple[Database, bytes]]:
        for db in self._server.databases:
            for slot in range(SLOT_COUNT):
                for key in list(db.spaces[slot]):
                    yield db, key

    def _size_some(self, count: int) -> None:
        """Go on with the pass."""
        assert self._pass is not None
        looked = 0
        for db, key in islice(self._pass, count):
            looked += 1
            if key not in self._sizes[db.index]:
                self.measure(db, key)
        if looked < count:
            self._pass = None
            self._unsized = 0
            self._find_base()

    def _find_base(self) -> None:
        """What the process takes beside keys and buffers, by what it takes now."""
        keys = self.key_bytes
        beside = self.taken_bytes - keys - sum(self._buffers)
        doubt = keys // UNEXPLAINED_SHARE
        least, most = self.startup_bytes - doubt, self.startup_bytes + (doubt + UNEXPLAINED_BYTES if keys else 0)
        self._base = max(0, min(max(beside, least), most))

    def _set_ceiling(self) -> None:
        beside = self._base + self._buffers.counted + self._unsized_bytes
        self._ceiling = self._limit - beside if self._limit else math.inf
        self._look()

    def _look_at_buffers(self) -> None:
        now_ms = self._server.ctx.now_ms
        if now_ms < self._next_buffers_ms:
            return
        self._next_buffers_ms = now_ms + max(_BUFFERS_EVERY_MS, len(self._server.clients) // _CLIENTS_PER_MS)
        if self._limit:
            self._buffers = self._sum_of_buffers()
            self.peak_bytes = max(self.peak_bytes, self.used)

    @property
    def _unsized_bytes(self) -> int:
        """About what the keys take that the pass has not come to."""
        sized = sum(map(len, self._sizes))
        return self._unsized * self._sum // sized if sized else 0

    def _look(self) -> None:
        """Notice that the data fits no more, or fits again."""
        if (self._sum > self._ceiling) is self.is_over:
            return
        server = self._server
        server.stats.eviction_exceeded_us += self.exceeding_us
        self.is_over = not self.is_over
        if self.is_over:
            self._over_since_us = server.shell.clock_us()
            server.has_followups = True
        else:
            server.refresh_road()

    @property
    def exceeding_us(self) -> int:
        """For how long the data has not fitted by now."""
        return max(0, self._server.shell.clock_us() - self._over_since_us) if self.is_over else 0

    def holds_keys(self, db: Database) -> bool:
        """Whether there may be keys in `db`; while a limit is set."""
        return bool(self._sizes[db.index]) or (self._pass is not None and self._had_keys[db.index])

    @property
    def taken_bytes(self) -> int:
        """What is resident of all but the program."""
        return max(0, self.resident_bytes() - self.program_bytes)

    @property
    def used(self) -> int:
        used = self._base + self.key_bytes + sum(self._buffers) if self._limit else self._used_without_limit()
        self.peak_bytes = max(self.peak_bytes, used)
        return used

    def _used_without_limit(self) -> int:
        """What is resident; where there is no key, what the process had grown by for them is free memory."""
        resident = self.taken_bytes
        if any(any(db.spaces) for db in self._server.databases):
            return resident
        return min(resident, self.startup_bytes + sum(self._sum_of_buffers()))

    @property
    def limited_bytes(self) -> int:
        """What maxmemory is compared with."""
        return self.used - self.exempt_bytes

    @property
    def exempt_bytes(self) -> int:
        """What is not: what is on its way to replicas and to the append-only file, which evictions add to."""
        return self._buffers.exempt if self._limit else 0

    @property
    def key_bytes(self) -> int:
        """What the keys take, while a limit is set."""
        return self._sum + self._unsized_bytes

    @property
    def dataset_bytes(self) -> int:
        """What the keys take: the sum where it is kept, else what the process grew by."""
        if self._limit:
            return self.key_bytes
        return max(0, self.used - self.startup_bytes)

    def measure(self, db: Database, key: bytes) -> None:
        """`key` has changed, or is gone."""
        sizes = self._sizes[db.index]
        value = db.spaces[key_slot(key)].get(key)
        known = sizes.get(key)
        if known is None and self._unsized:
            self._unsized -= 1
        if value is None:
            if known is not None:
                del sizes[key]
                self._sum -= known
            self.clocks[db.index].pop(key, None)
        elif self._limit:
            size = self._each + sys.getsizeof(key)
            size += sys.getsizeof(value) if type(value) is bytes else value_bytes(value)
            self._sum += size - (known or 0)
            sizes[key] = size
        if (self._sum > self._ceiling) is not self.is_over:
            self._look()

    def emptied(self, db: Database) -> None:
        """All keys of `db` are gone."""
        self._sum -= sum(self._sizes[db.index].values())
        self._sizes[db.index] = {}
        self.clocks[db.index] = {}
        if self._pass is not None:
            self.count_anew()
        if not any(self._sizes):  # what it had grown by is free memory now
            self._base = min(self._base, self.startup_bytes)
        self._set_ceiling()

    def swapped(self, first: int, second: int) -> None:
        """Two databases have exchanged their contents."""
        for kept in (self._sizes, self.clocks):
            kept[first], kept[second] = kept[second], kept[first]
        self.eviction.forget()
        if self._pass is not None:
            self.count_anew()  # it may have passed over some

    def replaced(self, clocks: list[dict[bytes, int]]) -> None:
        """The databases hold other data now, and `clocks` what is known of its use."""
        self.clocks = clocks
        self._clocked_since = self._there_since = self._server.ctx.now_ms // 1000
        for db in self._server.databases:
            db.used_ms[:] = [0] * SLOT_COUNT
        self.count_anew()

    # -- what is done in slices ------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """There are keys to size, or to evict."""
        return self._pass is not None or self.eviction.is_behind

    def work(self, is_over: Callable[[], bool]) -> None:
        """Go on with both; with the first until the time is over."""
        while self._pass is not None and not is_over():
            self._size_some(SIZED_PER_LOOK)
        self._look_at_buffers()
        self._set_ceiling()
        if self._server.may_evict:
            self.make_room()
        else:
            self.eviction.is_behind = False

    def make_room(self) -> bool:
        """Evict while the data does not fit, as long as that may take; False when there is nothing to evict."""
        fits = self.eviction.make_room()
        if self.eviction.is_behind:
            self._server.shell.hurry_cron()
        return fits

    # -- access clocks ---------------------------------------------------------------------------------------

    def touch(self, key: bytes) -> None:
        """`key` of the context's database was used; not when its client's reads are not to count."""
        if not self._server.ctx.client.no_touch:
            self.used_now(key)

    def used_now(self, key: bytes) -> None:
        """`key` of the context's database was used, whoever it was."""
        server = self._server
        clocks = self.clocks[server.ctx.db.index]
        if self.clocked == "lru":
            clocks[key] = server.ctx.now_ms // 1000
        else:
            minutes = server.ctx.now_ms // 60_000
            clocks[key] = minutes << 8 | self._counted(self.frequency(server.ctx.db, key))

    def stored(self, key: bytes, *, in_place: bool) -> None:
        """`key` of the context's database was given a value. For a new one that is no use yet; `in_place`: of one that
        was there it has been counted when it was found."""
        is_new = key not in self.clocks[self._server.ctx.db.index]
        if is_new:
            self.set_clock(self._server.ctx.db, key, self.clock_of(0, LFU_INITIAL))
        elif not in_place:
            self.touch(key)

    def clock(self, db: Database, key: bytes) -> int | None:
        """What is known of the use of `key`, to be given to `set_clock`."""
        return self.clocks[db.index].get(key)

    def set_clock(self, db: Database, key: bytes, clock: int | None) -> None:
        if clock is not None:
            self.clocks[db.index][key] = clock

    def clock_of(self, idle_seconds: int | None, frequency: int | None) -> int | None:
        """The clock of a key of which somebody says how it was used, if that is what the policy asks for."""
        if self.clocked == "lru" and idle_seconds is not None:
            return self._server.ctx.now_ms // 1000 - idle_seconds
        if self.clocked == "lfu" and frequency is not None:
            return self._server.ctx.now_ms // 60_000 << 8 | frequency
        return None

    def _counted(self, counter: int) -> int:
        """Redis's logarithmic counter: the busier the key, the rarer it goes up."""
        if counter >= 255:
            return 255
        above = max(0, counter - LFU_INITIAL)
        chance = 1.0 / (above * self._server.config.lfu_log_factor + 1)
        return counter + (self._server.rng.random() < chance)

    def frequency(self, db: Database, key: bytes) -> int:
        """The LFU counter after its decay (OBJECT FREQ)."""
        known = self.clocks[db.index].get(key)
        if known is None:
            return LFU_INITIAL
        decay = self._server.config.lfu_decay_time
        passed = self._server.ctx.now_ms // 60_000 - (known >> 8)
        return max(0, (known & 255) - (passed // decay if decay else 0))

    def idle_seconds(self, db: Database, key: bytes) -> int:
        """Seconds since the last use (OBJECT IDLETIME). Each key's is noted under an LRU policy only; else it is known
        of the slot when one of its keys was used last, so that this is the least it can be."""
        known = self.clocks[db.index].get(key) if self.clocked == "lru" else None
        if known is None:
            known = db.used_ms[key_slot(key)] // 1000 or self._there_since
            if self.clocked:
                known = min(known, self._clocked_since)
        return max(0, self._server.ctx.now_ms // 1000 - known)

    def restored(self, db: Database, key: bytes, idle_seconds: int | None, frequency: int | None) -> None:
        """Somebody says how `key` was used before it came here."""
        self.set_clock(db, key, self.clock_of(idle_seconds, frequency))
        slot = key_slot(key)
        if not self.clocked and idle_seconds is not None and len(db.spaces[slot]) == 1:
            db.used_ms[slot] = self._server.ctx.now_ms - 1000 * idle_seconds
