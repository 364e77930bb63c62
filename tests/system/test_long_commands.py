"""Slow is not dead: a node that is busy with one command for long is not failed over, and one that is stuck is."""

from __future__ import annotations

import time

import pytest

from tests.system.clusters import Cluster
from tests.system.harness import Harness, Server

pytestmark = pytest.mark.system

DEADLINE_S = 30.0
LONG_S = 3.0
"""Long enough for the others to miss a node and elect another."""
MEMBERS = 1000


def keep_busy(server: Server) -> list[str]:
    """Have a server do one thing for LONG_S at least: the command that took that long."""
    tag = next(str(number) for number in range(100_000) if _serves(server, f"{{{number}}}z"))
    source, target = f"{{{tag}}}z", f"{{{tag}}}u"
    with server.client(timeout_s=120.0) as client:
        client.call("ZADD", source, *(word for number in range(MEMBERS) for word in (number, number)))
        count, seconds, command = 1000, 0.0, list[str]()
        while seconds < LONG_S:
            count = max(count, int(1.2 * count * LONG_S / seconds)) if seconds else count
            command = ["ZUNIONSTORE", target, str(count), *[source] * count]
            before = time.monotonic()
            client.call(*command)
            seconds = time.monotonic() - before
    return command


def _serves(server: Server, key: str) -> bool:
    slot = server.call("CLUSTER", "KEYSLOT", key)
    fields = server.text("CLUSTER", "NODES")
    mine = next(line.split() for line in fields.splitlines() if "myself" in line)
    for part in mine[8:]:
        first, _, last = part.partition("-")
        if int(first) <= int(str(slot)) <= int(last or first):
            return True
    return False


def test_a_busy_primary_stays_and_a_stuck_one_is_replaced(harness: Harness) -> None:
    cluster = Cluster.create(harness, 6, 1, {"cluster-node-timeout": "1000"})
    primary = cluster.primaries()[0]
    replica = cluster.replicas_of(primary)[0]
    epoch = cluster.member(primary).config_epoch
    command = keep_busy(primary)
    assert cluster.member(primary).config_epoch == epoch
    assert primary in cluster.primaries()
    for server in cluster.servers:
        assert "as failing" not in server.log(), server.log_tail()
        assert "FAIL message" not in server.log(), server.log_tail()

    with primary.client(timeout_s=60.0) as client:  # a process that does nothing at all is another matter
        client.send("DEBUG", "SLEEP", str(LONG_S))
        cluster.wait_promoted(replica, DEADLINE_S)
    cluster.wait_replica(primary, DEADLINE_S)
    cluster.wait_whole()

    replica.call("CONFIG", "SET", "cluster-busy-limit", "1000")
    name, target, count, *sources = command
    with replica.client(timeout_s=60.0) as client:  # four times as much, or a machine that got faster would be done
        client.send(name, target, str(4 * int(count)), *sources * 4)
        cluster.wait_promoted(primary, DEADLINE_S)
    assert "counts as stuck" in replica.log()
    replica.kill()
