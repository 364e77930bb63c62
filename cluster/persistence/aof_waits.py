"""WAITAOF: clients that wait until what they wrote is on disk, here, or at replicas, who tell with their
acknowledgements how much of the stream they have synced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cluster.blocking import Wait
from cluster.protocol import replies

if TYPE_CHECKING:
    from cluster.network.session import Session
    from cluster.server import Server


class _Wanted:
    """Bytes of the file, an offset of the stream, and how many are to have synced so much."""

    __slots__ = ("appended", "local", "offset", "replicas")

    def __init__(self, appended: int, offset: int, local: int, replicas: int) -> None:
        self.appended = appended
        self.offset = offset
        self.local = local
        self.replicas = replicas


class AofWaits:
    """True while anybody waits."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._waits: dict[Wait, _Wanted] = {}

    def __bool__(self) -> bool:
        return bool(self._waits)

    def __iter__(self) -> Iterator[Wait]:
        return iter(list(self._waits))

    def wait(self, session: Session, local: int, replicas: int, timeout_ms: int) -> bytes | None:
        """The reply, or None while the client is parked."""
        server = self._server
        aof, replication = server.persistence.aof, server.replication
        if server.ctx.allows_blocking:  # what a transaction itself writes goes out with the whole of it
            server.flush_journal()
        wanted = _Wanted(aof.appended, replication.written, local, replicas)
        if self._is_reached(wanted) or not server.ctx.allows_blocking:
            return self._answer(wanted)
        deadline = server.ctx.now_ms + timeout_ms if timeout_ms else None
        wait = Wait(
            session, keys=[], deadline_ms=deadline, retry=None, on_timeout=lambda: self._answer(wanted),
            on_end=lambda: self._waits.pop(wait, None),
        )
        self._waits[wait] = wanted
        server.park(wait)
        if replicas:
            replication.ask_for_acknowledgements()
        return None

    def serve(self) -> None:
        """Something was synced, here or there: answer those who have what they wait for."""
        for wait, wanted in list(self._waits.items()):
            if self._is_reached(wanted):
                self._server.waiting.end(wait, self._answer(wanted))

    def _counts(self, wanted: _Wanted) -> tuple[int, int]:
        aof = self._server.persistence.aof
        return int(aof.has_synced(wanted.appended)), self._server.replication.count_synced(wanted.offset)

    def _is_reached(self, wanted: _Wanted) -> bool:
        local, replicas = self._counts(wanted)
        return local >= wanted.local and replicas >= wanted.replicas

    def _answer(self, wanted: _Wanted) -> bytes:
        local, replicas = self._counts(wanted)
        return replies.array([replies.integer(local), replies.integer(replicas)])
