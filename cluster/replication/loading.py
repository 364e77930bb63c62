"""A snapshot of the primary's, loaded beside the data that are there, while clients go on reading those."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

import trio

from cluster.keyspace.database import Database
from cluster.persistence.rdb_reader import RdbError, load_rdb
from cluster.scripting.functions import Libraries

if TYPE_CHECKING:
    from cluster.server import Server

KEYS_PER_SLICE = 2_000
"""Keys loaded before the clients have a turn."""
LEAST_REST_S = 0.001
SIGN_OF_LIFE_MS = 200
"""redis-server gives a replica up that it does not hear of for repl-timeout, and that may be short; and the first sign
may come before it is ready to take it for what it says."""


@dataclass(slots=True)
class Snapshot:
    """`clocks` as MemoryAccount keeps them; `aux` are the fields at the beginning of the file."""

    databases: list[Database]
    clocks: list[dict[bytes, int]]
    aux: dict[str, str] = field(default_factory=dict)
    libraries: Libraries = field(default_factory=Libraries)


async def load_snapshot(
    server: Server, source: BinaryIO, still_here: Callable[[], Awaitable[None]]
) -> Snapshot:
    """Load in slices what `source` gives; `still_here` is called when it begins, and now and then. Raises
    RdbError."""
    snapshot = Snapshot([Database(db.index) for db in server.databases], [{} for _ in server.databases])
    try:
        await _load(server, source, still_here, snapshot)
    except BaseException:
        server.functions.drop(snapshot.libraries)
        raise
    return snapshot


async def _load(
    server: Server, source: BinaryIO, still_here: Callable[[], Awaitable[None]], snapshot: Snapshot
) -> None:
    memory = server.memory
    said_ms, left = 0, 0

    def on_function(code: bytes) -> None:
        snapshot.libraries = server.functions.loaded_into(snapshot.libraries, code)

    for entry in load_rdb(source, snapshot.aux.__setitem__, server.field_names, on_function):
        if entry.db >= len(snapshot.databases):
            raise RdbError(f"the master has a database {entry.db}, we have {len(snapshot.databases)}")
        snapshot.databases[entry.db].store(entry.key, entry.value, entry.deadline_ms)
        clock = memory.clock_of(entry.idle_seconds, entry.frequency)
        if clock is not None:
            snapshot.clocks[entry.db][entry.key] = clock
        left -= 1
        if left <= 0:
            left, rest_s = _slice(server.config.key_load_delay)
            await trio.sleep(rest_s)
            now = server.clock_ms()
            if now - said_ms >= SIGN_OF_LIFE_MS:
                said_ms = now
                await still_here()


def _slice(delay_us: int) -> tuple[int, float]:
    """How many keys to load at once, and how long to rest for them (key-load-delay)."""
    of_key_s = (delay_us if delay_us >= 0 else -1 / delay_us) / 1e6
    keys = max(1, min(KEYS_PER_SLICE, int(LEAST_REST_S / of_key_s))) if of_key_s else KEYS_PER_SLICE
    return keys, keys * of_key_s
