"""Clients that wait for a key whose slot moves away, or which nobody serves any more. Holds for redis-server too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.bringup.client import RespClient
from tests.system.clusters import Cluster
from tests.system.harness import Harness, Server
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def cluster(shared_harness: Harness) -> Cluster:
    return Cluster.create(shared_harness, 6, 1)


@pytest.fixture
def source(cluster: Cluster) -> Server:
    return cluster.primaries()[0]


@pytest.fixture
def target(cluster: Cluster) -> Server:
    return cluster.primaries()[1]


@pytest.fixture
def client(source: Server) -> Iterator[RespClient]:
    with source.client(timeout_s=DEADLINE_S) as client:
        yield client


def own_key(cluster: Cluster, source: Server, name: str) -> tuple[str, int]:
    """A key of a slot of `source`'s that no other test uses, and the slot."""
    key = next(key for number in range(200) if cluster.owner(key := f"{name}:{number}") is source)
    slot = source.call("CLUSTER", "KEYSLOT", key)
    assert isinstance(slot, int)
    return key, slot


def wait_blocked(server: Server, count: int) -> None:
    wait_until(lambda: server.info("clients")["blocked_clients"] == str(count), DEADLINE_S, f"{count} clients wait")


def set_owner(slot: int, owner: Server, *tellers: Server) -> None:
    node_id = owner.text("CLUSTER", "MYID")
    for teller in tellers:
        assert teller.call("CLUSTER", "SETSLOT", slot, "NODE", node_id) == "OK"


def refusal(client: RespClient) -> str:
    """The error that ends the wait."""
    return str(client.receive())


def test_the_wait_goes_on_until_the_slot_is_another_nodes(
    cluster: Cluster, source: Server, target: Server, client: RespClient
) -> None:
    key, slot = own_key(cluster, source, "list")
    other_key, other_slot = own_key(cluster, source, "set")
    assert target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source.text("CLUSTER", "MYID")) == "OK"
    with source.client(timeout_s=DEADLINE_S) as other:
        client.send("BLPOP", key, 0)
        other.send("BZPOPMIN", other_key, 0)
        wait_blocked(source, 2)
        assert source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", target.text("CLUSTER", "MYID")) == "OK"
        set_owner(other_slot, target, target, source)
        assert refusal(other) == f"MOVED {other_slot} {target.address}"
    assert source.info("clients")["blocked_clients"] == "1", "the one whose slot is only on its way waits on"
    set_owner(slot, target, target, source)
    assert refusal(client) == f"MOVED {slot} {target.address}"


def test_a_reader_of_a_replica_waits_on_whatever_the_primary_gives_away(
    cluster: Cluster, source: Server, target: Server
) -> None:
    key, _ = own_key(cluster, source, "stream")
    gone_key, gone = own_key(cluster, source, "hash")
    replica = cluster.replicas_of(source)[0]
    with replica.client(timeout_s=DEADLINE_S) as reader, replica.client() as other:
        reader.call("READONLY")
        reader.send("XREAD", "BLOCK", 0, "STREAMS", key, "$")
        wait_blocked(replica, 1)
        set_owner(gone, target, target, source)
        moved = f"MOVED {gone} {target.address}"
        wait_until(lambda: str(other.pipeline(("GET", gone_key))[0]) == moved, DEADLINE_S, "it has heard of it")
        source.call("XADD", key, "1-1", "f", "v")
        assert reader.receive() == [[key, [["1-1", ["f", "v"]]]]]


def test_nobody_is_left_waiting_for_a_slot_that_is_not_served(
    cluster: Cluster, source: Server, client: RespClient
) -> None:
    key, slot = own_key(cluster, source, "unserved")
    client.send("XREAD", "BLOCK", 0, "STREAMS", key, "$")
    wait_blocked(source, 1)
    assert source.call("CLUSTER", "DELSLOTS", slot) == "OK"
    assert refusal(client) == "CLUSTERDOWN The cluster is down"
    assert source.call("CONFIG", "SET", "cluster-require-full-coverage", "no") == "OK"
    assert source.call("CLUSTER", "ADDSLOTS", slot) == "OK"
    wait_until(lambda: "cluster_state:ok" in source.text("CLUSTER", "INFO"), DEADLINE_S, "it serves again")
    client.send("BLPOP", key, 0)
    wait_blocked(source, 1)
    assert source.call("CLUSTER", "DELSLOTS", slot) == "OK"
    assert refusal(client) == "CLUSTERDOWN Hash slot not served"
