"""Pub/sub with real processes: from node to node, within a shard, through replication, with redis-py and redis-cli."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from itertools import permutations

import pytest
import redis
import redis.asyncio
from redis.cluster import RedisCluster

from cluster.bringup.client import Argument, ReplyError, RespClient
from tests.system.clusters import Cluster
from tests.system.harness import Harness, Server
from tests.system.pairs import PAIRS, Pair
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 20.0
ALONE = {"cluster-enabled": "no"}


def listening(server: Server, *command: Argument) -> RespClient:
    """A client whose subscription the server has confirmed."""
    client = server.client()
    client.send(*command)
    for _ in command[1:]:
        client.receive()
    return client


@pytest.fixture(scope="module")
def alone(shared_harness: Harness) -> Server:
    return shared_harness.server(ALONE)


@pytest.fixture(scope="module")
def three(shared_harness: Harness) -> Cluster:
    return Cluster.create(shared_harness, 3)


# -- clients -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py(alone: Server, protocol: int) -> None:
    client = redis.Redis(port=alone.port, protocol=protocol, decode_responses=True)
    pubsub = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    pubsub.subscribe("news", "other")
    pubsub.psubscribe("new?")
    heard: list[tuple[str, str]] = []

    def listen() -> list[tuple[str, str]]:
        message = pubsub.get_message(timeout=0.1)
        if message is not None:
            heard.append((message["type"], message["data"]))
        return heard

    wait_until(lambda: listen() or client.pubsub_numpat() == 1, DEADLINE_S, "the subscriptions are there")
    assert client.publish("news", "hello") == 2
    wait_until(lambda: len(listen()) == 2, DEADLINE_S, "both messages")
    assert heard == [("message", "hello"), ("pmessage", "hello")]
    assert client.pubsub_numsub("news") == [("news", 1)]
    pubsub.ping()
    pubsub.unsubscribe()
    pubsub.punsubscribe()
    wait_until(lambda: listen() and not client.pubsub_channels(), DEADLINE_S, "nobody listens")
    pubsub.close()
    client.close()


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py_asyncio(alone: Server, protocol: int) -> None:
    async def use() -> None:
        client = redis.asyncio.Redis(port=alone.port, protocol=protocol, decode_responses=True)
        async with client.pubsub() as pubsub:
            await pubsub.subscribe("async")
            assert (await pubsub.get_message(timeout=5))["type"] == "subscribe"
            assert await client.publish("async", "hello") == 1
            assert (await pubsub.get_message(timeout=5))["data"] == "hello"
            await pubsub.unsubscribe("async")
            assert (await pubsub.get_message(timeout=5))["type"] == "unsubscribe"
        await client.aclose()

    asyncio.run(use())


def test_redis_cli(alone: Server) -> None:
    command = ["redis-cli", "-p", str(alone.port), "subscribe", "cli"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as cli:
        try:
            wait_until(lambda: alone.call("PUBLISH", "cli", "hello") == 1, DEADLINE_S, "redis-cli listens")
            assert cli.stdout is not None
            lines = [cli.stdout.readline().strip() for _ in range(6)]
            assert [line for line in lines if line != b"Reading messages... (press Ctrl-C to quit)"][:5] == [
                b"subscribe", b"cli", b"1", b"message", b"cli"
            ]  # fmt: skip
        finally:
            cli.kill()


def test_a_subscriber_that_does_not_read_is_closed_at_its_limit(alone: Server) -> None:
    alone.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 0 0")
    slow, quick = listening(alone, "SUBSCRIBE", "flood"), listening(alone, "SUBSCRIBE", "flood")
    heard: list[object] = []
    reader = threading.Thread(target=lambda: heard.extend(quick.receive() for _ in range(400)))
    reader.start()
    with alone.client() as publisher:
        counts = [publisher.call("PUBLISH", "flood", "x" * 50_000) for _ in range(400)]
        assert counts[0] == 2
        assert counts[-1] == 1
    reader.join(DEADLINE_S)
    assert len(heard) == 400, "the one that reads misses nothing"
    assert alone.call("PUBSUB", "NUMSUB", "flood") == ["flood", 1]
    slow.close()
    quick.close()


def test_a_subscriber_that_stays_behind_is_closed_though_nothing_more_is_published(alone: Server) -> None:
    alone.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 1mb 1")
    with listening(alone, "SUBSCRIBE", "soft"), alone.client() as publisher:
        publisher.pipeline(*[("PUBLISH", "soft", "x" * 1_000_000)] * 12)  # more than the sockets take
        assert alone.call("PUBSUB", "CHANNELS") == ["soft"]
        wait_until(lambda: not alone.call("PUBSUB", "CHANNELS"), DEADLINE_S, "the one that does not read is closed")


# -- replication -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest, shared_harness: Harness) -> Pair:
    first, second = request.param
    pair = Pair(shared_harness.server(ALONE, kind=first), shared_harness.server(ALONE, kind=second))
    pair.join()
    return pair


def test_messages_reach_the_subscribers_of_replicas(pair: Pair) -> None:
    with listening(pair.replica, "SUBSCRIBE", "a") as plain, listening(pair.replica, "SSUBSCRIBE", "a") as sharded:
        changes = pair.primary.info()["rdb_changes_since_last_save"]
        assert pair.primary.call("PUBLISH", "a", "x") == 0
        assert pair.primary.call("SPUBLISH", "a", "y") == 0
        assert plain.receive() == ["message", "a", "x"]
        assert sharded.receive() == ["smessage", "a", "y"]
        assert pair.primary.info()["rdb_changes_since_last_save"] == changes
    with listening(pair.primary, "SUBSCRIBE", "a") as upstream, listening(pair.replica, "SUBSCRIBE", "a") as own:
        assert pair.replica.call("PUBLISH", "a", "x") == 1
        assert own.receive() == ["message", "a", "x"]
        assert pair.primary.call("PUBLISH", "a", "y") == 1
        assert upstream.receive() == ["message", "a", "y"], "what was published on the replica stayed there"


# -- from node to node -------------------------------------------------------------------------------------------


def test_a_message_reaches_whoever_had_subscribed_on_any_node(three: Cluster) -> None:
    """At once: the subscriber's node has said that it listens before its client knew that it does."""
    publishers = {server: server.client() for server in three.servers}
    for turn in range(20):
        for subscriber, publisher in permutations(three.servers, 2):
            channel = f"now:{turn}:{subscriber.port}"
            with listening(subscriber, "SUBSCRIBE", channel) as client:
                publishers[publisher].call("PUBLISH", channel, turn)
                assert client.receive() == ["message", channel, str(turn)]
    for client in publishers.values():
        client.close()


def received(server: Server) -> int:
    """Messages of other nodes' clients that came to a node."""
    lines = server.text("CLUSTER", "INFO").split()
    return int(dict(line.split(":", 1) for line in lines).get("cluster_stats_messages_publish_received", 0))


def test_messages_go_only_where_somebody_listens(three: Cluster) -> None:
    if three.harness.kind != "ours":
        pytest.skip("redis-server sends every message to every node")
    one, other, third = three.servers
    with listening(other, "SUBSCRIBE", "here", "there") as client:
        wait_until(lambda: _idle(three), DEADLINE_S, "what was listened to before is forgotten")
        before = received(other), received(third)
        for number in range(20):
            one.call("PUBLISH", "here", number)
            one.call("PUBLISH", f"nobody:{number}", number)
        assert [client.receive() for _ in range(20)] == [["message", "here", str(number)] for number in range(20)]
        assert received(third) - before[1] <= 1, "one of the questions before may have been on its way"
        assert received(other) - before[0] <= 22, "one of the other channels may share a slot with these"


def _idle(three: Cluster) -> bool:
    """Whether a message nobody wants goes nowhere."""
    before = [received(server) for server in three.servers]
    three.servers[0].call("PUBLISH", "idle", "x")
    return [received(server) for server in three.servers] == before


def test_patterns_hear_every_node(three: Cluster) -> None:
    with listening(three.servers[0], "PSUBSCRIBE", "p:*") as client:
        for number, server in enumerate(three.servers):
            server.call("PUBLISH", f"p:{number}", "x")
        heard = [client.receive() for _ in three.servers]
    assert sorted(heard) == [["pmessage", "p:*", f"p:{number}", "x"] for number in range(3)]  # type: ignore[type-var]


def test_long_messages_and_many_arrive_whole_and_in_order(three: Cluster) -> None:
    one, other, _ = three.servers
    with listening(other, "SUBSCRIBE", "long") as client, one.client() as publisher:
        sizes = [1, 70_000, 5, 3_000_000, 200_000, 0, 65_536]
        for number, size in enumerate(sizes):
            publisher.call("PUBLISH", "long", f"{number}:" + "x" * size)
        for number, size in enumerate(sizes):
            assert client.receive() == ["message", "long", f"{number}:" + "x" * size]
        publisher.pipeline(*[("PUBLISH", "long", number) for number in range(3000)])
        assert [client.receive() for _ in range(3000)] == [["message", "long", str(number)] for number in range(3000)]
    assert three.why_not_whole() == "", "heartbeats did not wait behind them"


def test_a_node_that_comes_back_hears_and_is_heard_again(harness: Harness) -> None:
    cluster = Cluster.create(harness, 3)
    one, other, _ = cluster.servers
    with listening(one, "SUBSCRIBE", "again") as stays:
        other.kill()
        other.start()
        with listening(other, "SUBSCRIBE", "again") as back:
            wait_until(lambda: _all_linked(cluster), DEADLINE_S, "every node has its links")
            other.call("PUBLISH", "again", "from the one that was away")
            assert stays.receive() == ["message", "again", "from the one that was away"]
            assert back.receive() == ["message", "again", "from the one that was away"]
            one.call("PUBLISH", "again", "to it")
            assert back.receive() == ["message", "again", "to it"]


def _all_linked(cluster: Cluster) -> bool:
    return not any("disconnected" in server.text("CLUSTER", "NODES") for server in cluster.servers)


# -- shard channels ----------------------------------------------------------------------------------------------


def _slot(cluster: Cluster, channel: str) -> int:
    slot = cluster.servers[0].call("CLUSTER", "KEYSLOT", channel)
    assert isinstance(slot, int)
    return slot


@pytest.fixture
def redis_py(three: Cluster) -> Iterator[RedisCluster]:
    client = RedisCluster(host="127.0.0.1", port=three.servers[0].port, decode_responses=True)
    yield client
    client.close()


def test_redis_py_s_shard_channels(three: Cluster, redis_py: RedisCluster) -> None:
    pubsub = redis_py.pubsub()  # type: ignore[no-untyped-call]
    pubsub.ssubscribe("shard:1", "shard:2", "shard:3")
    heard: dict[str, str] = {}

    def listen() -> dict[str, str]:
        message = pubsub.get_sharded_message(timeout=0.1)
        if message is not None and message["type"] == "smessage":
            heard[message["channel"]] = message["data"]
        return heard

    for number in (1, 2, 3):
        wait_until(
            lambda number=number: listen() or redis_py.spublish(f"shard:{number}", "x") == 1, DEADLINE_S,  # type: ignore[misc]
            "somebody listens",
        )
    wait_until(lambda: len(listen()) == 3, DEADLINE_S, "messages of three shards")
    pubsub.close()


def test_who_listens_to_a_slot_that_moves_is_told_so(three: Cluster) -> None:
    channel = "moving"
    source, slot = three.owner(channel), _slot(three, channel)
    target = next(server for server in three.servers if server is not source)
    ids = {server: server.text("CLUSTER", "MYID") for server in three.servers}
    with listening(source, "SSUBSCRIBE", channel, f"{{{channel}}}2") as client, listening(
        source, "SUBSCRIBE", channel
    ) as plain:
        for command in (("SSUBSCRIBE", channel), ("SPUBLISH", channel, "x")):
            with pytest.raises(ReplyError, match=f"MOVED {slot} "):
                target.call(*command)
        target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        assert source.call("SPUBLISH", channel, "still here") == 1
        assert client.receive() == ["smessage", channel, "still here"]
        for server in (target, source):
            server.call("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
        told = [client.receive(), client.receive()]
        assert told == [["sunsubscribe", channel, 1], ["sunsubscribe", f"{{{channel}}}2", 0]]
        assert client.call("PING") == "PONG", "and it is an ordinary client again"
        assert source.call("PUBSUB", "SHARDCHANNELS") == []
        source.call("PUBLISH", channel, "x")
        assert plain.receive() == ["message", channel, "x"]
    three.wait_whole()


def test_shard_messages_reach_the_shard_s_replicas_and_nobody_else(harness: Harness) -> None:
    cluster = Cluster.create(harness, 6, 1)
    primary = cluster.owner("shard")
    [replica] = cluster.replicas_of(primary)
    with listening(replica, "SSUBSCRIBE", "shard") as client, listening(primary, "SSUBSCRIBE", "shard") as upstream:
        assert primary.call("SPUBLISH", "shard", "down") == 1
        assert client.receive() == upstream.receive() == ["smessage", "shard", "down"]
        assert replica.call("SPUBLISH", "shard", "up") == 1
        assert client.receive() == upstream.receive() == ["smessage", "shard", "up"]
    other = next(server for server in cluster.primaries() if server is not primary)
    with listening(other, "SUBSCRIBE", "shard"):
        before = received(other)
        primary.call("SPUBLISH", "shard", "within")
        assert received(other) == before
