"""MIGRATE's connections: taken out, kept for a while, spoken over. What fails is raised as the line for the client."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import hiredis
import trio

from cluster.network.tls_stream import Stream, secured
from cluster.protocol import replies
from cluster.slots.migration import Migration
from cluster.stats import Stats

READ_BYTES = 64 * 1024
CACHED_LIMIT = 64
"""Connections kept for the next MIGRATE."""
CACHED_SECONDS = 10.0
PIECE_BYTES = 256 * 1024
"""Sent at once: the target restores one piece while the next is encoded."""
ANSWER_LIMIT_BYTES = 64 * 1024
"""An answer is one line. Who sends so much without ending one is no Redis."""
CONNECTING = "IOERR error or timeout connecting to the client"
WRITING = "IOERR error or timeout writing to target instance"
READING = "IOERR error or timeout reading to target instance"

_UNCONNECTABLE = (socket.gaierror, ValueError, TimeoutError, trio.TooSlowError)
"""No address for the name, what can be no name, or no answer at all. One that refuses the connection, redis-server
meets only when it writes, and says so."""

_Name = tuple[str, int, tuple[bytes, ...]]


class Failed(Exception):
    """The error line for the client."""


@dataclass(slots=True)
class Connection:
    stream: Stream
    reader: hiredis.Reader
    db: int = 0
    used_at: float = field(default_factory=trio.current_time)
    fresh: bool = True

    async def send(self, parts: list[bytes], goes_on: Callable[[], None]) -> None:
        """Send the parts, however many bytes they are, as long as that goes on."""
        gathered: list[bytes] = []
        size = 0
        for part in parts:
            gathered.append(part)
            size += len(part)
            if size >= PIECE_BYTES:
                await self.stream.send_all(b"".join(gathered))
                goes_on()
                gathered, size = [], 0
        await self.stream.send_all(b"".join(gathered))
        goes_on()

    async def answer(self) -> object:
        """The next answer; a hiredis.ReplyError where it is one."""
        received = 0
        while (answer := _next_answer(self.reader)) is False:
            if received > ANSWER_LIMIT_BYTES:
                raise Failed(READING)
            data = await self.stream.receive_some(READ_BYTES)
            if not data:
                raise trio.BrokenResourceError
            received += len(data)
            self.reader.feed(data)
        return answer

    async def answer_prelude(self, prelude: list[bytes]) -> None:
        for _ in prelude:
            _accept(await self.answer())

    def close(self) -> None:
        self.stream.socket.close()


class Connections:
    """Those that are kept for the next MIGRATE."""

    def __init__(self, stats: Stats, secured_by: Callable[[], ssl.SSLContext | None]) -> None:
        self._stats = stats
        self._secured_by = secured_by
        self._cached: dict[_Name, Connection] = {}

    async def take(self, migration: Migration) -> Connection:
        """A kept connection, taken out for the time of its use, or a new one."""
        kept = self._cached.pop(_name(migration), None)
        if kept is not None:
            return kept
        _check_address(migration)
        try:
            with trio.fail_after(migration.timeout_seconds):
                plain = await trio.open_tcp_stream(migration.host, migration.port)
                context = self._secured_by()
                stream = plain if context is None else await secured(plain, context)
        except _UNCONNECTABLE:
            raise Failed(CONNECTING) from None
        except (OSError, OverflowError, trio.BrokenResourceError):
            raise Failed(WRITING) from None
        return Connection(stream, hiredis.Reader())

    async def keep(self, migration: Migration, connection: Connection) -> None:
        connection.fresh = False
        connection.used_at = trio.current_time()
        name = _name(migration)
        if name in self._cached or len(self._cached) >= CACHED_LIMIT:
            await self._forget(name if name in self._cached else next(iter(self._cached)))
        self._cached[name] = connection
        self._stats.migrate_sockets = len(self._cached)

    async def close_unused(self) -> None:
        """Again and again, until cancelled."""
        while True:
            await trio.sleep(CACHED_SECONDS / 2)
            for name, connection in list(self._cached.items()):
                if trio.current_time() - connection.used_at > CACHED_SECONDS:
                    await self._forget(name)

    def close(self) -> None:
        for connection in self._cached.values():
            connection.close()
        self._cached.clear()

    async def _forget(self, name: _Name) -> None:
        connection = self._cached.pop(name, None)
        self._stats.migrate_sockets = len(self._cached)
        if connection is not None:
            await trio.aclose_forcefully(connection.stream)


class ConnectionNow:
    """One over which everything else waits, to be used in a `with`."""

    def __init__(self, migration: Migration, context: ssl.SSLContext | None) -> None:
        _check_address(migration)
        self._reader = hiredis.Reader()
        try:
            self._socket = socket.create_connection((migration.host, migration.port), migration.timeout_seconds)
            if context is not None:
                self._socket = context.wrap_socket(self._socket)
        except _UNCONNECTABLE:
            raise Failed(CONNECTING) from None
        except (OSError, OverflowError):
            raise Failed(WRITING) from None

    def __enter__(self) -> ConnectionNow:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, parts: list[bytes]) -> None:
        try:
            self._socket.sendall(b"".join(parts))
        except OSError:
            raise Failed(WRITING) from None

    def answer(self) -> object:
        received = 0
        try:
            while (answer := _next_answer(self._reader)) is False:
                data = self._socket.recv(READ_BYTES)
                received += len(data)
                if not data or received > ANSWER_LIMIT_BYTES:
                    raise Failed(READING)
                self._reader.feed(data)
        except OSError:
            raise Failed(READING) from None
        return answer

    def answer_prelude(self, prelude: list[bytes]) -> None:
        for _ in prelude:
            _accept(self.answer())


def prelude_of(migration: Migration, *, fresh: bool, db: int) -> list[bytes]:
    """What has to be said over a connection, on which `db` is selected, before the keys are sent."""
    prelude: list[bytes] = []
    if fresh and migration.credentials:
        prelude.append(replies.request([b"AUTH", *migration.credentials]))
    if db != migration.target_db:
        prelude.append(replies.request([b"SELECT", b"%d" % migration.target_db]))
    return prelude


def refused(answer: object) -> str:
    return f"ERR Target instance replied with error: {answer}"


def _accept(answer: object) -> None:
    if isinstance(answer, hiredis.ReplyError):
        raise Failed(refused(answer))


def _next_answer(reader: hiredis.Reader) -> object:
    """The next answer that is complete, else False. Raises Failed where the target does not speak RESP.

    hiredis raises the other two for sizes and keys of maps that no Redis sends.
    """
    try:
        return reader.gets()
    except (hiredis.ProtocolError, MemoryError, TypeError):
        raise Failed(READING) from None


def _check_address(migration: Migration) -> None:
    if not migration.host or migration.port < 0:
        raise Failed(CONNECTING)


def _name(migration: Migration) -> _Name:
    return migration.host, migration.port, migration.credentials
