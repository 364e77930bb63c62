"""Subscribers that do nothing but read, so that what is measured is the server's work for each of them."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, Thread

CHANNEL = "bench:channel"
COUNT = 50
MESSAGE = "xxx"
_READ_BYTES = 256 * 1024
_PATIENCE_S = 10.0
_MESSAGE_BYTES = len(f"*3\r\n$7\r\nmessage\r\n${len(CHANNEL)}\r\n{CHANNEL}\r\n${len(MESSAGE)}\r\n{MESSAGE}\r\n")


class Listeners:
    """They read in a thread of their own."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self._sockets = {sock.fileno(): sock for sock in sockets}
        self._bytes = 0
        self._expected = -1
        self._done = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait_for(self, messages: int) -> None:
        """Return when each has got so many. RuntimeError: they did not come."""
        self._expected = messages * len(self._sockets) * _MESSAGE_BYTES
        self._thread.join(_PATIENCE_S)
        self._done.set()
        if self._bytes != self._expected:
            raise RuntimeError(f"subscribers got {self._bytes} bytes, where {self._expected} were published")

    def close(self) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        with select.epoll() as poll:
            for fd in self._sockets:
                poll.register(fd, select.EPOLLIN)
            while not self._done.is_set() and self._bytes != self._expected:
                for fd, _ in poll.poll(0.05):
                    data = self._sockets[fd].recv(_READ_BYTES)
                    if not data:
                        poll.unregister(fd)
                    self._bytes += len(data)


@contextmanager
def listening(port: int) -> Iterator[Listeners]:
    """COUNT subscribers of CHANNEL."""
    with ExitStack() as stack:
        sockets = []
        for _ in range(COUNT):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            sock.sendall(f"SUBSCRIBE {CHANNEL}\r\n".encode())
            sock.recv(_READ_BYTES)
            sockets.append(sock)
        listeners = Listeners(sockets)
        try:
            yield listeners
        finally:
            listeners.close()
