"""A primary's snapshot on its way to us: spooled to a file, or to memory (repl-diskless-load), then loaded beside the
old data, which serve readers until then, and put in their place."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import trio

from cluster.keyspace.numbers import count_of
from cluster.persistence.rdb_reader import RdbError
from cluster.replication.loading import Snapshot, load_snapshot
from cluster.replication.wire import READ_BYTES, LinkError, PrimaryWire

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from cluster.replication.replica_link import ReplicaLink
    from cluster.server import Server

EOF_MARK_BYTES = 40


class _Pieces(io.RawIOBase):
    """Bytes in memory, each piece given back as soon as it has been read."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()

    def add(self, data: bytes) -> None:
        self._pieces.append(data)

    def readable(self) -> bool:
        return True

    def readinto(self, target: WriteableBuffer, /) -> int:
        if not self._pieces:
            return 0
        room = memoryview(target)
        piece = self._pieces.popleft()
        count = min(len(piece), len(room))
        room[:count] = piece[:count]
        if count < len(piece):
            self._pieces.appendleft(piece[count:])
        return count


async def receive_snapshot(server: Server, link: ReplicaLink, wire: PrimaryWire) -> Snapshot:
    """Take the RDB, and load it beside the data that are there. Raises LinkError, RdbError, OSError.

    A file that could be loaded is kept as our own snapshot: after a restart we go on from there, as redis-server does.
    """
    if _in_memory(server):
        pieces = _Pieces()
        async for piece in snapshot_pieces(link, wire):
            pieces.add(piece)
        return await _load(server, link, wire, io.BufferedReader(pieces, READ_BYTES))
    path = Path(server.config.dir) / f"temp-replica-{os.getpid()}.rdb"
    try:
        with path.open("wb") as file:
            async for piece in snapshot_pieces(link, wire):
                file.write(piece)
        with path.open("rb") as file:
            snapshot = await _load(server, link, wire, file)
            if server.persistence.keeps_sync_files:
                await trio.to_thread.run_sync(os.fsync, file.fileno())
                server.persistence.adopt(path)
        return snapshot
    finally:
        path.unlink(missing_ok=True)


def _in_memory(server: Server) -> bool:
    """repl-diskless-load: whether the snapshot may not touch the disk."""
    mode = server.config.repl_diskless_load
    return mode == "swapdb" or (mode == "on-empty-db" and not any(map(len, server.databases)))


async def _load(
    server: Server, link: ReplicaLink, wire: PrimaryWire, source: BinaryIO
) -> Snapshot:
    """Load it, and read the stream ahead meanwhile: its primary might not keep all of it for us."""
    server.log("notice", "MASTER <-> REPLICA sync: Loading DB in memory")
    failure: Exception | None = None
    snapshot: Snapshot | None = None
    link.is_loading = True
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.read_ahead, server.config.client_output_buffer_limit["replica"].hard_bytes)
            try:
                # That much of the stream acknowledged says that we are still there, and have the whole snapshot: a
                # redis-server that sent it as it made it keeps the stream to itself until then, in its memory.
                snapshot = await load_snapshot(server, source, lambda: wire.send(b"REPLCONF", b"ACK", b"0"))
            except (RdbError, OSError, trio.BrokenResourceError) as error:
                failure = error  # raised again outside, where no nursery wraps it into a group
            nursery.cancel_scope.cancel()
    finally:
        link.is_loading = False
    if snapshot is None:
        raise failure or LinkError("the snapshot could not be loaded")
    return snapshot


async def snapshot_pieces(link: ReplicaLink, wire: PrimaryWire) -> AsyncIterator[bytes]:
    """The RDB's bytes, in either framing: a length before them, or a mark of 40 bytes behind them."""
    header = await wire.line()
    buffer = wire.buffer
    link.sync_read = 0
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
                link.sync_read += len(buffer) - EOF_MARK_BYTES
                del buffer[:-EOF_MARK_BYTES]
            await wire.more()
    total = count_of(header[1:].decode("latin-1")) if header.startswith(b"$") else None
    if total is None:
        raise LinkError(f"Bad protocol from MASTER, the first byte is not '$': {header[:40]!r}")
    link.sync_total = total
    while left := link.sync_total - link.sync_read:
        if not buffer:
            await wire.more()
        piece = bytes(buffer[:left])
        del buffer[: len(piece)]
        link.sync_read += len(piece)
        yield piece


def take_over(server: Server, snapshot: Snapshot) -> None:
    """Change over to the loaded data in one step."""
    server.flush(server.databases, lazily=server.config.replica_lazy_flush)
    for db, fresh in zip(server.databases, snapshot.databases, strict=True):
        db.spaces[:] = fresh.spaces
        db.deadlines[:] = fresh.deadlines
        db.agenda = fresh.agenda
        db.fields.take_from(fresh.fields)
    server.functions.adopt(snapshot.libraries)
    server.memory.replaced(snapshot.clocks)
