"""SIGTERM under a load of writes: whatever was acknowledged is in the last snapshot."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cluster.bringup.client import ReplyError
from tests.system.harness import Harness, Server

pytestmark = pytest.mark.system

CLIENTS = 4
ROUNDS = 4
"""The writes used to slip in between the snapshot and the end in one of four."""


@contextmanager
def counting(server: Server) -> Iterator[list[int]]:
    """Clients that each increment a counter, until the server is gone: the values that were acknowledged last."""
    acknowledged = [0] * CLIENTS
    begun = threading.Barrier(CLIENTS + 1)

    def count(number: int) -> None:
        with server.client() as client:
            acknowledged[number] = int(str(client.call("INCR", f"count:{number}")))
            begun.wait()
            try:
                while True:
                    acknowledged[number] = int(str(client.call("INCR", f"count:{number}")))
            except (OSError, EOFError, ReplyError):
                return

    threads = [threading.Thread(target=count, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    begun.wait()
    yield acknowledged
    for thread in threads:
        thread.join()


def test_what_is_acknowledged_until_the_end_is_saved(harness: Harness) -> None:
    server = harness.server({"cluster-enabled": "no", "save": "3600 1"})
    server.call("DEBUG", "POPULATE", 20_000)
    for _ in range(ROUNDS):
        with counting(server) as acknowledged:
            assert server.terminate() == 0
        server.start()
        kept = [int(str(server.call("GET", f"count:{number}"))) for number in range(CLIENTS)]
        assert all(map(int.__ge__, kept, acknowledged)), (kept, acknowledged)
