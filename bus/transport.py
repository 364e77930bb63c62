"""The bus's shell: TCP links under trio around the pure core.

`submit` steps the core and carries its effects out at once, in order: what is to be on disk is there before the next
frame is queued. Each link has a task (bus/links.py); nothing here waits for a peer. A peer that sends what no node
sends costs its link and one line in the log, and a peer that does so again and again one line in a while.
"""

from __future__ import annotations

import errno
import socket
import time
import traceback
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import clock_gettime_ns, time_ns

import trio

from bus import events
from bus.core import BusCore
from bus.frames import MESSAGE_LIMIT_BYTES, FrameError, decode, encode
from bus.links import Identity, Link, Stranger, Stream, host_of
from bus.listening import BusListenError, open_listener
from bus.messages import Announcement, Message, Messages
from bus.state import kind_name

CORE_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
HANDSHAKE_SECONDS = 5.0
"""A peer may take that long to say who it is."""
QUEUE_LIMIT_BYTES = 16 << 20
"""What may wait for a peer that does not read, when cluster-link-sendbuf-limit says nothing."""
PUBLISH_LIMIT_BYTES = 64 << 20
"""The same for published messages; the one that goes beyond it is still sent whole."""
STRANGERS_LIMIT = 256
"""Inbound links at a time whose peer has not yet said who it is, or is no member of the cluster."""
COMPLAINT_PERIOD_SECONDS = 3600.0
"""The same fault of the same peer is logged once, and again after a link with it was well, or after that time."""
WELL_SECONDS = 10.0
"""A link that lasted that long and ended without a fault was well."""
COMPLAINTS_LIMIT = 1024
"""Faults remembered for that purpose."""
ACCEPT_PAUSE_SECONDS = 0.1
"""After a failed accept (no descriptors left): trying at once would only spin."""
PACKET_TYPES = {
    "ping": 0, "pong": 1, "meet": 2, "fail": 3, "publish": 4, "auth-req": 5, "auth-ack": 6, "update": 7, "mfstart": 8,
}  # fmt: skip
"""Redis's numbers for DEBUG DROP-CLUSTER-PACKET-FILTER."""


__all__ = ["BusListenError", "BusTransport", "LinkFacts", "StateNotSaved"]


class StateNotSaved(Exception):
    """The state could not be written, so nothing that depends on it may be said: the node has to stop."""


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """A link, for CLUSTER LINKS."""

    node_id: str | None
    outbound: bool
    created_ms: int
    queued_bytes: int


class BusTransport:
    """`persist` writes a state durably. `on_effect` gets the effects that concern the node.

    `sent_bytes` and `received_bytes` are the bytes of messages by kind; the greetings of links are not in them.
    """

    def __init__(
        self,
        core: BusCore,
        *,
        persist: Callable[[events.Persist], None],
        on_effect: Callable[[events.Effect], None],
        log: Callable[[str, str], None],
        secret: bytes = b"",
        connect_seconds: Callable[[], float] = lambda: 15.0,
        queue_limit: Callable[[], int] = lambda: 0,
        cluster_id: Callable[[], str] = lambda: "",
        secure: Callable[[trio.SocketStream, bool], Awaitable[Stream]] | None = None,
    ) -> None:
        self._core = core
        self._persist = persist
        self._on_effect = on_effect
        self._log = log
        self._secret = secret
        self._connect_seconds = connect_seconds
        self._queue_limit = queue_limit
        self._cluster_id = cluster_id
        self._secure = secure
        self._links: dict[int, Link] = {}
        self._next_id = 1
        self._strangers: dict[Stranger, None] = {}  # in the order in which they came
        self._nursery: trio.Nursery | None = None
        self._listeners: list[trio.SocketListener] = []
        self._busy = False
        self._pending: deque[events.Event] = deque()
        self._waiting: list[events.Connect] = []
        self._dropped_type = -1
        self._unsaved: events.Persist | None = None
        self._ticker: trio.CancelScope | None = None
        self._complaints: dict[tuple[str, str], float] = {}
        self._encoded: tuple[Messages | None, bytes] = (None, b"")
        self.links_over_limit = 0
        self.dropped_messages = 0
        self.rejected = 0
        self.sent_bytes: dict[str, int] = {}
        self.received_bytes: dict[str, int] = {}

    # -- the core ----------------------------------------------------------------------------------------------

    @staticmethod
    def now_ms() -> int:
        """The core's clock: it goes on while the machine is suspended, unlike the one that trio's deadlines are on."""
        return clock_gettime_ns(CORE_CLOCK) // 1_000_000

    def submit(self, event: events.Event) -> list[events.Effect]:
        """Step the core and carry out what follows. Not from within an effect: use `post` there."""
        assert not self._busy, "an effect asked the core back: post it"
        effects = self._work(lambda: self._core.step(self.now_ms(), event))
        due = self._core.next_deadline()
        if self._ticker is not None and due is not None:
            self._ticker.deadline = min(self._ticker.deadline, trio.current_time() + (due - self.now_ms()) / 1000)
        return effects

    def post(self, event: events.Event) -> None:
        """As `submit`, but after what is going on."""
        if self._busy:
            self._pending.append(event)
        else:
            self.submit(event)

    def begin(self) -> None:
        """Carry out what the core asks for at its start."""
        self._work(self._core.start)

    def _work(self, first: Callable[[], list[events.Effect]]) -> list[events.Effect]:
        self._busy = True
        try:
            effects = first()
            self._carry_out(effects)
            while self._pending:
                self._carry_out(self._core.step(self.now_ms(), self._pending.popleft()))
        finally:
            self._busy = False
        return effects

    def _carry_out(self, effects: Sequence[events.Effect]) -> None:
        if self._unsaved is not None:
            self._save(self._unsaved)
        for effect in effects:
            match effect:
                case events.Persist():
                    self._save(effect)
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
                        self._close(link, at_once=False)
                case _:
                    self._on_effect(effect)

    def _save(self, effect: events.Persist) -> None:
        self._unsaved = effect
        try:
            self._persist(effect)
        except OSError as error:
            raise StateNotSaved(f"Fatal: can't update cluster config file: {error.strerror or error}") from error
        self._unsaved = None

    # -- running -----------------------------------------------------------------------------------------------

    async def listen(self, addresses: Sequence[str], port: int) -> None:
        """Take the bus port. Raises BusListenError."""
        for address in addresses:
            listener = open_listener(address, port)
            if listener is not None:
                self._listeners.append(listener)
        if not self._listeners:
            raise BusListenError(f"Failed listening on port {port} (cluster), aborting.")

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for listener in self._listeners:
                    nursery.start_soon(self._accept, listener)
                for effect in self._waiting:
                    nursery.start_soon(self._connect, effect)
                self._waiting.clear()
                nursery.start_soon(self._tick)
                task_status.started()
        finally:
            self._nursery = None
            for listener in self._listeners:
                listener.socket.close()

    async def _tick(self) -> None:
        while True:
            self._ticker = None
            self.submit(events.Tick(time_ns() // 1_000_000))
            due = self._core.next_deadline()
            seconds = 0.1 if due is None else max(0.001, (due - self.now_ms()) / 1000)
            with trio.move_on_after(seconds) as self._ticker:
                await trio.sleep_forever()

    async def _accept(self, listener: trio.SocketListener) -> None:
        assert self._nursery is not None
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                self._complain("listener", f"Error accepting cluster node: {error.strerror}")
                await trio.sleep(ACCEPT_PAUSE_SECONDS)
                continue
            if len(self._strangers) >= STRANGERS_LIMIT:
                self._make_room()
            stranger = Stranger(host_of(stream, remote=True), trio.CancelScope())
            self._strangers[stranger] = None
            self._nursery.start_soon(self._serve_stranger, stream, stranger)

    def _make_room(self) -> None:
        """Hang up on the oldest stranger of the address that has most of them: a member says who it is at once, and
        mostly from another address, so that however many come it is the flood that makes room for it."""
        counts = Counter(one.address for one in self._strangers)
        [(address, _)] = counts.most_common(1)
        oldest = next(one for one in self._strangers if one.address == address)
        del self._strangers[oldest]
        oldest.scope.cancel()
        self.rejected += 1
        self._complain("listener", "Too many cluster links whose peer has not said who it is: closing the oldest")

    async def _serve_stranger(self, stream: trio.SocketStream, stranger: Stranger) -> None:
        covered: Stream | None = None
        try:
            with stranger.scope:
                covered = await self._cover(stream, inbound=True)
            if covered is None:
                stream.socket.close()
                return
            link = self._new_link(covered, None)
            link.stranger = stranger
            stranger.scope = link.scope
            await self._live(link, HANDSHAKE_SECONDS)
        finally:
            self._strangers.pop(stranger, None)

    def _recognise(self, link: Link, stranger: Stranger) -> None:
        """A stranger that has turned out to be a member is none."""
        if self._core.knows(link.node_id or ""):
            link.trust()
            link.stranger = None
            self._strangers.pop(stranger, None)

    async def _connect(self, effect: events.Connect) -> None:
        """One attempt, from the connection to the link's end.

        A connection that is taken and reset before a word is what a dying process leaves in its listening queue:
        asking once more tells whether it is gone.
        """
        reason: events.DownReason | None = "closed"
        for _ in range(2):
            stream = await self._dial(effect)
            if not isinstance(stream, trio.SocketStream):
                reason = stream
                break
            covered = await self._cover(stream, inbound=False)
            if covered is None:
                continue
            link = self._new_link(covered, effect.target)
            reason = await self._live(link, min(HANDSHAKE_SECONDS, self._connect_seconds()))
            if reason != "closed" or link.heard:
                break
        if reason is not None:
            self.post(events.LinkDown(None, reason, effect.target))

    async def _cover(self, stream: trio.SocketStream, *, inbound: bool) -> Stream | None:
        """The stream as the frames go over it (TLS); None when there is no agreement on that, which is told once."""
        if self._secure is None:
            return stream
        peer = host_of(stream, remote=True)
        cause = "the handshake takes too long"
        with trio.move_on_after(HANDSHAKE_SECONDS):
            try:
                return await self._secure(stream, inbound)
            except trio.BrokenResourceError:
                cause = "the connection was closed"
            except OSError as error:
                cause = error.strerror or str(error)
        stream.socket.close()
        self.rejected += 1
        self._complain(peer, f"Closing cluster link with {peer}: no TLS with it: {cause}")
        return None

    async def _dial(self, effect: events.Connect) -> trio.SocketStream | events.DownReason:
        family = socket.AF_INET6 if ":" in effect.ip else socket.AF_INET
        try:
            sock = trio.socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            return "timeout"  # no descriptors left: nothing to do with the peer
        try:
            with trio.move_on_after(self._connect_seconds()):
                await sock.connect((effect.ip, effect.bus_port))
                return trio.SocketStream(sock)
        except OSError as error:
            sock.close()
            return "refused" if error.errno in (errno.ECONNREFUSED, errno.ECONNRESET) else "timeout"
        except ValueError as error:  # an address that no resolver can be asked for (UnicodeError is one of these)
            sock.close()
            self._complain(effect.ip, f"Cannot connect to a cluster node at {effect.ip!r}: {error}")
            return "timeout"
        except BaseException:
            sock.close()
            raise
        sock.close()
        return "timeout"

    # -- one link ----------------------------------------------------------------------------------------------

    def _new_link(self, stream: Stream, target: str | None) -> Link:
        link = Link(self._next_id, stream, target, time_ns() // 1_000_000)
        self._next_id += 1
        return link

    async def _live(self, link: Link, greeting_seconds: float) -> events.DownReason | None:
        """A connection from its greeting to its end: None if it was a link, or why it became none.

        This is the edge of a link: a fault of ours in here costs that link and a line in the log, not the node.
        """
        reason: events.DownReason | None = "closed"
        try:
            with link.scope:
                reason = await self._greet(link, greeting_seconds)
                if reason is None:
                    await self._talk(link)
        except Exception as error:
            if _says_not_saved(error):
                raise
            self._reject(link, f"a fault of this node ({_cause(error)})")
        finally:
            link.release()
            self._links.pop(link.link_id, None)
        if link.up:
            self.post(events.LinkDown(link.link_id, "closed"))
        return reason

    async def _greet(self, link: Link, seconds: float) -> events.DownReason | None:
        """Let both sides say who they are: None when they have, or why not."""
        try:
            with trio.move_on_after(seconds):
                identity = Identity(self._core.my_id, self._cluster_id(), self._secret)
                return None if await link.greet(identity) else "closed"
        except FrameError as error:
            self._reject(link, str(error))
            return "closed"
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return "closed"
        self._reject(link, "it does not say who it is")
        return "timeout"

    async def _talk(self, link: Link) -> None:
        """From LinkUp to the link's end."""
        if not link.outbound:
            for other in list(self._links.values()):
                if not other.outbound and other.node_id == link.node_id:
                    self._close(other, at_once=True)  # the peer has lost that one, or it would not have made a new one
        self._links[link.link_id] = link
        link.up = True
        self.post(events.LinkUp(
            link.link_id, link.node_id or "", link.address, link.outbound, link.target or "", link.local_address,
            link.cluster_id,
        ))
        if link.stranger is not None:
            self._recognise(link, link.stranger)
        began = trio.current_time()
        try:
            await link.talk(lambda body: self._receive(link, body))
        except FrameError as error:
            self._reject(link, str(error))
            return
        if trio.current_time() - began >= WELL_SECONDS:
            names = (link.node_id, link.peer)
            self._complaints = {key: until for key, until in self._complaints.items() if key[0] not in names}

    def _receive(self, link: Link, body: bytes) -> None:
        message = decode(body)
        name = kind_name(message)
        self.received_bytes[name] = self.received_bytes.get(name, 0) + len(body)
        if self._dropped_type >= 0 and self._dropped_type == _packet_type(message, name):
            return
        try:
            self.submit(events.FrameReceived(link.link_id, message))
        except StateNotSaved:
            raise
        except Exception as error:
            raise FrameError(f"a message that cannot be taken in ({_cause(error)})") from error
        if link.stranger is not None:
            self._recognise(link, link.stranger)

    def _queue(self, link_id: int, message: Message) -> None:
        link = self._links.get(link_id)
        if link is None or link.closing:
            return
        name = kind_name(message)
        if isinstance(message, Messages):
            size = self._publish(link, message)
        else:
            size = link.say(encode(message))
        self.sent_bytes[name] = self.sent_bytes.get(name, 0) + size
        if link.urgent_bytes > (self._queue_limit() or QUEUE_LIMIT_BYTES):
            self.links_over_limit += 1
            self._log("warning", f"Freeing outbound cluster link to node {link.node_id} after exceeding buffer limit")
            self._close(link, at_once=True)

    def _publish(self, link: Link, message: Messages) -> int:
        """Published messages are not worth a link: for a peer that does not keep up with them some are dropped."""
        if self._encoded[0] is not message:  # mostly the same one goes to several peers
            self._encoded = message, encode(message)
        body = self._encoded[1]
        too_much = link.later_bytes > (self._queue_limit() or PUBLISH_LIMIT_BYTES)
        if too_much or len(body) > MESSAGE_LIMIT_BYTES:
            self.dropped_messages += len(message.items)
            why = "it does not keep up" if too_much else "they are too long"
            self._complain(link.address, f"Dropping published messages for node {link.node_id}: {why}")
            return 0
        return link.say_later(body)

    def _close(self, link: Link, *, at_once: bool) -> None:
        """Nothing more is taken in; the core is told by the link's own task."""
        self._links.pop(link.link_id, None)
        link.close(at_once=at_once)

    def _reject(self, link: Link, why: str) -> None:
        self.rejected += 1
        peer = link.node_id or link.peer
        self._complain(peer, f"Closing cluster link with {peer}: {why}")

    def _complain(self, peer: str, text: str) -> None:
        now = trio.current_time()
        if now < self._complaints.get((peer, text), 0.0):
            return
        if len(self._complaints) >= COMPLAINTS_LIMIT:
            self._complaints = {key: until for key, until in self._complaints.items() if now < until}
        if len(self._complaints) < COMPLAINTS_LIMIT:
            self._complaints[peer, text] = now + COMPLAINT_PERIOD_SECONDS
            self._log("warning", text)

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
                self._close(link, at_once=True)

    def drop_type(self, packet_type: int) -> None:
        """DEBUG DROP-CLUSTER-PACKET-FILTER: ignore incoming messages of that type; -1 ends it."""
        self._dropped_type = packet_type


def _packet_type(message: Message, name: str) -> int | None:
    return PACKET_TYPES.get("meet" if isinstance(message, Announcement) and message.meet else name)


def _cause(error: BaseException) -> str:
    """What went wrong and where, in one line; of a nursery's group the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error}, {where.name}:{where.lineno}"


def _says_not_saved(error: Exception) -> bool:
    """Whether this is, or holds, the one error that has to end the node."""
    if isinstance(error, ExceptionGroup):
        return error.subgroup(StateNotSaved) is not None
    return isinstance(error, StateNotSaved)
