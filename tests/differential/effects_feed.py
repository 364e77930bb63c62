"""What a redis-server tells its replicas: a connection that asks for a full sync, and then only listens."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Any

from tests.differential.oracle import START_SECONDS, Oracle
from tests.differential.resp import Incomplete, decode

_MARK = b"effects-feed-mark"
_OF_THE_LINK = (b"SELECT", b"PING", b"MULTI", b"EXEC")


class EffectsFeed:
    """`since_last()` gives the commands a replica has been sent since the last call, without what frames them."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        oracle(b"CONFIG", b"SET", b"repl-diskless-sync", b"no")
        self._socket = socket.create_connection(("127.0.0.1", oracle.port), timeout=START_SECONDS)
        self._socket.sendall(b"SYNC\r\n")
        self._data = b""
        while b"\r\n" not in self._data:
            self._receive()
            self._data = self._data.lstrip(b"\n")
        head, _, self._data = self._data.partition(b"\r\n")
        snapshot_bytes = int(head[1:])
        while len(self._data) < snapshot_bytes:
            self._receive()
        self._data = self._data[snapshot_bytes:]
        self.since_last()

    def _receive(self) -> None:
        received = self._socket.recv(1 << 16)
        assert received, "redis-server closed the link of a replica"
        self._data += received

    def since_last(self) -> list[list[bytes]]:
        self._oracle(b"PUBLISH", _MARK, b"")
        found: list[list[bytes]] = []
        while (command := self._command())[1:2] != [_MARK]:
            if command[0].upper() not in _OF_THE_LINK:
                found.append(command)
        return found

    def _command(self) -> list[bytes]:
        while True:
            try:
                reply, end = decode(self._data)
            except Incomplete:
                self._receive()
                continue
            self._data = self._data[end:]
            items: Any = reply.value
            return [item.value for item in items]

    def __enter__(self) -> EffectsFeed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
