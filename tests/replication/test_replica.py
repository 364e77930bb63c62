"""What a replica answers its clients, outside a cluster, and what becomes of what they write there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.in_process import InProcessNode
from tests.commands.whole import WholeNode
from tests.replication.test_role import wrote


@pytest.fixture
def replica(node: InProcessNode) -> InProcessNode:
    """It has a key, and follows somebody who is not there."""
    wrote(node, "SET", "a", "1")
    node.server.replication.become_replica_of("127.0.0.1", 1)
    return node


def test_reads_go_through_and_writes_do_not(replica: InProcessNode) -> None:
    for command in (("SET", "a", 2), ("DEL", "a"), ("MSET", "a", 1, "b", 2), ("FLUSHALL",), ("INCR", "n")):
        assert replica.error(*command).startswith("READONLY "), command
    client = replica.connect()
    client.session.receive(b"GET a\r\nSET a 2\r\nGET a\r\n")
    assert client.received().split(b"\r\n")[:2] == [b"$1", b"1"]
    replica.server.replication.become_independent()
    assert replica("SET", "a", 3) == b"OK"


def test_reads_take_the_fast_road(replica: InProcessNode) -> None:
    assert not replica.server.unusual
    assert b"GET" in replica.server.table.fast
    assert b"SET" not in replica.server.table.fast
    replica("CONFIG", "SET", "replica-read-only", "no")
    replica.server.refresh_road()
    assert b"SET" in replica.server.table.fast


@pytest.mark.parametrize("state", ["connect", "connecting", "handshake", "sync", "connected"])
def test_role_and_info_tell_the_state_of_the_link(replica: InProcessNode, state: str) -> None:
    link = replica.server.replication.link
    assert link is not None
    link.state, link.up = state, state == "connected"
    offset = replica.server.replication.offset if link.up else -1
    assert replica("ROLE") == [b"slave", b"127.0.0.1", 1, state.encode(), offset]
    info = dict(line.split(":", 1) for line in replica("INFO", "replication").decode().splitlines() if ":" in line)
    assert info["master_link_status"] == ("up" if link.up else "down")
    assert info["master_sync_in_progress"] == str(int(state == "sync"))
    assert ("master_sync_left_bytes" in info) == (state == "sync")
    assert ("master_link_down_since_seconds" in info) == (not link.up)


def test_what_clients_write_on_a_replica_expires_there(replica: InProcessNode) -> None:
    """The primary never heard of it, and so will never delete it; its own keys wait for its word."""
    replica.server.databases[0].store(b"primary's", b"v", replica.now_ms + 100)
    replica("CONFIG", "SET", "replica-read-only", "no")
    replica.server.refresh_road()
    wrote(replica, "SET", "own", "v", "PX", "100")
    wrote(replica, "SET", "kept", "v", "PX", "100")
    wrote(replica, "PERSIST", "kept")
    assert b"slave_expires_tracked_keys:2" in replica("INFO", "stats")
    replica.advance(200)
    replica.server.start_batch()
    replica.server.replication.tick(replica.now_ms)
    replica.server.end_batch()
    assert sorted(replica.server.databases[0].keys()) == [b"a", b"kept", b"primary's"]
    assert b"slave_expires_tracked_keys:0" in replica("INFO", "stats")


def test_replicaof_answers_as_redis_does(node: InProcessNode) -> None:
    assert node.error("REPLICAOF", "h", "x") == "ERR Invalid master port"
    assert node.error("REPLICAOF", "h", 65536) == "ERR Invalid master port"
    assert node("REPLICAOF", "NO", "ONE") == b"OK"
    assert node("SLAVEOF", "h", 1) == b"OK"
    assert node("REPLICAOF", "h", 1) == b"OK Already connected to specified master"
    assert node("CONFIG", "GET", "replicaof") == [b"replicaof", b"h 1"]
    assert node("REPLICAOF", "no", "one") == b"OK"
    clustered = InProcessNode(("cluster-enabled", "yes"))
    assert clustered.error("REPLICAOF", "h", 1) == "ERR REPLICAOF not allowed in cluster mode."
    refused = "ERR FAILOVER not allowed in cluster mode. Use CLUSTER FAILOVER command instead."
    assert clustered.error("FAILOVER") == refused


def test_replconf_and_sync_refuse_what_redis_refuses(node: InProcessNode) -> None:
    for arguments, error in (
        (("listening-port", "x"), "ERR value is not an integer or out of range"),
        (("rdb-only", 2), "ERR value is out of range, value must between 0 and 1"),
        (("rdb-filter-only", "keys"), "ERR Unsupported rdb-filter-only option: keys"),
        (("ip-address", "a" * 300), "ERR REPLCONF ip-address provided by replica instance is too long: 300 bytes"),
    ):
        assert node.connect().error("REPLCONF", *arguments) == error
    client = node.connect()
    client.session.receive(b"PING\r\nSYNC\r\n")
    assert client.received() == b"+PONG\r\n-ERR SYNC and PSYNC are invalid with pending output\r\n"
    filtered = node.connect()
    filtered("REPLCONF", "rdb-filter-only", "functions")
    assert filtered.error("SYNC") == "ERR Filtered replica requires EOF capability"


@pytest.mark.parametrize(("wanted", "has_code"), [("functions", True), ("", False)])
def test_a_replica_may_ask_for_a_part_of_the_data(tmp_path: Path, wanted: str, has_code: bool) -> None:
    node = WholeNode(tmp_path, ("rdbcompression", "no"))
    node("FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function() end)")
    node("SET", "a-key", "v")
    filtered = node.connect()
    assert filtered("REPLCONF", "capa", "eof", "rdb-only", 1, "rdb-filter-only", wanted) == b"OK"
    sent = filtered.raw("SYNC")
    assert (b"#!lua name=l" in sent, b"a-key" in sent) == (has_code, False)
