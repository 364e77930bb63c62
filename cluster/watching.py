"""WATCH: which clients watch which keys, and whether one of these changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.network.session import Session
    from cluster.server import Server


class Watching:
    """`by_key` maps (database, key) → the sessions that watch it. A session keeps, for each key, whether it was past
    its deadline already when WATCH came: only what expires after that is a change."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.by_key: dict[tuple[int, bytes], dict[Session, None]] = {}

    def watch(self, session: Session, key: bytes) -> None:
        where = (session.db.index, key)
        if where in session.watched:
            return
        session.watched[where] = self._is_past(*where)
        self.by_key.setdefault(where, {})[session] = None
        self._server.ctx.observed = True

    def changed(self, db_index: int, key: bytes) -> None:
        """Who watches `key` will not get past EXEC."""
        for session in self.by_key.get((db_index, key), ()):
            session.client_flags.add("dirty_cas")

    def has_lapsed(self, session: Session) -> bool:
        """Whether a watched key that was alive when WATCH came has expired since."""
        return any(self._is_past(*where) and not was_past for where, was_past in session.watched.items())

    def _is_past(self, db_index: int, key: bytes) -> bool:
        deadline = self._server.databases[db_index].deadline(key)
        return deadline is not None and deadline <= self._server.ctx.now_ms

    def forget(self, session: Session) -> None:
        """`session` watches nothing any more."""
        for where in session.watched:
            waiting = self.by_key.get(where)
            if waiting is not None:
                waiting.pop(session, None)
                if not waiting:
                    del self.by_key[where]
        session.watched.clear()
        session.client_flags.discard("dirty_cas")
        self._server.refresh_observed()
