"""A node that finds keys in its snapshot whose slots are not its own."""

from __future__ import annotations

import pytest

from cluster.keyspace.hashing import key_slot
from tests.system.clusters import Cluster, redis_cli
from tests.system.harness import Harness
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system


def test_slots_that_nobody_has_are_taken(harness: Harness) -> None:
    alone = harness.server({"cluster-enabled": "no"})
    alone.call("MSET", "a", 1, "b", 2)
    alone.call("SAVE")
    alone.terminate()
    node = harness.server({"cluster-require-full-coverage": "no"}, start=False)
    node.directory.mkdir(parents=True)
    (alone.directory / "dump.rdb").rename(node.directory / "dump.rdb")
    node.start()
    assert "cluster_slots_assigned:2" in node.text("CLUSTER", "INFO")
    wait_until(lambda: "cluster_state:ok" in node.text("CLUSTER", "INFO"), 20, "it serves them")
    assert node.call("GET", "a") == "1"
    assert node.call("GET", "b") == "2"


def test_slots_of_others_are_opened_for_import(harness: Harness) -> None:
    cluster = Cluster.create(harness, 3, directives={"save": "900 1"})
    source = cluster.owner("key")
    target = next(one for one in cluster.primaries() if one is not source)
    source.call("SET", "key", "value")
    source.call("SAVE")
    slot = key_slot(b"key")
    ids = source.text("CLUSTER", "MYID"), target.text("CLUSTER", "MYID")
    target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
    source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
    assert source.call("MIGRATE", "127.0.0.1", target.port, "key", 0, 5000) == "OK"
    for server in (target, source):
        server.call("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
    source.kill()
    source.start()
    wait_until(
        lambda: f"[{slot}-<-{ids[1]}]" in source.text("CLUSTER", "NODES"), 20, lambda: source.text("CLUSTER", "NODES")
    )
    assert "open slots" in redis_cli("--cluster", "check", source.address, check=False)
