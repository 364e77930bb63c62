"""Who counts as failing, by whose word, and for how long."""

from __future__ import annotations

from dataclasses import replace

from bus import events
from bus.core import BusConfig
from bus.failure import HEARERS
from bus.messages import SUSPECTS_LIMIT, Fail, Heartbeat, VoteRequest
from tests.bus.driver import BUS_PORT, PORT, TIMEOUT_MS, Driver, cluster, node_id

FIVE = cluster("abcde")


def config(**changes: object) -> BusConfig:
    made = BusConfig(node_timeout_ms=TIMEOUT_MS, port=PORT, bus_port=BUS_PORT)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def refuse(driver: Driver, name: str) -> None:
    """The node's process is gone: its link breaks, and a new one is refused."""
    driver.step(events.LinkDown(driver.links[name][0], "closed"))
    driver.step(events.LinkDown(None, "refused", node_id(name)))


def test_silence_is_suspected_after_the_node_timeout_and_not_before() -> None:
    driver = Driver()
    driver.tick(TIMEOUT_MS, alive="b")
    assert driver.flags("c") == set()
    driver.tick(200, alive="b")
    assert driver.flags("c") == {"pfail"}
    assert driver.flags("b") == set()


def test_one_word_lifts_a_suspicion() -> None:
    driver = Driver(nodes=FIVE)
    driver.tick(TIMEOUT_MS + 200, alive="bcd")
    assert driver.flags("e") == {"pfail"}
    driver.hear("e", driver.heartbeat("e"))
    assert driver.flags("e") == set()


def test_a_suspicion_is_told_to_all_at_once() -> None:
    driver = Driver(nodes=FIVE)
    refuse(driver, "e")
    for name in "bcd":
        assert driver.sent(Heartbeat, name)[-1].suspects == (node_id("e"),)


def test_in_a_large_cluster_all_primaries_tell_the_same_few_and_the_replicas_that_may_stand_for_it() -> None:
    nodes = cluster("0123456789abc", {"d": "c", "e": "b"})
    told = {}
    for me in "012":
        driver = Driver(me, nodes=nodes)
        refuse(driver, "c")
        told[me] = {name for name in nodes if name not in (me, "c") and driver.sent(Heartbeat, name)}
    assert len(told["0"]) == HEARERS + 1
    assert told["0"] == told["1"] == told["2"]
    assert "d" in told["0"]
    assert "e" not in told["0"]


def test_many_failed_nodes_are_named_only_to_who_holds_others_for_failed() -> None:
    driver = Driver(nodes=cluster("abc", dict.fromkeys("0123456789", "b")))
    failed = "123456789"
    for name in failed:
        driver.hear("b", Fail(node_id(name)))

    def named(by: str, digest: int) -> int:
        driver.clear()
        driver.hear(by, replace(driver.heartbeat(by), kind="ping", failed=digest))
        (pong,) = driver.sent(Heartbeat, by)
        return len(pong.suspects)

    driver.tick(TIMEOUT_MS - 200, alive="b0")
    assert [message.suspects for message in driver.sent(Heartbeat, "c")] == [()], "it has said nothing since"
    ours = driver.sent(Heartbeat, "b")[-1].failed
    assert named("b", ours) == 0
    assert named("c", 0) == len(failed)


def test_only_a_majority_of_the_primaries_makes_a_failure() -> None:
    driver = Driver(nodes=FIVE)
    driver.tick(TIMEOUT_MS + 200, alive="bcd")
    driver.hear("b", driver.heartbeat("b", suspects="e"))
    assert driver.flags("e") == {"pfail"}
    assert driver.sent(Fail) == []
    driver.hear("c", driver.heartbeat("c", suspects="e"))
    assert driver.flags("e") == {"fail"}
    assert driver.sent(Fail, "d") == [Fail(node_id("e"))]


def test_the_word_of_replicas_and_of_primaries_without_slots_does_not_count() -> None:
    nodes = cluster("abc", {"d": "a", "e": "b"})
    driver = Driver(nodes=nodes)
    driver.hear("d", driver.heartbeat("d", suspects="c"))
    driver.hear("e", driver.heartbeat("e", suspects="c"))
    driver.tick(TIMEOUT_MS + 200, alive="bde")
    driver.hear("d", driver.heartbeat("d", suspects="c"))
    assert driver.flags("c") == {"pfail"}
    assert driver.core.failure_reports(node_id("c")) == 0
    driver.hear("b", driver.heartbeat("b", suspects="c"))
    assert driver.flags("c") == {"fail"}


def test_a_replica_marks_a_failure_by_the_primaries_word_alone() -> None:
    nodes = cluster("abc", {"d": "a"})
    driver = Driver("d", nodes)
    refuse(driver, "c")
    driver.hear("a", driver.heartbeat("a", suspects="c"))
    assert driver.flags("c") == {"pfail"}
    driver.hear("b", driver.heartbeat("b", suspects="c"))
    assert driver.flags("c") == {"fail"}


def test_reports_age() -> None:
    driver = Driver(nodes=FIVE)
    driver.hear("b", driver.heartbeat("b", suspects="e"))
    driver.tick(1_000, alive="cde")
    assert driver.core.failure_reports(node_id("e")) == 1
    driver.tick(1_100, alive="cde")
    assert driver.core.failure_reports(node_id("e")) == 0
    refuse(driver, "e")
    driver.hear("c", driver.heartbeat("c", suspects="e"))
    assert driver.flags("e") == {"pfail"}, "the old report no longer counts"


def test_a_report_is_taken_back_by_a_heartbeat_that_names_all_suspects_without_it() -> None:
    driver = Driver(nodes=FIVE)
    driver.hear("b", driver.heartbeat("b", suspects="e"))
    partial = Heartbeat("pong", 0, 2, 0, b"d" * 8, b"m" * 8, suspects=(), complete=False)
    driver.hear("b", partial)
    assert driver.core.failure_reports(node_id("e")) == 1
    driver.hear("b", driver.heartbeat("b"))
    assert driver.core.failure_reports(node_id("e")) == 0


def test_a_refused_connection_is_suspected_at_once() -> None:
    driver = Driver()
    refuse(driver, "c")
    assert driver.flags("c") == {"pfail"}
    driver.hear("b", driver.heartbeat("b", suspects="c"))
    assert driver.flags("c") == {"fail"}


def test_who_was_never_there_since_our_start_may_be_starting_too() -> None:
    """All nodes of a cluster that is brought up again start at once, and none has failed because it is the last."""
    driver = Driver("a", linked=False)
    driver.step(events.LinkDown(None, "refused", node_id("c")))
    assert driver.flags("c") == set()
    driver.tick(TIMEOUT_MS)
    assert driver.flags("c") == set()
    driver.tick(200)
    assert driver.flags("c") == {"pfail"}, "silence counts as ever"


def test_without_fast_failover_a_refused_connection_is_but_silence() -> None:
    driver = Driver(config=config(fast_failover=False))
    refuse(driver, "c")
    assert driver.flags("c") == set()
    driver.tick(TIMEOUT_MS + 200, alive="b")
    assert driver.flags("c") == {"pfail"}


def test_a_connection_that_times_out_proves_nothing() -> None:
    driver = Driver()
    driver.step(events.LinkDown(driver.links["c"][0], "closed"))
    driver.step(events.LinkDown(None, "timeout", node_id("c")))
    assert driver.flags("c") == set()


def test_a_closed_link_is_made_again_at_once() -> None:
    driver = Driver()
    driver.tick(1_000, alive="bc")
    driver.step(events.LinkDown(driver.links["c"][0], "closed"))
    assert driver.came(events.Connect) == [events.Connect(node_id("c"), driver.ip("c"), BUS_PORT)]


def test_a_failure_is_believed_of_others_but_not_of_oneself() -> None:
    driver = Driver()
    driver.hear("b", Fail(node_id("c")))
    assert driver.flags("c") == {"fail"}
    driver.hear("b", Fail(node_id("a")))
    assert driver.flags("a") == {"myself"}


def test_a_failed_replica_that_talks_is_well_again() -> None:
    driver = Driver(nodes=cluster("abc", {"d": "b"}))
    driver.hear("b", Fail(node_id("d")))
    driver.hear("d", driver.heartbeat("d"))
    assert driver.flags("d") == set()


def test_a_failed_primary_that_talks_leaves_its_replicas_the_time_to_take_over() -> None:
    driver = Driver(nodes=cluster("abc", {"d": "b"}))
    driver.hear("c", Fail(node_id("b")))
    driver.hear("b", driver.heartbeat("b"))
    assert driver.flags("b") == {"fail"}
    driver.tick(2 * TIMEOUT_MS + 100, alive="bcd")
    assert driver.flags("b") == set()


def test_a_process_that_stood_still_does_not_blame_the_others() -> None:
    driver = Driver()
    driver.now += 60_000
    driver.tick(0)
    assert driver.flags("b") == driver.flags("c") == set()
    assert not driver.view.state_ok, "others may have taken over meanwhile"
    driver.tick(2_000, alive="bc")
    assert driver.view.state_ok


def test_more_suspects_than_a_heartbeat_holds_take_turns() -> None:
    nodes = cluster("abc")
    for number in range(SUSPECTS_LIMIT + 30):
        name = f"{number + 16:040x}"
        nodes[name] = replace(nodes["b"], node_id=name, slots=())
    driver = Driver(nodes=nodes, linked=False)
    driver.link("b")
    driver.tick(3 * TIMEOUT_MS, alive="b")
    said = [message for message in driver.sent(Heartbeat, "b") if message.suspects]
    assert all(len(message.suspects) == SUSPECTS_LIMIT and not message.complete for message in said[-3:])
    assert len({name for message in said for name in message.suspects}) > SUSPECTS_LIMIT


def test_votes_are_asked_for_only_once_the_failure_is_known() -> None:
    driver = Driver("d", cluster("abc", {"d": "b"}))
    refuse(driver, "b")
    driver.tick(500, alive="ac")
    assert driver.sent(VoteRequest) == []
    driver.tick(500, alive="ac", suspects="b")
    assert len(driver.sent(VoteRequest, "a")) == 1
