"""One end of a TLS connection: bytes in, bytes out; no socket.

What is to be sent after a call comes back from it, or stays until the next one where it can wait (a new key, say, has
to be announced before the next data only). Nothing is ever left inside for want of being asked for: what has come in is
decrypted at once, since no epoll would tell of it again.
"""

from __future__ import annotations

import ssl
from contextlib import suppress

from cluster.tls import cause_of

MOST_BYTES = 64 * 1024
"""Asked for at once, which is more than a record holds."""


class TunnelError(OSError):
    """The peer does not speak TLS, or not as we have to ask for. `farewell` is what tells it so."""

    def __init__(self, cause: str, farewell: bytes = b"") -> None:
        super().__init__(cause)
        self.farewell = farewell


class Tunnel:
    """`is_up`: the handshake is done. `is_over`: the peer has said that nothing more comes."""

    __slots__ = ("_incoming", "_outgoing", "_read", "_ssl", "_write", "is_over", "is_up")

    def __init__(self, context: ssl.SSLContext, *, server_side: bool) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        self._read = self._ssl.read
        self._write = self._ssl.write
        self.is_up = False
        self.is_over = False

    @property
    def has_output(self) -> bool:
        return self._outgoing.pending > 0

    def shake(self, data: bytes = b"") -> bytes:
        """Take what came of the handshake; what is to be sent of it. Raises TunnelError."""
        self._incoming.write(data)
        try:
            self._ssl.do_handshake()
            self.is_up = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            raise TunnelError(cause_of(error), self._outgoing.read()) from None
        return self._outgoing.read()

    def open(self, data: bytes) -> bytes:
        """What ciphertext holds; nothing when that is not whole yet, or the end (`is_over`). Raises TunnelError."""
        incoming = self._incoming
        incoming.write(data)
        try:
            plain = self._read(MOST_BYTES)
            if plain and not incoming.pending:
                return plain
            return self._read_rest(plain)
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLError as error:
            raise TunnelError(cause_of(error), self._outgoing.read()) from None

    def _read_rest(self, plain: bytes) -> bytes:
        pieces = [plain]
        with suppress(ssl.SSLWantReadError):
            while plain:
                plain = self._read(MOST_BYTES)
                pieces.append(plain)
            self.is_over = True
        return b"".join(pieces)

    def seal(self, data: bytes | memoryview) -> bytes:
        """The ciphertext of `data`, behind whatever else has to be said."""
        if data:
            written = self._write(data)
            while written < len(data):
                written += self._write(memoryview(data)[written:])
        return self._outgoing.read()

    def end(self) -> bytes:
        """What tells the peer that nothing more comes."""
        with suppress(ssl.SSLError):
            self._ssl.unwrap()
        return self._outgoing.read()
