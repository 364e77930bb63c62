"""maxmemory-clients: the clients that hold most go, until the others hold less than the limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.in_process import Client
from tests.commands.whole import WholeNode

MB = 1 << 20


@pytest.fixture
def node(tmp_path: Path) -> WholeNode:
    return WholeNode(tmp_path)


def limited(node: WholeNode, limit: str, *more: str) -> None:
    assert node("CONFIG", "SET", "maxmemory-clients", limit, *more) == b"OK"


def look(node: WholeNode) -> None:
    """What the timer does."""
    node.server.client_eviction.work(lambda: False)


def queueing(node: WholeNode, size: int) -> Client:
    """A client whose transaction holds so many bytes."""
    client = node.connect()
    client("MULTI")
    client("SET", "a", "x" * size)
    return client


def is_there(node: WholeNode, client: Client) -> bool:
    return client.session.id in node.server.clients


def test_the_largest_goes_first_and_no_more_than_must(node: WholeNode) -> None:
    clients = [queueing(node, size) for size in (MB, 3 * MB, 2 * MB)]
    look(node)
    assert node.hung_up == [], "there is no limit"
    limited(node, "4mb")
    look(node)
    assert node.hung_up == [clients[1].session]
    assert b"evicted_clients:1\r\n" in node("INFO", "stats")
    assert any("Evicting client: id=" in text for _, text in node.logged)
    limited(node, "1500kb")
    look(node)
    assert node.hung_up == [clients[1].session, clients[2].session]
    assert is_there(node, node.client)


def test_who_is_not_to_be_evicted_stays_and_counts(node: WholeNode) -> None:
    stays, goes = queueing(node, 3 * MB), queueing(node, MB)
    stays.session.no_evict = True
    limited(node, "2mb")
    look(node)
    assert is_there(node, stays)
    assert not is_there(node, goes)


def test_no_evict_can_be_asked_for(node: WholeNode) -> None:
    client = node.connect()
    assert client("CLIENT", "NO-EVICT", "on") == b"OK"
    client("MULTI")
    client("SET", "a", "x" * MB)
    limited(node, "512kb")
    look(node)
    assert is_there(node, client)
    assert not is_there(node, node.client), "small as it is, there was nobody else"


def test_what_a_client_has_got_rid_of_saves_it(node: WholeNode) -> None:
    one, other = queueing(node, 3 * MB), queueing(node, 2 * MB)
    limited(node, "5500kb")
    look(node)
    one("DISCARD")
    limited(node, "1mb")
    look(node)
    assert is_there(node, one)
    assert not is_there(node, other)


def test_a_command_that_does_not_end_is_noticed_at_once(node: WholeNode) -> None:
    limited(node, "1mb")
    client = node.connect()
    client.session.receive(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5000000\r\n" + b"x" * 900_000)
    assert is_there(node, client)
    client.session.receive(b"x" * 300_000)
    assert not is_there(node, client)


def test_a_percentage_is_one_of_maxmemory(node: WholeNode) -> None:
    client = queueing(node, MB)
    limited(node, "10%")
    look(node)
    assert is_there(node, client), "without maxmemory there is no limit"
    limited(node, "10%", "maxmemory", "20mb")
    look(node)
    assert is_there(node, client)
    limited(node, "10%", "maxmemory", "5mb")
    look(node)
    assert not is_there(node, client)


def test_what_is_gone_counts_no_more(node: WholeNode) -> None:
    client = queueing(node, MB)
    limited(node, "100mb")
    look(node)
    assert node.server.client_eviction.held_bytes > MB
    node.server.disconnect(client.session)
    assert 0 < node.server.client_eviction.held_bytes < MB
    limited(node, "0")
    assert node.server.client_eviction.held_bytes == 0


def test_many_clients_are_looked_at_slice_by_slice(node: WholeNode) -> None:
    large = queueing(node, 2 * MB)
    others = [node.connect() for _ in range(40)]
    limited(node, "1mb")
    for _ in range(2):
        node.server.client_eviction.work(lambda: True)
        assert is_there(node, large)
    node.server.client_eviction.work(lambda: True)
    assert not is_there(node, large)
    assert all(is_there(node, other) for other in others)
