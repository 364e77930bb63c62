"""A TCP stream of trio's under TLS, for the connections that this node makes to others, and for its bus.

trio has one of its own, whose inside nobody else may use. Here the reactor reads a primary's stream (`receive_now`),
and the bus encrypts what it writes at once (`seal`).
"""

from __future__ import annotations

import os
import ssl
from typing import TypeAlias

import trio

from cluster.network.tunnel import Tunnel, TunnelError

READ_BYTES = 64 * 1024


class TlsStream(trio.abc.Stream):
    """Errors are those of a SocketStream, and TunnelError, which is an OSError."""

    def __init__(self, stream: trio.SocketStream, tunnel: Tunnel) -> None:
        self.transport_stream = stream
        self.socket = stream.socket
        self._tunnel = tunnel
        self._unread = b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.transport_stream.send_all(self.seal(bytes(data)))

    async def wait_send_all_might_not_block(self) -> None:
        await self.transport_stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What has come, `max_bytes` at most; nothing at the end."""
        while not self._unread and not self._tunnel.is_over:
            data = await self.transport_stream.receive_some(READ_BYTES)
            if not data:
                return b""
            self._unread = self._tunnel.open(bytes(data))
        return self._take(max_bytes)

    def receive_now(self) -> bytes:
        """The same of what is there already, all of it. Raises BlockingIOError when that is nothing."""
        if not self._unread and not self._tunnel.is_over:
            data = os.read(self.socket.fileno(), READ_BYTES)
            if not data:
                return b""
            self._unread = self._tunnel.open(data)
            if not self._unread and not self._tunnel.is_over:
                raise BlockingIOError
        return self._take(None)

    def take_unread(self) -> bytes:
        """What was decrypted and not asked for yet."""
        return self._take(None)

    def _take(self, most: int | None) -> bytes:
        taken = self._unread if most is None else self._unread[:most]
        self._unread = self._unread[len(taken) :]
        return taken

    def seal(self, data: bytes) -> bytes:
        """What has to be written to the socket, in this order, for the other side to get `data`."""
        return self._tunnel.seal(data)

    async def aclose(self) -> None:
        try:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 0.1):
                await self.transport_stream.send_all(self._tunnel.end())
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            pass  # the peer is gone, or gets to know it by the end of the connection
        await self.transport_stream.aclose()

    async def shake_hands(self) -> None:
        """Raises TunnelError, trio.BrokenResourceError."""
        tunnel = self._tunnel
        try:
            await self.transport_stream.send_all(tunnel.shake())
            while not tunnel.is_up:
                data = await self.transport_stream.receive_some(READ_BYTES)
                if not data:
                    raise TunnelError("the connection was closed during the TLS handshake")
                await self.transport_stream.send_all(tunnel.shake(bytes(data)))
        except TunnelError as error:
            if error.farewell:
                await self.transport_stream.send_all(error.farewell)
            raise
        self._unread = tunnel.open(b"")


Stream: TypeAlias = trio.SocketStream | TlsStream


async def secured(stream: trio.SocketStream, context: ssl.SSLContext, *, server_side: bool = False) -> TlsStream:
    """`stream` under TLS, closed when there is no agreement. Raises TunnelError, trio.BrokenResourceError."""
    secure = TlsStream(stream, Tunnel(context, server_side=server_side))
    try:
        await secure.shake_hands()
    except BaseException:
        stream.socket.close()
        raise
    return secure
