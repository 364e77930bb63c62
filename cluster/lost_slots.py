"""The keys of slots that another node serves now: gone at once, told to replicas and logs bit by bit.

A slot that is lost is emptied then and there, by putting an empty dict in the place of its own, so nobody ever sees a
part of it. What takes time, a DEL for the keys and the account of their memory, is done in slices: a primary may lose a
million keys with one message. A slot that comes back is done with first, or its old keys' DEL would take the new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from cluster.keyspace.events import TOUCHED
from cluster.keyspace.hashing import key_slot

if TYPE_CHECKING:
    from bus.view import ClusterView
    from cluster.keyspace.database import Database
    from cluster.keyspace.lazy_free import Table
    from cluster.server import Server

KEYS_AT_ONCE = 64
"""Named by one DEL, between two looks at the clock."""


class LostSlots:
    """`pending`: slot → its keys and their deadlines, of which replicas have yet to hear."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.pending: dict[int, list[Table]] = {}
        self._at: tuple[int, Iterator[bytes]] | None = None  # the slot at hand, and the keys left of it

    @property
    def is_busy(self) -> bool:
        """Whether there is something to do now: while writes are paused nothing may be journaled."""
        return bool(self.pending) and not self._server.pause.active

    def drop(self, slots: list[int]) -> int:
        """Forget the keys of these slots; how many there were."""
        server = self._server
        db = server.databases[0]
        lost = [slot for slot in slots if db.spaces[slot]]
        self._fail_watchers(db, set(lost))
        count = 0
        for slot in lost:
            if server.barrier.walk is not None:
                server.barrier.keys(db, list(db.spaces[slot]))
            self._finish(slot)
            self.pending[slot] = [db.spaces[slot], db.deadlines[slot]]
            count += db.clear_slot(slot)
        if count <= KEYS_AT_ONCE:
            self.finish()
        else:
            server.shell.hurry_cron()
        return count

    def _fail_watchers(self, db: Database, slots: set[int]) -> None:
        watching = self._server.watching
        for index, key in watching.by_key:
            if key_slot(key) in slots and db.get(key) is not None:
                watching.changed(index, key)

    def work(self, out_of_time: Callable[[], bool]) -> None:
        """Go on until there is nothing left or no time."""
        while self.is_busy:
            self._tell_some(next(iter(self.pending)) if self._at is None else self._at[0])
            if out_of_time():
                return

    def finish(self) -> None:
        """All of it, now: what follows in the journal must stand behind it."""
        for slot in list(self.pending):
            self._finish(slot)

    def forget(self) -> None:
        """This node is a replica now: the data, and the journal, are its primary's."""
        for tables in self.pending.values():
            self._server.lazy_free.take_tables(tables, 0)
        self.pending.clear()
        self._at = None

    def follow_view(self, view: ClusterView) -> None:
        """Be done with slots that may get keys again."""
        for slot in list(self.pending):
            if view.owners[slot] == view.my_id or slot in view.importing:
                self._finish(slot)

    def _finish(self, slot: int) -> None:
        while slot in self.pending:
            self._tell_some(slot)

    def _tell_some(self, slot: int) -> None:
        server = self._server
        if self._at is None or self._at[0] != slot:
            self._at = slot, iter(self.pending[slot][0])
        keys = list(islice(self._at[1], KEYS_AT_ONCE))
        if keys:
            server.journal.append(0, [b"DEL", *keys])
            if server.ctx.observed:
                for key in keys:
                    server.announce(server.databases[0], key, TOUCHED)  # a move is no event
        if len(keys) < KEYS_AT_ONCE:
            server.lazy_free.take_tables(self.pending.pop(slot), 0)
            self._at = None
