"""Eviction: what goes when the data does not fit maxmemory.

As redis-server does it: for each key that has to go, `maxmemory-samples` keys of each database are drawn, the best
candidates ever drawn are kept in a small pool, and the best of these goes. A try takes as long as
maxmemory-eviction-tenacity allows; when that is not enough the account is `is_behind`, and the rest follows in
slices between the clients' turns.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from typing import TYPE_CHECKING

from cluster.keyspace.database import Database
from cluster.keyspace.hashing import key_slot
from cluster.keyspace.sampling import KeySampler, Tables

if TYPE_CHECKING:
    from cluster.keyspace.memory import MemoryAccount
    from cluster.server import Server

POOL_SIZE = 16
KEYS_PER_LOOK = 16
"""Keys evicted without looking at the clock."""
_US_PER_TENACITY = 50
_TENACITY_STEADY, _TENACITY_MOST = 10, 100
_TENACITY_GROWTH = 1.15

_Victim = tuple[Database, bytes, int]


def time_limit_us(tenacity: int) -> float | None:
    """How long a try may take: up to half a millisecond at first, then 15 % more each, and at last without a limit."""
    if tenacity >= _TENACITY_MOST:
        return None
    steady = min(tenacity, _TENACITY_STEADY)
    return float(_US_PER_TENACITY * steady * _TENACITY_GROWTH ** (tenacity - steady))


class Eviction:
    """`is_behind`: there is more to evict than the last try had the time for."""

    def __init__(self, server: Server, memory: MemoryAccount) -> None:
        self._server = server
        self._memory = memory
        self.is_behind = False
        self._pool: list[tuple[int, int, bytes]] = []  # (the higher the sooner, database, key), the best one last
        self._pooled: set[tuple[int, bytes]] = set()
        self._samplers = [KeySampler() for _ in server.databases]
        self._turn = 0  # the database that gives the next key under a random policy

    def forget(self) -> None:
        """Keys, their use, or the policy are others now."""
        self._pool.clear()
        self._pooled.clear()
        for sampler in self._samplers:
            sampler.forget()

    def make_room(self) -> bool:
        """Evict until the data fits or the time is over; False when it does not fit, and nothing is left to evict."""
        memory, server = self._memory, self._server
        self.is_behind = False
        if not memory.is_over:
            return True
        policy = server.config.maxmemory_policy
        if policy == "noeviction":
            return False
        victim_of = self._random_victim if policy.endswith("random") else self._best_victim
        places = self._places(volatile=policy.startswith("volatile"))
        limit_us = time_limit_us(server.config.maxmemory_eviction_tenacity)
        clock_us = server.shell.clock_us
        begun_us = clock_us()
        count = 0
        while memory.is_over:
            victim = victim_of(places)
            if victim is None:
                return False
            server.evict_now(*victim)
            count += 1
            if count % KEYS_PER_LOOK == 0 and limit_us is not None and clock_us() - begun_us > limit_us:
                self.is_behind = memory.is_over
                break
        return True

    def _places(self, *, volatile: bool) -> list[tuple[Database, Tables]]:
        """Where keys may be evicted. To look for one where there is none would pass over all slots."""
        return [
            (db, db.deadlines if volatile else db.spaces)
            for db in self._server.databases
            if self._memory.holds_keys(db) and (db.agenda or not volatile)
        ]

    def _random_victim(self, places: list[tuple[Database, Tables]]) -> _Victim | None:
        for _ in places:
            self._turn += 1
            db, tables = places[self._turn % len(places)]
            for slot, key in self._samplers[db.index].sample(tables, 1, self._server.rng):
                return db, key, slot
        return None

    def _best_victim(self, places: list[tuple[Database, Tables]]) -> _Victim | None:
        self._fill_pool(places)
        pool = self._pool
        while pool:
            _, index, key = pool.pop()
            self._pooled.discard((index, key))
            for db, tables in places:
                if db.index == index and key in tables[slot := key_slot(key)]:
                    return db, key, slot
        return None

    def _fill_pool(self, places: list[tuple[Database, Tables]]) -> None:
        """Add a sample of each database to the pool."""
        server, pool, pooled = self._server, self._pool, self._pooled
        samples = server.config.maxmemory_samples
        urgency = self._urgency()
        for db, tables in places:
            index = db.index
            for _, key in self._samplers[index].sample(tables, samples, server.rng):
                if (index, key) in pooled:
                    continue
                score = urgency(db, key)
                if len(pool) >= POOL_SIZE:
                    if score <= pool[0][0]:
                        continue
                    _, worst_index, worst = pool.pop(0)
                    pooled.discard((worst_index, worst))
                pooled.add((index, key))
                insort(pool, (score, index, key))

    def _urgency(self) -> Callable[[Database, bytes], int]:
        """How soon a key is to go: the higher, the sooner."""
        memory = self._memory
        if self._server.config.maxmemory_policy.endswith("ttl"):
            return lambda db, key: -(db.deadline(key) or 0)
        if memory.clocked == "lru":
            clocks = memory.clocks
            return lambda db, key: -clocks[db.index].get(key, 0)
        return lambda db, key: -memory.frequency(db, key)
