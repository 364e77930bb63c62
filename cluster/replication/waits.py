"""WAIT: clients parked until enough replicas have acknowledged the writes so far."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cluster.blocking import Wait
from cluster.protocol import replies

if TYPE_CHECKING:
    from cluster.network.session import Session
    from cluster.replication.role import Replication
    from cluster.server import Server


class ReplicaWaits:
    """Each wait with the offset that it wants acknowledged, and by how many."""

    def __init__(self, server: Server, replication: Replication) -> None:
        self._server = server
        self._replication = replication
        self._waits: dict[Wait, tuple[int, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._waits)

    def __iter__(self) -> Iterator[Wait]:
        return iter(list(self._waits))

    def wait(self, session: Session, target: int, count: int, timeout_ms: int) -> bytes | None:
        """The reply, or None while the client is parked."""
        server, replication = self._server, self._replication
        reached = replication.count_acknowledged(target)
        if reached >= count:
            return replies.integer(reached)
        deadline = server.ctx.now_ms + timeout_ms if timeout_ms else None
        wait = Wait(
            session, keys=[], deadline_ms=deadline, retry=None,
            on_timeout=lambda: replies.integer(replication.count_acknowledged(target)),
            on_end=lambda: self._waits.pop(wait, None),
        )
        self._waits[wait] = target, count
        server.park(wait)
        replication.ask_for_acknowledgements()
        return None

    def serve(self) -> None:
        """A replica has acknowledged more."""
        for wait, (target, count) in list(self._waits.items()):
            reached = self._replication.count_acknowledged(target)
            if reached >= count:
                self._server.waiting.end(wait, replies.integer(reached))
