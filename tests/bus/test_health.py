"""When a node may serve: all slots have an owner that lives, and it is on the side of the majority."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from bus import events
from bus.core import BusConfig, BusCore
from bus.messages import Fail
from tests.bus.driver import BUS_PORT, PORT, START_MS, TIMEOUT_MS, Driver, cluster, node_id

SHARD = cluster("abc", {"d": "b"})


def serving(me: str = "a", *, full_coverage: bool = True) -> Driver:
    config = BusConfig(
        node_timeout_ms=TIMEOUT_MS, port=PORT, bus_port=BUS_PORT, require_full_coverage=full_coverage
    )
    driver = Driver(me, SHARD, config=config)
    driver.tick(2_500, alive=[name for name in SHARD if name != me])
    driver.clear()
    return driver


def test_a_primary_that_starts_listens_first() -> None:
    driver = Driver("a", SHARD)
    driver.tick(1_900, alive="bcd")
    assert (driver.view.state_ok, driver.view.down_reason) == (False, "starting")
    driver.tick(200, alive="bcd")
    assert driver.view.state_ok
    assert driver.came(events.ClusterStateChanged) == [events.ClusterStateChanged(True)]


def test_a_primary_that_starts_waits_for_nothing_when_everybody_has_spoken_for_it() -> None:
    driver = Driver("a", SHARD)
    for name in "bcd":
        driver.hear(name, driver.announcement(name, primary="b" if name == "d" else ""))
    driver.tick(200, alive="bc")
    assert not driver.view.state_ok, "d may know of an election, and have told nobody yet"
    driver.tick(600, alive="bcd")
    assert driver.view.state_ok


@pytest.mark.parametrize("silent", ["b", "d"])
def test_where_one_is_missing_or_speaks_against_it_a_primary_that_starts_waits(silent: str) -> None:
    driver = Driver("a", SHARD)
    others = [name for name in "bcd" if name != silent]
    for name in others:
        driver.hear(name, driver.announcement(name, primary="b" if name == "d" else ""))
    driver.tick(1_900, alive=others)
    assert not driver.view.state_ok
    driver.tick(200, alive=others)
    assert driver.view.state_ok


def test_a_primary_that_starts_in_a_minority_serves_nothing() -> None:
    """That it has not yet missed the others for the node timeout says nothing: it was not there to hear them."""
    driver = Driver("a", SHARD)
    driver.tick(2_500, alive="d")
    assert not driver.view.state_ok
    driver.tick(60_000)
    assert not driver.view.state_ok
    driver.link("b")
    driver.tick(1_000, alive="b")
    assert driver.view.state_ok, "with b it is the majority"


def test_a_primary_that_starts_and_has_failed_by_the_others_word_waits_for_what_comes_of_it() -> None:
    driver = Driver("a", SHARD)
    driver.tick(3_000, alive="bcd", suspects="a")
    assert not driver.view.state_ok
    driver.tick(1_000, alive="bcd")
    assert driver.view.state_ok


def test_a_new_node_serves_as_soon_as_all_slots_are_owned() -> None:
    core = BusCore(BusConfig(node_timeout_ms=TIMEOUT_MS), random.Random(1), None, START_MS, START_MS)
    core.start()
    assert not core.view.state_ok
    core.step(START_MS + 10, events.AddSlots(tuple(range(16_384))))
    assert core.view.state_ok


def test_a_replica_that_starts_serves_at_once() -> None:
    assert Driver("d", SHARD).view.state_ok


def test_without_a_majority_nothing_is_served() -> None:
    driver = serving()
    driver.tick(TIMEOUT_MS + 200)
    assert driver.view.down_reason == "minority"
    assert driver.came(events.ClusterStateChanged) == [events.ClusterStateChanged(False)]


def test_back_among_the_majority_a_primary_waits_before_it_serves() -> None:
    driver = serving()
    driver.tick(TIMEOUT_MS + 200)
    driver.tick(TIMEOUT_MS - 200, alive="bcd")
    assert not driver.view.state_ok
    driver.tick(400, alive="bcd")
    assert driver.view.state_ok


def test_a_slot_whose_owner_failed_brings_all_down() -> None:
    driver = serving()
    driver.hear("b", Fail(node_id("c")))
    assert driver.view.down_reason == "slots"
    driver.hear("b", driver.announcement("b", config_epoch=9, slots=((5461, 16383),)))
    assert driver.view.state_ok


def test_a_slot_nobody_owns_brings_all_down() -> None:
    driver = serving()
    driver.ask(events.DelSlots((0,)))
    assert driver.view.down_reason == "slots"
    driver.ask(events.AddSlots((0,)))
    assert driver.view.state_ok


def test_without_full_coverage_the_rest_is_served() -> None:
    driver = serving(full_coverage=False)
    driver.hear("b", Fail(node_id("c")))
    driver.ask(events.DelSlots((0,)))
    assert driver.view.state_ok


def test_the_change_is_seen_before_those_who_wait_for_it_are_told() -> None:
    driver = serving()
    effects = driver.hear("b", Fail(node_id("c")))
    assert any(isinstance(effect, events.ViewChanged) and not effect.view.state_ok for effect in effects)


def test_a_primary_alone_with_all_slots_serves() -> None:
    nodes = cluster("a")
    driver = Driver("a", {"a": replace(nodes["a"], slots=((0, 16383),))})
    driver.tick(2_100)
    assert driver.view.state_ok
