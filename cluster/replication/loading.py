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
    said_ms = 0

    def on_function(code: bytes) -> None:
        snapshot.libraries = server.functions.loaded_into(snapshot.libraries, code)

    for count, entry in enumerate(load_rdb(source, snapshot.aux.__setitem__, server.field_names, on_function)):
        if entry.db >= len(snapshot.databases):
            raise RdbError(f"the master has a database {entry.db}, we have {len(snapshot.databases)}")
        snapshot.databases[entry.db].store(entry.key, entry.value, entry.deadline_ms)
        clock = memory.clock_of(entry.idle_seconds, entry.frequency)
        if clock is not None:
            snapshot.clocks[entry.db][entry.key] = clock
        if count % KEYS_PER_SLICE == 0:
            await trio.lowlevel.checkpoint()
            now = server.clock_ms()
            if now - said_ms >= SIGN_OF_LIFE_MS:
                said_ms = now
                await still_here()
