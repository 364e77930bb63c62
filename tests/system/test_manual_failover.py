"""Operators change primaries on purpose, under load: no acknowledged write is lost, whoever is primary."""

from __future__ import annotations

import pytest

from cluster.bringup.client import ReplyError
from tests.system.clusters import Cluster
from tests.system.harness import Harness, Server
from tests.system.load import WriteLoad
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 30.0


@pytest.fixture
def cluster(harness: Harness) -> Cluster:
    return Cluster.create(harness, 6, 1)


def _fail_over(cluster: Cluster, replica: Server) -> None:
    """Ask until it is done: a failover may be given up when the election finds no majority in time."""

    def done() -> bool:
        if cluster.member(replica).is_primary:
            return True
        try:
            replica.call("CLUSTER", "FAILOVER")
        except ReplyError:
            return cluster.member(replica).is_primary
        try:
            cluster.wait_promoted(replica, 6)
        except AssertionError:
            return False
        return True

    wait_until(done, DEADLINE_S, f"{replica} takes over\n{replica.log_tail()}")


def test_a_manual_failover_loses_no_acknowledged_write(cluster: Cluster) -> None:
    primary = cluster.primaries()[0]
    replica = cluster.replicas_of(primary)[0]
    with WriteLoad(cluster, threads=3) as load:
        for new, old in ((replica, primary), (primary, replica), (replica, primary)):
            _fail_over(cluster, new)
            cluster.wait_replica(old, DEADLINE_S)
            load.wait_everywhere(DEADLINE_S)
    cluster.wait_whole()
    assert load.lost() == {}


def test_a_rolling_restart_of_all_nodes_loses_no_acknowledged_write(cluster: Cluster) -> None:
    with WriteLoad(cluster, threads=2, retries=10) as load:
        for server in cluster.servers:
            if cluster.member(server).is_primary:
                heir = cluster.replicas_of(server)[0]
                _fail_over(cluster, heir)
                cluster.wait_replica(server, DEADLINE_S)
                cluster.wait_whole()
            assert server.terminate() == 0
            server.start()
            cluster.wait_replica(server, DEADLINE_S)
            cluster.wait_whole()
            load.wait_everywhere(DEADLINE_S)
    assert load.lost() == {}


def test_forced_failover_needs_no_primary_and_takeover_no_majority(cluster: Cluster) -> None:
    primary = cluster.primaries()[0]
    replica = cluster.replicas_of(primary)[0]
    primary.freeze()
    replica.call("CLUSTER", "FAILOVER", "FORCE")
    cluster.wait_promoted(replica, DEADLINE_S)
    primary.thaw()
    cluster.wait_replica(primary, DEADLINE_S)
    cluster.wait_whole()

    epoch = cluster.member(replica).config_epoch
    primary.call("CLUSTER", "FAILOVER", "TAKEOVER")
    cluster.wait_promoted(primary, DEADLINE_S)
    cluster.wait_replica(replica, DEADLINE_S)
    cluster.wait_whole()
    assert cluster.member(primary).config_epoch > epoch


def test_failover_is_refused_where_it_makes_no_sense(cluster: Cluster) -> None:
    with pytest.raises(ReplyError, match="ERR You should send CLUSTER FAILOVER to a replica"):
        cluster.primaries()[0].call("CLUSTER", "FAILOVER")
    replica = cluster.replicas_of(cluster.primaries()[0])[0]
    with pytest.raises(ReplyError, match="ERR syntax error"):
        replica.call("CLUSTER", "FAILOVER", "PLEASE")
