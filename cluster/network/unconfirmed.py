"""Replies that wait until enough replicas have what they tell of (cluster-write-acks)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.network.connection import Connection


class Unconfirmed:
    """In the order in which they were made: once one waits, all that come after it do, so nobody's get out of order."""

    def __init__(self) -> None:
        self._queue: deque[tuple[int, int, Connection, bytes]] = deque()
        """(place in the stream, since when, whose, what)"""

    def __bool__(self) -> bool:
        return bool(self._queue)

    def hold(self, connections: Iterable[Connection], place: int, now_ms: int) -> None:
        """What these have to be sent waits until the stream is confirmed up to `place`. A replica's does not: what it
        is sent is what is to be confirmed."""
        for connection in connections:
            session = connection.session
            if session.out and not session.is_replica_link and connection.fd >= 0:
                self._queue.append((place, now_ms, connection, b"".join(session.out)))
                session.out.clear()
                connection.unconfirmed += 1

    def release(self, confirmed: int, send: Callable[[Connection], None]) -> None:
        """Send what waited for no more than `confirmed`."""
        queue = self._queue
        while queue and queue[0][0] <= confirmed:
            _, _, connection, data = queue.popleft()
            connection.unconfirmed -= 1
            if connection.fd >= 0:
                connection.pending.append(data)
                connection.pending_bytes += len(data)
                send(connection)

    def give_up(self, before_ms: int, hang_up: Callable[[Connection], None]) -> int:
        """Hang up on those who have waited since `before_ms` or longer: they do not know what became of their writes,
        and nor do we. How many."""
        queue = self._queue
        late: dict[Connection, None] = {}
        while queue and queue[0][1] <= before_ms:
            late[queue.popleft()[2]] = None
        for connection in late:
            hang_up(connection)
        return len(late)
