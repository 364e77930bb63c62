"""Keys with a deadline that clients wrote on a replica (replica-read-only no): nobody but the replica can delete them.

The primary knows nothing of them, and whatever else the replica holds it deletes at the primary's word only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.journal import parsed
from cluster.keyspace.hashing import key_slot

if TYPE_CHECKING:
    from cluster.journal import Entry
    from cluster.server import Server

MOST_PER_TICK = 1_000
"""Keys looked at in one tick."""


class OwnKeys:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._keys: dict[tuple[int, bytes], None] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def note(self, entries: list[Entry]) -> None:
        """Clients have written that."""
        databases = self._server.databases
        for db, written in entries:
            arguments = parsed(written)
            command = self._server.table.find(arguments[0])
            if command is None:
                continue
            for position in command.key_positions(arguments):
                if databases[db].deadline(arguments[position]) is not None:
                    self._keys[db, arguments[position]] = None
        self._server.stats.own_keys = len(self._keys)

    def expire(self, now_ms: int) -> None:
        """Delete those whose time is up; forget those that have no deadline any more. The others are looked at again
        in their turn."""
        for _ in range(min(len(self._keys), MOST_PER_TICK)):
            place = next(iter(self._keys))
            del self._keys[place]
            db = self._server.databases[place[0]]
            deadline = db.deadline(place[1])
            if deadline is None:
                continue
            if deadline <= now_ms:
                self._server.expire_now(db, place[1], key_slot(place[1]))
            else:
                self._keys[place] = None
        self._server.stats.own_keys = len(self._keys)

    def clear(self) -> None:
        self._keys.clear()
        self._server.stats.own_keys = 0
