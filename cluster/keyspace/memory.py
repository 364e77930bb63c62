"""Memory: how much the data takes, and what has to go when maxmemory is reached.

Python tells no allocator figure per value, so sizes are estimates from `sys.getsizeof`, collections by a sample of
their elements. Nothing is counted while maxmemory is 0: the process's resident size is the figure then. When a
limit is set, a pass over the keyspace (some keys a tick) sizes what is there; until it is through, the resident
size stands in; from then on each change moves the sum.

Eviction follows redis-server: sample `maxmemory-samples` keys, keep the best candidates in a small pool, evict the
best, until the data fits. The access clocks exist only under an LRU or LFU policy.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from cluster.keyspace.database import Database
from cluster.keyspace.flat_fields import FlatFields
from cluster.keyspace.hash_value import HashValue
from cluster.keyspace.hashing import SLOT_COUNT, key_slot
from cluster.keyspace.list_value import ListValue
from cluster.keyspace.sampling import KeySampler
from cluster.keyspace.set_value import SetValue
from cluster.keyspace.sorted_set import SortedSetValue
from cluster.keyspace.stream import StreamValue
from cluster.keyspace.values import Value

if TYPE_CHECKING:
    from cluster.server import Server

KEY_OVERHEAD_BYTES = 90
"""A dict entry, its hash-table share and the reference, measured over 1 M keys."""
SIZED_PER_TICK = 5_000
EVICTIONS_PER_TRY = 512
"""Keys evicted before one command at most; the rest follows with the ticks."""
POOL_SIZE = 16
LFU_INITIAL = 5
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
        return _sampled(pairs, 2 * len(value.fields), 2 * samples, each)
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


class MemoryAccount:
    """`used` is the process's memory as far as it is known, `limited_bytes` what maxmemory is compared with."""

    def __init__(self, server: Server, resident_bytes: Callable[[], int]) -> None:
        self._server = server
        self.resident_bytes = resident_bytes
        self._sizes: list[dict[bytes, int]] = []
        self._sum = 0
        self._base = 0
        self._pass: Iterator[tuple[Database, bytes]] | None = None
        self._pool: list[tuple[float, int, bytes]] = []
        self._samplers: list[KeySampler] = []
        self.clocked = ""
        """What the policy asks for: lru, lfu, or nothing."""
        self._clocked_since = server.ctx.now_ms // 1000
        self.clocks: list[dict[bytes, int]] = [{} for _ in server.databases]
        """By database: key → seconds of the last use (LRU), or minutes << 8 | counter (LFU)."""
        self.startup_bytes = self.resident_bytes()
        self.peak_bytes = self.startup_bytes
        self.configure()

    # -- accounting ------------------------------------------------------------------------------------------

    @property
    def policy(self) -> str:
        return self._server.config.maxmemory_policy

    def configure(self) -> None:
        """maxmemory or its policy was set (or the whole dataset was replaced): begin anew, but for the clocks, unless
        they are to show something else from now on."""
        server = self._server
        self._sizes = [{} for _ in server.databases]
        self._sum = 0
        self._pool.clear()
        self._samplers = [KeySampler() for _ in server.databases]
        limited = bool(server.config.maxmemory)
        self._pass = self._every_key() if limited else None
        clocked = self.policy[-3:] if self.policy.endswith(("lru", "lfu")) else ""
        server.ctx.tracks_access = bool(clocked)
        if clocked != self.clocked:
            self.clocked = clocked
            self._clocked_since = server.ctx.now_ms // 1000
            self.clocks = [{} for _ in server.databases]
        self._base = self.resident_bytes()
        if limited:
            self._size_some()

    def _every_key(self) -> Iterator[tuple[Database, bytes]]:
        for db in self._server.databases:
            for slot in range(SLOT_COUNT):
                for key in list(db.spaces[slot]):
                    yield db, key

    def _size_some(self) -> None:
        """Go on with the first pass."""
        if self._pass is None:
            return
        looked = 0
        for db, key in islice(self._pass, SIZED_PER_TICK):
            looked += 1
            if key not in self._sizes[db.index]:
                self.measure(db, key)
        if looked < SIZED_PER_TICK:
            self._pass = None
            self._base = max(0, self.resident_bytes() - self._sum)

    @property
    def used(self) -> int:
        if not self._server.config.maxmemory or self._pass is not None:
            used = self.resident_bytes()
        else:
            used = self._base + self._sum
        self.peak_bytes = max(self.peak_bytes, used)
        return used

    @property
    def limited_bytes(self) -> int:
        """What maxmemory is compared with: what the process grew by. The empty interpreter and its empty slots are
        tens of megabytes that no eviction could free."""
        return max(0, self.used - self.startup_bytes)

    @property
    def dataset_bytes(self) -> int:
        """What the keys take: the sum where it is kept, else what the process grew by."""
        if self._server.config.maxmemory and self._pass is None:
            return self._sum
        return max(0, self.resident_bytes() - self.startup_bytes)

    def measure(self, db: Database, key: bytes) -> None:
        """`key` has changed, or is gone."""
        sizes = self._sizes[db.index]
        value = db.spaces[key_slot(key)].get(key)
        if value is None:
            self._sum -= sizes.pop(key, 0)
            self.clocks[db.index].pop(key, None)
            return
        if not self._server.config.maxmemory:
            return
        size = KEY_OVERHEAD_BYTES + sys.getsizeof(key) + value_bytes(value)
        self._sum += size - sizes.get(key, 0)
        sizes[key] = size

    def emptied(self, db: Database) -> None:
        """All keys of `db` are gone."""
        self._sum -= sum(self._sizes[db.index].values())
        self._sizes[db.index] = {}
        self.clocks[db.index] = {}

    def swapped(self, first: int, second: int) -> None:
        """Two databases have exchanged their contents."""
        for kept in (self._sizes, self.clocks):
            kept[first], kept[second] = kept[second], kept[first]
        self._pool.clear()
        if self._pass is not None:
            self.configure()  # it may have passed over some

    def replaced(self, clocks: list[dict[bytes, int]]) -> None:
        """The databases hold other data now, and `clocks` what is known of its use."""
        self.clocks = clocks
        self._clocked_since = self._server.ctx.now_ms // 1000
        self.configure()

    def tick(self, now_ms: int) -> None:
        self._size_some()
        if self._server.config.maxmemory and not self._server.is_replica and not self._server.loading:
            self.make_room()

    # -- access clocks ---------------------------------------------------------------------------------------

    def touch(self, key: bytes) -> None:
        """`key` of the context's database was used."""
        server = self._server
        if server.ctx.client.no_touch:
            return
        clocks = self.clocks[server.ctx.db.index]
        if self.clocked == "lru":
            clocks[key] = server.ctx.now_ms // 1000
        else:
            minutes = server.ctx.now_ms // 60_000
            clocks[key] = minutes << 8 | self._counted(self.frequency(server.ctx.db, key))

    def stored(self, key: bytes) -> None:
        """`key` of the context's database was given a value. For a new one that is no use yet."""
        if self.clocked == "lfu" and key not in self.clocks[self._server.ctx.db.index]:
            self.set_clock(self._server.ctx.db, key, self.clock_of(None, LFU_INITIAL))
        else:
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
        """Seconds since the last use (OBJECT IDLETIME), or since it is looked for; 0 where it is not."""
        if self.clocked != "lru":
            return 0
        return max(0, self._server.ctx.now_ms // 1000 - self.clocks[db.index].get(key, self._clocked_since))

    # -- eviction --------------------------------------------------------------------------------------------

    def make_room(self) -> bool:
        """Evict until `used` fits maxmemory; False when it cannot."""
        server = self._server
        limit = server.config.maxmemory
        if not limit or self.limited_bytes <= limit:
            return True
        if self.policy == "noeviction":
            return False
        for _ in range(EVICTIONS_PER_TRY):
            victim = self._victim()
            if victim is None:
                return self.limited_bytes <= limit
            db, key, slot = victim
            server.evict_now(db, key, slot)
            if self.limited_bytes <= limit:
                return True
        return True

    def _victim(self) -> tuple[Database, bytes, int] | None:
        if self.policy.endswith("random"):
            databases = list(self._server.databases)
            self._server.rng.shuffle(databases)
            return next(((db, key, slot) for db in databases for slot, key in self._sample(db, 1)), None)
        self._fill_pool()
        while self._pool:
            _, index, key = self._pool.pop()
            db, slot = self._server.databases[index], key_slot(key)
            if key in self._tables(db)[slot]:
                return db, key, slot
        return None

    def _fill_pool(self) -> None:
        """Add a sample to the pool, which stays sorted: the best victim is last."""
        known = {(index, key) for _, index, key in self._pool}
        score = self._score()
        for db in self._server.databases:
            for _, key in self._sample(db, self._server.config.maxmemory_samples):
                if (db.index, key) not in known:
                    known.add((db.index, key))
                    self._pool.append((score(db, key), db.index, key))
        self._pool.sort()
        del self._pool[:-POOL_SIZE]

    def _sample(self, db: Database, count: int) -> list[tuple[int, bytes]]:
        """(slot, key) of some keys that may be evicted."""
        if self._pass is None and not self._sizes[db.index]:
            return []  # empty: looking for a key in it would pass over all its slots
        return self._samplers[db.index].sample(self._tables(db), count, self._server.rng)

    def _tables(self, db: Database) -> list[dict[bytes, int]] | list[dict[bytes, Value]]:
        return db.deadlines if self.policy.startswith("volatile") else db.spaces

    def _score(self) -> Callable[[Database, bytes], float]:
        """The higher, the sooner evicted."""
        if self.policy.endswith("ttl"):
            return lambda db, key: -float(db.deadline(key) or math.inf)
        if self.clocked == "lru":
            return lambda db, key: -float(self.clocks[db.index].get(key, 0))
        return lambda db, key: -float(self.frequency(db, key))

