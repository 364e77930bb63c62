"""cluster-write-acks: nobody is told of a write before enough replicas have it, whatever happens to the primary."""

from __future__ import annotations

import select
from collections.abc import Iterator

import pytest

from cluster.bringup.client import ReplyError, RespClient
from tests.system.clusters import Cluster
from tests.system.harness import Harness, Server
from tests.system.load import WriteLoad
from tests.system.pairs import ALONE, DEADLINE_S
from tests.system.replica_by_hand import ReplicaByHand
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

ACKS = {**ALONE, "repl-ping-replica-period": "60", "cluster-write-acks": "1", "cluster-node-timeout": "60000"}
"""No test lasts for that node timeout."""
KILLS = 3


@pytest.fixture
def primary(harness: Harness) -> Server:
    if harness.kind == "redis":
        pytest.skip("it is no directive of redis-server")
    return harness.server(ACKS)


@pytest.fixture
def writer(primary: Server) -> Iterator[RespClient]:
    with primary.client() as client:
        yield client


def follow(primary: Server) -> ReplicaByHand:
    replica = ReplicaByHand(primary.port)
    replica.acknowledge()
    wait_until(
        lambda: "state=online" in primary.info("replication").get("slave0", ""), DEADLINE_S, "the replica is online"
    )
    return replica


def silent(client: RespClient) -> bool:
    """Whether nothing has been sent to the client. What its batch gave it is sent before the replicas' stream."""
    return not select.select([client], [], [], 0)[0]


def test_a_write_is_answered_when_the_replica_has_it(primary: Server, writer: RespClient) -> None:
    with follow(primary) as replica, primary.client() as reader:
        writer.send("SET", "k", "1")
        assert b"SET" in replica.read_question()
        assert silent(writer)
        # What it wrote can be seen, but nobody is told of it, nor of what comes after it.
        reader.send("GET", "k")
        writer.send("INCR", "k")
        assert b"INCR" in replica.read_question()
        assert silent(reader)
        assert silent(writer)
        replica.acknowledge()
        assert [writer.receive(), writer.receive()] == ["OK", 2]
        assert reader.receive() in ("1", "2")  # as the kernel shows the two sockets
        assert reader.call("GET", "k") == "2"


def test_what_was_written_first_is_answered_first(primary: Server, writer: RespClient) -> None:
    with follow(primary) as replica:
        writer.send("SET", "k", "1")
        replica.read_question()
        replica.acknowledge()
        assert writer.receive() == "OK"
        writer.send("INCR", "k")
        replica.read_question()
        first = replica.offset
        writer.send("INCR", "k")
        replica.read_question()
        replica.acknowledge(first)
        assert writer.receive() == 2
        assert silent(writer)
        replica.acknowledge()
        assert writer.receive() == 3


def test_a_write_without_enough_replicas_is_refused(primary: Server, writer: RespClient) -> None:
    with pytest.raises(ReplyError, match="NOREPLICAS"):
        writer.call("SET", "k", "1")
    with pytest.raises(ReplyError, match="NOREPLICAS"):
        writer.call("EVAL", "return redis.call('set', 'k', '1')", 0)
    assert writer.call("GET", "k") is None
    with follow(primary) as replica:
        writer.send("SET", "k", "1")
        replica.read_question()
        replica.acknowledge()
        assert writer.receive() == "OK"
        assert writer.call("CONFIG", "SET", "cluster-write-acks", 2) == "OK"
        with pytest.raises(ReplyError, match="NOREPLICAS"):
            writer.call("SET", "k", "2")
        assert writer.call("CONFIG", "SET", "cluster-write-acks", 1) == "OK"
    # The replica is gone, which the node learns of by itself.
    wait_until(lambda: refused(writer), DEADLINE_S, "writes are refused again")
    assert writer.call("CONFIG", "SET", "cluster-write-acks", 0) == "OK"
    assert writer.call("SET", "k", "3") == "OK"


def refused(writer: RespClient) -> bool:
    try:
        writer.call("DEL", "none")
    except ReplyError as error:
        return "NOREPLICAS" in str(error)
    return False


def test_who_waits_in_vain_is_hung_up_on(primary: Server, writer: RespClient) -> None:
    with follow(primary) as replica:
        writer.send("SET", "k", "1")
        replica.read_question()
        writer.send("CONFIG", "SET", "cluster-node-timeout", "100")
        with pytest.raises(ConnectionError):
            writer.receive()
    wait_until(lambda: "have not confirmed" in primary.log(), DEADLINE_S, "the log says why")


def test_when_it_is_turned_off_nobody_waits_any_more(primary: Server, writer: RespClient) -> None:
    with follow(primary) as replica, primary.client() as operator:
        writer.send("SET", "k", "1")
        replica.read_question()
        operator.send("CONFIG", "SET", "cluster-write-acks", "0")
        assert [writer.receive(), operator.receive()] == ["OK", "OK"]


def test_who_becomes_a_replica_does_not_confirm_what_was_written_before(primary: Server, writer: RespClient) -> None:
    with follow(primary) as replica, primary.client() as operator:
        writer.send("SET", "k", "1")
        replica.read_question()
        operator.send("REPLICAOF", "127.0.0.1", primary.port)
        with pytest.raises(ConnectionError):
            writer.receive()


def test_no_write_is_lost_with_the_primary(harness: Harness) -> None:
    cluster = Cluster.create(harness, 6, 1, {"cluster-node-timeout": "1500", "cluster-write-acks": "1"})
    with WriteLoad(cluster) as load:
        for _ in range(KILLS):
            victim = cluster.primaries()[0]
            (heir,) = cluster.replicas_of(victim)
            victim.kill()
            cluster.wait_promoted(heir, DEADLINE_S)
            victim.start()
            cluster.wait_replica(victim, DEADLINE_S)
            load.wait_everywhere(DEADLINE_S)
    cluster.wait_whole()
    assert load.lost() == {}
