"""Pub/sub: who listens to what, and how a message reaches them.

There are three kinds of names: channels, patterns of channels, and shard channels, which live in a hash slot. A
message is encoded once for each version of the protocol, however many clients get it.

A message for the very client whose command is running (RESP3 allows that) waits until the command's reply is there,
as in Redis 7.2: a push never stands within a reply.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cluster.interest import Interest
from cluster.keyspace.glob import Glob
from cluster.keyspace.hashing import key_slot
from cluster.protocol import replies

if TYPE_CHECKING:
    from bus.view import ClusterView
    from cluster.network.session import Session
    from cluster.server import Server

Subscribers = dict["Session", None]


class Names:
    """One kind of names: what subscribing to one and leaving it is called, and who listens to each."""

    __slots__ = ("joined", "left", "listeners")

    def __init__(self, letter: bytes) -> None:
        self.joined = replies.bulk(letter + b"subscribe")
        self.left = replies.bulk(letter + b"unsubscribe")
        self.listeners: dict[bytes, Subscribers] = {}


class Subscriptions:
    """What one client listens to. It has these as long as they are not empty."""

    __slots__ = ("channels", "patterns", "shard_channels")

    def __init__(self) -> None:
        self.channels: dict[bytes, None] = {}
        self.patterns: dict[bytes, None] = {}
        self.shard_channels: dict[bytes, None] = {}


class PubSub:
    def __init__(self, server: Server) -> None:
        self._server = server
        self.channels = Names(b"")
        self.patterns = Names(b"p")
        self.shard_channels = Names(b"s")
        self._globs: dict[bytes, Glob] = {}
        self._shard_slots: dict[int, dict[bytes, None]] = {}  # of the shard channels listened to
        self._mine: tuple[object, str] | None = None  # the owners and the shard by which these were last looked at
        self.clients = 0
        self.executing: Session | None = None  # whose command is running, when it takes the long road
        self.postponed: list[bytes] = []
        self.interest: Interest | None = Interest() if server.cluster_enabled else None

    # -- listening -------------------------------------------------------------------------------------------

    def _own(self, session: Session, names: Names) -> dict[bytes, None]:
        """The names of one kind that a client listens to."""
        own = session.subscribed
        if own is None:
            return {}
        if names is self.channels:
            return own.channels
        return own.patterns if names is self.patterns else own.shard_channels

    def subscribe(self, session: Session, names: Names, wanted: Iterable[bytes]) -> bytes:
        """What the client is told: a push for each name."""
        if session.subscribed is None:
            session.subscribed = Subscriptions()
            self.clients += 1
            session.refresh()
        own = self._own(session, names)
        told = []
        for name in wanted:
            if name not in own:
                own[name] = None
                listeners = names.listeners.get(name)
                if listeners is None:
                    names.listeners[name] = listeners = {}
                    self._first(names, name)
                listeners[session] = None
            told.append(self._notice(session, names, names.joined, replies.bulk(name)))
        return b"".join(told)

    def unsubscribe(self, session: Session, names: Names, unwanted: Iterable[bytes] = ()) -> bytes:
        """As `subscribe`; without names all of the kind."""
        leaving = list(unwanted or self._own(session, names))
        told = []
        for name in leaving:
            self._leave(session, names, name)
            told.append(self._notice(session, names, names.left, replies.bulk(name)))
        if not leaving:
            told.append(self._notice(session, names, names.left, replies.null(session.resp)))
        self._settle(session)
        return b"".join(told)

    def forget(self, session: Session) -> None:
        """The client listens to nothing any more, and is not told so."""
        if session is self.executing:
            self.postponed.clear()
        if session.subscribed is None:
            return
        for names in (self.channels, self.patterns, self.shard_channels):
            for name in list(self._own(session, names)):
                self._leave(session, names, name)
        self._settle(session)

    def _leave(self, session: Session, names: Names, name: bytes) -> None:
        self._own(session, names).pop(name, None)
        listeners = names.listeners.get(name)
        if listeners is not None:
            listeners.pop(session, None)
            if not listeners:
                del names.listeners[name]
                self._last(names, name)

    def _settle(self, session: Session) -> None:
        """Take the subscriptions from a client that has none left."""
        own = session.subscribed
        if own is not None and not (own.channels or own.patterns or own.shard_channels):
            session.subscribed = None
            self.clients -= 1
            session.refresh()

    def _notice(self, session: Session, names: Names, word: bytes, name: bytes) -> bytes:
        own = session.subscribed
        count = 0
        if own is not None:
            shard = names is self.shard_channels
            count = len(own.shard_channels) if shard else len(own.channels) + len(own.patterns)
        return replies.push([word, name, replies.integer(count)], session.resp)

    def _first(self, names: Names, name: bytes) -> None:
        """Somebody listens to a name to which nobody did."""
        if names is self.patterns:
            self._globs[name] = Glob(name)
            if self.interest is not None:
                self.interest.add_pattern()
        elif self.interest is not None:
            slot = key_slot(name)
            self.interest.add(slot)
            if names is self.shard_channels:
                self._shard_slots.setdefault(slot, {})[name] = None

    def _last(self, names: Names, name: bytes) -> None:
        """Nobody listens to the name any more."""
        if names is self.patterns:
            del self._globs[name]
            if self.interest is not None:
                self.interest.drop_pattern()
        elif self.interest is not None:
            slot = key_slot(name)
            self.interest.drop(slot)
            if names is self.shard_channels:
                channels = self._shard_slots[slot]
                del channels[name]
                if not channels:
                    del self._shard_slots[slot]

    # -- messages --------------------------------------------------------------------------------------------

    def publish(self, channel: bytes, message: bytes, *, sharded: bool = False) -> int:
        """Give a message to those who listen here, and in a cluster to the other nodes; how many got it here."""
        if self.interest is not None:
            self.interest.outgoing.append((channel, message, sharded))
        return self.deliver_sharded(channel, message) if sharded else self.deliver(channel, message)

    def deliver(self, channel: bytes, message: bytes) -> int:
        """Give a message to those of this node's clients who listen to the channel; how many did."""
        count = 0
        listeners = self.channels.listeners.get(channel)
        if listeners is not None:
            count = self._send(listeners, b"3\r\n$7\r\nmessage\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (
                len(channel), channel, len(message), message
            ))  # fmt: skip
        if self._globs:
            for pattern, glob in self._globs.items():
                if glob.matches(channel):
                    body = b"4\r\n$8\r\npmessage\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (
                        len(pattern), pattern, len(channel), channel, len(message), message
                    )  # fmt: skip
                    count += self._send(self.patterns.listeners[pattern], body)
        return count

    def deliver_sharded(self, channel: bytes, message: bytes) -> int:
        listeners = self.shard_channels.listeners.get(channel)
        if listeners is None:
            return 0
        return self._send(listeners, b"3\r\n$8\r\nsmessage\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (
            len(channel), channel, len(message), message
        ))  # fmt: skip

    def _send(self, listeners: Subscribers, body: bytes) -> int:
        forms = {2: b"", 3: b""}
        for session in listeners:
            data = forms[session.resp]
            if not data:
                data = forms[session.resp] = (b">" if session.resp == 3 else b"*") + body
            self.send_to(session, data)
        return len(listeners)

    def send_to(self, session: Session, data: bytes) -> None:
        """A push for a client; for the one whose command is running, behind that one's reply."""
        if session is self.executing:
            self.postponed.append(data)
        else:
            session.send(data)

    def send_postponed(self, session: Session) -> None:
        """The command that was running has its reply: now what it sent to its own client."""
        session.out.extend(self.postponed)
        self.postponed.clear()

    # -- slots -----------------------------------------------------------------------------------------------

    def follow_view(self, view: ClusterView) -> None:
        """Who listens to a shard channel whose slot another shard has now is told that this is over."""
        me = view.nodes[view.my_id]
        mine = (view.owners, me.shard_id)
        if not self._shard_slots or self._mine == mine:
            return
        self._mine = mine
        for slot, channels in list(self._shard_slots.items()):
            owner = view.owners[slot]
            if owner is not None and view.nodes[owner].shard_id == me.shard_id:
                continue
            for channel in list(channels):
                for session in list(self.shard_channels.listeners[channel]):
                    self.send_to(session, self.unsubscribe(session, self.shard_channels, [channel]))
