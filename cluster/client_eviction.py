"""Client eviction: who holds most is disconnected while clients together hold more than `maxmemory-clients`.

What a client holds is found out in three places: for each of them in turn, by the timer, in slices; and at once where
a client's input is kept, or its output, because it does not end or is not read. Those are the ways to hold much, and
they are off the way of a command that is answered. Nothing is counted while there is no limit.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heapreplace
from typing import TYPE_CHECKING

from cluster.commands.client_memory import client_memory

if TYPE_CHECKING:
    from cluster.config.store import Configuration
    from cluster.network.session import Session
    from cluster.server import Server

LOOKED_AT_TOGETHER = 16
"""Clients looked at without asking whether the slice is over."""


class ClientEviction:
    """`limit_bytes` is 0 where there is none; `held_bytes` the sum of what is known."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.limit_bytes = 0
        self.held_bytes = 0
        self._sizes: dict[Session, int] = {}
        self._next: list[Session] = []  # whom the timer looks at next, the last first
        server.config.on_change(["maxmemory-clients", "maxmemory"], self._configure)
        self._configure(server.config)

    def _configure(self, config: Configuration) -> None:
        limit = config.maxmemory_clients
        self.limit_bytes = limit if limit >= 0 else config.maxmemory * -limit // 100
        if not self.limit_bytes:
            self._sizes.clear()
            self._next.clear()
            self.held_bytes = 0

    def forget(self, session: Session) -> None:
        """The client is gone, or does not count any more."""
        self.held_bytes -= self._sizes.pop(session, 0)

    def grown(self, session: Session) -> None:
        """More of this client's input or output is kept."""
        if self.limit_bytes:
            self._measure(session)
            self._evict()

    def work(self, is_over: Callable[[], bool]) -> None:
        """Look at some clients, or at all of them when there is time enough."""
        if not self.limit_bytes:
            return
        if not self._next:
            self._next = list(self._server.clients.values())
        while self._next:
            for session in self._next[-LOOKED_AT_TOGETHER:]:
                self._measure(session)
            del self._next[-LOOKED_AT_TOGETHER:]
            if is_over():
                break
        self._evict()

    def _measure(self, session: Session) -> int:
        self.forget(session)
        is_gone = session.id not in self._server.clients
        if is_gone or session.is_replica_link or session.is_primary_link:
            return 0
        size = client_memory(session).total
        self._sizes[session] = size
        self.held_bytes += size
        return size

    def _evict(self) -> None:
        if self.held_bytes <= self.limit_bytes:
            return
        largest = [(-size, one.id, one) for one, size in self._sizes.items() if not one.no_evict]
        heapify(largest)
        while largest and self.held_bytes > self.limit_bytes:
            known, number, session = largest[0]
            size = self._measure(session)
            if size < -known:  # some of what it held has been sent, or done
                heapreplace(largest, (-size, number, session))
                continue
            heappop(largest)
            self._server.log("notice", f"Evicting client: id={number} addr={session.address} tot-mem={size}")
            self._server.stats.evicted_clients += 1
            self.forget(session)
            self._server.kill(session)
