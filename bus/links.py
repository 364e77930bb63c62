"""One TCP link to another node: its greeting, its reader, its writer and what waits to be written.

Saying something never waits for a peer. What keeps the cluster together is written at once, as far as the socket
takes it; the rest, and published messages, by the link's own task. Those have a queue of their own, which is sent a
piece at a time whenever the other is empty: however much is published, a heartbeat stands behind one piece at most.
A link ends in one of two ways: at once, or after everything queued has been said (for a moment at most).
"""

from __future__ import annotations

import os
import secrets
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import trio

from bus.auth import NONCE_BYTES, LinkHandshake, Seal
from bus.frames import (
    FRAME_LIMIT_BYTES,
    LENGTH_BYTES,
    MESSAGE_LIMIT_BYTES,
    STRANGERS_FRAME_LIMIT_BYTES,
    FrameError,
    FrameReader,
    Joiner,
    pack,
    pieces,
)

READ_BYTES = 16 * 1024
WRITE_BYTES = 64 * 1024
"""So much of what may be sent later is written before it is looked whether anything is urgent."""
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


@dataclass(slots=True, eq=False)
class Stranger:
    """An inbound connection that may be a flood's. `scope`: what to cancel to be rid of it."""

    address: str
    scope: trio.CancelScope


class SecureStream(Protocol):
    """A TCP stream under TLS: `seal` gives what to write to the one below."""

    transport_stream: trio.SocketStream

    @property
    def socket(self) -> trio.socket.SocketType: ...

    def seal(self, data: bytes) -> bytes: ...

    async def receive_some(self, max_bytes: int | None = None) -> bytes: ...


Stream = SecureStream | trio.SocketStream


def _as_it_is(data: bytes) -> bytes:
    return data


class Link:
    """`target` is the core's name for an outbound link, None for an inbound one. `node_id` is known once greeted; until
    then `peer` is what there is to call it by: the address, and the port where we are the one who called."""

    def __init__(self, link_id: int, stream: Stream, target: str | None, created_ms: int) -> None:
        self.link_id = link_id
        self.target = target
        self.created_ms = created_ms
        self.node_id: str | None = None
        self.cluster_id = ""
        self.urgent_bytes = 0
        self.later_bytes = 0
        self.closing = False
        self.heard = False  # a byte of the peer
        self.up = False  # the core knows of it
        self.stranger: Stranger | None = None  # inbound, and not yet known to be a member's
        self.scope = trio.CancelScope()
        self.address = host_of(stream, remote=True)
        self.local_address = host_of(stream, remote=False)
        self.peer = _called(stream) if self.outbound else self.address
        self._stream = stream
        self._out: trio.SocketStream
        self._cover: Callable[[bytes], bytes]
        if isinstance(stream, trio.SocketStream):
            self._out, self._cover = stream, _as_it_is
        else:
            self._out, self._cover = stream.transport_stream, stream.seal
        self._reader = FrameReader()
        self._seal = Seal()
        self._joiner = Joiner()
        self._urgent: deque[bytes] = deque()
        self._later: deque[bytes] = deque()
        self._begun = b""  # frames that are being written
        self._idle = False  # the writer has nothing to do
        self._wake = trio.Event()
        _set_options(self._out)

    @property
    def outbound(self) -> bool:
        return self.target is not None

    @property
    def queued_bytes(self) -> int:
        """What the socket has not taken yet."""
        return self.urgent_bytes + self.later_bytes + len(self._begun)

    async def greet(self, identity: Identity) -> bool:
        """Both sides say who they are; False when the peer hangs up. Raises FrameError, trio.BrokenResourceError."""
        handshake = LinkHandshake(
            initiator=self.outbound, node_id=identity.node_id, cluster_id=identity.cluster_id,
            secret=identity.secret, nonce=secrets.token_bytes(NONCE_BYTES),
        )
        await self._out.send_all(self._cover(pack(handshake.hello)))
        while not handshake.done:
            body = await self._one_frame()
            if body is None:
                return False
            for answer in handshake.receive(body):
                await self._out.send_all(self._cover(pack(answer)))
        self.node_id = handshake.peer_id
        self.cluster_id = handshake.peer_cluster_id
        self._seal = handshake.seal
        self._reader.limit = self._joiner.limit = STRANGERS_FRAME_LIMIT_BYTES
        if self.outbound:
            self.trust()
        return True

    def trust(self) -> None:
        """The peer is a member of the cluster: what it says may be long."""
        self._reader.limit, self._joiner.limit = FRAME_LIMIT_BYTES, MESSAGE_LIMIT_BYTES

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
                        body = self._joiner.take(self._seal.open(frame))
                        if body is not None and not self.closing:
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
            while True:
                self._begun = self._begun or self._next()
                if self._begun:
                    await self._out.send_all(self._begun)
                    self._begun = b""
                elif self.closing:
                    break
                else:
                    self._idle = True
                    self._wake = trio.Event()
                    await self._wake.wait()
                    self._idle = False
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the peer is gone
        scope.cancel()

    def _next(self) -> bytes:
        """What is to be written now: all urgent frames, or some of the others."""
        frames: list[bytes] = []
        while self._urgent:
            body = self._urgent.popleft()
            self.urgent_bytes -= self._size(body)
            frames += self._framed(body)
        size = 0
        while self._later and not self._urgent and size < WRITE_BYTES:
            body = self._later.popleft()
            size += self._size(body)
            frames += self._framed(body)
        self.later_bytes -= size
        return self._cover(b"".join(frames)) if frames else b""

    def _framed(self, body: bytes) -> tuple[bytes, bytes]:
        sealed = self._seal.seal(body)
        return len(sealed).to_bytes(LENGTH_BYTES, "big"), sealed

    def _size(self, body: bytes) -> int:
        return LENGTH_BYTES + len(body) + self._seal.added_bytes

    def say(self, body: bytes) -> int:
        """Send a frame ahead of what may be sent later; its size in bytes."""
        self._urgent.append(body)
        size = self._size(body)
        self.urgent_bytes += size
        if self._idle and not self._later and not self._begun:
            self._write_at_once()
        else:
            self._wake.set()
        return size

    def _write_at_once(self) -> None:
        """As far as the socket takes it; what it does not, and why, is the writer's business."""
        data = self._next()
        try:
            sent = os.write(self._stream.socket.fileno(), data)
        except OSError:
            sent = 0
        if sent < len(data):
            self._begun = data[sent:]
            self._wake.set()

    def say_later(self, body: bytes) -> int:
        """Send a message in its turn, in pieces if it is long; the size of its frames in bytes."""
        size = 0
        for piece in pieces(body):
            self._later.append(piece)
            size += self._size(piece)
        self.later_bytes += size
        self._wake.set()
        return size

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


def _called(stream: Stream) -> str:
    try:
        host, port, *_ = stream.socket.getpeername()
    except OSError:
        return ""
    return f"{host}:{port}"


def host_of(stream: Stream, *, remote: bool) -> str:
    try:
        name = stream.socket.getpeername() if remote else stream.socket.getsockname()
    except OSError:
        return ""
    return str(name[0])
