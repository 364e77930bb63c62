"""Scripts on a cluster of real processes: a slow one costs nobody the slots, replicas have what scripts wrote."""

from __future__ import annotations

import pytest

from cluster.bringup.client import Argument, ReplyError, RespClient
from tests.system.clusters import Cluster
from tests.system.harness import Harness, Server
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 20.0
NODE_TIMEOUT_MS = 1000
BUSY = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."


@pytest.fixture(scope="module")
def cluster(shared_harness: Harness) -> Cluster:
    directives = {"cluster-node-timeout": str(NODE_TIMEOUT_MS), "busy-reply-threshold": "100"}
    return Cluster.create(shared_harness, 6, 1, directives)


def refusal(asked: Server | RespClient, *arguments: Argument) -> str:
    """The error that a command is answered with."""
    with pytest.raises(ReplyError) as refused:
        asked.call(*arguments)
    return str(refused.value)


def is_busy(client: RespClient) -> bool:
    try:
        return client.call("PING") != "PONG"
    except ReplyError as error:
        return str(error) == BUSY


def last_pong_ms(observer: Server, node_id: str) -> int:
    """When `observer` heard of that node last."""
    lines = observer.text("CLUSTER", "NODES").splitlines()
    return next(int(line.split()[5]) for line in lines if line.startswith(node_id))


def test_the_bus_lives_beside_a_script_that_does_not_end(cluster: Cluster) -> None:
    primary, observer = cluster.primaries()[:2]
    node_id = primary.text("CLUSTER", "MYID")
    with primary.client() as looping, primary.client() as client:
        looping.send("EVAL", "while true do pcall(function() while true do end end) end", 0)
        wait_until(lambda: is_busy(client), DEADLINE_S, "it is busy")
        before = last_pong_ms(observer, node_id)
        wait_until(
            lambda: last_pong_ms(observer, node_id) > before + 3 * NODE_TIMEOUT_MS, DEADLINE_S,
            "the others hear of it for three node timeouts",
        )  # fmt: skip
        assert not cluster.member(primary, seen_by=observer).is_down
        assert client.call("SCRIPT", "KILL") == "OK"
        assert "Script killed by user with SCRIPT KILL" in str(looping.receive())
        assert client.call("PING") == "PONG"
    assert primary in cluster.primaries()
    assert "=== BUG" not in primary.log()


def test_a_replica_has_what_scripts_wrote(cluster: Cluster) -> None:
    primary = cluster.primaries()[0]
    replica = cluster.replicas_of(primary)[0]
    tag = next(f"{{{number}}}" for number in range(1000) if cluster.owner(f"{{{number}}}") is primary)
    script = """
        for i = 1, 200 do
            redis.call('rpush', KEYS[1], i, math.random())
            redis.call('sadd', KEYS[2], i)
            redis.call('hincrbyfloat', KEYS[3], i % 7, i / 3)
            if i % 5 == 0 then redis.call('spop', KEYS[2], 2) end
            if i % 9 == 0 then redis.call('set', KEYS[4], cmsgpack.pack({i}), 'EX', 1000) end
        end
        return redis.call('scard', KEYS[2])
    """
    keys = [f"{tag}{name}" for name in "lshx"]
    assert primary.call("EVAL", script, 4, *keys) == 120
    assert refusal(primary, "EVAL", "redis.call('set', KEYS[1], 1) error('no')", 1, keys[3]).startswith("ERR")
    wait_until(
        lambda: primary.call("DEBUG", "DIGEST") == replica.call("DEBUG", "DIGEST"), DEADLINE_S,
        "primary and replica are the same",
    )  # fmt: skip
    read = "return redis.call('llen', KEYS[1])"
    with replica.client() as client:
        assert refusal(client, "EVAL_RO", read, 1, keys[0]).startswith("MOVED")
        client.call("READONLY")
        assert client.call("EVAL_RO", read, 1, keys[0]) == 400
        assert refusal(client, "EVAL", "return redis.call('del', KEYS[1])", 1, keys[0]).startswith("READONLY")


def test_keys_of_other_nodes_are_refused(cluster: Cluster) -> None:
    primary, other = cluster.primaries()[:2]
    foreign = next(f"k{number}" for number in range(1000) if cluster.owner(f"k{number}") is other)
    wrong = "ERR Script attempted to access a non local key in a cluster node script: "
    assert refusal(primary, "EVAL", f"return redis.call('get', '{foreign}')", 0).startswith(wrong)
    assert refusal(primary, "EVAL", "return 1", 1, foreign).startswith("MOVED")
