"""Pub/sub where redis-server 7.0 cannot be asked: pushes within a client's own turn, counters, the journal, limits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bus import events
from bus.messages import Item
from bus.view import ClusterView, NodeInfo
from cluster.keyspace.hashing import SLOT_COUNT, key_slot
from cluster.network.limits import client_class
from tests.commands.in_process import Client, InProcessNode, view_of_one
from tests.commands.whole import WholeNode

MESSAGE = b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n"


def subscribed(node: InProcessNode, *command: str, resp: int = 3) -> Client:
    client = node.connect()
    client.raw("HELLO", resp)
    client.raw(*command)
    return client


def test_a_message_to_its_own_publisher_comes_behind_the_reply(node: InProcessNode) -> None:
    client = subscribed(node, "SUBSCRIBE", "a")
    assert client.raw("PUBLISH", "a", "x") == b":1\r\n" + MESSAGE


def test_a_transaction_s_own_messages_come_behind_its_reply(node: InProcessNode) -> None:
    client = subscribed(node, "SUBSCRIBE", "a")
    client.raw("MULTI")
    client.raw("PUBLISH", "a", "x")
    client.raw("PING")
    assert client.raw("EXEC") == b"*2\r\n:1\r\n+PONG\r\n" + MESSAGE


def test_messages_of_a_pipeline_stand_between_its_replies(node: InProcessNode) -> None:
    client = subscribed(node, "SUBSCRIBE", "a")
    assert client.chunk(["PUBLISH", "a", "x"], ["PING"]) == b":1\r\n" + MESSAGE + b"+PONG\r\n"


def test_a_subscriber_in_a_pipeline_gets_what_comes_after_its_subscription(node: InProcessNode) -> None:
    client = node.connect()
    client.raw("HELLO", 3)
    told = client.chunk(["PUBLISH", "a", "x"], ["SUBSCRIBE", "a"], ["PUBLISH", "a", "x"], ["UNSUBSCRIBE", "a"],
                        ["PUBLISH", "a", "x"])  # fmt: skip
    assert told == (
        b":0\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n:1\r\n" + MESSAGE
        + b">3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n:0\r\n"
    )


def test_a_message_is_encoded_once_for_each_protocol(node: InProcessNode) -> None:
    three = [subscribed(node, "SUBSCRIBE", "a") for _ in range(3)]
    two = [subscribed(node, "SUBSCRIBE", "a", resp=2) for _ in range(3)]
    assert node("PUBLISH", "a", "x") == 6
    assert {client.session.out[0] for client in three} == {MESSAGE}
    assert {client.session.out[0] for client in two} == {b"*" + MESSAGE[1:]}
    for clients in (three, two):
        assert len({id(client.session.out[0]) for client in clients}) == 1


def test_a_client_that_is_gone_listens_no_more(node: InProcessNode) -> None:
    client = subscribed(node, "SUBSCRIBE", "a")
    client.raw("PSUBSCRIBE", "*")
    client.raw("SSUBSCRIBE", "a")
    node.server.disconnect(client.session)
    assert (node("PUBLISH", "a", "x"), node("SPUBLISH", "a", "x")) == (0, 0)
    assert node("PUBSUB", "CHANNELS") == node("PUBSUB", "SHARDCHANNELS") == []
    assert node.server.pubsub.clients == 0


def fields(node: InProcessNode, *sections: str) -> dict[str, str]:
    lines = node("INFO", *sections).decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def test_info_and_client_list_count_subscriptions(node: InProcessNode) -> None:
    client = subscribed(node, "SUBSCRIBE", "a", "b")
    client.raw("PSUBSCRIBE", "p*")
    client.raw("SSUBSCRIBE", "x", "y", "z")
    subscribed(node, "SUBSCRIBE", "b")
    shown = fields(node, "stats", "clients")
    assert {name: shown[name] for name in shown if "pubsub" in name} == {
        "pubsub_channels": "2", "pubsub_patterns": "1", "pubsubshard_channels": "3", "pubsub_clients": "2",
    }  # fmt: skip
    line = node("CLIENT", "LIST", "ID", client.session.id).decode()
    assert " sub=2 psub=1 ssub=3 " in line
    assert " flags=P " in line


def test_a_published_message_is_for_replicas_and_no_change_of_the_data(node: InProcessNode) -> None:
    node("SELECT", 1)
    assert node.journaled("PUBLISH", "a", "x") == [[b"PUBLISH", b"a", b"x"]]
    assert node.journaled("SPUBLISH", "a", "x") == [[b"SPUBLISH", b"a", b"x"]]
    node.client.raw("MULTI")
    node.client.raw("SET", "k", 1)
    node.client.raw("PUBLISH", "a", "x")
    assert node.journaled("EXEC") == [[b"MULTI"], [b"SET", b"k", b"1"], [b"PUBLISH", b"a", b"x"], [b"EXEC"]]


def test_in_a_cluster_the_bus_carries_messages_and_no_stream_does(cluster_node: InProcessNode) -> None:
    assert cluster_node.journaled("PUBLISH", "a", "x") == []
    assert cluster_node.journaled("SPUBLISH", "a", "x") == []


def test_subscribers_have_an_output_limit_of_their_own(node: InProcessNode) -> None:
    client = subscribed(node, "SSUBSCRIBE", "a")
    assert client_class(client.session) == "pubsub"
    client.raw("SUNSUBSCRIBE")
    assert client_class(client.session) == "normal"


def test_a_waiting_client_gets_its_messages(node: InProcessNode) -> None:
    client = subscribed(node, "SUBSCRIBE", "a")
    assert client.raw("BLPOP", "list", 0) == b""
    node("PUBLISH", "a", "x")
    assert client.received() == MESSAGE
    node("RPUSH", "list", "y")
    assert client.received() == b"*2\r\n$4\r\nlist\r\n$1\r\ny\r\n"


def moved(view: ClusterView, owner: NodeInfo | None) -> ClusterView:
    """The same cluster with all slots in another's hands."""
    nodes = dict(view.nodes) if owner is None else {**view.nodes, owner.node_id: owner}
    return replace(view, nodes=nodes, owners=[None if owner is None else owner.node_id] * SLOT_COUNT)


def test_a_slot_that_leaves_the_shard_ends_its_subscriptions(cluster_node: InProcessNode) -> None:
    two, three = cluster_node.connect(), subscribed(cluster_node, "SSUBSCRIBE", "a")
    two.raw("SSUBSCRIBE", "a")
    two.raw("SSUBSCRIBE", "b")
    view = view_of_one()
    sibling = NodeInfo("3" * 40, "127.0.0.1", 7001, 17001, view.nodes[view.my_id].shard_id)
    cluster_node.server.pubsub.follow_view(moved(view, sibling))
    assert two.received() == three.received() == b"", "a failover within the shard changes nothing for them"
    cluster_node.server.pubsub.follow_view(moved(view, NodeInfo("4" * 40, "127.0.0.1", 7002, 17002, "5" * 40)))
    assert three.received() == b">3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:0\r\n"
    told = two.received()
    assert told.count(b"sunsubscribe") == 2
    assert told.endswith(b":0\r\n")
    assert two("PING") == b"PONG"
    assert cluster_node("PUBSUB", "SHARDCHANNELS") == []


def test_a_slot_that_nobody_has_any_more_ends_its_subscriptions(cluster_node: InProcessNode) -> None:
    client = subscribed(cluster_node, "SSUBSCRIBE", "a")
    cluster_node.server.pubsub.follow_view(moved(view_of_one(), None))
    assert b"sunsubscribe" in client.received()


def test_the_peers_hear_what_is_listened_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By slots, and only when that changes: a second subscriber of a channel is nothing new."""
    node = WholeNode(tmp_path, ("cluster-enabled", "yes")).serve_all()
    told: list[events.Event] = []
    monkeypatch.setattr(node.core_bridge, "_post", told.append)
    monkeypatch.setattr(node.core_bridge, "_say", told.append)
    one, other = node.connect(), node.connect()
    one.raw("SUBSCRIBE", "{t}a")
    other.raw("SUBSCRIBE", "{t}b")
    other.raw("SSUBSCRIBE", "{t}b")
    slot = 1 << key_slot(b"t")
    assert told == [events.Listen(slot, False)]
    one.raw("PSUBSCRIBE", "*")
    other.raw("PSUBSCRIBE", "?")
    node.server.disconnect(other.session)
    node("PING")
    assert told[1:] == [events.Listen(slot, True)]
    node.server.disconnect(one.session)
    node.client.chunk(["PUBLISH", "{t}", "x"], ["SPUBLISH", "{t}", "y"])
    node.core_bridge.pass_on()
    where = key_slot(b"t")
    assert told[2:] == [
        events.Listen(0, False),
        events.Publish(1, ((where, Item(b"{t}", b"x")), (where, Item(b"{t}", b"y", sharded=True)))),
    ]
