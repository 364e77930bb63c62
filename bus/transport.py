"""The bus's shell: TCP links under trio around the pure core.

A task reads each link, a task writes it; nothing else awaits. `submit` steps the core and carries its effects out at
once, in order: what is to be on disk is there before the next frame is queued. A peer that sends what no node sends
costs its link and one line in the log.
"""

from __future__ import annotations

import errno
import secrets
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import time_ns

import trio

from bus import events
from bus.auth import LinkHandshake, Seal
from bus.core import BusCore
from bus.frames import FRAME_LIMIT_BYTES, FrameError, FrameReader, decode, encode, pack
from bus.messages import Announcement, Message
from bus.state import kind_name
from bus.view import PersistentState

READ_BYTES = 16 * 1024
HANDSHAKE_SECONDS = 5.0
QUEUE_LIMIT_BYTES = 16 << 20
"""What may wait for a peer that does not read, when cluster-link-sendbuf-limit says nothing."""
STRANGERS_LIMIT = 256
"""Inbound links at a time whose peer has not yet said who it is."""
LISTEN_BACKLOG = 511
PACKET_TYPES = {"ping": 0, "pong": 1, "meet": 2, "fail": 3, "auth-req": 5, "auth-ack": 6, "update": 7, "mfstart": 8}
"""Redis's numbers for DEBUG DROP-CLUSTER-PACKET-FILTER."""


class BusListenError(Exception):
    """The bus port cannot be had; one line."""


@dataclass(slots=True, eq=False)
class _Link:
    link_id: int
    stream: trio.SocketStream
    outbound: bool
    address: str
    created_ms: int
    node_id: str | None = None
    seal: Seal | None = None
    queue: deque[bytes] | None = None
    queued_bytes: int = 0
    wake: trio.Event | None = None
    scope: trio.CancelScope | None = None
    closing: bool = False


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """A link, for CLUSTER LINKS."""

    node_id: str | None
    outbound: bool
    created_ms: int
    queued_bytes: int


class BusTransport:
    """`persist` writes a state durably. `on_effect` gets the effects that concern the node."""

    def __init__(
        self,
        core: BusCore,
        *,
        persist: Callable[[PersistentState], None],
        on_effect: Callable[[events.Effect], None],
        log: Callable[[str, str], None],
        secret: bytes = b"",
        connect_seconds: Callable[[], float] = lambda: 15.0,
        queue_limit: Callable[[], int] = lambda: 0,
        cluster_id: Callable[[], str] = lambda: "",
    ) -> None:
        self._core = core
        self._persist = persist
        self._on_effect = on_effect
        self._log = log
        self._secret = secret
        self._connect_seconds = connect_seconds
        self._queue_limit = queue_limit
        self._cluster_id = cluster_id
        self._links: dict[int, _Link] = {}
        self._next_id = 1
        self._strangers = 0
        self._nursery: trio.Nursery | None = None
        self._listeners: list[trio.SocketListener] = []
        self._busy = False
        self._pending: deque[events.Event] = deque()
        self._waiting: list[events.Connect] = []
        self._dropped_type = -1
        self.links_over_limit = 0
        self.rejected = 0

    # -- the core ----------------------------------------------------------------------------------------------

    @staticmethod
    def now_ms() -> int:
        return int(trio.current_time() * 1000)

    def submit(self, event: events.Event) -> list[events.Effect]:
        """Step the core and carry out what follows. Not from within an effect: use `post` there."""
        assert not self._busy, "an effect asked the core back: post it"
        self._busy = True
        try:
            effects = self._core.step(self.now_ms(), event)
            self._carry_out(effects)
            while self._pending:
                self._carry_out(self._core.step(self.now_ms(), self._pending.popleft()))
        finally:
            self._busy = False
        return effects

    def post(self, event: events.Event) -> None:
        """As `submit`, but after what is going on."""
        if self._busy:
            self._pending.append(event)
        else:
            self.submit(event)

    def begin(self) -> None:
        """Carry out what the core asks for at its start."""
        self._busy = True
        try:
            self._carry_out(self._core.start())
        finally:
            self._busy = False

    def _carry_out(self, effects: Sequence[events.Effect]) -> None:
        for effect in effects:
            match effect:
                case events.Persist():
                    self._persist(effect.state)
                case events.Send():
                    self._queue(effect.link_id, effect.message)
                case events.Connect():
                    if self._nursery is None:
                        self._waiting.append(effect)
                    else:
                        self._nursery.start_soon(self._connect, effect)
                case events.CloseLink():
                    link = self._links.get(effect.link_id)
                    if link is not None:
                        self._close(link)
                case _:
                    self._on_effect(effect)

    # -- running -----------------------------------------------------------------------------------------------

    async def listen(self, addresses: Sequence[str], port: int) -> None:
        """Take the bus port. Raises BusListenError."""
        for address in addresses:
            listener = _listen(address, port)
            if listener is not None:
                self._listeners.append(listener)
        if not self._listeners:
            raise BusListenError(f"Failed listening on port {port} (cluster), aborting.")

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for listener in self._listeners:
                nursery.start_soon(self._accept, listener)
            for effect in self._waiting:
                nursery.start_soon(self._connect, effect)
            self._waiting.clear()
            nursery.start_soon(self._tick)
            task_status.started()

    async def _tick(self) -> None:
        while True:
            self.submit(events.Tick(time_ns() // 1_000_000))
            due = self._core.next_deadline()
            await trio.sleep(max(0.001, (due - self.now_ms()) / 1000) if due is not None else 0.1)

    async def _accept(self, listener: trio.SocketListener) -> None:
        assert self._nursery is not None
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                self._log("warning", f"Error accepting cluster node: {error.strerror}")
                await trio.sleep(0.1)  # out of descriptors: trying at once would only spin
                continue
            if self._strangers >= STRANGERS_LIMIT:
                stream.socket.close()
                continue
            self._nursery.start_soon(self._serve, stream, None)

    async def _connect(self, effect: events.Connect) -> None:
        family = socket.AF_INET6 if ":" in effect.ip else socket.AF_INET
        sock = trio.socket.socket(family, socket.SOCK_STREAM)
        reason: events.DownReason = "timeout"
        connected = False
        with trio.move_on_after(self._connect_seconds()):
            try:
                await sock.connect((effect.ip, effect.bus_port))
                connected = True
            except OSError as error:
                if error.errno in (errno.ECONNREFUSED, errno.ECONNRESET):
                    reason = "refused"
        if connected:
            await self._serve(trio.SocketStream(sock), effect.target)
            return
        sock.close()
        self.submit(events.LinkDown(None, reason, effect.target))

    # -- one link ----------------------------------------------------------------------------------------------

    async def _serve(self, stream: trio.SocketStream, target: str | None) -> None:
        """A link from its first byte to its last. `target` is the core's name for an outbound one."""
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = _Link(
            self._next_id, stream, target is not None, _host(stream, remote=True), time_ns() // 1_000_000
        )
        self._next_id += 1
        reader = FrameReader()
        up = False
        reason: events.DownReason = "closed"
        with trio.CancelScope() as link.scope:
            try:
                handshake = await self._greet(link, reader)
                if handshake is not None:
                    up = True
                    await self._talk(link, reader, handshake, target or "")
            except FrameError as error:
                self.rejected += 1
                self._log("warning", f"Closing cluster link with {link.address}: {error}")
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                reason = "closed"
        self._links.pop(link.link_id, None)
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)
        if up:
            self.post(events.LinkDown(link.link_id, reason))
        elif target is not None:
            self.post(events.LinkDown(None, reason, target))

    async def _greet(self, link: _Link, reader: FrameReader) -> LinkHandshake | None:
        """Both sides say who they are. None when the peer hung up or kept silent."""
        handshake = LinkHandshake(
            initiator=link.outbound, node_id=self._core.my_id, cluster_id=self._cluster_id(), secret=self._secret,
            nonce=secrets.token_bytes(16),
        )
        stranger = not link.outbound
        self._strangers += stranger
        try:
            with trio.move_on_after(HANDSHAKE_SECONDS):
                await link.stream.send_all(pack(handshake.hello))
                while not handshake.done:
                    body = await self._one_frame(link, reader)
                    if body is None:
                        return None
                    for answer in handshake.receive(body):
                        await link.stream.send_all(pack(answer))
                return handshake
            return None
        finally:
            self._strangers -= stranger

    async def _one_frame(self, link: _Link, reader: FrameReader) -> bytes | None:
        """The next frame of a greeting, read so that nothing of what follows it is taken in."""
        while True:
            wanted = reader.missing()
            if wanted == 0:
                return next(iter(reader.feed(b"")), None)
            data = await link.stream.receive_some(wanted)
            if not data:
                return None
            for body in reader.feed(data):
                return body

    async def _talk(self, link: _Link, reader: FrameReader, handshake: LinkHandshake, target: str) -> None:
        link.node_id = handshake.peer_id
        link.seal = handshake.seal
        link.queue = deque()
        link.wake = trio.Event()
        reader.limit = FRAME_LIMIT_BYTES
        if not link.outbound:
            for other in list(self._links.values()):
                if not other.outbound and other.node_id == link.node_id:
                    self._close(other)  # the peer has lost that one, or it would not have made a new one
        self._links[link.link_id] = link
        self.submit(events.LinkUp(
            link.link_id, handshake.peer_id, link.address, link.outbound, target,
            _host(link.stream, remote=False), handshake.peer_cluster_id,
        ))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, link)
            while data := await link.stream.receive_some(READ_BYTES):
                for frame in reader.feed(data):
                    self._receive(link, decode(handshake.seal.open(frame)))
            nursery.cancel_scope.cancel()

    def _receive(self, link: _Link, message: Message) -> None:
        if link.closing:
            return
        if self._dropped_type >= 0:
            meets = isinstance(message, Announcement) and message.meet
            name = "meet" if meets else kind_name(message)
            if PACKET_TYPES.get(name) == self._dropped_type:
                return
        self.submit(events.FrameReceived(link.link_id, message))

    async def _write(self, link: _Link) -> None:
        assert link.queue is not None
        while True:
            while link.queue:
                data = b"".join(link.queue)
                link.queue.clear()
                await link.stream.send_all(data)
                link.queued_bytes -= len(data)
            link.wake = trio.Event()
            await link.wake.wait()

    def _queue(self, link_id: int, message: Message) -> None:
        link = self._links.get(link_id)
        if link is None or link.closing or link.seal is None or link.queue is None or link.wake is None:
            return
        body = link.seal.seal(encode(message))
        frame = len(body).to_bytes(4, "big") + body
        link.queue.append(frame)
        link.queued_bytes += len(frame)
        link.wake.set()
        if link.queued_bytes > (self._queue_limit() or QUEUE_LIMIT_BYTES):
            self.links_over_limit += 1
            self._log("warning", f"Freeing outbound cluster link to node {link.node_id} after exceeding buffer limit")
            self._close(link)

    def _close(self, link: _Link) -> None:
        """Close without another word; the core is told by the link's own task."""
        link.closing = True
        self._links.pop(link.link_id, None)
        if link.scope is not None:
            link.scope.cancel()

    # -- for people --------------------------------------------------------------------------------------------

    def links(self) -> list[LinkFacts]:
        return [
            LinkFacts(link.node_id, link.outbound, link.created_ms, link.queued_bytes)
            for link in self._links.values()
        ]

    def kill_links(self, direction: str, node_id: str) -> None:
        """DEBUG CLUSTERLINK KILL to|from|all."""
        for link in list(self._links.values()):
            if link.node_id == node_id and direction in ("all", "to" if link.outbound else "from"):
                self._close(link)

    def drop_type(self, packet_type: int) -> None:
        """DEBUG DROP-CLUSTER-PACKET-FILTER: ignore incoming messages of that type; -1 ends it."""
        self._dropped_type = packet_type


def _listen(address: str, port: int) -> trio.SocketListener | None:
    """A listener; None for an optional address (with '-') that this host does not have."""
    optional = address.startswith("-")
    host = address.removeprefix("-")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    host = {"*": "", "::*": ""}.get(host, host)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(LISTEN_BACKLOG)
    except OSError as error:
        sock.close()
        if optional and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return None
        raise BusListenError(
            f"Could not create server TCP listening socket {host or '*'}:{port}: bind: {error.strerror}. "
            f"Failed listening on port {port} (cluster), aborting."
        ) from None
    sock.setblocking(False)
    return trio.SocketListener(trio.socket.from_stdlib_socket(sock))


def _host(stream: trio.SocketStream, *, remote: bool) -> str:
    try:
        name = stream.socket.getpeername() if remote else stream.socket.getsockname()
    except OSError:
        return ""
    return str(name[0])
