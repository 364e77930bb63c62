"""A primary's snapshot on its way to us: spooled to a file, loaded beside the old data, put in their place."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.replication.loading import Snapshot, load_snapshot
from cluster.replication.wire import LinkError, PrimaryWire

if TYPE_CHECKING:
    from cluster.replication.replica_link import ReplicaLink
    from cluster.server import Server

EOF_MARK_BYTES = 40


async def receive_snapshot(server: Server, link: ReplicaLink, wire: PrimaryWire) -> Snapshot:
    """Spool the RDB to a file, and load it beside the data that are there. Raises LinkError, RdbError, OSError."""
    path = Path(server.config.dir) / f"temp-replica-{os.getpid()}.rdb"
    try:
        with path.open("wb") as file:
            async for piece in snapshot_pieces(link, wire):
                file.write(piece)
        server.log("notice", "MASTER <-> REPLICA sync: Loading DB in memory")
        # An empty line is how a replica says that it is still there.
        return await load_snapshot(server, path, lambda: wire.stream.send_all(b"\n"))
    finally:
        path.unlink(missing_ok=True)


async def snapshot_pieces(link: ReplicaLink, wire: PrimaryWire) -> AsyncIterator[bytes]:
    """The RDB's bytes, in either framing: a length before them, or a mark of 40 bytes behind them."""
    header = await wire.line()
    buffer = wire.buffer
    if header.startswith(b"-"):
        raise LinkError(f"MASTER aborted replication with an error: {header.decode('utf-8', 'replace')}")
    if header.startswith(b"$EOF:"):
        mark = header[5:]
        if len(mark) != EOF_MARK_BYTES:
            raise LinkError("Bad protocol from MASTER, the EOF mark is broken")
        while True:
            at = buffer.find(mark)
            if at >= 0:
                yield bytes(buffer[:at])
                del buffer[: at + EOF_MARK_BYTES]
                return
            if len(buffer) > EOF_MARK_BYTES:
                yield bytes(buffer[:-EOF_MARK_BYTES])
                del buffer[:-EOF_MARK_BYTES]
            await wire.more()
    if not header.startswith(b"$") or not header[1:].isdigit():
        raise LinkError(f"Bad protocol from MASTER, the first byte is not '$': {header[:40]!r}")
    link.sync_left = int(header[1:])
    while link.sync_left:
        if not buffer:
            await wire.more()
        piece = bytes(buffer[: link.sync_left])
        del buffer[: len(piece)]
        link.sync_left -= len(piece)
        yield piece


def take_over(server: Server, snapshot: Snapshot) -> None:
    """Change over to the loaded data in one step."""
    server.flush(server.databases, lazily=server.config.replica_lazy_flush)
    for db, fresh in zip(server.databases, snapshot.databases, strict=True):
        db.spaces[:] = fresh.spaces
        db.deadlines[:] = fresh.deadlines
        db.fields.take_from(fresh.fields)
    server.memory.replaced(snapshot.clocks)
