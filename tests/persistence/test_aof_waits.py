"""WAITAOF: who waits, for what, and what is answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.in_process import Client
from tests.commands.whole import WholeNode
from tests.persistence.aof_node import Node


def replica(node: Node) -> Client:
    client = node.connect()
    client.raw("SYNC")
    client.received()
    return client


def acknowledge(node: Node, client: Client, synced: int | None) -> None:
    words = ("ACK", node.server.replication.offset)
    client.raw("REPLCONF", *(words if synced is None else (*words, "FACK", synced)))


@pytest.mark.parametrize(("words", "error"), [
    ((2, 0, 0), "ERR value is out of range, value must between 0 and 1"),
    ((-1, 0, 0), "ERR value is out of range, value must between 0 and 1"),
    (("x", 0, 0), "ERR value is not an integer or out of range"),
    ((0, -1, 0), "ERR value is out of range, must be positive"),
    ((0, "x", 0), "ERR value is out of range, must be positive"),
    ((0, 1, -1), "ERR timeout is negative"), ((0, 1, "x"), "ERR timeout is not an integer or out of range"),
    ((0, 0, 9223372036854775807), "ERR timeout is out of range"),
    ((1, 0, 0), "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."),
])  # fmt: skip
def test_what_it_refuses(tmp_path: Path, words: tuple[object, ...], error: str) -> None:
    assert WholeNode(tmp_path).error("WAITAOF", *words) == error  # type: ignore[arg-type]


def test_a_replica_refuses(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.server.is_replica = True
    assert node.error("WAITAOF", 0, 0, 0).startswith("ERR WAITAOF cannot be used with replica instances.")


def test_with_always_it_is_there_at_once(tmp_path: Path) -> None:
    node = Node(tmp_path, ("appendfsync", "always"))
    assert node("WAITAOF", 1, 0, 0) == [1, 0]
    node("SET", "a", 1)
    assert node("WAITAOF", 1, 0, 0) == [1, 0]
    assert node.client.chunk(("SET", "a", 2), ("WAITAOF", 1, 0, 0)) == b"+OK\r\n*2\r\n:1\r\n:0\r\n"


def test_what_is_synced_counts_when_there_is_a_base_below_it(tmp_path: Path) -> None:
    """After a crash in between, the file that was turned on a moment ago is nobody's."""
    node = Node(tmp_path)
    assert node("CONFIG", "SET", "appendonly", "no") == b"OK"
    assert node("CONFIG", "SET", "appendonly", "yes") == b"OK"
    node("SET", "a", 1)
    node.tick_aof(1000)
    assert node.aof.synced == node.aof.appended
    assert node.client.raw("WAITAOF", 1, 0, 0) == b""
    node.end_rewrite()
    assert node.client.received() == b"*2\r\n:1\r\n:0\r\n"


def test_with_everysec_the_thread_answers(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.hand.slow = True
    node("SET", "a", 1)
    assert node.client.raw("WAITAOF", 1, 0, 0) == b""
    node.tick_aof(100)
    assert node.client.received() == b""
    node.hand.work()
    node.tick_aof(100)
    assert node.client.received() == b"*2\r\n:1\r\n:0\r\n"
    node("SET", "a", 2)
    assert node.client.raw("WAITAOF", 1, 0, 50) == b""
    node.advance(60)
    node.server.waiting.time_out(node.now_ms)
    assert node.client.received() == b"*2\r\n:0\r\n:0\r\n"


def test_replicas_count_when_they_have_synced(tmp_path: Path) -> None:
    node = Node(tmp_path)
    one, other = replica(node), replica(node)
    node("SET", "a", 1)
    offset = node.server.replication.offset
    assert node.client.raw("WAITAOF", 0, 2, 0) == b""
    acknowledge(node, one, None)
    acknowledge(node, one, offset - 1)
    acknowledge(node, other, offset)
    assert node.client.received() == b""
    node.tick_aof()
    acknowledge(node, one, offset)
    assert node.client.received() == b"*2\r\n:1\r\n:2\r\n"


def test_in_a_transaction_nobody_waits(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node("SET", "a", 1)
    node.tick_aof(2000)
    node.tick_aof()
    node.hand.slow = True
    answers = node.client.chunk(("MULTI",), ("SET", "a", 2), ("WAITAOF", 1, 1, 0), ("EXEC",))
    assert answers.endswith(b"*2\r\n+OK\r\n*2\r\n:1\r\n:0\r\n")


def test_what_a_replica_tells_its_primary(tmp_path: Path) -> None:
    node = Node(tmp_path)
    replication = node.server.replication
    replication.offset = 10
    assert replication.acknowledgement() == [b"REPLCONF", b"ACK", b"10", b"FACK", b"10"]
    node.hand.slow = True
    node("SET", "a", 1)
    replication.offset = 50
    assert replication.acknowledgement()[3:] == [b"FACK", b"0"]
    node.hand.work()
    node.tick_aof()
    assert replication.acknowledgement()[3:] == [b"FACK", b"50"]
    node("CONFIG", "SET", "appendonly", "no")
    assert replication.acknowledgement() == [b"REPLCONF", b"ACK", b"50"]
