"""Which keys MIGRATE is sending, and whether one has changed since."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.server import Server


class UnderWay:
    """`by_key` maps (database, key) → whether the key was changed since its last `look`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.by_key: dict[tuple[int, bytes], bool] = {}

    def start(self, db_index: int, keys: Iterable[bytes]) -> None:
        """Observe keys, of which none is under way already, until `end`."""
        self.by_key.update(((db_index, key), False) for key in keys)
        self._server.ctx.observed = True

    def end(self, db_index: int, keys: Iterable[bytes]) -> None:
        for key in keys:
            del self.by_key[db_index, key]
        self._server.refresh_observed()

    def has_any(self, db_index: int, keys: Iterable[bytes]) -> bool:
        return any((db_index, key) in self.by_key for key in keys)

    def look(self, db_index: int, key: bytes) -> None:
        """What changes from now on counts."""
        self.by_key[db_index, key] = False

    def changed(self, db_index: int, key: bytes) -> None:
        if (db_index, key) in self.by_key:
            self.by_key[db_index, key] = True

    def has_changed(self, db_index: int, key: bytes) -> bool:
        return self.by_key.get((db_index, key), False)
