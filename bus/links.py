"""One TCP link to another node: its greeting, its reader, its writer and what waits to be written.

A link is written by its own task from a queue, so that saying something never waits for a peer. It ends in one of two
ways: at once, or after everything queued has been said (for a moment at most).
"""

from __future__ import annotations

import secrets
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import trio

from bus.auth import NONCE_BYTES, LinkHandshake, Seal
from bus.frames import FRAME_LIMIT_BYTES, LENGTH_BYTES, FrameError, FrameReader, pack

READ_BYTES = 16 * 1024
GOODBYE_SECONDS = 1.0
"""What is queued on a link that is being closed may take that long to leave."""
KEEPALIVE_IDLE_SECONDS = 10
KEEPALIVE_INTERVAL_SECONDS = 5
KEEPALIVE_PROBES = 3
"""An inbound link sends nothing of its own accord: only so does it find out that the peer's machine is gone."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a greeting says of this node."""

    node_id: str
    cluster_id: str
    secret: bytes


class Link:
    """`target` is the core's name for an outbound link, None for an inbound one. `node_id` is known once greeted; until
    then `peer` is what there is to call it by: the address, and the port where we are the one who called."""

    def __init__(self, link_id: int, stream: trio.SocketStream, target: str | None, created_ms: int) -> None:
        self.link_id = link_id
        self.target = target
        self.created_ms = created_ms
        self.node_id: str | None = None
        self.cluster_id = ""
        self.queued_bytes = 0
        self.closing = False
        self.heard = False  # a byte of the peer
        self.up = False  # the core knows of it
        self.scope = trio.CancelScope()
        self.address = _host(stream, remote=True)
        self.local_address = _host(stream, remote=False)
        self.peer = _called(stream) if self.outbound else self.address
        self._stream = stream
        self._reader = FrameReader()
        self._seal = Seal()
        self._queue: deque[bytes] = deque()
        self._wake = trio.Event()
        _set_options(stream)

    @property
    def outbound(self) -> bool:
        return self.target is not None

    async def greet(self, identity: Identity) -> bool:
        """Both sides say who they are; False when the peer hangs up. Raises FrameError, trio.BrokenResourceError."""
        handshake = LinkHandshake(
            initiator=self.outbound, node_id=identity.node_id, cluster_id=identity.cluster_id,
            secret=identity.secret, nonce=secrets.token_bytes(NONCE_BYTES),
        )
        await self._stream.send_all(pack(handshake.hello))
        while not handshake.done:
            body = await self._one_frame()
            if body is None:
                return False
            for answer in handshake.receive(body):
                await self._stream.send_all(pack(answer))
        self.node_id = handshake.peer_id
        self.cluster_id = handshake.peer_cluster_id
        self._seal = handshake.seal
        self._reader.limit = FRAME_LIMIT_BYTES
        return True

    async def _one_frame(self) -> bytes | None:
        """The next frame of a greeting, read so that nothing of what follows it is taken in; None at the end."""
        while True:
            wanted = self._reader.missing()
            if not wanted:
                return next(self._reader.feed(b""))
            data = await self._stream.receive_some(wanted)
            if not data:
                return None
            self.heard = True
            for body in self._reader.feed(data):
                return body

    async def talk(self, receive: Callable[[bytes], None]) -> None:
        """Give the bodies of all frames to `receive` until the link ends. Raises FrameError, its own or `receive`'s."""
        fault: FrameError | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, nursery.cancel_scope)
            try:
                while data := await self._stream.receive_some(READ_BYTES):
                    for frame in self._reader.feed(data):
                        body = self._seal.open(frame)
                        if not self.closing:
                            receive(body)
            except FrameError as error:
                fault = error  # raised below: a nursery would wrap it in a group
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # the peer is gone, as at the end of the stream
            nursery.cancel_scope.cancel()
        if fault is not None:
            raise fault

    async def _write(self, scope: trio.CancelScope) -> None:
        try:
            while self._queue or not self.closing:
                if self._queue:
                    data = b"".join(self._queue)
                    self._queue.clear()
                    await self._stream.send_all(data)
                    self.queued_bytes -= len(data)
                else:
                    self._wake = trio.Event()
                    await self._wake.wait()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the peer is gone
        scope.cancel()

    def say(self, body: bytes) -> int:
        """Queue a frame; its size in bytes."""
        sealed = self._seal.seal(body)
        frame = len(sealed).to_bytes(LENGTH_BYTES, "big") + sealed
        self._queue.append(frame)
        self.queued_bytes += len(frame)
        self._wake.set()
        return len(frame)

    def close(self, *, at_once: bool) -> None:
        """End the link: its task comes to its end, and whoever runs it notices."""
        self.closing = True
        if at_once:
            self.scope.cancel()
        else:
            self.scope.deadline = min(self.scope.deadline, trio.current_time() + GOODBYE_SECONDS)
            self._wake.set()

    def release(self) -> None:
        """Give the socket back."""
        self._stream.socket.close()


def _set_options(stream: trio.SocketStream) -> None:
    try:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_SECONDS)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_SECONDS)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
    except OSError:
        return  # the peer has hung up already; reading will tell


def _called(stream: trio.SocketStream) -> str:
    try:
        host, port, *_ = stream.socket.getpeername()
    except OSError:
        return ""
    return f"{host}:{port}"


def _host(stream: trio.SocketStream, *, remote: bool) -> str:
    try:
        name = stream.socket.getpeername() if remote else stream.socket.getsockname()
    except OSError:
        return ""
    return str(name[0])
