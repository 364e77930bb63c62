"""maxmemory-clients with real sockets: a client that does not read what it is sent goes, at both servers."""

from __future__ import annotations

import pytest

from tests.system.harness import Harness
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

REPLY_BYTES = 1_000_000


def test_who_does_not_read_goes_and_the_others_stay(harness: Harness) -> None:
    server = harness.server({"cluster-enabled": "no", "maxmemory-clients": "20mb"})
    with server.client() as asking, server.client() as greedy:
        asking.call("SET", "a", "x" * REPLY_BYTES)
        for _ in range(60):
            greedy.send("GET", "a")
        wait_until(lambda: int(server.info("stats")["evicted_clients"]) == 1, 20, "the client to be evicted")
        assert asking.call("PING") == "PONG"
