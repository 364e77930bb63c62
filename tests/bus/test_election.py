"""Elections from the candidate's side, and manual failover: the freshest first, and by a majority."""

from __future__ import annotations

import random

import pytest

from bus import events
from bus.core import BusConfig, BusCore
from bus.messages import PAUSED, Announcement, Fail, ManualFailoverStart, Update, Vote, VoteRequest
from bus.view import PersistentState
from tests.bus.driver import BUS_PORT, CLUSTER, PORT, START_MS, TIMEOUT_MS, Driver, cluster, node_id

SHARD = cluster("abc", {"d": "a", "e": "a"})


def candidate(*, in_step: bool = True, **changes: object) -> Driver:
    """Node d, replica of the failed a; b and c are the other primaries."""
    config = BusConfig(node_timeout_ms=TIMEOUT_MS, port=PORT, bus_port=BUS_PORT)
    for name, value in changes.items():
        setattr(config, name, value)
    return Driver("d", SHARD, config=config, in_step=in_step)


def ask_for_votes(driver: Driver) -> list[VoteRequest]:
    driver.hear("b", Fail(node_id("a")))
    driver.tick(1_000, alive="bce")
    return driver.sent(VoteRequest, "b")


def test_a_replica_asks_all_and_wins_by_a_majority() -> None:
    driver = candidate()
    assert ask_for_votes(driver) == [VoteRequest(4, 1, SHARD["a"].slots)]
    assert driver.disk.current_epoch == 4
    driver.hear("b", Vote(4))
    assert driver.node("d").role == "replica"
    driver.clear()
    driver.hear("c", Vote(4))
    assert driver.node("d").role == "primary"
    assert driver.node("d").config_epoch == driver.disk.nodes[node_id("d")].config_epoch == 4
    assert driver.node("d").slots == SHARD["a"].slots
    assert driver.came(events.BecomePrimary)


def test_whoever_is_linked_to_only_later_is_asked_then() -> None:
    """Thrown away, the request would be followed by the next one half a second later only."""
    driver = candidate()
    for name in "bc":
        driver.step(events.LinkDown(driver.links[name][0], "closed"))
    assert ask_for_votes(driver) == []
    driver.clear()
    for name in "bc":
        driver.link(name)
    driver.tick(100, alive="bce")
    for name in "bc":
        kinds = [type(effect.message) for effect in driver.came(events.Send) if effect.link_id == driver.links[name][0]]
        assert kinds.index(Fail) < kinds.index(VoteRequest), "it may not know of the failure either"
    assert driver.sent(VoteRequest) == [VoteRequest(4, 1, SHARD["a"].slots)] * 2
    driver.tick(0, alive="bce")
    assert len(driver.sent(VoteRequest)) == 2, "once over each link"


def test_votes_of_another_epoch_of_replicas_and_of_one_voter_twice_do_not_count() -> None:
    driver = candidate()
    ask_for_votes(driver)
    driver.hear("b", Vote(3), Vote(4), Vote(4))
    driver.hear("e", Vote(4))
    assert driver.node("d").role == "replica"


def test_the_vote_of_one_who_has_lost_its_seat_since_does_not_count() -> None:
    """Its successor in that seat may have voted for another, who may then win the same epoch."""
    driver = Driver("d", cluster("abc", {"d": "a", "e": "b"}))
    driver.hear("b", driver.heartbeat("b", epoch=6))
    vote = Vote(ask_for_votes(driver)[-1].epoch)
    driver.hear("b", vote)
    driver.hear("e", driver.announcement("e", config_epoch=5, slots=driver.nodes["b"].slots))
    driver.hear("b", driver.announcement("b", slots=(), primary="e"))
    driver.hear("c", vote)
    assert driver.node("d").role == "replica"
    driver.hear("e", vote)
    assert driver.node("d").role == "primary"


def test_votes_that_come_too_late_do_not_count() -> None:
    driver = candidate()
    ask_for_votes(driver)
    driver.tick(4_000, alive="bce")
    driver.hear("b", Vote(4))
    driver.hear("c", Vote(4))
    assert driver.node("d").role == "replica"


def test_who_lost_an_election_asks_again_in_a_new_epoch() -> None:
    driver = candidate()
    ask_for_votes(driver)
    driver.clear()
    driver.tick(1_100, alive="bce")
    assert [message.epoch for message in driver.sent(VoteRequest, "b")] == [5]
    driver.tick(20_000, alive="bce")
    assert 8 <= len(driver.sent(VoteRequest, "b")) <= 12, "each time it waits twice as long, up to four node timeouts"


def test_who_reaches_no_majority_does_not_ask_again_at_once() -> None:
    """It would only take the epoch up."""
    driver = candidate()
    ask_for_votes(driver)
    for name in "bc":
        driver.step(events.LinkDown(driver.links[name][0], "closed"))
        driver.step(events.LinkDown(None, "refused", node_id(name)))
    epoch = driver.disk.current_epoch
    driver.tick(1_900, alive="e")
    assert driver.disk.current_epoch == epoch


def test_a_vote_does_not_take_an_epoch_back() -> None:
    driver = candidate()
    ask_for_votes(driver)
    assert driver.ask(events.BumpEpoch()) == "BUMPED 5"
    driver.hear("b", Vote(4))
    driver.hear("c", Vote(4))
    assert (driver.node("d").role, driver.node("d").config_epoch) == ("replica", 5)
    driver.clear()
    driver.tick(500, alive="bce")
    assert [message.epoch for message in driver.sent(VoteRequest, "b")] == [6]


def test_no_election_when_the_primary_comes_back() -> None:
    driver = candidate()
    driver.hear("b", Fail(node_id("a")))
    driver.tick(3_100, alive="abce")
    driver.clear()
    driver.tick(6_000, alive="abce")
    assert driver.sent(VoteRequest) == []


@pytest.mark.parametrize(("mine", "other", "rank"), [(10, 20, 1), (20, 10, 0), (10, 10, 0)])
def test_the_replica_with_the_most_data_goes_first(mine: int, other: int, rank: int) -> None:
    driver = candidate()
    driver.step(events.ReplicationOffset(mine))
    driver.hear("e", driver.heartbeat("e", offset=other))
    effects = driver.hear("b", Fail(node_id("a")))
    (said,) = [effect.text for effect in driver.came(events.Log) if "Start of election" in effect.text]
    assert f"rank #{rank}, offset {mine}" in said
    driver.answer("e", effects, offset=other)
    driver.tick(190, alive="bc")
    assert bool(driver.sent(VoteRequest)) == (rank == 0)
    driver.tick(200, alive="bc")
    assert driver.sent(VoteRequest)


def test_old_heartbeats_do_not_say_who_has_the_most_data() -> None:
    driver = candidate()
    driver.step(events.ReplicationOffset(10))
    driver.hear("e", driver.heartbeat("e", offset=5))
    effects = driver.hear("b", Fail(node_id("a")))
    driver.hear("e", driver.heartbeat("e", offset=7))  # was on its way already, as its serial tells
    driver.tick(150, alive="bc")
    assert driver.sent(VoteRequest) == []
    driver.answer("e", effects, offset=20)
    driver.tick(100, alive="bc")
    assert driver.sent(VoteRequest) == []  # e goes first
    driver.tick(200, alive="bc")
    assert driver.sent(VoteRequest)


def test_a_replica_that_says_nothing_holds_up_no_election() -> None:
    driver = candidate()
    driver.step(events.ReplicationOffset(10))
    driver.hear("b", Fail(node_id("a")))
    driver.tick(490, alive="bc")
    assert driver.sent(VoteRequest) == []
    driver.tick(20, alive="bc")
    assert driver.sent(VoteRequest)


def test_data_that_is_too_old_does_not_take_over() -> None:
    driver = candidate(replica_validity_factor=1)
    driver.step(events.ReplicationOffset(5, False, 10_000 + 2 * TIMEOUT_MS + 1))
    assert ask_for_votes(driver) == []
    driver.step(events.ReplicationOffset(5, False, 10_000 + 2 * TIMEOUT_MS))
    driver.tick(1_000, alive="bce")
    assert driver.sent(VoteRequest)


def test_factor_zero_takes_data_of_any_age() -> None:
    driver = candidate(replica_validity_factor=0)
    driver.step(events.ReplicationOffset(5, False, 10**9))
    assert ask_for_votes(driver)


def test_who_was_never_in_step_with_its_primary_does_not_take_over() -> None:
    driver = candidate(in_step=False)
    assert ask_for_votes(driver) == []
    driver.step(events.ReplicationOffset(0, False, None))
    driver.tick(20_000, alive="bce")
    assert driver.sent(VoteRequest) == []
    said = [effect.text for effect in driver.came(events.Log) if "Not standing for election" in effect.text]
    assert len(said) == 1, "once, not at every tick"


def test_factor_zero_takes_even_data_that_were_never_in_step() -> None:
    assert ask_for_votes(candidate(in_step=False, replica_validity_factor=0))


def test_an_operator_may_choose_a_replica_that_was_never_in_step() -> None:
    driver = candidate(in_step=False)
    driver.ask(events.Failover("force"))
    assert driver.sent(VoteRequest)
    driver = candidate(in_step=False)
    driver.ask(events.Failover("takeover"))
    assert driver.node("d").role == "primary"


def test_another_shard_s_data_do_not_count() -> None:
    driver = candidate()
    driver.step(events.ReplicationOffset(1_000))
    driver.ask(events.Replicate(node_id("b")))
    assert driver.came(events.FollowNode)[-1] == events.FollowNode(node_id("b"), "10.0.0.12", PORT, same_data=False)
    assert driver.sent(Announcement, "b")[-1].offset == driver.node("d").repl_offset == 0
    driver.hear("c", Fail(node_id("b")))
    driver.tick(1_000, alive="ace")
    assert driver.sent(VoteRequest) == []


def test_the_shard_s_data_still_count_under_its_new_primary() -> None:
    driver = candidate()
    driver.step(events.ReplicationOffset(1_000))
    driver.hear("e", driver.announcement("e", config_epoch=4, slots=SHARD["a"].slots, shard="a"))
    assert driver.came(events.FollowNode)[-1] == events.FollowNode(node_id("e"), "10.0.0.15", PORT, same_data=True)
    assert driver.node("d").repl_offset == 1_000
    driver.hear("b", Fail(node_id("e")))
    driver.tick(1_000, alive="bc")
    assert driver.sent(VoteRequest)


def test_who_was_a_primary_does_not_count_as_in_step_with_its_successor() -> None:
    driver = Driver("a", SHARD)
    driver.step(events.ReplicationOffset(1_000))
    driver.hear("d", driver.announcement("d", config_epoch=4, slots=SHARD["a"].slots))
    assert driver.came(events.FollowNode)[-1].same_data is False
    assert driver.node("a").repl_offset == 0


def test_a_replica_told_not_to_does_not_take_over() -> None:
    assert ask_for_votes(candidate(replica_no_failover=True)) == []


# -- manual failover ---------------------------------------------------------------------------------------------


def test_a_failover_waits_for_the_primary_s_last_write() -> None:
    driver = candidate()
    driver.step(events.ReplicationOffset(90))
    assert driver.ask(events.Failover()) == "OK"
    assert driver.sent(ManualFailoverStart, "a") == [ManualFailoverStart()]
    driver.hear("a", driver.heartbeat("a", offset=100))
    driver.step(events.ReplicationOffset(100))
    assert driver.sent(VoteRequest) == [], "the primary has not yet said that this is the end"
    driver.hear("a", driver.heartbeat("a", offset=120, flags=PAUSED))
    assert driver.core.waits_for_offset
    driver.step(events.ReplicationOffset(119))
    assert driver.sent(VoteRequest) == []
    driver.step(events.ReplicationOffset(120))
    assert [message.forced for message in driver.sent(VoteRequest, "b")] == [True]


def test_a_failover_waits_for_the_link_to_the_primary() -> None:
    """Until it is up, this replica's offset counts another history's bytes, and may be greater by chance."""
    driver = candidate()
    driver.step(events.ReplicationOffset(500, False, 0))
    driver.ask(events.Failover())
    driver.hear("a", driver.heartbeat("a", offset=120, flags=PAUSED))
    driver.step(events.ReplicationOffset(120, False, 0))
    assert driver.sent(VoteRequest) == []
    driver.step(events.ReplicationOffset(500, True))
    assert driver.sent(VoteRequest) == [], "that is not where the primary's data end"
    driver.step(events.ReplicationOffset(120, True))
    assert driver.sent(VoteRequest)


def test_a_failover_follows_a_paused_primary_that_still_asks_for_acknowledgements() -> None:
    driver = candidate()
    driver.step(events.ReplicationOffset(90))
    driver.ask(events.Failover())
    driver.hear("a", driver.heartbeat("a", offset=100, flags=PAUSED))
    driver.step(events.ReplicationOffset(137))
    assert driver.sent(VoteRequest) == []
    driver.hear("a", driver.heartbeat("a", offset=137, flags=PAUSED))
    assert driver.sent(VoteRequest)


def test_a_failover_that_cannot_be_is_given_up() -> None:
    driver = candidate()
    driver.ask(events.Failover())
    driver.tick(5_200, alive="abce")
    driver.hear("a", driver.heartbeat("a", flags=PAUSED))
    assert driver.sent(VoteRequest) == []


def test_force_does_not_wait_for_the_primary() -> None:
    driver = candidate()
    assert driver.ask(events.Failover("force")) == "OK"
    assert driver.sent(ManualFailoverStart) == []
    assert [message.forced for message in driver.sent(VoteRequest, "b")] == [True]


def test_takeover_asks_nobody() -> None:
    driver = candidate()
    assert driver.ask(events.Failover("takeover")) == "OK"
    assert driver.sent(VoteRequest) == []
    assert driver.node("d").role == "primary"
    assert driver.node("d").config_epoch == driver.disk.current_epoch == 4
    assert driver.owner(0) == "d"


def test_a_failover_is_refused_where_it_makes_no_sense() -> None:
    assert Driver("a", SHARD).ask(events.Failover()) == "ERR You should send CLUSTER FAILOVER to a replica"
    driver = candidate()
    driver.hear("b", Fail(node_id("a")))
    assert driver.ask(events.Failover()) == "ERR Master is down or failed, please use CLUSTER FAILOVER FORCE"


def test_the_primary_holds_its_writes_and_says_where_they_end() -> None:
    driver = Driver("a", SHARD)
    driver.hear("d", ManualFailoverStart())
    assert len(driver.came(events.PauseWrites)) == 1
    driver.clear()
    driver.step(events.Paused(77))
    (said,) = [effect.message for effect in driver.came(events.Send)]
    assert getattr(said, "offset", None) == 77
    assert getattr(said, "flags", None) == PAUSED


def test_the_primary_goes_on_when_the_failover_comes_to_nothing() -> None:
    driver = Driver("a", SHARD)
    driver.hear("d", ManualFailoverStart())
    driver.step(events.Paused(77))
    driver.tick(5_200, alive="bcde")
    assert len(driver.came(events.ResumeWrites)) == 1


def test_the_primary_lets_waiting_writers_go_after_the_new_view() -> None:
    driver = Driver("a", SHARD)
    driver.hear("d", ManualFailoverStart())
    driver.step(events.Paused(77))
    effects = driver.hear("d", driver.announcement("d", config_epoch=4, slots=SHARD["a"].slots))
    kinds = [type(effect) for effect in effects]
    assert kinds.index(events.ViewChanged) < kinds.index(events.ResumeWrites)
    assert driver.node("a").primary_id == node_id("d")


def test_only_a_replica_of_its_own_makes_a_primary_hold_its_writes() -> None:
    driver = Driver("b", SHARD)
    driver.hear("d", ManualFailoverStart())
    assert driver.came(events.PauseWrites) == []


def test_a_lone_replica_without_voters_asks_in_vain() -> None:
    nodes = cluster("ab", {"d": "a"})
    state = PersistentState(
        node_id("d"), {one.node_id: one for one in nodes.values()}, current_epoch=2, cluster_id=CLUSTER
    )
    core = BusCore(BusConfig(node_timeout_ms=TIMEOUT_MS), random.Random(1), state, START_MS, START_MS)
    core.start()
    for now in range(START_MS, START_MS + 20_000, 100):
        core.step(now, events.Tick(now))
    assert core.view.nodes[node_id("d")].role == "replica"
    assert not core.view.state_ok


def test_a_stale_primary_s_word_is_answered_by_an_update() -> None:
    driver = candidate()
    driver.ask(events.Failover("takeover"))
    driver.clear()
    driver.hear("a", driver.announcement("a"))
    assert driver.sent(Update, "a") == [Update(node_id("d"), 4, SHARD["a"].slots)]
