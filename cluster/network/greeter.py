"""Connections to tls-port until their handshake is done: then the reactor has one more client.

A handshake costs as much as hundreds of commands, so in each batch only some of them go on
(max-new-tls-connections-per-cycle); the clients that are there do not wait for more. Who takes too long is hung up on.
One that fails costs a line in the log, and many a line a second.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from cluster.network.tunnel import Tunnel, TunnelError

if TYPE_CHECKING:
    from cluster.server import Server

READ_BYTES = 16 * 1024
HANDSHAKE_MS = 10_000
"""What a client has for its handshake."""
LINE_PERIOD_MS = 1_000
_READ = select.EPOLLIN | select.EPOLLRDHUP


class _Greeted:
    """`unsent`: what the socket did not take of our part."""

    __slots__ = ("heard", "peer", "since_ms", "sock", "tunnel", "unsent")

    def __init__(self, sock: socket.socket, peer: object, tunnel: Tunnel, since_ms: int) -> None:
        self.sock = sock
        self.peer = peer
        self.tunnel = tunnel
        self.since_ms = since_ms
        self.unsent = b""
        self.heard = False


class Greeter:
    """`welcome` takes over a socket, its peer's name, its tunnel and what has come through that already."""

    def __init__(
        self, server: Server, epoll: select.epoll, welcome: Callable[[socket.socket, object, Tunnel, bytes], None]
    ) -> None:
        self._server = server
        self._epoll = epoll
        self._welcome = welcome
        self._greeted: dict[int, _Greeted] = {}  # by descriptor, in the order in which they came
        self._said_ms = 0
        self._unsaid = 0

    def __len__(self) -> int:
        return len(self._greeted)

    def __contains__(self, fd: int) -> bool:
        return fd in self._greeted

    def begin(self, sock: socket.socket, peer: object) -> None:
        """Greet who has just connected."""
        tunnel = Tunnel(self._server.tls.contexts.clients, server_side=True)
        self._greeted[sock.fileno()] = _Greeted(sock, peer, tunnel, self._server.clock_ms())
        self._epoll.register(sock.fileno(), _READ)

    def serve(self, ready: Iterable[int]) -> None:
        """Go on with some of those whose sockets are ready; the epoll will come back for the others."""
        left = self._server.config.max_new_tls_connections_per_cycle
        for fd in ready:
            one = self._greeted.get(fd)
            if one is not None and left > 0:
                left -= 1
                self._go_on(fd, one)

    def _go_on(self, fd: int, one: _Greeted) -> None:
        try:
            if one.unsent:
                self._send(fd, one, b"")
            data = one.sock.recv(READ_BYTES)
            if not data:
                self._give_up(fd, one, "the connection was closed")
                return
            one.heard = True
            self._send(fd, one, one.tunnel.shake(data))
            early = one.tunnel.open(b"") if one.tunnel.is_up and not one.unsent else b""
        except (BlockingIOError, InterruptedError):
            return
        except TunnelError as error:
            self._give_up(fd, one, str(error), error.farewell)
            return
        except OSError as error:
            self._give_up(fd, one, error.strerror or str(error))
            return
        if one.tunnel.is_up and not one.unsent:
            del self._greeted[fd]
            self._epoll.unregister(fd)
            self._welcome(one.sock, one.peer, one.tunnel, early)

    def _send(self, fd: int, one: _Greeted, data: bytes) -> None:
        data = one.unsent + data
        try:
            sent = one.sock.send(data) if data else 0
        except (BlockingIOError, InterruptedError):
            sent = 0
        was_stuck = bool(one.unsent)
        one.unsent = data[sent:]
        if bool(one.unsent) != was_stuck:
            self._epoll.modify(fd, _READ | select.EPOLLOUT if one.unsent else _READ)

    def check_deadlines(self, now_ms: int) -> None:
        """Hang up on those who are not done in time."""
        while self._greeted:
            fd, one = next(iter(self._greeted.items()))
            if now_ms - one.since_ms < HANDSHAKE_MS:
                break
            self._give_up(fd, one, "the handshake takes too long")

    def _give_up(self, fd: int, one: _Greeted, cause: str, farewell: bytes = b"") -> None:
        del self._greeted[fd]
        self._epoll.unregister(fd)
        where = f"addr={_shown(one.peer)} laddr={_shown(one.sock.getsockname())}"
        try:
            if farewell and not one.unsent:
                one.sock.send(farewell)
        except OSError:
            cause += ", and the peer is gone"
        one.sock.close()
        self._complain(f"Error accepting a client connection: {cause} ({where})", heard=one.heard)

    def _complain(self, line: str, *, heard: bool) -> None:
        """One that said nothing was a look whether the port is open."""
        if not heard:
            self._server.log("verbose", line)
            return
        now = self._server.clock_ms()
        if 0 <= now - self._said_ms < LINE_PERIOD_MS:
            self._unsaid += 1
            return
        more = f" (and {self._unsaid} more since the last line of this kind)" if self._unsaid else ""
        self._said_ms, self._unsaid = now, 0
        self._server.log("warning", line + more)

    def close(self) -> None:
        for one in self._greeted.values():
            one.sock.close()
        self._greeted.clear()


def _shown(name: object) -> str:
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else "?:0"
