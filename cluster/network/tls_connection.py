"""A client's connection under TLS: to the reactor it is one like the others, with a recv and a send of its own.

What is kept for the client stays as it is until the socket takes more: only the first piece of `pending` may be
ciphertext, the rest of what was begun. So a client that does not read costs neither the time nor the memory to encrypt
what it may never get, and what it is kept counts as it does without TLS.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from cluster.network.connection import Connection
from cluster.network.tunnel import Tunnel

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.network.session import Session
    from cluster.stats import Stats

SEALED_BYTES = 64 * 1024
"""Encrypted at once: some records, and no more than a socket often takes."""
SENT_AT_ONCE_BYTES = 1024 * 1024
"""A send takes no more of a long reply, so that the others have a turn."""


class TlsConnection(Connection):
    """`stuck` is told when the socket has not taken the whole of what was encrypted. Errors are OSErrors."""

    __slots__ = ("_begun", "_stuck", "_tunnel")

    def __init__(
        self, sock: socket.socket, session: Session, tunnel: Tunnel, stuck: Callable[[Connection], None]
    ) -> None:
        super().__init__(sock, session)
        self._tunnel = tunnel
        self._stuck = stuck
        self._begun = False  # the first of `pending` is ciphertext
        self.recv = self._receive
        self.send = self._send

    def _receive(self, size: int) -> bytes:
        """What has come; nothing at the end. Raises BlockingIOError when that is no data yet."""
        tunnel = self._tunnel
        data = self.sock.recv(size)
        if not data:
            return data
        plain = tunnel.open(data)
        if tunnel.has_output and not self.pending:
            self._send(b"")
        if tunnel.is_over:
            if plain:  # The end is for the next time, and without this the epoll would not come back for it.
                self.sock.shutdown(socket.SHUT_RD)
        elif not plain:
            raise BlockingIOError
        return plain

    def _send(self, data: bytes) -> int:
        """Encrypt and send; how much was taken. What of that the socket did not take is kept here."""
        taken = 0
        while True:
            piece = data if len(data) <= SEALED_BYTES else memoryview(data)[taken : taken + SEALED_BYTES]
            sealed = self._tunnel.seal(piece)
            taken += len(piece)
            try:
                sent = self.sock.send(sealed)
            except (BlockingIOError, InterruptedError):
                sent = 0
            if sent < len(sealed):
                self.pending.append(memoryview(sealed)[sent:])
                self.pending_bytes += len(sealed) - sent
                self._begun = True
                self._stuck(self)
                return taken
            if taken == len(data) or taken >= SENT_AT_ONCE_BYTES:
                return taken

    def flush(self, allowed: int, stats: Stats) -> None:
        pending = self.pending
        while pending and allowed > 0:
            if not self._begun:
                self._begin(stats)
            sealed = pending[0]
            try:
                sent = self.sock.send(sealed)
            except (BlockingIOError, InterruptedError):
                return
            stats.writes += 1
            self.pending_bytes -= sent
            allowed -= sent
            if sent < len(sealed):
                pending[0] = memoryview(sealed)[sent:]
                return
            pending.popleft()
            self._begun = False

    def _begin(self, stats: Stats) -> None:
        """Encrypt the next of what is kept."""
        pending, pieces, size = self.pending, [], 0
        while pending and size < SEALED_BYTES:
            piece = pending.popleft()
            room = SEALED_BYTES - size
            if len(piece) > room:
                pending.appendleft(memoryview(piece)[room:])
                piece = memoryview(piece)[:room]
            pieces.append(piece)
            size += len(piece)
        sealed = self._tunnel.seal(b"".join(pieces))
        pending.appendleft(sealed)
        self.pending_bytes += len(sealed) - size
        self._begun = True
        self.session.total_out += size
        stats.output_bytes += size

    def hang_up(self) -> None:
        if not self._begun:
            with suppress(OSError):
                self.sock.send(self._tunnel.end())
        super().hang_up()
        # They know this connection, as it knows them: it would stay until the garbage collector looks at old objects.
        self.recv, self.send = self.sock.recv, self.sock.send
