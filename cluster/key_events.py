"""Keyspace events: what notify-keyspace-events asks for, published to this node's own clients.

An event is two messages: on the key's channel the event's name, on the event's channel the key. Commands say what
happened (`Context.changed`, `notify`, `remove`); while nobody may hear of it none of this is run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.commands.context import Context
from cluster.keyspace.events import NEW, Event
from cluster.keyspace.hashing import key_slot

if TYPE_CHECKING:
    from cluster.config.store import Configuration
    from cluster.keyspace.database import Database
    from cluster.keyspace.values import Value
    from cluster.server import Server


class EventfulContext(Context):
    """The context while there are events: what only they need costs nothing at other times."""

    __slots__ = ()

    def put(self, key: bytes, value: Value, *, keep_deadline: bool = False) -> None:
        slot = key_slot(key)
        if key in self.deadlines[slot]:
            self.is_expired(key, slot)  # one that is replaced without a look at it has expired all the same
        is_new = key not in self.spaces[slot]
        super().put(key, value, keep_deadline=keep_deadline)
        if is_new:
            self.server.announce(self.db, key, NEW, watched=False)


class KeyEvents:
    """`kinds` are the classes of events that are published now."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.kinds: frozenset[str] = frozenset()
        self._by_key = self._by_event = False

    def configure(self, config: Configuration) -> None:
        """Follow notify-keyspace-events."""
        letters = config.notify_keyspace_events
        self._by_key, self._by_event = "K" in letters, "E" in letters
        self.kinds = frozenset(letters) - {"K", "E"} if self._by_key or self._by_event else frozenset()
        self._server.ctx.__class__ = EventfulContext if self.kinds else Context
        self._server.refresh_observed()

    def publish(self, db: Database, key: bytes, event: Event) -> None:
        pubsub = self._server.pubsub
        if pubsub.clients:
            name = event.name.encode()
            if self._by_key:
                pubsub.deliver(b"__keyspace@%d__:%b" % (db.index, key), name)
            if self._by_event:
                pubsub.deliver(b"__keyevent@%d__:%b" % (db.index, name), key)
