"""Who is sent a snapshot with whom, and when; no child is forked here."""

from __future__ import annotations

import errno
import os

import pytest

from cluster.network.session import Session
from cluster.replication import full_sync
from cluster.replication.full_sync import FullSync
from cluster.replication.replicas import Replica
from tests.commands.in_process import Client, InProcessNode
from tests.replication.test_role import wrote


@pytest.fixture
def begun(node: InProcessNode, monkeypatch: pytest.MonkeyPatch) -> list[FullSync]:
    """The syncs that were begun, by their size no small ones."""
    syncs: list[FullSync] = []

    def begin(sync: FullSync) -> bool:
        syncs.append(sync)
        return True

    monkeypatch.setattr(full_sync, "SMALL_KEYS", 0)
    monkeypatch.setattr(FullSync, "begin", begin)
    monkeypatch.setattr(FullSync, "is_over", property(lambda _: False))
    wrote(node, "SET", "a", "1")
    return syncs


def comes(node: InProcessNode, *capabilities: str) -> tuple[Client, Replica]:
    client = node.connect()
    for one in capabilities:
        client("REPLCONF", "capa", one)
    client.session.out += [client.raw("PSYNC", "?", -1)]
    return client, node.server.replication.replicas[client.session]


def members(sync: FullSync) -> list[Replica]:
    return sync._live()


def test_a_pipe_waits_for_company_and_says_so(node: InProcessNode, begun: list[FullSync]) -> None:
    node("CONFIG", "SET", "repl-diskless-sync-delay", 5)
    first, one = comes(node, "eof")
    node.advance(4000)
    node.server.replication.tick(node.now_ms)
    assert begun == []
    assert one.state == "wait_bgsave"
    assert set(first.received()) == {10}, "empty lines keep it waiting"
    _, other = comes(node, "eof")
    node.advance(1000)
    node.server.replication.tick(node.now_ms)
    assert [members(sync) for sync in begun] == [[one, other]]
    assert one.state == "send_bulk"
    answer = f"+FULLRESYNC {node.server.replication.replid} {node.server.replication.offset}\r\n"
    assert first.received().strip() == answer.strip().encode()


def test_enough_of_them_wait_no_longer(node: InProcessNode, begun: list[FullSync]) -> None:
    node("CONFIG", "SET", "repl-diskless-sync-delay", 5, "repl-diskless-sync-max-replicas", 2)
    comes(node, "eof")
    assert begun == []
    comes(node, "eof")
    assert len(begun) == 1


def test_who_comes_while_a_pipe_is_in_use_is_next(node: InProcessNode, begun: list[FullSync]) -> None:
    node("CONFIG", "SET", "repl-diskless-sync-delay", 0)
    comes(node, "eof")
    _, late = comes(node, "eof")
    assert len(begun) == 1
    assert late.is_waiting


def test_a_file_is_for_all_who_come_before_it_is_whole(node: InProcessNode, begun: list[FullSync]) -> None:
    node("CONFIG", "SET", "repl-diskless-sync", "no")
    _, one = comes(node, "eof")
    offset = node.server.replication.offset
    wrote(node, "SET", "b", "2")
    late, other = comes(node, "eof")
    assert [members(sync) for sync in begun] == [[one, other]]
    assert f" {offset}\r\n".encode() in late.received(), "it is told where the file stands, not where we are"
    assert one.held is not None
    assert other.held is not None
    assert other.held.take(1 << 20) == one.held.take(1 << 20) != b""


def test_who_knows_no_mark_gets_a_file(node: InProcessNode, begun: list[FullSync]) -> None:
    comes(node)
    assert [sync.piped for sync in begun] == [False]


def test_a_replica_that_left_is_not_waited_for(node: InProcessNode, begun: list[FullSync]) -> None:
    node("CONFIG", "SET", "repl-diskless-sync-delay", 5)
    gone, _ = comes(node, "eof")
    node.server.disconnect(gone.session)
    _, there = comes(node, "eof")
    node.advance(5000)
    node.server.replication.tick(node.now_ms)
    assert [members(sync) for sync in begun] == [[there]]


def test_few_keys_may_be_too_large_to_hold_everybody_up(
    node: InProcessNode, begun: list[FullSync], monkeypatch: pytest.MonkeyPatch
) -> None:
    node("CONFIG", "SET", "repl-diskless-sync-delay", 0)
    monkeypatch.setattr(full_sync, "SMALL_KEYS", 5)
    _, small = comes(node, "eof")
    assert small.online
    assert begun == []
    wrote(node, "SET", "large", "x" * full_sync.SMALL_BYTES)
    _, late = comes(node, "eof")
    assert [members(sync) for sync in begun] == [[late]]


def test_a_fork_that_fails_lets_the_replicas_go_and_leaves_nothing_open(
    node: InProcessNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_fork() -> int:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    node("CONFIG", "SET", "repl-diskless-sync-delay", 0)
    monkeypatch.setattr(full_sync, "SMALL_KEYS", 0)
    monkeypatch.setattr(os, "fork", no_fork)
    hung_up: list[Session] = []
    node.server.shell.hang_up = hung_up.append
    wrote(node, "SET", "a", "1")
    before = os.listdir("/proc/self/fd")
    replica, _ = comes(node, "eof")
    assert hung_up == [replica.session]
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert any("can't fork" in text for _, text in node.logged)


def test_a_replica_that_cannot_load_its_snapshot_is_slowed_down_and_the_log_says_why(node: InProcessNode) -> None:
    def comes_again() -> tuple[Client, Replica]:
        client = node.connect()
        client("REPLCONF", "listening-port", 7001)
        client.raw("PSYNC", "?", -1)
        return client, node.server.replication.replicas[client.session]

    for _ in range(3):
        client, replica = comes_again()
        assert replica.online
        node.server.disconnect(client.session)
    client, replica = comes_again()
    assert replica.state == "wait_bgsave"
    assert any("without acknowledging the snapshot" in text for _, text in node.logged)
    node.advance(1000)
    node.server.replication.tick(node.now_ms)
    assert replica.online
    client.raw("REPLCONF", "ACK", node.server.replication.offset)
    node.server.disconnect(client.session)
    assert comes_again()[1].online, "it has loaded one"
