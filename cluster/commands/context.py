"""What a command may touch: the keyspace of its client, its effects, and the node's services.

There is one Context in a node, pointed at a client for the time of its commands (`bind`). Time comes from the
session's shell once a batch (`now_ms`), dice from `rng`. Key look-ups go through here because a key may have to
die (lazy expiry), be counted (hits, access clock) or be announced (watchers, keyspace events, effects).

On the hot path the session has computed the slot of the first key already and leaves it in `routed`/`slot`; of a
command with several keys in one slot it says so by `one_slot`.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar, cast

from cluster.errors import WrongType
from cluster.keyspace.database import Database
from cluster.keyspace.events import DEL, KEY_MISS, Event
from cluster.keyspace.hashing import SLOT_COUNT, key_slot
from cluster.keyspace.values import (
    ExpiringHashValue,
    HashValue,
    ListValue,
    SetValue,
    SortedSetValue,
    StreamValue,
    StringValue,
    Value,
)
from cluster.protocol import replies

if TYPE_CHECKING:
    from cluster.commands.registry import Command
    from cluster.config.store import Configuration
    from cluster.network.session import Session
    from cluster.server import Server

FIELDS_AT_ONCE = 200
"""Expired fields that a command which meets them deletes; the expire cycle deletes the rest."""
_Typed = TypeVar("_Typed", ListValue, HashValue, SetValue, SortedSetValue, StreamValue)


class Context:
    __slots__ = (
        "allows_blocking", "arguments", "client", "command", "config", "db", "deadlines", "dirty", "field_deadlines",
        "hits", "ignored_ms", "misses", "no_touch", "now_ms", "null", "null_array", "obeys_primary", "observed",
        "one_slot", "resp", "rng", "routed", "server", "slot", "spaces", "tracks_access", "used_ms",
    )

    def __init__(self, server: Server, config: Configuration, rng: random.Random) -> None:
        self.server = server
        self.config = config
        self.rng = rng
        self.now_ms = 0
        self.dirty = 0  # changes since start; the session journals a write when this moved
        self.hits = 0
        self.misses = 0
        self.observed = False  # somebody wants to hear of changed keys: WATCH, keyspace events, accounting
        self.tracks_access = False  # the eviction policy needs to know when a key was used
        self.allows_blocking = True  # False within MULTI/EXEC
        self.obeys_primary = False  # the commands at hand come from our primary
        self.routed: bytes | None = None
        self.slot = 0
        self.one_slot = False  # all keys of the command at hand lie in `slot`
        self.no_touch = False  # what the client uses does not count as used
        self.ignored_ms = [0] * SLOT_COUNT  # where that is noted instead
        self.command: Command | None = None
        self.arguments: list[bytes] = []  # of the command at hand, where it took the long road
        self.client: Session = cast("Session", None)
        self.bind_database(server.databases[0])
        self.resp = 2
        self.null = replies.NULL_BULK
        self.null_array = replies.NULL_ARRAY

    # -- whose turn it is ------------------------------------------------------------------------------------

    def bind(self, client: Session) -> None:
        """From now on commands run for `client`."""
        self.client = client
        self.routed = None
        self.one_slot = False
        if self.obeys_primary is not client.is_primary_link:
            self.obeys_primary = client.is_primary_link
        if self.db is not client.db or self.no_touch is not client.no_touch:
            self.no_touch = client.no_touch
            self.bind_database(client.db)
        if self.resp != client.resp:
            self.set_resp(client.resp)

    def set_resp(self, resp: int) -> None:
        self.resp = resp
        self.null = replies.null(resp)
        self.null_array = replies.null_array(resp)

    def bind_database(self, db: Database) -> None:
        self.db = db
        self.spaces = db.spaces
        self.deadlines = db.deadlines
        self.field_deadlines = db.fields.deadlines
        self.used_ms = self.ignored_ms if self.no_touch else db.used_ms
        self.routed = None

    # -- looking up ------------------------------------------------------------------------------------------

    def find(self, key: bytes) -> Value | None:
        """The value of `key` for a reader: counts a hit or a miss, lets an expired key die."""
        slot = self.slot if key is self.routed or self.one_slot else key_slot(key)
        value = self.spaces[slot].get(key)
        if value is None:
            self.missed(key)
            return None
        deadlines = self.deadlines[slot]
        if deadlines and key in deadlines and self.is_expired(key, slot):
            self.missed(key)
            return None
        self.hits += 1
        self.used_ms[slot] = self.now_ms
        if self.tracks_access:
            self.server.memory.touch(key)
        return value

    def find_for_write(self, key: bytes) -> Value | None:
        """As `find`, but counts neither hit nor miss: the command is about to change the key."""
        slot = self.slot if key is self.routed or self.one_slot else key_slot(key)
        value = self.spaces[slot].get(key)
        if value is None:
            return None
        deadlines = self.deadlines[slot]
        if deadlines and key in deadlines and self.is_expired(key, slot):
            return None
        self.used_ms[slot] = self.now_ms
        if self.tracks_access:
            self.server.memory.touch(key)
        return value

    def peek(self, key: bytes) -> Value | None:
        """The live value without any trace of the look (OBJECT, TTL, SCAN, MEMORY)."""
        slot = key_slot(key)
        value = self.spaces[slot].get(key)
        if value is None or (key in self.deadlines[slot] and self.is_expired(key, slot)):
            return None
        return value

    def exists(self, key: bytes) -> bool:
        return self.peek(key) is not None

    def string(self, key: bytes) -> StringValue | None:
        """`find` for a string; raises WRONGTYPE."""
        value = self.find(key)
        if value is None or type(value) is bytes or type(value) is bytearray:
            return value
        raise WrongType

    def string_for_write(self, key: bytes) -> StringValue | None:
        value = self.find_for_write(key)
        if value is None or type(value) is bytes or type(value) is bytearray:
            return value
        raise WrongType

    def typed(self, key: bytes, kind: type[_Typed]) -> _Typed | None:
        """`find` for a value of class `kind`; raises WRONGTYPE."""
        value = self.find(key)
        if value is None or type(value) is kind:
            return value
        return self.of_kind(key, value, kind)

    def typed_for_write(self, key: bytes, kind: type[_Typed]) -> _Typed | None:
        value = self.find_for_write(key)
        if value is None or type(value) is kind:
            return value
        return self.of_kind(key, value, kind, for_write=True)

    def of_kind(self, key: bytes, value: Value, kind: type[_Typed], *, for_write: bool = False) -> _Typed | None:
        """The value of `key`, which was found to be of another class than `kind`: a hash with deadlines is a hash."""
        if isinstance(value, ExpiringHashValue) and isinstance(value, kind):
            return self.as_of_now(key, value, for_write=for_write)
        raise WrongType

    def as_of_now(
        self, key: bytes, value: ExpiringHashValue, *, for_write: bool = False
    ) -> ExpiringHashValue | None:
        """A hash that was found, with its fields as they are now: a primary deletes some of those that have expired,
        the rest are hidden. None when nothing is left (for a writer: not even hidden)."""
        server = self.server
        value.now_ms = 0 if self.obeys_primary or server.loading else self.now_ms
        if not value.hides:
            return value
        if not server.is_replica and not server.pause.active:
            server.barrier.key(self.db, key)
            server.expire_fields(self.db, key, value, value.take_expired(self.now_ms, FIELDS_AT_ONCE))
        return value if (value if for_write else len(value)) else None

    def is_expired(self, key: bytes, slot: int) -> bool:
        """Whether `key`, which has a deadline, is past it. A primary deletes it then and there (and propagates the
        deletion). A replica only hides it, until the primary's word, and so does a primary while writes are paused:
        its dataset must not change."""
        server = self.server
        if self.deadlines[slot][key] > self.now_ms or self.obeys_primary or server.loading:
            return False
        if server.is_replica or server.pause.active:
            return True
        server.expire_now(self.db, key, slot)
        return True

    def missed(self, key: bytes) -> None:
        """A reader did not find `key`."""
        self.misses += 1
        if self.observed:
            self.server.announce(self.db, key, KEY_MISS)

    # -- changing --------------------------------------------------------------------------------------------

    def put(self, key: bytes, value: Value, *, keep_deadline: bool = False) -> None:
        """Set or replace the value of `key`. Says nothing to anybody: call `changed` after it."""
        slot = self.slot if key is self.routed or self.one_slot else key_slot(key)
        space = self.spaces[slot]
        if key in space:
            old = space[key]
            if type(old) is not bytes and old is not value:
                self.server.lazy_free.take(old, counted=self.config.lazyfree_lazy_server_del)
            self.used_ms[slot] = self.now_ms
        else:
            self.db.used_ms[slot] = self.now_ms
        space[key] = value
        if not keep_deadline:
            deadlines = self.deadlines[slot]
            if deadlines:
                deadlines.pop(key, None)
        if self.field_deadlines:
            self.field_deadlines[slot].pop(key, None)
        if self.server.blocked_keys:
            self.server.key_ready(self.db, key)
        if self.tracks_access:
            self.server.memory.stored(key, in_place=keep_deadline)

    def replace(self, key: bytes, value: bytes) -> None:
        """`put` another string in the place of the one that `find_for_write` has just found. Its deadline stays."""
        self.spaces[self.slot if key is self.routed or self.one_slot else key_slot(key)][key] = value
        if self.tracks_access:
            self.server.memory.stored(key, in_place=True)

    def adopt(self, key: bytes, value: Value, deadline_ms: int | None) -> None:
        """`put` a value that was made elsewhere, with the key's deadline; its fields may bring theirs."""
        self.put(key, value)
        self.set_deadline(key, deadline_ms)
        self.db.note_fields(key, value)

    def convert(self, key: bytes, value: Value) -> None:
        """The value of `key` is held by another object from now on. To nobody is that a change."""
        self.spaces[key_slot(key)][key] = value

    def clear(self, key: bytes) -> None:
        """Take a key away without a word, so that the one put there next is a new one."""
        slot = key_slot(key)
        value = self.spaces[slot].pop(key, None)
        if value is not None:
            if type(value) is not bytes:
                self.server.lazy_free.take(value, counted=self.config.lazyfree_lazy_server_del)
            self.deadlines[slot].pop(key, None)
            self.db.fields.forget(key)
            if self.server.blocked_keys:
                self.server.key_ready(self.db, key)

    def remove(self, key: bytes, event: Event = DEL, count: int = 1, *, lazily: bool = False) -> bool:
        """Delete a key of any type, and say so (`changed`). Whether it was there.

        lazily: redis-server would free it in the background.
        """
        slot = self.slot if key is self.routed or self.one_slot else key_slot(key)
        value = self.spaces[slot].pop(key, None)
        if value is None:
            return False
        if type(value) is not bytes:
            self.server.lazy_free.take(value, counted=lazily)
        if self.deadlines[slot]:
            self.deadlines[slot].pop(key, None)
        if self.field_deadlines:
            self.field_deadlines[slot].pop(key, None)
        if self.server.blocked_keys:
            self.server.key_ready(self.db, key)
        self.changed(key, event, count)
        return True

    def changed(self, key: bytes, event: Event, count: int = 1) -> None:
        """`key` was changed by `count` changes: what makes a write be journaled, WATCH fail and events fire."""
        self.dirty += count
        if self.observed:
            self.server.announce(self.db, key, event)

    def changed_aside(self, key: bytes, event: Event, count: int = 1) -> None:
        """As `changed`, by a change that WATCH does not see: what a stream knows beside its entries, as its groups."""
        self.dirty += count
        if self.observed:
            self.server.announce(self.db, key, event, watched=False)

    def notify(self, key: bytes, event: Event) -> None:
        """A further event of the same change."""
        if self.observed:
            self.server.announce(self.db, key, event)

    def set_deadline(self, key: bytes, deadline_ms: int | None) -> None:
        """Set (or with None remove) the deadline of an existing key. Says nothing to anybody."""
        slot = self.slot if key is self.routed or self.one_slot else key_slot(key)
        if deadline_ms is None:
            self.deadlines[slot].pop(key, None)
        else:
            self.deadlines[slot][key] = deadline_ms
            self.db.agenda.note(slot, deadline_ms)

    def deadline(self, key: bytes) -> int | None:
        return self.deadlines[key_slot(key)].get(key)

    def remove_if_empty(self, key: bytes, value: ListValue | HashValue | SetValue | SortedSetValue) -> None:
        """A collection that lost its last element is deleted, with its own 'del' event, as in Redis."""
        if not value:
            self.remove(key, DEL, 0)

    # -- effects ---------------------------------------------------------------------------------------------

    def propagate(self, *arguments: bytes) -> None:
        """Journal this command instead of the one at hand (for commands declared with `own_effects`)."""
        self.server.journal.append(self.db.index, list(arguments))
