"""The connections of a sentinel to servers and to other sentinels: commands out, replies in, in order."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from traceback import format_exception

import trio

from cluster.network.tls_stream import Stream, secured
from cluster.protocol.replies import request
from cluster.sentinel.events import Connected, Disconnected, Event, Received, Value
from cluster.sentinel.replies import BadReply, ReplyReader, ReplyTooLong, Unfinished

READ_BYTES = 64 * 1024
CONNECT_SECONDS = 5
"""An attempt to connect may take that long; the next one comes a second later."""

Handle = Callable[[Event], None]
Complain = Callable[[str], None]


class Outgoing:
    """One connection, as an event's effects see it: what is sent before it is up waits for that."""

    def __init__(
        self, number: int, handle: Handle, complain: Complain, unfinished: Unfinished, *, source: str = "",
        secured_by: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        """complain: a line for the log, about what should not be. source: the address of ours to come from.
        unfinished: what the replies of all connections hold."""
        self.number = number
        self.scope = trio.CancelScope()
        self._handle = handle
        self._complain = complain
        self._replies = ReplyReader(unfinished)
        self._source = source
        self._secured_by = secured_by
        self._closed = False
        self._unsent = bytearray()
        self._more = trio.Event()

    def send(self, arguments: tuple[Value, ...]) -> None:
        self._unsent += request([one if isinstance(one, bytes) else str(one).encode("utf-8", "surrogateescape")
                                 for one in arguments])  # fmt: skip
        self._more.set()

    def close(self) -> None:
        """No event comes any more."""
        self._closed = True
        self.scope.cancel()

    async def run(self, ip: str, port: int) -> None:
        """Connect, and stay until the connection ends."""
        cause = "Connection closed"
        with self.scope:
            try:
                await self._serve(ip, port)
            except* trio.TooSlowError:
                cause = "Connection timed out"
            except* trio.BrokenResourceError:
                cause = "Connection reset by peer"
            except* ReplyTooLong as errors:
                cause = str(_first(errors))
                self._complain(f"Closing the connection to {ip}:{port}: {cause}")
            except* (OSError, BadReply) as errors:
                cause = str(_first(errors)) or type(_first(errors)).__name__
            except* Exception as errors:  # noqa: BLE001  (ours: it costs this connection only)
                cause = f"a fault of this sentinel ({type(_first(errors)).__name__})"
                shown = "".join(format_exception(errors))
                self._complain(f"=== BUG: the connection to {ip}:{port} failed: {shown}")
        self._replies.close()
        self._tell(Disconnected(self.number, cause))

    async def _serve(self, ip: str, port: int) -> None:
        with trio.fail_after(CONNECT_SECONDS):
            plain = await _connect(ip, port, self._source)
            stream = plain if self._secured_by is None else await secured(plain, self._secured_by)
        async with stream:
            self._tell(Connected(self.number, stream.socket.getsockname()[0]))
            await self._talk(stream)

    def _tell(self, event: Event) -> None:
        if not self._closed:
            self._handle(event)

    async def _talk(self, stream: Stream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, stream)
            while data := await stream.receive_some(READ_BYTES):
                for reply in self._replies.feed(data):
                    self._tell(Received(self.number, reply))
            nursery.cancel_scope.cancel()

    async def _write(self, stream: Stream) -> None:
        while True:
            while self._unsent:
                data, self._unsent = bytes(self._unsent), bytearray()
                await stream.send_all(data)
            self._more = trio.Event()
            await self._more.wait()


def _first(errors: ExceptionGroup[Exception]) -> Exception:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


async def _connect(ip: str, port: int, source: str) -> trio.SocketStream:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    sock = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            await sock.bind((source, 0))
        await sock.connect((ip, port))
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)
