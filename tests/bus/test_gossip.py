"""How nodes meet, keep hearing of each other, and find each other again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bus import events
from bus.core import BusConfig
from bus.messages import (
    WANT_ANNOUNCEMENT,
    WANT_MEMBERS,
    Announcement,
    Heartbeat,
    Member,
    Members,
)
from bus.state import BLACKLIST_MS
from tests.bus.driver import BUS_PORT, CLUSTER, PORT, TIMEOUT_MS, Driver, cluster, node_id
from tests.simulation.simulator import Simulation

OTHER_CLUSTER = "8" * 40
STRANGER_LINK = 900


def stranger(driver: Driver, message: Announcement, name: str = "f") -> None:
    """A node we do not know connects to us and says something."""
    driver.links[name] = STRANGER_LINK, STRANGER_LINK
    driver.step(events.LinkUp(STRANGER_LINK, node_id(name), "10.0.0.50", False, "", "10.0.0.1"))
    driver.hear(name, message)


# -- meeting -----------------------------------------------------------------------------------------------------


def test_meet_connects_and_invites_whoever_answers() -> None:
    driver = Driver()
    assert driver.ask(events.Meet("10.0.0.50", PORT, BUS_PORT)) == "OK"
    (connect,) = driver.came(events.Connect)
    assert (connect.ip, connect.bus_port) == ("10.0.0.50", BUS_PORT)
    assert driver.view.nodes[connect.target].flags == {"handshake"}
    driver.links["f"] = STRANGER_LINK, STRANGER_LINK
    driver.step(events.LinkUp(STRANGER_LINK, node_id("f"), "10.0.0.50", True, connect.target, "10.0.0.1"))
    assert driver.sent(Announcement, "f")[0].meet
    assert driver.flags("f") == set()
    assert connect.target not in driver.view.nodes


def test_a_meeting_nobody_answers_is_given_up() -> None:
    driver = Driver()
    driver.ask(events.Meet("10.0.0.50", PORT, BUS_PORT))
    driver.tick(TIMEOUT_MS + 200, alive="bc")
    assert not any("handshake" in one.flags for one in driver.view.nodes.values())


def test_meet_again_while_it_is_under_way_is_the_same_meeting() -> None:
    driver = Driver()
    driver.ask(events.Meet("10.0.0.50", PORT, BUS_PORT))
    driver.ask(events.Meet("10.0.0.50", PORT, BUS_PORT))
    assert len(driver.came(events.Connect)) == 1


def test_a_node_that_is_not_there_yet_is_tried_again_while_the_meeting_lasts() -> None:
    driver = Driver()
    driver.ask(events.Meet("10.0.0.50", PORT, BUS_PORT))
    (connect,) = driver.came(events.Connect)
    for _ in range(3):
        driver.clear()
        driver.step(events.LinkDown(None, "refused", connect.target))
        assert driver.came(events.Connect) == []
        driver.tick(100, alive="bc")
        assert driver.came(events.Connect) == [connect]
    driver.links["f"] = STRANGER_LINK, STRANGER_LINK
    driver.step(events.LinkUp(STRANGER_LINK, node_id("f"), "10.0.0.50", True, connect.target, "10.0.0.1"))
    assert driver.knows("f")


def test_meet_again_begins_the_meeting_s_time_anew_and_connects_at_once() -> None:
    driver = Driver()
    driver.ask(events.Meet("10.0.0.50", PORT, BUS_PORT))
    (connect,) = driver.came(events.Connect)
    driver.tick(TIMEOUT_MS - 100, alive="bc")
    driver.step(events.LinkDown(None, "refused", connect.target))
    driver.clear()
    driver.ask(events.Meet("10.0.0.50", PORT, BUS_PORT))
    assert driver.came(events.Connect) == [connect]
    driver.tick(TIMEOUT_MS - 100, alive="bc")
    assert driver.view.nodes[connect.target].flags == {"handshake"}


def test_an_invitation_that_got_lost_with_its_link_is_said_again() -> None:
    driver = Driver()
    driver.ask(events.Meet("10.0.0.50", PORT, BUS_PORT))
    (connect,) = driver.came(events.Connect)
    driver.links["f"] = STRANGER_LINK, STRANGER_LINK
    driver.step(events.LinkUp(STRANGER_LINK, node_id("f"), "10.0.0.50", True, connect.target, "10.0.0.1"))
    driver.step(events.LinkDown(STRANGER_LINK, "closed"))
    driver.clear()
    driver.step(events.LinkUp(STRANGER_LINK, node_id("f"), "10.0.0.50", True, node_id("f"), "10.0.0.1"))
    assert [message.meet for message in driver.sent(Announcement, "f")] == [True]
    driver.hear("f", driver.announcement("f"))
    driver.step(events.LinkDown(STRANGER_LINK, "closed"))
    driver.clear()
    driver.step(events.LinkUp(STRANGER_LINK, node_id("f"), "10.0.0.50", True, node_id("f"), "10.0.0.1"))
    assert [message.meet for message in driver.sent(Announcement, "f")] == [False]


def test_an_invitation_is_accepted_and_passed_on() -> None:
    driver = Driver()
    stranger(driver, driver.announcement("f", meet=True))
    assert driver.node("f").ip == "10.0.0.50"
    assert node_id("f") in driver.disk.nodes
    driver.hear("b", replace(driver.heartbeat("b"), want=WANT_MEMBERS))
    (members,) = driver.sent(Members, "b")
    assert Member(node_id("f"), "10.0.0.50", PORT, BUS_PORT) in members.members


def test_a_stranger_without_an_invitation_stays_one() -> None:
    driver = Driver()
    stranger(driver, driver.announcement("f"))
    assert not driver.knows("f")
    driver.hear("f", driver.heartbeat("b", epoch=99))
    assert driver.view.current_epoch == 3


def test_a_node_of_another_cluster_that_serves_the_same_slots_is_refused() -> None:
    driver = Driver()
    stranger(driver, driver.announcement("f", meet=True, cluster_id=OTHER_CLUSTER, slots=((0, 5),)))
    assert not driver.knows("f")
    assert driver.owner(0) == "a"
    assert any("another cluster" in effect.text for effect in driver.came(events.Log))


def test_the_invited_node_of_another_cluster_is_refused_by_who_invited_it_too() -> None:
    driver = Driver()
    driver.ask(events.Meet("10.0.0.50", PORT, BUS_PORT))
    target = driver.came(events.Connect)[0].target
    driver.links["f"] = STRANGER_LINK, STRANGER_LINK
    driver.step(events.LinkUp(STRANGER_LINK, node_id("f"), "10.0.0.50", True, target, "10.0.0.1"))
    driver.hear("f", driver.announcement("f", cluster_id=OTHER_CLUSTER, config_epoch=50, slots=((0, 16383),)))
    assert not driver.knows("f")
    assert driver.owner(0) == "a"


def test_who_was_met_and_says_nothing_is_spoken_of_to_nobody_and_left_alone() -> None:
    """It may have refused us; the others of the cluster must not take it for a member that failed."""
    driver = Driver()
    driver.ask(events.Meet("10.0.0.50", PORT, BUS_PORT))
    (connect,) = driver.came(events.Connect)
    driver.links["f"] = STRANGER_LINK, STRANGER_LINK
    driver.hear("b", replace(driver.heartbeat("b"), want=WANT_MEMBERS))
    before = driver.sent(Members)[-1]
    digest = driver.sent(Heartbeat)[-1].members
    driver.step(events.LinkUp(STRANGER_LINK, node_id("f"), "10.0.0.50", True, connect.target, "10.0.0.1"))
    assert driver.knows("f")
    driver.hear("b", replace(driver.heartbeat("b"), want=WANT_MEMBERS))
    assert driver.sent(Members)[-1] == before
    assert driver.sent(Heartbeat)[-1].members == digest
    driver.tick(TIMEOUT_MS + 200, alive="bc")
    assert not driver.knows("f")


def test_clusters_without_a_slot_in_common_may_join_and_go_by_the_smaller_id() -> None:
    driver = Driver()
    stranger(driver, driver.announcement("f", meet=True, cluster_id=OTHER_CLUSTER, slots=()))
    assert driver.knows("f")
    assert driver.view.cluster_id == min(CLUSTER, OTHER_CLUSTER)
    assert driver.sent(Announcement, "b")[-1].cluster_id == OTHER_CLUSTER


def test_who_answers_in_a_member_s_place_is_not_taken_in() -> None:
    """A node that was reset is to be found where it was, under another name; it is in no cluster now."""
    driver = Driver()
    driver.hear("b", Members((Member(node_id("f"), "10.0.0.50", PORT, BUS_PORT),)))
    (connect,) = driver.came(events.Connect)
    driver.step(events.LinkUp(STRANGER_LINK, node_id("e"), "10.0.0.50", True, connect.target, "10.0.0.1"))
    assert not driver.knows("e")
    assert events.CloseLink(STRANGER_LINK) in driver.came(events.CloseLink)


def test_an_operator_meets_whoever_is_at_an_address_that_members_have_another_name_for() -> None:
    driver = Driver()
    driver.hear("b", Members((Member(node_id("f"), "10.0.0.50", PORT, BUS_PORT),)))
    driver.ask(events.Meet("10.0.0.50", PORT, BUS_PORT))
    (connect,) = driver.came(events.Connect)
    driver.step(events.LinkUp(STRANGER_LINK, node_id("e"), "10.0.0.50", True, connect.target, "10.0.0.1"))
    assert driver.knows("e")


def met_by_gossip(driver: Driver, name: str) -> bool:
    """Have a member tell of another, link to that, and see whether it is asked to take us in."""
    driver.clear()
    driver.hear("b", Members((Member(node_id(name), "10.0.0.50", PORT, BUS_PORT),)))
    (connect,) = driver.came(events.Connect)
    link = STRANGER_LINK + int(name, 16)
    driver.links[name] = link, link
    driver.step(events.LinkUp(link, node_id(name), "10.0.0.50", True, connect.target, "10.0.0.1"))
    [announcement] = driver.sent(Announcement, name)
    return announcement.meet


@pytest.mark.parametrize("invited", [False, True])
def test_who_joins_a_cluster_asks_every_member_to_take_it_in(*, invited: bool) -> None:
    """Else one that was forgotten and comes back would wait for a minute, and redis-cli --cluster add-node with it."""
    alone = Driver("a", {"a": cluster("a")["a"]})
    alone.links["b"] = STRANGER_LINK, STRANGER_LINK
    if invited:
        stranger(alone, alone.announcement("b", meet=True), "b")
    else:
        alone.ask(events.Meet("10.0.0.2", PORT, BUS_PORT))
        (connect,) = alone.came(events.Connect)
        alone.step(events.LinkUp(STRANGER_LINK, node_id("b"), "10.0.0.2", True, connect.target, "10.0.0.1"))
    assert alone.knows("b")
    assert met_by_gossip(alone, "d")
    alone.nodes["b"] = cluster("ab")["b"]
    alone.tick(BLACKLIST_MS + 100, alive="b")
    assert not met_by_gossip(alone, "e")


def test_a_member_of_a_cluster_asks_nobody_but_whom_an_operator_names() -> None:
    driver = Driver()
    driver.ask(events.Meet("10.0.0.60", PORT, BUS_PORT))
    assert not met_by_gossip(driver, "d")


# -- keeping in touch --------------------------------------------------------------------------------------------


def test_a_ping_is_answered_by_a_pong() -> None:
    driver = Driver()
    driver.hear("b", replace(driver.heartbeat("b"), kind="ping"))
    assert [message.kind for message in driver.sent(Heartbeat, "b")] == ["pong"]


def test_who_pings_first_each_time_is_shown_as_heard_though_nobody_asks_it_for_a_pong() -> None:
    driver = Driver()
    for _ in range(10):
        driver.tick(TIMEOUT_MS // 4, alive="c")
        driver.hear("b", replace(driver.heartbeat("b"), kind="ping"))
    assert driver.now - driver.node("b").pong_received_ms < TIMEOUT_MS


def test_who_has_been_silent_for_half_the_timeout_is_pinged() -> None:
    driver = Driver(config=BusConfig(node_timeout_ms=10_000, port=PORT, bus_port=BUS_PORT))
    driver.tick(100, alive="bc")
    driver.clear()
    driver.tick(5_100, alive="b")
    assert [message.kind for message in driver.sent(Heartbeat, "c")].count("ping") >= 1


def test_a_link_on_which_nothing_comes_is_made_anew() -> None:
    driver = Driver()
    driver.tick(TIMEOUT_MS + 200, alive="b")
    assert events.CloseLink(driver.links["c"][0]) in driver.came(events.CloseLink)
    assert node_id("c") in {effect.target for effect in driver.came(events.Connect)}


def test_who_hangs_up_as_soon_as_a_link_is_there_is_not_connected_to_without_end() -> None:
    driver = Driver()
    for _ in range(5):
        driver.clear()
        driver.step(events.LinkDown(driver.links["b"][0], "closed"))
        assert driver.came(events.Connect) == []
        driver.tick(100, alive="c")
        assert [effect.target for effect in driver.came(events.Connect)] == [node_id("b")]
        driver.link("b")


def test_an_unknown_digest_is_asked_about_and_a_known_one_is_not() -> None:
    driver = Driver()
    driver.hear("b", driver.heartbeat("b"))
    assert driver.sent(Heartbeat, "b")[-1].want & WANT_ANNOUNCEMENT
    other = Driver("b")
    other.hear("a", replace(other.heartbeat("a"), want=WANT_ANNOUNCEMENT))
    said = other.sent(Announcement, "a")[-1]
    other.step(events.Tick(other.now))
    driver.hear("b", replace(said, ip="10.0.0.12"))
    driver.clear()
    other.hear("a", replace(other.heartbeat("a"), kind="ping"))
    heartbeat = other.sent(Heartbeat, "a")[-1]
    assert driver.node("b").slots == other.node("b").slots
    assert heartbeat.digest != b"d" * 8


def test_members_are_asked_for_once_a_second_at_most() -> None:
    driver = Driver()
    for _ in range(5):
        driver.hear("b", driver.heartbeat("b"))
    wants = [message.want & WANT_MEMBERS for message in driver.sent(Heartbeat, "b")]
    assert wants.count(WANT_MEMBERS) <= 1


def test_a_member_nobody_told_us_of_is_met() -> None:
    driver = Driver()
    driver.hear("b", Members((Member(node_id("f"), "10.0.0.50", PORT, BUS_PORT),)))
    (connect,) = driver.came(events.Connect)
    driver.links["f"] = STRANGER_LINK, STRANGER_LINK
    driver.step(events.LinkUp(STRANGER_LINK, node_id("f"), "10.0.0.50", True, connect.target, "10.0.0.1"))
    assert driver.knows("f")
    assert not driver.sent(Announcement, "f")[0].meet


# -- addresses ---------------------------------------------------------------------------------------------------


def test_another_node_at_an_address_is_not_taken_for_the_one_that_was_there() -> None:
    driver = Driver(linked=False)
    driver.step(events.LinkUp(500, node_id("f"), driver.ip("b"), True, node_id("b"), "10.0.0.1"))
    assert driver.flags("b") == {"noaddr"}
    assert events.CloseLink(500) in driver.came(events.CloseLink)
    assert not driver.knows("f")


def test_a_node_that_moved_is_found_by_what_members_say() -> None:
    driver = Driver(nodes=cluster("abc", {"d": "b"}))
    driver.tick(TIMEOUT_MS + 200, alive="cd")
    driver.step(events.LinkDown(None, "timeout", node_id("b")))
    driver.hear("c", Members((Member(node_id("b"), "10.0.7.7", PORT, BUS_PORT),)))
    assert driver.node("b").ip == "10.0.7.7"
    driver.tick(100)
    assert "10.0.7.7" in {effect.ip for effect in driver.came(events.Connect)}


def test_a_replica_follows_its_primary_to_a_new_address() -> None:
    driver = Driver("d", cluster("abc", {"d": "b"}))
    driver.hear("b", replace(driver.announcement("b"), ip="10.0.7.7"))
    assert driver.came(events.FollowNode) == [events.FollowNode(node_id("b"), "10.0.7.7", PORT, same_data=True)]


def test_a_node_learns_its_own_address_from_its_links() -> None:
    nodes = cluster()
    nodes["a"] = replace(nodes["a"], ip="")
    driver = Driver(nodes=nodes)
    assert driver.node("a").ip == "10.0.0.99"


def test_a_node_that_moved_shows_itself_where_its_links_come_from() -> None:
    """nodes.conf says where it was. Where it has several addresses, the first one stays."""
    driver = Driver(linked=False)
    driver.step(events.LinkUp(900, node_id("b"), driver.ip("b"), False, "", "10.0.0.66"))
    assert driver.node("a").ip == driver.ip("a"), "where others reach it may be a forwarder"
    driver.step(events.LinkUp(901, node_id("b"), driver.ip("b"), True, node_id("b"), "10.0.0.77"))
    assert driver.node("a").ip == "10.0.0.77"
    driver.step(events.LinkUp(902, node_id("c"), driver.ip("c"), True, node_id("c"), "10.0.0.88"))
    assert driver.node("a").ip == "10.0.0.77"


def test_an_announced_address_is_not_overruled_by_the_link() -> None:
    config = BusConfig(node_timeout_ms=TIMEOUT_MS, port=PORT, bus_port=BUS_PORT, announce_ip="203.0.113.1")
    driver = Driver(config=config)
    assert driver.node("a").ip == "203.0.113.1"
    assert driver.disk.nodes[node_id("a")].ip == "203.0.113.1"


# -- what it costs -----------------------------------------------------------------------------------------------


def idle_bytes_per_node(nodes: int) -> float:
    """Bytes a node sends in ten idle seconds."""
    sim = Simulation(1, nodes, node_timeout_ms=15_000, counts_bytes=True)
    sim.prepare(nodes // 2)
    sim.run(20_000)
    before = sum(node.bytes_sent for node in sim.nodes)
    sim.run(10_000)
    return (sum(node.bytes_sent for node in sim.nodes) - before) / nodes


def test_what_an_idle_node_says_hardly_grows_with_the_cluster() -> None:
    small, large = idle_bytes_per_node(6), idle_bytes_per_node(30)
    assert small > 0
    assert large < 2.5 * small
