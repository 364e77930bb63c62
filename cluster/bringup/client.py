"""A small blocking RESP client: enough to form a cluster and to look at it, with a deadline on every wait.

The node does without redis-py at run time, and so does this.
"""

from __future__ import annotations

import socket
import ssl
from types import TracebackType
from typing import Self, TypeAlias

import hiredis

Argument: TypeAlias = bytes | str | int

_RECEIVE_BYTES = 65536


class ReplyError(Exception):
    """The server answered with an error; str() is its text."""


class RespClient:
    """One connection, under TLS where there is a context for that. Raises OSError when it cannot be had or breaks,
    TimeoutError included."""

    def __init__(
        self, host: str, port: int, *, password: str = "", timeout_s: float = 5.0, encoding: str | None = "utf-8",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self._reader = (
            hiredis.Reader(replyError=ReplyError)
            if encoding is None
            else hiredis.Reader(replyError=ReplyError, encoding=encoding, errors="surrogateescape")
        )
        self._socket = socket.create_connection((host, port), timeout=timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if tls is not None:
                self._socket = tls.wrap_socket(self._socket)
            if password:
                self.call("AUTH", password)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """For select."""
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def call(self, *arguments: Argument) -> object:
        """Send one command and wait for its reply; an error reply is raised as ReplyError."""
        self.send(*arguments)
        reply = self.receive()
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def text(self, *arguments: Argument) -> str:
        """As `call`, for a reply that is a text."""
        reply = self.call(*arguments)
        if isinstance(reply, bytes):
            return reply.decode("utf-8", "surrogateescape")
        return reply if isinstance(reply, str) else str(reply)

    def pipeline(self, *commands: tuple[Argument, ...]) -> list[object]:
        """Send all, then read a reply for each; an error reply stands in the list as a ReplyError."""
        self._socket.sendall(b"".join(_pack(command) for command in commands))
        return [self.receive() for _ in commands]

    def send(self, *arguments: Argument) -> None:
        self._socket.sendall(_pack(arguments))

    def receive(self) -> object:
        """The next reply; an error reply is returned, not raised."""
        while (reply := self._reader.gets()) is False:
            data = self._socket.recv(_RECEIVE_BYTES)
            if not data:
                raise ConnectionResetError(f"{self.host}:{self.port} closed the connection")
            self._reader.feed(data)
        return reply


def _pack(arguments: tuple[Argument, ...]) -> bytes:
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        data = argument if isinstance(argument, bytes) else str(argument).encode("utf-8", "surrogateescape")
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def info_fields(text: str) -> dict[str, str]:
    """The `name:value` lines of INFO or CLUSTER INFO."""
    pairs = (line.partition(":") for line in text.split("\r\n") if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}
