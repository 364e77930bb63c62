"""redis-py, blocking and asyncio, with either protocol, on a node alone and as a cluster's client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.cluster
from redis.cluster import RedisCluster

from tests.system.clusters import Cluster
from tests.system.harness import Server
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 20.0


@pytest.fixture(params=[2, 3])
def client(request: pytest.FixtureRequest, alone: Server) -> Iterator[redis.Redis]:
    with redis.Redis(port=alone.port, protocol=request.param, decode_responses=True) as client:
        client.flushall()
        yield client


# -- a node alone --------------------------------------------------------------------------------------------------


def test_values(client: redis.Redis) -> None:
    assert client.set("greeting", "grüß dich", ex=100, nx=True) is True
    assert client.set("greeting", "again", nx=True) is None
    assert client.set("greeting", "again", get=True, keepttl=True) == "grüß dich"
    assert 90 < client.ttl("greeting") <= 100
    assert client.hset("person", mapping={"name": "Ann", "age": 7}) == 2
    assert client.hgetall("person") == {"name": "Ann", "age": "7"}
    assert client.zadd("scores", {"one": 1, "two": 2.5}) == 2
    ranked = client.zrange("scores", 0, -1, desc=True, withscores=True)
    assert [tuple(pair) for pair in ranked] == [("two", 2.5), ("one", 1.0)]
    assert client.sadd("colours", "red", "blue") == 2
    assert client.smembers("colours") == {"red", "blue"}
    assert client.setbit("bits", 7, 1) == 0
    assert client.bitcount("bits") == 1
    assert client.incrbyfloat("sum", 1.5) == 1.5
    with pytest.raises(redis.ResponseError, match="wrong kind"):
        client.lpush("person", "x")
    assert client.info("server")["redis_mode"] == "standalone"
    assert client.config_get("maxmemory") == {"maxmemory": "0"}


def test_pipelines_and_transactions(client: redis.Redis) -> None:
    with client.pipeline(transaction=False) as pipeline:
        for number in range(500):
            pipeline.set(f"p:{number}", number)
        pipeline.lpush("p:0", "x")
        pipeline.get("p:499")
        replies = pipeline.execute(raise_on_error=False)
    assert replies[:500] == [True] * 500
    assert isinstance(replies[500], redis.ResponseError)
    assert replies[501] == "499"

    def double(pipeline: Any) -> None:
        value = int(pipeline.get("p:7"))
        if value == 7:
            client.set("p:7", 8)  # another client is faster: it has to look again
        pipeline.multi()
        pipeline.set("p:7", value * 2)

    assert client.transaction(double, "p:7") == [True]
    assert client.get("p:7") == "16"


def test_a_queue_that_is_waited_at(client: redis.Redis) -> None:
    popped: list[Any] = []
    waiting = threading.Thread(target=lambda: popped.append(client.blpop(["empty", "queue"], timeout=10)))
    waiting.start()
    wait_until(lambda: client.info("clients")["blocked_clients"] == 1, DEADLINE_S, "it waits")
    client.rpush("queue", "job")
    waiting.join(DEADLINE_S)
    assert [tuple(pair) for pair in popped] == [("queue", "job")]
    client.rpush("queue", "next")
    assert client.blmove("queue", "taken", timeout=1, src="LEFT", dest="RIGHT") == "next"
    assert client.blpop(["empty"], timeout=0.01) is None


def test_a_stream_with_a_group(client: redis.Redis) -> None:
    assert client.xgroup_create("events", "group", id="0", mkstream=True) is True
    ids = [client.xadd("events", {"number": number}, maxlen=1000) for number in range(10)]
    read: Any = client.xreadgroup("group", "me", {"events": ">"}, count=4, block=10)
    entries = read["events"][0] if isinstance(read, dict) else read[0][1]
    assert [entry[0] for entry in entries] == ids[:4]
    assert client.xpending("events", "group")["pending"] == 4
    assert client.xack("events", "group", *ids[:3]) == 3
    claimed: Any = client.xautoclaim("events", "group", "other", min_idle_time=0)
    assert [entry[0] for entry in claimed[1]] == [ids[3]]
    [group] = client.xinfo_groups("events")
    assert (group["pending"], group["lag"], group["entries-read"]) == (1, 6, 4)


def test_scanning(client: redis.Redis) -> None:
    wanted = {f"scan:{number}" for number in range(500)}
    client.mset(dict.fromkeys(wanted, 1))
    client.sadd("other", *range(500))
    assert set(client.scan_iter("scan:*", count=50)) == wanted
    assert set(client.scan_iter(_type="set")) == {"other"}
    assert set(client.sscan_iter("other", count=50)) == {str(number) for number in range(500)}


def test_subscriptions(client: redis.Redis) -> None:
    with client.pubsub(ignore_subscribe_messages=True) as listener:  # type: ignore[no-untyped-call]
        listener.subscribe("news")
        listener.psubscribe("new?")
        wait_until(lambda: listener.get_message(timeout=0.01) is None and listener.subscribed, DEADLINE_S, "subscribed")
        wait_until(lambda: client.pubsub_numpat() == 1, DEADLINE_S, "both are known")
        assert client.publish("news", "hello") == 2
        heard: list[tuple[str, str]] = []

        def listen() -> bool:
            message = listener.get_message(timeout=0.05)
            if message is not None:
                heard.append((message["type"], message["data"]))
            return len(heard) == 2

        wait_until(listen, DEADLINE_S, "both messages have come")
        assert heard == [("message", "hello"), ("pmessage", "hello")]


def test_a_lock_keeps_others_out(client: redis.Redis) -> None:
    lock = client.lock("lock", timeout=100)
    assert lock.acquire()
    assert client.lock("lock").acquire(blocking=False) is False
    assert lock.owned()


def test_a_lock_is_given_back(client: redis.Redis) -> None:
    with client.lock("lock", timeout=100) as lock:
        assert lock.extend(100) is True
    assert client.lock("lock").acquire(blocking=False) is True


def test_a_script(client: redis.Redis) -> None:
    add = client.register_script("return redis.call('incrby', KEYS[1], ARGV[1])")
    assert [add(keys=["sum"], args=[5]) for _ in range(2)] == [5, 10]


def test_a_function(client: redis.Redis) -> None:
    code = "#!lua name=rp\nredis.register_function('rp_ten', function(keys, args) return 10 end)"
    assert client.function_load(code, replace=True) == "rp"
    assert client.fcall("rp_ten", 0) == 10


def test_an_access_list(client: redis.Redis, alone: Server) -> None:
    assert client.acl_setuser("rp_reader", enabled=True, passwords=["+secret"], keys=["*"], commands=["+get"]) is True
    with redis.Redis(port=alone.port, username="rp_reader", password="secret") as reader:
        assert reader.get("any") is None
        with pytest.raises(redis.exceptions.NoPermissionError):
            reader.set("any", 1)
    client.acl_deluser("rp_reader")


@pytest.mark.parametrize("protocol", [2, 3])
def test_asyncio(alone: Server, protocol: int) -> None:
    async def use() -> None:
        client: Any
        async with redis.asyncio.Redis(port=alone.port, protocol=protocol, decode_responses=True) as client:
            await client.flushall()
            await asyncio.gather(*[client.set(f"a:{number}", number) for number in range(80)])
            assert await client.mget(["a:1", "a:79", "none"]) == ["1", "79", None]
            assert {key async for key in client.scan_iter("a:*", count=50)} == {f"a:{n}" for n in range(80)}
            async with client.pipeline(transaction=True) as pipeline:
                assert await pipeline.incr("a:1").get("a:2").execute() == [2, "2"]
            popped, length = await asyncio.gather(client.blpop(["a:queue"], timeout=10), client.rpush("a:queue", "job"))
            assert (list(popped), length) == (["a:queue", "job"], 1)
            await _listen_asyncio(client)

    asyncio.run(asyncio.wait_for(use(), DEADLINE_S))


async def _listen_asyncio(client: Any) -> None:
    async with client.pubsub() as listener:
        await listener.subscribe("a:news")
        assert (await listener.get_message(timeout=DEADLINE_S))["type"] == "subscribe"
        assert await client.publish("a:news", "hello") == 1
        message = await listener.get_message(timeout=DEADLINE_S)
        assert (message["type"], message["data"]) == ("message", "hello")


# -- a cluster; more of it is in tests/system/test_redis_py.py --------------------------------------------------------


def test_cluster(whole_cluster: Cluster) -> None:
    with RedisCluster(host="127.0.0.1", port=whole_cluster.servers[0].port, decode_responses=True) as client:
        wanted = {f"c:{number}" for number in range(200)}
        with client.pipeline() as pipeline:
            for key in wanted:
                pipeline.set(key, key)
            assert pipeline.execute() == [True] * 200
        assert set(client.scan_iter("c:*")) == wanted
        with client.pipeline(transaction=True) as pipeline:
            pipeline.incr("{c}sum")
            pipeline.incrby("{c}sum", 4)
            assert pipeline.execute() == [1, 5]
        client.rpush("c:queue", "job")
        assert tuple(client.blpop(["c:queue"], timeout=1) or ()) == ("c:queue", "job")
        client.xgroup_create("c:events", "group", mkstream=True)
        entry = client.xadd("c:events", {"number": 1})
        assert client.xack("c:events", "group", entry) == 0
        assert client.xreadgroup("group", "me", {"c:events": ">"})
        assert client.xack("c:events", "group", entry) == 1
        assert client.lock("c:lock", timeout=100).acquire()
        with pytest.raises(redis.exceptions.RedisClusterException):
            client.mget("c:1", "c:2")
        assert client.delete(*wanted) == 200


def test_cluster_with_asyncio(whole_cluster: Cluster) -> None:
    async def use() -> None:
        client = redis.asyncio.cluster.RedisCluster(
            host="127.0.0.1", port=whole_cluster.servers[0].port, decode_responses=True
        )
        try:
            await client.initialize()
            await asyncio.gather(*[client.set(f"ca:{number}", number) for number in range(200)])
            assert {key async for key in client.scan_iter("ca:*")} == {f"ca:{number}" for number in range(200)}
            async with client.pipeline() as pipeline:
                for number in range(200):
                    pipeline.incr(f"ca:{number}")
                assert await pipeline.execute() == [number + 1 for number in range(200)]
        finally:
            await client.aclose()

    asyncio.run(asyncio.wait_for(use(), DEADLINE_S))


def test_a_script_on_the_cluster(whole_cluster: Cluster) -> None:
    with RedisCluster(host="127.0.0.1", port=whole_cluster.servers[0].port) as client:
        assert client.eval("return redis.call('incr', KEYS[1])", 1, "c:script") == 1
