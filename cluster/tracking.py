"""Client-side caching: who remembers what of the data, and is told when it changes (CLIENT TRACKING).

By default the node notes each key that a tracking client reads, and tells it once when that key changes: then it must
read it again. A client in broadcasting mode is told of all changes of keys that begin with its prefixes, and costs no
memory for each key. What has changed within a batch is broadcast as one message at its end.

Source: the Redis documentation, "Client-side caching in Redis"; CLIENT TRACKING.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from cluster.protocol import replies

if TYPE_CHECKING:
    from cluster.network.session import Session
    from cluster.server import Server

CHANNEL = b"__redis__:invalidate"
"""What a client of RESP2 that receives others' messages must subscribe to (something)."""
FORGOTTEN_PER_TICK = 100
"""How many keys more than tracking-table-max-keys are forgotten in a tick; as many more in each that follows."""

_INVALIDATE = replies.bulk(b"invalidate")
_MESSAGE = replies.bulk(b"message") + replies.bulk(CHANNEL)


class Tracked:
    """What a tracking client has asked for. `caching`: CLIENT CACHING was given for the command to come."""

    __slots__ = (
        "broadcasts", "caching", "is_broken", "no_loop", "opt_in", "opt_out", "prefixes", "redirect", "session",
    )

    def __init__(self, session: Session) -> None:
        self.session = session
        self.redirect = 0
        self.broadcasts = self.opt_in = self.opt_out = self.no_loop = self.caching = self.is_broken = False
        self.prefixes: dict[bytes, None] = {}

    @property
    def remembers(self) -> bool:
        """Whether the command at hand is one whose keys count."""
        return self.caching if self.opt_in else not (self.opt_out and self.caching)


class _Prefix:
    __slots__ = ("changed", "listeners")

    def __init__(self) -> None:
        self.listeners: dict[Session, None] = {}
        self.changed: dict[bytes, Session | None] = {}  # and who changed it last


class Tracking:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._readers: dict[bytes, dict[int, None]] = {}  # key → ids of the clients that have read it
        self._prefixes: dict[bytes, _Prefix] = {}
        self._ticks_over = 0
        self.clients = 0
        self.items = 0  # pairs of a key and a client
        self.has_news = False  # for those who listen to prefixes

    @property
    def keys(self) -> int:
        return len(self._readers)

    @property
    def prefixes(self) -> int:
        return len(self._prefixes)

    # -- who tracks ------------------------------------------------------------------------------------------

    def start(self, session: Session) -> Tracked:
        """The client tracks from now on. The caller fills in how, then calls `session.refresh`."""
        if session.tracked is None:
            session.tracked = Tracked(session)
            self.clients += 1
            if self.clients == 1:
                self._server.refresh_observed()
        return session.tracked

    def listen(self, tracked: Tracked, prefixes: Iterable[bytes]) -> None:
        """Tell the client of changes of keys with these prefixes, too."""
        for prefix in prefixes:
            tracked.prefixes[prefix] = None
            self._prefixes.setdefault(prefix, _Prefix()).listeners[tracked.session] = None

    def stop(self, session: Session) -> None:
        """The client tracks nothing any more."""
        tracked = session.tracked
        if tracked is None:
            return
        session.tracked = None
        for prefix in tracked.prefixes:
            listeners = self._prefixes[prefix].listeners
            del listeners[session]
            if not listeners:
                del self._prefixes[prefix]
        self.clients -= 1
        if not self.clients:
            self._readers.clear()
            self.items = 0
            self._server.refresh_observed()
        session.refresh()

    # -- what is known, and changes --------------------------------------------------------------------------

    def remember(self, tracked: Tracked, keys: Iterable[bytes]) -> None:
        """The client has read `keys`."""
        number = tracked.session.id
        for key in keys:
            readers = self._readers.setdefault(key, {})
            if number not in readers:
                readers[number] = None
                self.items += 1

    def changed(self, key: bytes, by: Session | None) -> None:
        """`key` has changed, by a command of that client (or of a script that it runs), or by itself."""
        if by is not None and by.tracked is not None:
            by = by.tracked.session
        for prefix, entry in self._prefixes.items():
            if key.startswith(prefix):
                entry.changed[key] = by
                self.has_news = True
        readers = self._readers.pop(key, None)
        if readers is not None:
            self._invalidate(key, readers, by)

    def _invalidate(self, key: bytes, readers: Collection[int], by: Session | None) -> None:
        self.items -= len(readers)
        told = replies.array([replies.bulk(key)])
        for number in readers:
            session = self._server.clients.get(number)
            tracked = None if session is None else session.tracked
            # One that has begun to broadcast since then hears of all keys anyway.
            if tracked is not None and not tracked.broadcasts and not (tracked.no_loop and session is by):
                self._tell(tracked, told)

    def flushed(self) -> None:
        """All keys are gone: told without naming them."""
        if not self.clients:
            return
        self._readers.clear()
        self.items = 0
        for session in list(self._server.clients.values()):
            if session.tracked is not None:
                self._tell(session.tracked, replies.null(session.resp))

    def broadcast(self) -> None:
        """Tell who listens to prefixes what the batch has changed."""
        self.has_news = False
        for entry in self._prefixes.values():
            if not entry.changed:
                continue
            changed = sorted(entry.changed.items())
            entry.changed = {}
            everything = replies.bulk_array([key for key, _ in changed])
            for session in entry.listeners:
                tracked = session.tracked
                assert tracked is not None
                if not tracked.no_loop:
                    self._tell(tracked, everything)
                elif others := [key for key, by in changed if by is not session]:
                    self._tell(tracked, replies.bulk_array(others))

    def tick(self) -> None:
        """Forget some of the keys that are too many for tracking-table-max-keys; their readers are told so."""
        limit = self._server.config.tracking_table_max_keys
        over = len(self._readers) - limit
        if not limit or over <= 0:
            self._ticks_over = 0
            return
        self._ticks_over += 1
        for _ in range(min(over, FORGOTTEN_PER_TICK * self._ticks_over)):
            key = next(iter(self._readers))
            self._invalidate(key, self._readers.pop(key), None)

    # -- messages --------------------------------------------------------------------------------------------

    def _tell(self, tracked: Tracked, keys: bytes) -> None:
        """Send a message with the encoded `keys`, where the client has it sent. RESP2 has none but in pub/sub."""
        session = tracked.session
        if tracked.redirect:
            receiver = self._server.clients.get(tracked.redirect)
            if receiver is None:
                tracked.is_broken = True
                if session.resp == 3:
                    self._server.pubsub.send_to(session, replies.push(
                        [replies.bulk(b"tracking-redir-broken"), replies.integer(tracked.redirect)], 3
                    ))  # fmt: skip
                return
            if receiver.resp == 2:
                if receiver.subscribed is not None:
                    self._server.pubsub.send_to(receiver, b"*3\r\n" + _MESSAGE + keys)
                return
            session = receiver
        if session.resp == 3:
            self._server.pubsub.send_to(session, b">2\r\n" + _INVALIDATE + keys)
