"""A client's connection, as the reactor has it: a socket and what it did not take yet."""

from __future__ import annotations

import socket
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.network.session import Session
    from cluster.stats import Stats

BUFFERS_PER_SEND = 64


class Connection:
    """One client's socket and what could not be sent yet."""

    __slots__ = (
        "fd", "over_soft_since_ms", "pending", "pending_bytes", "recv", "send", "session", "sock", "unconfirmed",
        "writing",
    )

    def __init__(self, sock: socket.socket, session: Session) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.recv: Callable[[int], bytes] = sock.recv
        self.send: Callable[[bytes], int] = sock.send
        self.session = session
        self.pending: deque[bytes | memoryview] = deque()
        self.pending_bytes = 0
        self.writing = False
        self.unconfirmed = 0  # replies that wait for replicas
        self.over_soft_since_ms: int | None = None

    def flush(self, allowed: int, stats: Stats) -> None:
        """Send of what is kept as much as the socket takes, about `allowed` bytes at most. Raises OSError."""
        pending = self.pending
        while pending and allowed > 0:
            batch = list(islice(pending, BUFFERS_PER_SEND))
            try:
                sent = self.sock.sendmsg(batch)
            except (BlockingIOError, InterruptedError):
                return
            stats.output_bytes += sent
            stats.writes += 1
            self.session.total_out += sent
            self.pending_bytes -= sent
            allowed -= sent
            size = sum(map(len, batch))
            complete = sent == size
            while pending and sent >= len(pending[0]):
                sent -= len(pending.popleft())
            if sent:
                pending[0] = memoryview(pending[0])[sent:]
            if not complete:
                return

    def hang_up(self) -> None:
        """Close the socket; what is kept is lost."""
        self.sock.close()
        self.pending.clear()
