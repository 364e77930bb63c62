"""Replica migration: one that can be spared goes to a primary that has lost its own."""

from __future__ import annotations

from bus import events
from bus.core import BusConfig
from bus.messages import Fail
from tests.bus.driver import BUS_PORT, PORT, TIMEOUT_MS, Driver, cluster, node_id

SHARD = cluster("abc", {"d": "a", "e": "a", "f": "b"})


def orphaned(me: str = "d", *, barrier: int = 1, allowed: bool = True, failed: str = "f") -> Driver:
    """a has the replicas d and e; b's only one, f, has failed for longer than a moment."""
    config = BusConfig(
        node_timeout_ms=TIMEOUT_MS, port=PORT, bus_port=BUS_PORT, migration_barrier=barrier,
        allow_replica_migration=allowed,
    )
    driver = Driver(me, SHARD, config=config)
    others = [name for name in SHARD if name not in (me, *failed)]
    driver.tick(500, alive=others)
    for name in failed:
        driver.hear("a" if me != "a" else "b", Fail(node_id(name)))
    driver.tick(6_000, alive=others)
    return driver


def test_a_spare_replica_goes_to_the_orphan() -> None:
    driver = orphaned()
    assert driver.node("d").primary_id == node_id("b")
    assert driver.came(events.FollowNode)[-1].node_id == node_id("b")


def test_of_several_only_the_one_with_the_smallest_id_goes() -> None:
    assert orphaned("e").node("e").primary_id == node_id("a")


def test_the_barrier_keeps_that_many() -> None:
    assert orphaned(barrier=2).node("d").primary_id == node_id("a")


def test_it_can_be_forbidden() -> None:
    assert orphaned(allowed=False).node("d").primary_id == node_id("a")


def test_the_last_replica_stays() -> None:
    assert orphaned(failed="fe").node("d").primary_id == node_id("a")


def test_a_primary_that_never_had_a_replica_is_no_orphan() -> None:
    driver = orphaned(failed="")
    driver.tick(6_000, alive="abcef")
    assert driver.node("d").primary_id == node_id("a")
