"""A network partition by real network namespaces: the minority refuses, the majority promotes, the heal converges."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from cluster.bringup.client import ReplyError
from scripts.chaos_run.clients import Load, read_all
from scripts.chaos_run.timeline import LAG_NS
from scripts.histories.judgement import judge
from scripts.histories.operations import Action, Exposure, told
from tests.system.clusters import Cluster
from tests.system.harness import Harness, Server
from tests.system.namespaces import NamespacedServer, Network, namespaces_are_possible
from tests.system.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.network_namespaces]

DEADLINE_S = 30.0
TIMEOUT = {"cluster-node-timeout": "1500"}
TIMEOUT_NS = 1_500_000_000
GRACE_NS = 1_000_000_000
"""What a busy machine may add until a node has noticed that its time is over."""
FLAPS = 4
CASES = ("2|4", "1|5", "flapping", "mute", "deaf")
"""Mute: it hears all others, and none hears it. Deaf: the other way round."""


@pytest.fixture
def network(harness: Harness) -> Iterator[Network]:
    impossible = namespaces_are_possible()
    if impossible:
        if os.environ.get("CI") == "true":
            pytest.fail(impossible)
        pytest.skip(impossible)
    network = Network(harness)
    try:
        yield network
    finally:
        harness.close()
        network.close()


@pytest.fixture
def cluster(network: Network, harness: Harness) -> Cluster:
    return Cluster.formed(harness, [network.server(TIMEOUT) for _ in range(6)], 1)


def _state(server: Server) -> str:
    return "ok" if "cluster_state:ok" in server.text("CLUSTER", "INFO") else "fail"


def _refuses(server: Server, *command: str) -> bool:
    try:
        server.call(*command)
    except ReplyError as error:
        return str(error).startswith("CLUSTERDOWN")
    return False


def test_the_minority_refuses_and_the_majority_goes_on(cluster: Cluster, network: Network) -> None:
    lone = cluster.primaries()[0]
    heir = cluster.replicas_of(lone)[0]
    stranger = cluster.replicas_of(next(server for server in cluster.primaries() if server is not lone))[0]
    key = next(f"key:{number}" for number in range(1000) if cluster.owner(f"key:{number}") is lone)
    with lone.client() as client:
        client.call("SET", key, "before")
        assert client.call("WAIT", 1, 5000) == 1

    minority = [lone, stranger]
    majority = [server for server in cluster.servers if server not in minority]
    network.cut_off(minority)
    wait_until(lambda: _refuses(lone, "SET", key, "lost"), DEADLINE_S, f"{lone} refuses writes\n{lone.log_tail()}")
    assert _refuses(lone, "GET", key)
    wait_until(lambda: _state(stranger) == "fail", DEADLINE_S, "the replica of the minority knows")
    cluster.wait_promoted(heir, DEADLINE_S)
    wait_until(lambda: all(_state(server) == "ok" for server in majority), DEADLINE_S, "the majority is ok")
    assert heir.call("GET", key) == "before"
    assert heir.call("SET", key, "after") == "OK"
    # In the minority nobody is promoted, however long it lasts, and nobody's writes are taken.
    assert _refuses(lone, "SET", key, "lost")
    assert not cluster.member(stranger).is_primary

    network.heal()
    cluster.wait_whole()
    assert cluster.member(lone).primary_id == heir.text("CLUSTER", "MYID")
    with lone.client() as client:
        client.call("READONLY")
        wait_until(lambda: client.call("GET", key) == "after", DEADLINE_S, "the old primary has the new data")


@pytest.mark.parametrize(
    "cases",
    [*((case,) for case in CASES), pytest.param(CASES, marks=pytest.mark.long)],
    ids=[*CASES, "one after another"],
)
def test_only_what_a_cut_off_primary_acknowledged_within_the_node_timeout_is_lost(
    cluster: Cluster, network: Network, cases: tuple[str, ...]
) -> None:
    """Clients reach both sides all the time, and nothing else that any of them was answered may be wrong."""
    ways = {server.port: server.client for server in cluster.servers}
    load = Load(ways, clients=3, rate=200, seed=1)
    load.start()
    try:
        exposures = [_cut_and_heal(cluster, network, load, case) for case in cases]
        _wait_more(load)
    finally:
        load.stop()
    recorded = load.recorded()
    recorded += read_all(ways, recorded)
    judgement = judge(recorded, exposures)
    if not judgement.is_good:
        histories = [told(key, recorded, exposures) for key in judgement.broken_keys[:3]]
        logs = [f"{server}\n{server.log_tail()}" for server in cluster.servers]
        pytest.fail("\n\n".join([*judgement.violations, *judgement.undecided, *histories, *logs]))
    writes = [one for one in recorded if one.action is Action.WRITE]
    for exposure in exposures:
        assert any(map(exposure.covers, writes)), f"{exposure}: nothing was acknowledged, so the account says nothing"


def _cut_and_heal(cluster: Cluster, network: Network, load: Load, case: str) -> Exposure:
    """Cut a primary off until its replica has taken over and it knows; what it may have lost."""
    primaries = cluster.primaries()
    lone = primaries[0]
    assert isinstance(lone, NamespacedServer)
    heir = cluster.replicas_of(lone)[0]
    stranger = cluster.replicas_of(primaries[1])[0]
    minority = [lone, stranger] if case == "2|4" else [lone]
    # A link that was just healed still says it is up while TCP waits to send again: the heir has to have caught up.
    key = next(f"key:{number}" for number in range(1000) if cluster.owner(f"key:{number}") is lone)
    with lone.client() as client:
        client.call("SET", key, case)
        assert client.call("WAIT", 1, 20_000) == 1
    _wait_more(load)
    begun_ns = time.monotonic_ns()
    if case == "flapping":
        for _ in range(FLAPS):
            network.cut_off(minority)
            _wait_more(load, 20)
            network.heal()
            _wait_more(load, 20)
    match case:
        case "mute":
            network.mute(lone)
        case "deaf":
            network.deafen(lone)
        case _:
            network.cut_off(minority)
    cut_ns = time.monotonic_ns()
    cluster.wait_promoted(heir, DEADLINE_S)
    # Who still hears the others learns of its heir, and follows it.
    wait_until(lambda: _state(lone) == "fail" or not cluster.member(lone).is_primary, DEADLINE_S, f"{lone} knows")
    _wait_more(load)
    network.heal()
    cluster.wait_whole()
    return Exposure(str(lone.port), begun_ns - LAG_NS, cut_ns + TIMEOUT_NS + GRACE_NS, case)


def _wait_more(load: Load, operations: int = 100) -> None:
    until = load.count() + operations
    wait_until(lambda: load.count() >= until, DEADLINE_S, "the load goes on")


def test_reads_go_on_in_the_minority_where_that_is_allowed(cluster: Cluster, network: Network) -> None:
    lone = cluster.primaries()[0]
    key = next(f"key:{number}" for number in range(1000) if cluster.owner(f"key:{number}") is lone)
    lone.call("SET", key, "kept")
    lone.call("CONFIG", "SET", "cluster-allow-reads-when-down", "yes")
    network.cut_off([lone])
    wait_until(lambda: _refuses(lone, "SET", key, "kept"), DEADLINE_S, f"{lone} refuses writes")
    assert lone.call("GET", key) == "kept"
    network.heal()
    cluster.wait_whole()


def test_a_partition_without_a_majority_elects_nobody(cluster: Cluster, network: Network) -> None:
    primaries = cluster.primaries()
    cut = primaries[:2]
    network.cut_off(cut)
    left = [server for server in cluster.servers if server not in cut]
    everyone = [*left, *cut]
    wait_until(lambda: all(_state(server) == "fail" for server in everyone), DEADLINE_S, "all know that they are few")
    own_words = {server.port for server in everyone if cluster.member(server).is_primary}
    assert own_words == {server.port for server in primaries}
    network.heal()  # The two hold the third for failed and now have its replica's ear: who wins is a matter of chance.
    cluster.wait_whole()


def test_every_test_has_a_network_of_its_own() -> None:
    assert len(f"v{os.getpid() % 100_000}c99") < 16, "the kernel's limit for the name of an interface"
