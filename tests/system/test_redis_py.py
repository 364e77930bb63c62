"""redis-py's cluster clients, the synchronous and the asyncio one, in RESP2 and RESP3."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio.cluster
from redis.cluster import LoadBalancingStrategy, RedisCluster

from tests.system.clusters import Cluster
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system


@pytest.fixture(scope="module", autouse=True)
def replicas_are_listed(shared_cluster: Cluster) -> None:
    """A client sees a replica in CLUSTER SLOTS once the node it asks has heard of the replica's offset."""

    def listed() -> bool:
        for server in shared_cluster.servers:
            ranges = server.call("CLUSTER", "SLOTS")
            assert isinstance(ranges, list)
            if not all(len(entry) == 4 for entry in ranges):
                return False
        return True

    wait_until(listed, 20, "every slot has its primary and its replica in CLUSTER SLOTS")


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_synchronous_client(shared_cluster: Cluster, protocol: int) -> None:
    client = RedisCluster(
        host="127.0.0.1", port=shared_cluster.servers[0].port, protocol=protocol, decode_responses=True
    )
    try:
        assert len(client.get_primaries()) == 3  # type: ignore[no-untyped-call]
        assert len(client.get_replicas()) == 3  # type: ignore[no-untyped-call]
        for number in range(100):
            client.set(f"sync:{number}", number)
        assert client.mget_nonatomic([f"sync:{number}" for number in range(100)]) == [str(n) for n in range(100)]
        client.hset("sync:hash", mapping={"a": "1", "b": "2"})
        assert client.hgetall("sync:hash") == {"a": "1", "b": "2"}
        client.zadd("sync:zset", {"one": 1.5, "two": 2})
        assert client.zscore("sync:zset", "one") == 1.5
        with client.pipeline() as pipeline:  # type: ignore[no-untyped-call]
            for number in range(20):
                pipeline.incr(f"sync:{number}")
            assert pipeline.execute() == [number + 1 for number in range(20)]
        assert client.cluster_keyslot("sync:1") == client.keyslot("sync:1")  # type: ignore[no-untyped-call]
        assert client.dbsize(target_nodes=RedisCluster.PRIMARIES) == shared_cluster.total_keys()
    finally:
        client.close()


def test_reading_from_replicas(shared_cluster: Cluster) -> None:
    client = RedisCluster(
        host="127.0.0.1",
        port=shared_cluster.servers[0].port,
        load_balancing_strategy=LoadBalancingStrategy.ROUND_ROBIN,
        decode_responses=True,
    )
    try:
        for number in range(30):
            client.set(f"read:{number}", number)
        for primary in shared_cluster.primaries():
            with primary.client() as connection:
                connection.call("SET", f"{{{_tag_of(shared_cluster, primary.port)}}}last", "x")
                assert connection.call("WAIT", 1, 5000) == 1
        # Replication is one stream: with the last write there, all before it are.
        assert [client.get(f"read:{number}") for number in range(30)] == [str(number) for number in range(30)]
    finally:
        client.close()


def _tag_of(cluster: Cluster, port: int) -> str:
    return next(f"tag{number}" for number in range(1000) if cluster.owner(f"tag{number}").port == port)


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_asyncio_client(shared_cluster: Cluster, protocol: int) -> None:
    async def use() -> None:
        client = redis.asyncio.cluster.RedisCluster(
            host="127.0.0.1", port=shared_cluster.servers[0].port, protocol=protocol, decode_responses=True
        )
        try:
            await client.initialize()  # redis-py: many first commands at once may cut each other's connections
            await asyncio.gather(*[client.set(f"async:{number}", number) for number in range(200)])
            values = await asyncio.gather(*[client.get(f"async:{number}") for number in range(200)])
            assert values == [str(number) for number in range(200)]
            await client.rpush("async:list", "a", "b")
            assert await client.lrange("async:list", 0, -1) == ["a", "b"]
            await client.delete("async:list")
        finally:
            await client.aclose()

    asyncio.run(use())


def test_a_transaction_in_one_slot(shared_cluster: Cluster) -> None:
    owner = shared_cluster.owner("{tx}")
    with owner.client() as client:
        assert client.call("MULTI") == "OK"
        assert client.call("SET", "{tx}a", 1) == "QUEUED"
        assert client.call("INCR", "{tx}a") == "QUEUED"
        assert client.call("EXEC") == ["OK", 2]
        client.call("MULTI")
        other = next(f"k{number}" for number in range(100) if shared_cluster.owner(f"k{number}") is not owner)
        assert str(client.pipeline(("GET", other))[0]).startswith("MOVED")
        assert str(client.pipeline(("EXEC",))[0]).startswith("EXECABORT")
