"""The bytes between a replica and its primary, before and behind the stream: lines, and what is read ahead of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import trio

from cluster.network.tls_stream import Stream, TlsStream
from cluster.protocol import replies

if TYPE_CHECKING:
    from cluster.replication.replica_link import ReplicaLink
    from cluster.server import Server

READ_BYTES = 64 * 1024
AHEAD_READ_BYTES = 1 << 20
"""At once while a snapshot is loaded, which leaves little time between its slices."""
LINE_LIMIT_BYTES = 1024
CLOSED = "I/O error reading from the master: connection closed"
SILENT = "MASTER timeout: no data nor PING received..."


class LinkError(Exception):
    """The primary does not answer as it should; the link is made again."""


class PrimaryWire:
    """One connection to the primary. `buffer` holds what has been read and not been used."""

    def __init__(self, server: Server, link: ReplicaLink, stream: Stream) -> None:
        self._server = server
        self._link = link
        self.stream = stream
        self.buffer = bytearray()

    def take_read(self) -> bytes:
        """All that has been read and not been used."""
        taken = bytes(self.buffer)
        self.buffer.clear()
        return taken + self.stream.take_unread() if isinstance(self.stream, TlsStream) else taken

    def read_now(self) -> bytes:
        """What has come since; nothing at the end. Raises BlockingIOError, OSError."""
        if isinstance(self.stream, TlsStream):
            return self.stream.receive_now()
        return os.read(self.stream.socket.fileno(), READ_BYTES)

    async def send(self, *arguments: bytes) -> None:
        await self.stream.send_all(replies.request(arguments))

    async def ask(self, *arguments: bytes) -> bytes:
        """Send a command; the line that answers it."""
        await self.send(*arguments)
        return await self.line()

    async def line(self) -> bytes:
        """A line without its end; empty ones are the primary's way to say that it is still there."""
        while True:
            end = self.buffer.find(b"\n")
            if end >= 0:
                line = bytes(self.buffer[:end]).rstrip(b"\r")
                del self.buffer[: end + 1]
                if line:
                    return line
                continue
            if len(self.buffer) > LINE_LIMIT_BYTES:
                raise LinkError("an endless line")
            await self.more()

    async def more(self) -> None:
        """Read on. Raises LinkError when nothing comes for repl-timeout, or nothing will come any more."""
        data = b""
        with trio.move_on_after(self._server.config.repl_timeout) as patience:
            data = await self.stream.receive_some(READ_BYTES)
        if patience.cancelled_caught:
            raise LinkError(SILENT)
        if not data:
            raise LinkError(CLOSED)
        self._link.heard_ms = self._server.clock_ms()
        self._server.stats.replication_input_bytes += len(data)
        self.buffer += data

    async def read_ahead(self, most: int) -> None:
        """Read on for as long as there is more, and no more than `most` bytes unused (0: without a limit). The end of
        the connection is not told: whoever reads next will meet it."""
        while not most or len(self.buffer) < most:
            try:
                data = await self.stream.receive_some(AHEAD_READ_BYTES)
            except (OSError, trio.BrokenResourceError):
                return
            if not data:
                return
            self._link.heard_ms = self._server.clock_ms()
            self._server.stats.replication_input_bytes += len(data)
            self.buffer += data
