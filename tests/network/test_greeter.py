"""Handshakes that fail, stand still or come in crowds."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest

from cluster.network.greeter import HANDSHAKE_MS, Greeter
from cluster.network.tunnel import Tunnel
from cluster.server import Server
from tests.certificates import Certificates
from tests.commands.in_process import InProcessNode


class Door:
    """A greeter, and clients that knock."""

    def __init__(self, server: Server) -> None:
        self.lines: list[str] = []
        self.now_ms = 1_000_000
        self.welcomed: list[bytes] = []
        server.log = lambda level, text: self.lines.append(f"{level} {text}")
        server.clock_ms = lambda: self.now_ms
        self._epoll = select.epoll()
        self.greeter = Greeter(server, self._epoll, self._welcome)
        self._sockets: list[socket.socket] = []

    def _welcome(self, sock: socket.socket, _peer: object, _tunnel: Tunnel, early: bytes) -> None:
        self.welcomed.append(early)
        sock.close()

    def knock(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self._sockets.append(theirs)
        self.greeter.begin(ours, ("127.0.0.1", 5))
        return theirs

    def serve(self) -> None:
        self.greeter.serve([fd for fd, _ in self._epoll.poll(0)])

    def close(self) -> None:
        self.greeter.close()
        self._epoll.close()
        for sock in self._sockets:
            sock.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def door(certificates: Certificates) -> Iterator[Door]:
    server = InProcessNode().server
    server.config.set([*certificates.directives.items(), ("tls-port", "7")])
    server.tls.load()
    door = Door(server)
    yield door
    door.close()


def test_what_comes_with_the_end_of_the_handshake_is_not_lost(door: Door, certificates: Certificates) -> None:
    sock, tunnel = door.knock(), Tunnel(certificates.client, server_side=False)
    sock.send(tunnel.shake())
    door.serve()
    sock.send(tunnel.shake(sock.recv(65536)) + tunnel.seal(b"PING\r\n"))
    door.serve()
    assert door.welcomed == [b"PING\r\n"]
    assert len(door.greeter) == 0


def test_a_flood_of_garbage_costs_a_line_a_second(door: Door) -> None:
    for _ in range(20):
        door.knock().send(b"GET / HTTP/1.1\r\n")
    for _ in range(20):
        assert len(door.greeter) > 0
        door.serve()
    assert len(door.greeter) == 0, "one goes on in each turn"
    assert len(door.lines) == 1
    assert door.lines[0].startswith("warning Error accepting a client connection: http request (addr=127.0.0.1:5 ")
    door.now_ms += 1_000
    door.knock().send(b"garbage")
    door.serve()
    assert door.lines[1].endswith("(and 19 more since the last line of this kind)")


def test_who_only_looks_whether_the_port_is_open_is_no_news(door: Door) -> None:
    door.knock().close()
    door.serve()
    assert [line.split()[0] for line in door.lines] == ["verbose"]


def test_who_takes_too_long_is_hung_up_on(door: Door) -> None:
    slow = door.knock()
    slow.send(b"\x16")
    door.serve()
    door.now_ms += HANDSHAKE_MS - 1
    door.greeter.check_deadlines(door.now_ms)
    assert len(door.greeter) == 1
    door.now_ms += 1
    door.greeter.check_deadlines(door.now_ms)
    assert len(door.greeter) == 0
    assert slow.recv(1) == b""
    assert "the handshake takes too long" in door.lines[0]
