"""protected-mode: without a password only this machine is served."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from cluster.network.reactor import Reactor
from tests.commands.in_process import InProcessNode

FROM_ELSEWHERE = [("10.0.0.1", 5000), ("::ffff:10.0.0.1", 5000, 0, 0), ("2001:db8::1", 5000, 0, 0)]
FROM_HERE = [("127.0.0.1", 5000), ("127.9.9.9", 5000), ("::1", 5000, 0, 0), ("::ffff:127.0.0.1", 5000, 0, 0)]


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket() as one:
        yield one


def refusal(sock: socket.socket, peer: object, *directives: tuple[str, str]) -> str:
    reactor = Reactor(InProcessNode(("cluster-enabled", "no"), *directives).server)
    try:
        return reactor._refusal(sock, peer) or ""
    finally:
        reactor.close()


@pytest.mark.parametrize("peer", FROM_ELSEWHERE)
def test_who_comes_from_elsewhere_is_refused_while_there_is_no_password(sock: socket.socket, peer: object) -> None:
    assert refusal(sock, peer).startswith("DENIED Redis is running in protected mode")
    assert refusal(sock, peer, ("requirepass", "x")) == ""
    assert refusal(sock, peer, ("protected-mode", "no")) == ""


@pytest.mark.parametrize("peer", FROM_HERE)
def test_who_comes_from_this_machine_is_served(sock: socket.socket, peer: object) -> None:
    assert refusal(sock, peer) == ""
    with socket.socket(socket.AF_UNIX) as unix:
        assert refusal(unix, "") == ""
