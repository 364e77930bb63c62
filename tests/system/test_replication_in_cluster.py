"""Replication inside a cluster: a node becomes a replica by CLUSTER REPLICATE, and follows whoever is promoted."""

from __future__ import annotations

import pytest

from tests.system.clusters import Cluster
from tests.system.harness import Harness, Server
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 30.0


@pytest.fixture
def cluster(harness: Harness) -> Cluster:
    """Three primaries, the first with two replicas."""
    cluster = Cluster.create(harness, 3)
    for server in join(cluster, 2):
        make_replica(server, cluster.servers[0])
    cluster.wait_whole()
    return cluster


def join(cluster: Cluster, count: int) -> list[Server]:
    """That many empty nodes more."""
    first = cluster.servers[0]
    added = [cluster.harness.server(start=False) for _ in range(count)]
    for server in added:
        server.start(wait=False)
    for server in added:
        server.wait_answering()
        server.call("CLUSTER", "MEET", first.host, first.port)
    cluster.servers += added
    cluster.wait_whole()
    return added


def make_replica(server: Server, primary: Server) -> None:
    assert server.call("CLUSTER", "REPLICATE", primary.text("CLUSTER", "MYID")) == "OK"


def own_key(cluster: Cluster, server: Server, prefix: str = "key") -> str:
    return next(f"{prefix}:{number}" for number in range(10_000) if cluster.owner(f"{prefix}:{number}") is server)


def stats(server: Server) -> tuple[int, int]:
    """(full syncs, partial ones) that a primary has served."""
    info = server.info("stats")
    return int(info["sync_full"]), int(info["sync_partial_ok"])


def wait_value(server: Server, key: str, value: str) -> None:
    with server.client() as client:
        client.call("READONLY")
        wait_until(lambda: client.call("GET", key) == value, DEADLINE_S, lambda: f"{key} there\n{server.log_tail()}")


def test_the_other_replica_continues_from_whoever_is_promoted(cluster: Cluster) -> None:
    primary, (heir, other) = cluster.servers[0], cluster.servers[3:]
    key = own_key(cluster, primary)
    with primary.client() as client:
        client.call("SET", key, "before")
        assert client.call("WAIT", 2, 10_000) == 2
    assert stats(primary)[0] == 2

    assert heir.call("CLUSTER", "FAILOVER") == "OK"
    cluster.wait_promoted(heir, DEADLINE_S)
    for server in (other, primary):
        cluster.wait_replica(server, DEADLINE_S)
    cluster.wait_whole()
    assert heir.call("SET", key, "after") == "OK"
    for server in (other, primary):
        wait_value(server, key, "after")
    full, partial = stats(heir)
    assert full == 0, heir.log_tail()
    assert partial >= 2
    assert heir.info("replication")["connected_slaves"] == "2"


def test_after_a_crash_the_other_replica_continues(cluster: Cluster) -> None:
    primary, replicas = cluster.servers[0], cluster.servers[3:]
    key = own_key(cluster, primary)
    with primary.client() as client:
        client.call("SET", key, "before")
        assert client.call("WAIT", 2, 10_000) == 2
    primary.kill()

    def promoted() -> list[Server]:
        return [server for server in replicas if cluster.member(server).is_primary]

    wait_until(promoted, DEADLINE_S, lambda: f"one of them takes over\n{cluster.all_log_tails()}")
    heir = promoted()[0]
    other = next(server for server in replicas if server is not heir)
    cluster.wait_whole()
    assert heir.call("SET", key, "after") == "OK"
    wait_value(other, key, "after")
    assert stats(heir)[0] == 0, heir.log_tail()

    primary.start()
    cluster.wait_replica(primary, DEADLINE_S)
    wait_value(primary, key, "after")


def test_a_replica_can_be_given_to_another_primary(cluster: Cluster) -> None:
    first, second = cluster.servers[:2]
    moved = cluster.servers[4]
    key, foreign = own_key(cluster, first), own_key(cluster, second)
    first.call("SET", key, "1")
    second.call("SET", foreign, "2")
    wait_value(moved, key, "1")
    make_replica(moved, second)
    wait_until(lambda: cluster.member(moved).primary_id == second.text("CLUSTER", "MYID"), DEADLINE_S, "it moved")
    wait_value(moved, foreign, "2")
    cluster.wait_whole()
    assert moved.call("DBSIZE") == second.call("DBSIZE")
    assert moved.info("replication")["master_port"] == str(second.port)


def test_a_cut_link_is_mended_by_what_was_missed(cluster: Cluster) -> None:
    primary, replica = cluster.servers[0], cluster.servers[3]
    key = own_key(cluster, primary)
    primary.call("SET", key, "before")
    wait_value(replica, key, "before")
    full, partial = stats(primary)
    assert replica.call("CLIENT", "KILL", "TYPE", "master") == 1
    primary.call("SET", key, "after")
    wait_value(replica, key, "after")
    assert stats(primary) == (full, partial + 1)


def test_a_replica_that_never_got_its_primary_s_data_does_not_take_over(harness: Harness) -> None:
    """It would serve nothing, and the primary that comes back with its data would take over that."""
    cluster = Cluster.create(harness, 3)
    primary, other = cluster.servers[:2]
    [empty] = join(cluster, 1)
    key, own_id = own_key(cluster, primary), primary.text("CLUSTER", "MYID")
    primary.call("SET", key, "kept")
    primary.call("SAVE")
    primary.freeze()
    assert empty.call("CLUSTER", "REPLICATE", own_id) == "OK"
    wait_until(lambda: cluster.member(empty, other).primary_id == own_id, DEADLINE_S, "the others know of it")
    primary.kill()
    wait_until(lambda: "cluster_state:fail" in other.text("CLUSTER", "INFO"), DEADLINE_S, "it has failed")
    primary.start()
    cluster.wait_whole()
    assert cluster.get(key) == "kept"
    wait_value(empty, key, "kept")
