"""The barrier before writes while a snapshot is made in the process itself: what changes is written out first.

It is up only then. Writes take the long road meanwhile (`refresh_road`), where each names its keys; what changes keys
by itself, such as their expiry, names them, too. What replaces whole databases at once cannot: a forked child then
takes the work over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.commands.registry import Command
    from cluster.keyspace.database import Database
    from cluster.persistence.walk import SnapshotWalk
    from cluster.server import Server

_OF_OTHER_DATABASES = frozenset(("move", "copy"))
"""What changes a key in another database than the client's."""


class Barrier:
    """`walk`: the snapshot that is being made; None while there is none."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.walk: SnapshotWalk | None = None

    def raise_for(self, walk: SnapshotWalk | None) -> None:
        """Have changes told to `walk` from now on; None: to nobody."""
        self.walk = walk
        self._server.refresh_road()

    def key(self, db: Database, key: bytes) -> None:
        """`key` is about to change."""
        if self.walk is not None:
            self.walk.before(db, key)

    def keys(self, db: Database, keys: Iterable[bytes]) -> None:
        """They all are."""
        for key in keys:
            self.key(db, key)

    def command(self, db: Database, command: Command, arguments: list[bytes]) -> None:
        """`command` is about to be run."""
        if not command.writes:
            return
        for position in command.key_positions(arguments):
            if command.name in _OF_OTHER_DATABASES:
                for other in self._server.databases:
                    self.key(other, arguments[position])
            else:
                self.key(db, arguments[position])

    def replacing(self, databases: Sequence[Database]) -> None:
        """All of `databases` is about to be replaced by something else."""
        persistence = getattr(self._server, "persistence", None)
        if persistence is None:
            return
        if databases is self._server.databases:
            persistence.stop_background_save()
        else:
            persistence.go_on_by_fork()
