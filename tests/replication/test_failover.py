"""FAILOVER in one process: the steps of a primary that hands over, and of the replica that it asks."""

from __future__ import annotations

from cluster.protocol.replies import request
from tests.commands.in_process import Client, InProcessNode
from tests.replication.test_role import full_sync, wrote


def with_replica(node: InProcessNode) -> Client:
    replica = node.connect()
    replica("REPLCONF", "listening-port", 7777)
    full_sync(replica)
    replica.received()
    return replica


def acknowledge(replica: Client) -> None:
    replica.raw("REPLCONF", "ACK", replica.node.server.replication.offset)


def state(node: InProcessNode) -> str:
    return node.server.replication.failover.state


def test_writes_wait_until_a_replica_has_everything_and_then_go_there(node: InProcessNode) -> None:
    replica = with_replica(node)
    writer = node.connect()
    writer("SET", "a", 1)
    node.server.end_batch()
    assert node("FAILOVER", "TO", "127.0.0.1", 7777) == b"OK"
    assert state(node) == "waiting-for-sync"
    assert request([b"REPLCONF", b"GETACK", b"*"]) in replica.received()
    assert writer.raw("SET", "a", 2) == b"", "it waits"
    assert writer.received() == b""
    offset = node.server.replication.offset
    replica.raw("REPLCONF", "ACK", offset - 1)
    assert state(node) == "waiting-for-sync", "a byte is missing"
    acknowledge(replica)
    assert state(node) == "failover-in-progress"
    link = node.server.replication.link
    assert link is not None
    assert (link.host, link.port) == ("127.0.0.1", 7777)
    assert writer.received() == b"", "it waits on"
    node.server.replication.failover.answered(accepted=True)
    node.server.end_batch()
    assert writer.received().startswith(b"-READONLY ")
    assert state(node) == "no-failover"
    assert node("GET", "a") == b"1"


def test_the_stream_stands_still_meanwhile(node: InProcessNode) -> None:
    replica = with_replica(node)
    assert node("FAILOVER") == b"OK"
    replica.received()
    offset = node.server.replication.offset
    for _ in range(3):
        node.advance(11_000)
        node.server.replication.tick(node.now_ms)
    assert node.server.replication.offset == offset, "no ping, no question"


def test_a_target_that_refuses_leaves_the_primary_a_primary(node: InProcessNode) -> None:
    replica = with_replica(node)
    node("FAILOVER")
    acknowledge(replica)
    assert state(node) == "failover-in-progress"
    node.server.replication.failover.answered(accepted=False)
    assert state(node) == "no-failover"
    assert node.server.replication.link is None
    assert node("SET", "a", 1) == b"OK"
    assert any("rejected" in text for _, text in node.logged)


def test_nobody_can_sync_while_failing_over(node: InProcessNode) -> None:
    with_replica(node)
    node("FAILOVER")
    assert node.connect().error("PSYNC", "?", -1).startswith("NOMASTERLINK ")


def test_a_replica_takes_over_when_its_primary_asks(node: InProcessNode) -> None:
    replication = node.server.replication
    full_sync(node.connect())
    wrote(node, "SET", "a", "1")
    replication.become_replica_of("127.0.0.1", 1)
    assert node.server.replication.link is not None
    replication.link.up = True  # type: ignore[union-attr]
    history, offset = replication.replid, replication.offset
    caller = node.connect()
    caller("REPLCONF", "capa", "psync2")
    assert caller.error("PSYNC", "f" * 40, offset + 1, "FAILOVER") == "ERR PSYNC FAILOVER replid must match my replid."
    answer = caller.raw("PSYNC", history, offset + 1, "FAILOVER")
    assert answer == f"+CONTINUE {replication.replid}\r\n".encode()
    assert replication.replid != history
    assert node("SET", "a", 2) == b"OK"
    assert node("CONFIG", "GET", "replicaof") == [b"replicaof", b""]
