"""Votes: whom a primary gives its own, and whom it refuses it."""

from __future__ import annotations

from dataclasses import replace

from bus import events
from bus.messages import Fail, Update, Vote, VoteRequest
from tests.bus.driver import TIMEOUT_MS, Driver, cluster, node_id

REPLICAS = cluster("abc", {"d": "b", "e": "b"})
B_SLOTS = REPLICAS["b"].slots


def voter() -> Driver:
    """Node a, a primary; b has failed, and d and e are its replicas."""
    driver = Driver("a", REPLICAS)
    driver.hear("c", Fail(node_id("b")))
    driver.clear()
    return driver


def request(epoch: int, *, config_epoch: int = 2, forced: bool = False) -> VoteRequest:
    return VoteRequest(epoch, config_epoch, B_SLOTS, forced)


def test_a_vote_is_on_disk_before_it_is_sent() -> None:
    driver = voter()
    effects = driver.hear("d", request(4))
    saved = next(i for i, effect in enumerate(effects) if isinstance(effect, events.Persist))
    sent = next(i for i, effect in enumerate(effects) if isinstance(effect, events.Send) and effect.message == Vote(4))
    assert saved < sent
    persist = effects[saved]
    assert isinstance(persist, events.Persist)
    assert persist.durable
    assert persist.state.last_vote_epoch == 4
    assert driver.sent(Vote, "d") == [Vote(4)]


def test_one_vote_an_epoch() -> None:
    driver = voter()
    driver.hear("d", request(4))
    driver.hear("e", request(4))
    assert driver.sent(Vote) == [Vote(4)]


def test_who_stood_in_an_epoch_itself_has_no_vote_left_in_it() -> None:
    """It is a voter once it has won, and with its vote another could win the same epoch."""
    driver = Driver("d", cluster("abc", {"d": "b", "e": "c"}))
    driver.hear("a", Fail(node_id("b")))
    driver.tick(500, alive="ace")
    (asked,) = driver.sent(VoteRequest, "a")
    driver.hear("a", Vote(asked.epoch))
    driver.hear("c", Vote(asked.epoch))
    assert driver.node("d").role == "primary"
    driver.hear("a", Fail(node_id("c")))
    driver.clear()
    slots = driver.nodes["c"].slots
    driver.hear("e", VoteRequest(asked.epoch, 3, slots))
    assert driver.sent(Vote) == []
    driver.hear("e", VoteRequest(asked.epoch + 1, 3, slots))
    assert driver.sent(Vote, "e") == [Vote(asked.epoch + 1)]


def test_a_vote_that_was_lost_with_its_link_is_given_again_to_the_same() -> None:
    driver = voter()
    driver.hear("d", request(4))
    driver.link("d")
    driver.clear()
    driver.hear("d", request(4))
    driver.hear("e", request(4))
    assert driver.sent(Vote) == driver.sent(Vote, "d") == [Vote(4)]


def test_a_vote_goes_over_the_link_that_the_request_came_by() -> None:
    """The voter's own link to the candidate may not be up yet, or no more."""
    driver = voter()
    ours, theirs = driver.links["d"]
    driver.step(events.LinkDown(ours, "closed"))
    driver.hear("d", request(4))
    assert events.Send(theirs, Vote(4)) in driver.came(events.Send)


def test_one_vote_an_epoch_across_a_restart() -> None:
    driver = voter()
    driver.hear("d", request(4))
    again = Driver("a", REPLICAS, state=driver.disk)
    again.hear("c", Fail(node_id("b")))
    again.hear("e", request(4))
    assert again.sent(Vote) == []


def test_no_second_vote_about_one_primary_before_long() -> None:
    driver = voter()
    driver.hear("d", request(4))
    driver.hear("e", request(5))
    assert driver.sent(Vote) == [Vote(4)]
    driver.tick(2 * TIMEOUT_MS + 100, alive="cde")
    driver.hear("e", request(6))
    assert driver.sent(Vote, "e") == [Vote(6)]


def test_who_stands_again_has_the_vote_again() -> None:
    """It has not won, since others had the same epoch, too."""
    driver = voter()
    driver.hear("d", request(4))
    driver.hear("d", request(5))
    assert driver.sent(Vote, "d") == [Vote(4), Vote(5)]
    driver.hear("e", request(6))
    assert driver.sent(Vote, "e") == []


def test_no_vote_for_an_epoch_that_is_past() -> None:
    driver = voter()
    driver.hear("c", driver.heartbeat("c", epoch=9))
    driver.hear("d", request(8))
    assert driver.sent(Vote) == []


def test_no_vote_while_the_primary_is_up_unless_forced() -> None:
    driver = Driver("a", REPLICAS)
    driver.hear("d", request(4))
    assert driver.sent(Vote) == []
    driver.hear("d", request(5, forced=True))
    assert driver.sent(Vote) == [Vote(5)]


def test_no_vote_for_whom_the_slots_have_moved_on() -> None:
    driver = voter()
    driver.hear("d", request(4, config_epoch=1))
    assert driver.sent(Vote) == []


def test_who_asks_for_slots_that_have_moved_on_is_told_whose_they_are() -> None:
    """It may have no link to their owner itself, and would ask again in epoch after epoch."""
    driver = voter()
    (first, _), (_, last) = B_SLOTS[0], driver.nodes["c"].slots[0]
    driver.hear("c", driver.announcement("c", config_epoch=9, slots=((first, last),)))
    driver.hear("d", request(10))
    assert driver.sent(Vote) == []
    assert driver.sent(Update, "d") == [Update(node_id("c"), 9, ((first, last),))]


def test_no_vote_for_a_primary_or_a_stranger_s_replica() -> None:
    driver = voter()
    driver.hear("c", request(4))
    assert driver.sent(Vote) == []


def test_who_serves_no_slots_has_no_vote() -> None:
    nodes = dict(REPLICAS)
    nodes["f"] = replace(nodes["c"], node_id=node_id("f"), slots=(), config_epoch=9, ip="10.0.0.16")
    for me in "ef":
        driver = Driver(me, nodes)
        driver.hear("c", Fail(node_id("b")))
        driver.hear("d", request(10))
        assert driver.sent(Vote) == []
