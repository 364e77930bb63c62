"""A primary that comes back with older data than its replica's: it does not serve, and has that one take over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bus import events
from bus.core import BusConfig
from bus.messages import Data, DataQuestion, TakeOver, Vote, VoteRequest
from bus.returning import OFFER_AGAIN_MS, is_newer
from tests.bus.driver import BUS_PORT, PORT, TIMEOUT_MS, Driver, cluster, node_id

X, Y = "1" * 40, "2" * 40
EMPTY = Data("", 0, None, has_keys=False)


def data(replid: str, offset: int, age_ms: int | None = None, *, keys: bool = True, loading: bool = False) -> Data:
    return Data(replid, offset, age_ms, keys, loading)


@pytest.mark.parametrize(("theirs", "mine", "newer"), [
    (data(X, 11), data(X, 10), True),
    (data(X, 10), data(X, 10), False),
    (data(X, 9), data(X, 10), False),
    (data(X, 11, keys=False), data(X, 10), True),  # all was deleted since
    (data(X, 11, keys=False), data(X, 10, keys=False), False),
    (data(X, 10, 900), EMPTY, True),
    (data(X, 10, 900, keys=False), EMPTY, False),
    (data(X, 10, None), EMPTY, True),
    (data(X, 10, None), data("", 0, 5_000), False),  # nobody can tell
    (data(X, 10, 900), data("", 0, 5_000), True),
    (data(X, 10, 9_000), data(Y, 90, 5_000), False),
    (data(Y, 10, 900), data(X, 90, 5_000), True),
    (data(Y, 10, 0), data("", 0, 0), False),  # an append-only file
])  # fmt: skip
def test_which_data_are_newer(theirs: Data, mine: Data, newer: bool) -> None:
    assert is_newer(theirs, mine) is newer


def come_back(replicas: str = "d", *, loading: bool = True, fast: bool = True) -> Driver:
    """A primary a that starts again, beside b and c, and replicas of its own."""
    config = BusConfig(node_timeout_ms=TIMEOUT_MS, port=PORT, bus_port=BUS_PORT, fast_failover=fast)
    driver = Driver(nodes=cluster("abc", dict.fromkeys(replicas, "a")), config=config, loading=loading)
    for name in driver.nodes:
        if name != "a":
            primary = "a" if name in replicas else ""
            driver.hear(name, driver.announcement(name, primary=primary))
    return driver


def others(driver: Driver) -> str:
    return "".join(driver.links)


def test_while_it_loads_it_answers_and_does_not_serve() -> None:
    driver = come_back()
    driver.tick(10 * TIMEOUT_MS, alive=others(driver))
    assert (driver.view.state_ok, driver.view.settled) == (False, False)
    assert driver.sent(DataQuestion) == []
    driver.step(events.Loaded(data(X, 10)))
    driver.hear("d", data(X, 10))
    assert (driver.view.state_ok, driver.view.settled) == (True, True)
    assert driver.sent(TakeOver) == []


def test_a_replica_with_more_is_asked_to_take_over() -> None:
    driver = come_back("de")
    driver.step(events.Loaded(data(X, 10)))
    assert driver.sent(DataQuestion, "d")
    assert driver.sent(DataQuestion, "e")
    assert not driver.sent(DataQuestion, "b")
    driver.hear("d", data(X, 20, 0))
    driver.hear("e", data(X, 15, 0))
    assert driver.sent(TakeOver, "d")
    assert not driver.sent(TakeOver, "e")
    driver.tick(OFFER_AGAIN_MS + 200, alive=others(driver))
    assert len(driver.sent(TakeOver, "d")) == 2, "it may have been lost"
    assert not driver.view.state_ok
    # It wins: this node has voted for it, and follows it.
    driver.hear("d", VoteRequest(9, 1, driver.nodes["a"].slots, forced=True))
    assert driver.sent(Vote)
    driver.hear("d", driver.announcement("d", config_epoch=9, slots=driver.nodes["a"].slots, shard="a"))
    assert driver.node("a").primary_id == node_id("d")
    assert [follow.node_id for follow in driver.came(events.FollowNode)] == [node_id("d")]
    assert driver.view.settled


def test_an_append_only_file_is_taken_at_its_word() -> None:
    driver = come_back()
    driver.tick(TIMEOUT_MS, alive=others(driver))
    driver.step(events.Loaded(data("", 0, 0)))
    assert driver.sent(DataQuestion) == []
    assert driver.view.state_ok, "nobody is waited for"


def test_one_that_is_gone_is_not_waited_for() -> None:
    driver = come_back()
    driver.step(events.Loaded(EMPTY))
    driver.hear("d", data(X, 20, 0))
    driver.tick(TIMEOUT_MS // 2, alive="bc")
    assert not driver.view.state_ok
    driver.tick(3 * TIMEOUT_MS, alive="bc", suspects="d")
    assert driver.view.settled
    assert driver.view.state_ok


def test_one_that_is_loading_is_waited_for_and_asked_again() -> None:
    driver = come_back()
    driver.step(events.Loaded(data(X, 10)))
    driver.hear("d", data("", 0, None, keys=False, loading=True))
    driver.clear()
    driver.tick(TIMEOUT_MS - 200, alive=others(driver))
    assert driver.sent(DataQuestion, "d")
    assert not driver.view.state_ok
    driver.hear("d", data(X, 20))
    assert driver.sent(TakeOver, "d")


def test_but_not_for_ever() -> None:
    driver = come_back()
    driver.step(events.Loaded(data(X, 10)))
    driver.hear("d", data("", 0, None, keys=False, loading=True))
    driver.tick(TIMEOUT_MS + 200, alive=others(driver))
    assert driver.view.state_ok


def test_one_that_may_not_fail_over_is_not_asked() -> None:
    driver = come_back()
    driver.hear("d", replace(driver.announcement("d", primary="a"), nofailover=True))
    driver.tick(TIMEOUT_MS, alive=others(driver))
    driver.step(events.Loaded(EMPTY))
    assert driver.sent(DataQuestion) == []
    assert driver.view.state_ok


def test_a_primary_that_serves_asks_nobody() -> None:
    driver = come_back()
    driver.tick(TIMEOUT_MS, alive=others(driver))
    driver.step(events.Loaded(data(X, 10)))
    driver.hear("d", data(X, 10))
    driver.clear()
    driver.hear("d", data(X, 99))
    driver.tick(2 * TIMEOUT_MS, alive=others(driver))
    assert driver.sent(DataQuestion) + driver.sent(TakeOver) == []
    assert driver.view.state_ok


# -- the replica's side ------------------------------------------------------------------------------------------


def replica(*, loading: bool = False, no_failover: bool = False) -> Driver:
    config = BusConfig(
        node_timeout_ms=TIMEOUT_MS, port=PORT, bus_port=BUS_PORT, replica_no_failover=no_failover
    )
    return Driver("d", cluster("abc", {"d": "a"}), config=config, loading=loading)


def test_a_replica_says_what_it_holds() -> None:
    driver = replica()
    driver.step(events.ReplicationOffset(0, False, None, data(X, 20, 300)))
    driver.now += 500
    driver.hear("a", DataQuestion())
    assert driver.sent(Data, "a") == [data(X, 20, 800)]


def test_or_that_it_is_loading() -> None:
    driver = replica(loading=True)
    driver.step(events.ReplicationOffset(0, False, None, data(X, 20, 300)))
    driver.hear("a", DataQuestion())
    assert driver.sent(Data, "a") == [Data("", 0, None, has_keys=False, is_loading=True)]
    driver.step(events.Loaded(data(X, 20)))
    driver.clear()
    driver.hear("a", DataQuestion())
    assert driver.sent(Data, "a") == [data(X, 20)]


def test_asked_to_take_over_it_asks_for_the_votes_at_once() -> None:
    driver = replica()
    driver.hear("b", TakeOver())
    assert driver.sent(VoteRequest) == [], "only its primary may ask for that"
    driver.hear("a", TakeOver())
    (request,) = driver.sent(VoteRequest, "b")
    assert request.forced
    driver.hear("b", Vote(request.epoch))
    driver.hear("a", Vote(request.epoch))
    assert driver.came(events.BecomePrimary)
    assert driver.owner(0) == "d"


@pytest.mark.parametrize("reason", ["loading", "no_failover"])
def test_unless_it_may_not_or_cannot(reason: str) -> None:
    driver = replica(loading=reason == "loading", no_failover=reason == "no_failover")
    driver.hear("a", TakeOver())
    assert driver.sent(VoteRequest) == []


def test_no_election_is_held_while_the_data_are_loaded() -> None:
    driver = replica(loading=True)
    driver.tick(5 * TIMEOUT_MS, alive="bc", suspects="a")
    assert "fail" in driver.flags("a")
    assert driver.sent(VoteRequest) == []
    driver.step(events.Loaded(data(X, 20)))
    driver.step(events.ReplicationOffset(20, False, 100))
    driver.tick(TIMEOUT_MS, alive="bc", suspects="a")
    assert driver.sent(VoteRequest)
