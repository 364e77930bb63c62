"""A primary that stood still goes on only when a majority answers anew, and nothing in that speaks against it."""

from __future__ import annotations

from dataclasses import replace

from bus import events
from bus.doubt import MIN_WAIT_MS
from bus.events import HoldClients, ReleaseClients
from bus.messages import CONTESTED, SUSPECTS_LIMIT, Fail, Heartbeat
from bus.view import NodeInfo, PersistentState
from tests.bus.driver import BUS_PORT, CLUSTER, PORT, TIMEOUT_MS, Driver, cluster, node_id

SHARD = cluster("abc", {"d": "a"})


def serving(heard_before_ms: int = 100) -> Driver:
    """Node a, a primary that serves; b and c last confirmed that long ago to have heard it."""
    driver = Driver("a", SHARD)
    driver.tick(2_500, alive="bcd")
    driver.clear()
    driver.tick(TIMEOUT_MS // 2)  # silence for half the timeout has all of them pinged
    for name in "bc":
        driver.answer(name, driver.effects)
    driver.tick(heard_before_ms)
    driver.clear()
    assert driver.view.state_ok
    return driver


def stop(driver: Driver, duration_ms: int) -> None:
    driver.now += duration_ms
    driver.step(events.Tick(driver.now))


def pings(driver: Driver, name: str) -> list[Heartbeat]:
    return [message for message in driver.sent(Heartbeat, name) if message.kind == "ping" and message.serial]


def test_a_stall_that_nobody_can_have_noticed_changes_nothing() -> None:
    driver = serving(heard_before_ms=100)
    stop(driver, TIMEOUT_MS // 2)
    assert driver.came(HoldClients) == []
    assert driver.view.state_ok


def test_clients_wait_while_a_majority_is_asked_and_go_on_when_it_has_answered() -> None:
    driver = serving(heard_before_ms=400)
    stop(driver, TIMEOUT_MS - 300)
    assert driver.came(HoldClients) == [HoldClients(MIN_WAIT_MS)]
    assert pings(driver, "b")
    assert pings(driver, "c")
    assert driver.came(ReleaseClients) == []
    driver.answer("c", driver.effects)
    assert driver.came(ReleaseClients) == [ReleaseClients(trusted=True)]
    assert driver.view.state_ok
    assert driver.came(events.ClusterStateChanged) == [], "a false alarm is no outage"


def test_whatever_event_comes_first_brings_a_stall_to_light() -> None:
    driver = serving()
    driver.now += 2 * TIMEOUT_MS
    effects = driver.hear("b", driver.heartbeat("b"))
    assert any(isinstance(effect, HoldClients) for effect in effects)


def test_what_lay_in_the_sockets_proves_nothing() -> None:
    driver = serving(heard_before_ms=100)
    driver.tick(TIMEOUT_MS // 2 - 100)
    before = list(driver.effects)
    assert pings(driver, "b")
    assert pings(driver, "c")
    driver.clear()
    stop(driver, 2 * TIMEOUT_MS)
    for name in "bc":
        driver.hear(name, driver.heartbeat(name), replace(driver.heartbeat(name), kind="ping"))
        driver.answer(name, before)
    assert driver.came(HoldClients) != []
    assert driver.came(ReleaseClients) == []
    driver.answer("b", driver.effects)
    assert driver.came(ReleaseClients) == [ReleaseClients(trusted=True)]


def test_who_has_failed_by_a_voter_s_word_stops_serving() -> None:
    driver = serving()
    stop(driver, 2 * TIMEOUT_MS)
    driver.answer("b", driver.effects, suspects="a")
    assert driver.came(ReleaseClients) == [ReleaseClients(trusted=False)]
    assert driver.view.down_reason == "minority"
    driver.tick(4 * TIMEOUT_MS, alive="bcd", suspects="a")
    assert not driver.view.state_ok
    driver.tick(2 * TIMEOUT_MS, alive="bcd")
    assert driver.view.state_ok


def test_whose_slots_are_another_s_by_a_voter_s_word_stops_serving() -> None:
    driver = serving()
    stop(driver, 2 * TIMEOUT_MS)
    driver.answer("b", driver.effects, flags=CONTESTED)
    assert driver.came(ReleaseClients) == [ReleaseClients(trusted=False)]
    assert not driver.view.state_ok


def test_who_is_held_for_failed_hears_of_it_however_many_others_are() -> None:
    """A heartbeat names a bounded number of nodes; of those it goes to it says in any case."""
    nodes = cluster("abcdef", {"9": "f"})  # who has a replica stays failed for a while
    states = {one.node_id: one for one in nodes.values()}
    for index in range(2 * SUSPECTS_LIMIT):
        failed = f"{index:040x}"
        states[failed] = NodeInfo(failed, "10.1.0.1", PORT, BUS_PORT, failed, flags=frozenset({"fail"}))
    driver = Driver("a", nodes, state=PersistentState(node_id("a"), states, cluster_id=CLUSTER))
    driver.hear("b", Fail(node_id("f")))
    for _ in range(20):
        driver.hear("f", replace(driver.heartbeat("f"), kind="ping"))
        assert node_id("f") in driver.sent(Heartbeat, "f")[-1].suspects
        driver.hear("b", replace(driver.heartbeat("b"), kind="ping"))
        assert node_id("b") not in driver.sent(Heartbeat, "b")[-1].suspects


def test_who_goes_on_does_so_however_many_others_have_failed() -> None:
    driver = serving(heard_before_ms=400)
    stop(driver, 900)
    for name in "bc":
        for message in pings(driver, name):
            pong = replace(driver.heartbeat(name), serial=message.serial, complete=False)
            driver.step(events.FrameReceived(driver.links[name][0], pong))
    assert driver.came(events.ReleaseClients) == [events.ReleaseClients(trusted=True)]


def test_a_voter_says_whose_slots_are_another_s() -> None:
    driver = Driver("b", SHARD)
    driver.hear("a", driver.announcement("a"))
    driver.hear("d", driver.announcement("d", config_epoch=4, slots=SHARD["a"].slots))
    driver.clear()
    driver.hear("a", Heartbeat("ping", 3, 1, 0, b"d" * 8, b"m" * 8, serial=77))
    driver.hear("d", Heartbeat("ping", 4, 4, 0, b"d" * 8, b"m" * 8))
    said = [(message.serial, message.flags) for message in driver.sent(Heartbeat) if message.kind == "pong"]
    assert said == [(77, CONTESTED), (0, 0)]


def test_after_an_election_it_knows_nothing_of_it_asks_once_more() -> None:
    driver = serving()
    stop(driver, 2 * TIMEOUT_MS)
    asked = list(driver.effects)
    driver.answer("b", asked, epoch=9)
    assert driver.came(ReleaseClients) == []
    driver.clear()
    driver.tick(100)
    driver.answer("b", driver.effects, epoch=9)
    assert driver.came(ReleaseClients) == [ReleaseClients(trusted=True)]


def test_clients_are_told_that_the_cluster_is_down_when_no_majority_answers() -> None:
    driver = serving()
    stop(driver, 2 * TIMEOUT_MS)
    driver.tick(MIN_WAIT_MS - 100)
    assert driver.came(ReleaseClients) == []
    driver.tick(100)
    assert driver.came(ReleaseClients) == [ReleaseClients(trusted=False)]
    assert driver.view.down_reason == "minority"
    driver.tick(2 * TIMEOUT_MS, alive="bcd")
    assert driver.view.state_ok


def test_a_second_stall_does_not_make_them_wait_twice() -> None:
    driver = serving()
    stop(driver, 2 * TIMEOUT_MS)
    asked = list(driver.effects)
    stop(driver, 400)
    driver.answer("b", asked)
    assert driver.came(ReleaseClients) == [], "that was asked before the second one"
    stop(driver, 300)
    assert len(driver.came(HoldClients)) == 1
    assert driver.came(ReleaseClients) == [ReleaseClients(trusted=False)]


def test_who_was_replaced_meanwhile_lets_them_go_after_the_new_view() -> None:
    driver = serving()
    stop(driver, 2 * TIMEOUT_MS)
    effects = driver.hear("d", driver.announcement("d", config_epoch=4, slots=SHARD["a"].slots))
    kinds = [type(effect) for effect in effects]
    assert kinds.index(events.ViewChanged) < kinds.index(ReleaseClients)
    assert driver.came(ReleaseClients) == [ReleaseClients(trusted=False)]
    assert driver.node("a").primary_id == node_id("d")


def test_who_serves_nothing_has_nothing_to_doubt() -> None:
    for me in "d":
        driver = Driver(me, SHARD)
        driver.tick(2_500, alive="abc")
        driver.clear()
        stop(driver, 10 * TIMEOUT_MS)
        assert driver.came(HoldClients) == []
        assert driver.view.state_ok


def test_a_primary_alone_has_nobody_to_ask() -> None:
    nodes = cluster("a")
    driver = Driver("a", {"a": replace(nodes["a"], slots=((0, 16383),))})
    driver.tick(2_500)
    driver.clear()
    stop(driver, 10 * TIMEOUT_MS)
    assert driver.came(HoldClients) == []
    assert driver.view.state_ok


def test_a_node_that_went_on_is_not_blamed_for_the_others_silence() -> None:
    driver = serving()
    stop(driver, 60_000)
    assert driver.flags("b") == driver.flags("c") == set()


def test_who_is_said_to_have_failed_asks_before_it_goes_on() -> None:
    """An election may be under way; the accusation comes before its outcome."""
    driver = serving()
    driver.answer("b", driver.effects)
    driver.clear()
    driver.hear("b", Fail(node_id("a")))
    assert driver.flags("a") == {"myself"}
    assert driver.came(HoldClients) == [HoldClients(MIN_WAIT_MS)]
    driver.answer("c", driver.effects)
    assert driver.came(ReleaseClients) == [ReleaseClients(trusted=True)]
    driver.hear("c", Fail(node_id("a")))
    driver.answer("b", driver.effects, suspects="a")
    assert driver.came(ReleaseClients) == [ReleaseClients(trusted=True), ReleaseClients(trusted=False)]
    assert not driver.view.state_ok
