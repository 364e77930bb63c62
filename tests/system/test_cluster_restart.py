"""Clusters that are killed and started again: topology and data, and a primary that comes back with older data."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress

import pytest

from cluster.bringup.client import ReplyError, RespClient
from tests.system.clusters import Cluster
from tests.system.harness import Harness, Server
from tests.system.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PATIENT = {"cluster-node-timeout": "15000", "cluster-fast-failover": "no"}
"""So that a primary is back long before anybody thinks of replacing it."""
KEYS = 400


class Writers:
    """A client for each primary, which sets keys of its slots to 1, 2, 3, …, and notes what was acknowledged."""

    def __init__(self, cluster: Cluster) -> None:
        self.acknowledged: dict[str, int] = {}
        self.sent: dict[str, int] = {}
        owners = {server: [] for server in cluster.primaries()}  # type: dict[Server, list[str]]
        for number in range(KEYS):
            owners[cluster.owner(f"key:{number}")].append(f"key:{number}")
        self._threads = [threading.Thread(target=self._run, args=one) for one in owners.items()]

    def _run(self, server: Server, keys: list[str]) -> None:
        with suppress(OSError, ReplyError), server.client() as client:
            number = 0
            while True:
                number += 1
                for key in keys:
                    self.sent[key] = number
                    client.call("SET", key, number)
                    self.acknowledged[key] = number

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wait_for(self, round_number: int) -> None:
        wait_until(
            lambda: len(self.acknowledged) == KEYS and min(self.acknowledged.values()) >= round_number, 60.0,
            "writes are acknowledged",
        )  # fmt: skip

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)


def topology(cluster: Cluster) -> object:
    view = cluster.view(cluster.running[0])
    return sorted((one.node_id, one.port, one.primary_id, tuple(one.slots)) for one in view.values())


def kill_all(cluster: Cluster) -> None:
    for server in cluster.servers:
        server.freeze()  # so that nobody sees another go
    for server in cluster.servers:
        server.kill()


def start_all(cluster: Cluster) -> None:
    for server in cluster.servers:
        server.start(wait=False)
    for server in cluster.servers:
        server.wait_answering()
    cluster.wait_whole()


def values(cluster: Cluster) -> dict[str, int]:
    found: dict[str, int] = {}
    for server in cluster.primaries():
        with server.client() as client:
            for key in client.call("KEYS", "key:*"):  # type: ignore[attr-defined]
                found[str(key)] = int(str(client.call("GET", str(key)) or 0))
    return found


def made(harness: Harness, directives: Mapping[str, str]) -> Cluster:
    return Cluster.create(harness, 6, 1, {**PATIENT, **directives})


@pytest.fixture(scope="module")
def clusters(shared_harness: Harness) -> Cluster:
    """One that keeps its data in snapshots, which the tests leave whole."""
    return made(shared_harness, {"save": "10000 1000000"})


def test_a_cluster_with_append_only_files_comes_back_whole(harness: Harness) -> None:
    cluster = made(harness, {"appendonly": "yes", "appendfsync": "always"})
    before = topology(cluster)
    writers = Writers(cluster)
    writers.start()
    writers.wait_for(2)
    kill_all(cluster)
    writers.join()
    start_all(cluster)
    assert topology(cluster) == before
    found = values(cluster)
    for key, number in writers.acknowledged.items():
        assert number <= found[key] <= writers.sent[key], key


def test_a_cluster_with_snapshots_comes_back_with_those(clusters: Cluster) -> None:
    cluster = clusters
    before = topology(cluster)
    writers = Writers(cluster)
    writers.start()
    writers.wait_for(1)
    for server in cluster.servers:
        assert server.call("SAVE") == "OK"
    sure = dict(writers.acknowledged)
    writers.wait_for(max(sure.values()) + 1)
    kill_all(cluster)
    writers.join()
    start_all(cluster)
    assert [one[:2] for one in topology(cluster)] == [one[:2] for one in before]  # type: ignore[attr-defined]
    found = values(cluster)
    assert len(found) == KEYS
    assert all(1 <= number <= writers.sent[key] for key, number in found.items())
    assert all(cluster.owner(key) for key in list(sure)[:3])


@pytest.mark.parametrize("left", ["nothing", "an old snapshot"])
def test_a_primary_that_comes_back_with_less_than_its_replica_yields_to_it(clusters: Cluster, left: str) -> None:
    cluster = clusters
    primary = cluster.owner("key:0")
    (replica,) = cluster.replicas_of(primary)
    slots = cluster.member(primary).slots
    primary.call("SAVE")
    with primary.client() as client:
        _write(client, "old")
        if left == "an old snapshot":
            client.call("SAVE")
        _write(client, "new")
        assert client.call("WAIT", 1, 5000) == 1
    count = primary.call("DBSIZE")
    primary.kill()
    if left == "nothing":
        (primary.directory / "dump.rdb").unlink()
    primary.start()
    cluster.wait_promoted(replica, 30)
    cluster.wait_replica(primary, 30)
    assert cluster.member(replica).slots == slots
    assert replica.call("DBSIZE") == primary.call("DBSIZE") == count
    assert replica.call("GET", "{key:0}:9") == "new"
    assert "are newer than mine" in primary.log()
    cluster.wait_whole()


def _write(client: RespClient, value: str) -> None:
    for number in range(10):
        client.call("SET", f"{{key:0}}:{number}", value)


def test_one_with_all_of_it_stays_the_primary(clusters: Cluster) -> None:
    cluster = clusters
    primary = cluster.owner("key:0")
    (replica,) = cluster.replicas_of(primary)
    cluster.wait_whole()
    assert primary.terminate() == 0  # which saves
    primary.start()
    cluster.wait_whole()
    assert cluster.owner("key:0") is primary
    assert "are newer than mine" not in primary.log().rpartition("is starting")[2]
    assert replica.info("replication")["role"] == "slave"


def test_a_node_that_loads_for_long_is_no_failed_one(harness: Harness) -> None:
    """As with redis-server, which answers pings while it loads."""
    slow = {"cluster-node-timeout": "1000", "loading-process-events-interval-bytes": "1024"}
    if harness.kind == "ours":
        slow["cluster-fast-failover"] = "no"
    cluster = Cluster.create(harness, 3, 0, {**slow, "save": "10000 1000000"})
    primary = cluster.owner("key:0")
    observer = next(server for server in cluster.servers if server is not primary)
    before = topology(cluster)
    assert primary.call("DEBUG", "POPULATE", 10_000, "{key:0}") == "OK"
    primary.call("CONFIG", "SET", "key-load-delay", 400)
    primary.call("CONFIG", "REWRITE")
    assert primary.terminate() == 0
    primary.start(wait=False)
    wait_until(lambda: _is_loading(primary), 20, "it is loading")
    wait_until(lambda: not cluster.member(primary, observer).is_down, 20, "it is heard of, though it was away for long")
    marks = observer.log().count("Marking node")
    took = wait_until(lambda: not _is_loading(primary), 60, "it has loaded")
    assert took > 2, "more than it may be silent for"
    assert observer.log().count("Marking node") == marks
    cluster.wait_whole()
    assert topology(cluster) == before


def _is_loading(server: Server) -> bool:
    try:
        server.call("PING")
    except ReplyError as error:
        return str(error).startswith("LOADING")
    return False
