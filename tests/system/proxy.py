"""A proxy between a replica and its primary that a test can cut, hold up, and count."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.system.waiting import wait_until

_CHUNK_BYTES = 65536
_DEADLINE_S = 20.0


class Proxy:
    """Passes connections on to `port`. `cut` ends those there are; while `closed` new ones are ended at once, and while
    `held` nothing passes from the server to its clients."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._open = threading.Event()
        self._flowing = threading.Event()
        self._open.set()
        self._flowing.set()
        self.accepted = 0
        self.passed_bytes = 0
        """From the server to its clients."""
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flowing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(_DEADLINE_S)

    def cut(self) -> None:
        """End every connection, in the middle of whatever is on its way."""
        sockets, self._sockets = self._sockets, []
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Cut, and let nobody in until `reopen`."""
        self._open.clear()
        self.cut()

    def reopen(self) -> None:
        self._open.set()

    def wait_accepted(self, count: int) -> None:
        """Until so many connections have come through in all."""
        wait_until(lambda: self.accepted >= count, _DEADLINE_S, f"{count} connections through the proxy")

    def hold(self) -> None:
        self._flowing.clear()

    def let_go(self) -> None:
        self._flowing.set()

    def _start(self, target: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self._open.is_set():
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            self.accepted += 1
            self._sockets += [client, server]
            self._start(self._serve, client, server)

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        with client, server:
            back = threading.Thread(target=self._pass_on, args=(server, client, True), daemon=True)
            back.start()
            self._pass_on(client, server, False)
            back.join()

    def _pass_on(self, source: socket.socket, sink: socket.socket, from_server: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                if from_server:
                    self._flowing.wait()
                    self.passed_bytes += len(data)
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
