"""Clients that wait: for a key (BLPOP's family), for replicas (WAIT), for a migration, for a pause to end.

There is no task a client. A command parks its client here and returns None; whatever the client waits for calls
back. Clients of one key are served in the order in which they came.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.commands.context import Context
    from cluster.network.session import Session

FEW_ENDED = 64
"""Ended waits that may stand among the deadlines before anybody looks for them."""
Retry = Callable[["Context", bytes], bytes | None]


class Wait:
    """One client's wait. `retry(ctx, key)` gives the reply when `key` can serve it, else None."""

    __slots__ = ("client", "db", "deadline_ms", "ended", "keys", "on_end", "on_timeout", "retry")

    def __init__(
        self,
        client: Session,
        *,
        keys: list[bytes],
        deadline_ms: int | None,
        retry: Retry | None,
        on_timeout: bytes | Callable[[], bytes],
        on_end: Callable[[], object] | None = None,
    ) -> None:
        self.client = client
        self.db = client.db.index
        self.keys = keys
        self.deadline_ms = deadline_ms
        self.retry = retry
        self.on_timeout = on_timeout
        self.on_end = on_end
        self.ended = False


class WaitingRoom:
    """`by_key` maps (database, key) → the waits on it, oldest first."""

    def __init__(self) -> None:
        self.by_key: dict[tuple[int, bytes], dict[Wait, None]] = {}
        self._deadlines: list[tuple[int, int, Wait]] = []
        self._ended = 0  # waits with a deadline that ended since the heap was last cleared of them
        self._order = count()
        self._ready: dict[tuple[int, bytes], None] = {}
        self.clients = 0

    def park(self, wait: Wait) -> None:
        """The client executes nothing more until `end`."""
        self.clients += 1
        wait.client.park(wait)
        for key in dict.fromkeys(wait.keys):
            self.by_key.setdefault((wait.db, key), {})[wait] = None
        if wait.deadline_ms is not None:
            heapq.heappush(self._deadlines, (wait.deadline_ms, next(self._order), wait))

    def end(self, wait: Wait, reply: bytes | None) -> None:
        """The wait is over: answer (unless None) and let the client's next commands run."""
        if wait.ended:
            return
        wait.ended = True
        self.clients -= 1
        for key in dict.fromkeys(wait.keys):
            waits = self.by_key.get((wait.db, key))
            if waits is not None:
                waits.pop(wait, None)
                if not waits:
                    del self.by_key[(wait.db, key)]
        if wait.on_end is not None:
            wait.on_end()
            wait.on_end = None
        if wait.deadline_ms is not None:
            self._ended += 1
            if self._ended > max(FEW_ENDED, len(self._deadlines) // 2):
                self._clear_ended()
        wait.client.unpark(reply)

    def key_ready(self, db: int, key: bytes) -> None:
        """`key` was created, grew or is gone; who waits for it is asked when the command at hand is done."""
        if (db, key) in self.by_key:
            self._ready[(db, key)] = None

    @property
    def has_ready(self) -> bool:
        return bool(self._ready)

    def take_ready(self) -> list[tuple[int, bytes]]:
        ready = list(self._ready)
        self._ready.clear()
        return ready

    @property
    def timed_clients(self) -> int:
        """Waits that have a deadline."""
        return sum(not wait.ended for _, _, wait in self._deadlines)

    def _clear_ended(self) -> None:
        """Drop what would stay until its deadline, in years perhaps, with the clients that are long gone."""
        self._deadlines = [entry for entry in self._deadlines if not entry[2].ended]
        heapq.heapify(self._deadlines)
        self._ended = 0

    def next_deadline_ms(self) -> int | None:
        while self._deadlines and self._deadlines[0][2].ended:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def time_out(self, now_ms: int) -> None:
        """End every wait whose deadline has come."""
        while self._deadlines and (self._deadlines[0][0] <= now_ms or self._deadlines[0][2].ended):
            wait = heapq.heappop(self._deadlines)[2]
            if not wait.ended:
                self.end(wait, wait.on_timeout if isinstance(wait.on_timeout, bytes) else wait.on_timeout())
