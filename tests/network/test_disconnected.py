"""A client that is gone takes with it what it had sent and what waited for it, at once."""

from __future__ import annotations

import gc
import socket
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.blocking import FEW_ENDED
from cluster.network.connection import Connection
from cluster.network.session import Session
from tests.commands.in_process import InProcessNode
from tests.commands.whole import WholeNode


@pytest.fixture
def _no_garbage_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_garbage_collector")
@pytest.mark.parametrize("sent", [
    b"",
    b"PING\r\n",
    b"*2\r\n$4\r\nECHO\r\n$2000000\r\nhalf",
    b"*2\r\n$4\r\nECHO\r\n$9\r\nhalf",
    b"*1000000\r\n$1\r\na\r\n$1\r\n",
    b"BLPOP k 0\r\nPING\r\n",
    b"MULTI\r\nSET k v\r\n",
    b"WATCH k\r\nMULTI\r\n",
    b"MONITOR\r\n",
    b"not a comm",
])  # fmt: skip
def test_nothing_of_it_stays(sent: bytes) -> None:
    node = InProcessNode()
    with socket.socket() as sock:
        session = node.server.connect(address="127.0.0.1:50001")
        session.transport = Connection(sock, session)
        node.server.start_batch()
        if sent:
            session.receive(sent)
        node.end_batch()
        gone = weakref.ref(session)
        node.server.disconnect(session)
        node("PING")  # the node's context is another client's from here on
        del session
        assert gone() is None


@pytest.mark.usefixtures("_no_garbage_collector")
@pytest.mark.parametrize("sent", [b"BLPOP k 1000000\r\n", b"WAIT 1 0\r\n", b"WAIT 1 1000000000\r\n"])
def test_of_many_that_wait_for_years_few_are_remembered(tmp_path: Path, sent: bytes) -> None:
    server = WholeNode(tmp_path).server
    gone: list[weakref.ref[Session]] = []
    for _ in range(10 * FEW_ENDED):
        session = server.connect(address="127.0.0.1:50001")
        server.start_batch()
        session.receive(sent)
        server.end_batch()
        assert session.wait is not None
        server.disconnect(session)
        gone.append(weakref.ref(session))
    assert sum(one() is not None for one in gone) <= FEW_ENDED + 1
    assert server.waiting.timed_clients == 0
