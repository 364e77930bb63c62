"""The core as its shell drives it: what is saved before what, how it starts again, when it wants to be woken."""

from __future__ import annotations

from bus import events
from bus.core import TICK_MS, BusConfig
from bus.due import ANNOUNCE_PERIOD_MS
from bus.messages import Announcement, Fail, ManualFailoverStart, Update, Vote
from tests.bus.driver import BUS_PORT, PORT, TIMEOUT_MS, Driver, cluster, node_id

SHARD = cluster("abc", {"d": "a"})


def test_a_node_that_starts_again_knows_what_it_knew() -> None:
    driver = Driver("a", SHARD)
    driver.ask(events.BumpEpoch())
    driver.hear("b", Fail(node_id("c")))
    driver.tick()
    again = Driver("a", SHARD, state=driver.disk, linked=False)
    assert again.node("a").config_epoch == again.view.current_epoch == 4
    assert again.flags("c") == {"fail"}
    assert [again.owner(slot) for slot in (0, 6_000, 16_383)] == ["a", "b", "c"]
    assert again.node("d").primary_id == node_id("a")


def test_a_replica_that_starts_follows_its_primary_and_all_are_connected_to() -> None:
    driver = Driver("d", SHARD, linked=False)
    again = Driver("d", SHARD, linked=False)
    assert driver.view.my_id == again.view.my_id
    effects = again.core.start()
    assert events.FollowNode(node_id("a"), "10.0.0.11", PORT) in effects
    driver.tick(200)
    assert {effect.target for effect in driver.came(events.Connect)} <= {node_id(name) for name in "abc"}


def test_of_moved_slots_the_replicas_hear_at_once_and_the_others_together() -> None:
    """Whichever side dies right after: its replica must know of them."""
    driver = Driver("b", cluster("abc", {"d": "a", "e": "b", "f": "c"}))
    driver.ask(events.BumpEpoch())
    driver.tick(2 * ANNOUNCE_PERIOD_MS)
    driver.clear()
    for slot in range(3):
        driver.ask(events.SetSlot(slot, "importing", node_id("a")))
        driver.ask(events.SetSlot(slot, "node", node_id("b")))
    for heir in "de":
        assert driver.sent(Announcement, heir)[-1].slots[0] == (0, 2)
    assert [len(driver.sent(Announcement, name)) for name in "acf"] == [1, 1, 1]
    driver.tick(ANNOUNCE_PERIOD_MS)
    assert [driver.sent(Announcement, name)[-1].slots[0] for name in "acdef"] == [(0, 2)] * 5


def test_time_alone_changes_nothing_that_is_saved() -> None:
    driver = Driver("a", SHARD)
    driver.tick(5_000, alive="bcd")
    assert driver.came(events.Persist) == []


def test_a_failover_s_start_is_not_rounded_to_the_next_tick() -> None:
    driver = Driver("d", SHARD)
    assert driver.core.next_deadline() == driver.now + TICK_MS
    driver.hear("b", Fail(node_id("a")))
    due = driver.core.next_deadline()
    assert due is not None
    assert driver.now < due < driver.now + TICK_MS


def test_what_is_said_counts_by_its_kind() -> None:
    driver = Driver("a", SHARD)
    before = dict(driver.view.stats_received)
    driver.hear("d", ManualFailoverStart())
    driver.hear("b", Vote(1), Fail(node_id("d")), Update(node_id("c"), 1, ()))
    now = driver.view.stats_received
    assert {name for name in now if now[name] != before.get(name, 0)} == {"mfstart", "auth-ack", "fail", "update"}
    assert driver.view.stats_sent["ping"] >= 3, "one to each on its link"


def test_a_message_on_a_link_that_is_gone_is_nobody_s() -> None:
    driver = Driver("a", SHARD)
    driver.step(events.LinkDown(driver.links["b"][1], "closed"))
    driver.hear("b", Fail(node_id("c")))
    assert driver.flags("c") == set()


def test_a_new_configuration_is_announced() -> None:
    driver = Driver("a", SHARD)
    driver.step(events.ConfigChanged(BusConfig(
        node_timeout_ms=TIMEOUT_MS, port=PORT, bus_port=BUS_PORT, announce_hostname="a.example"
    )))
    assert driver.node("a").hostname == "a.example"
    assert driver.sent(Announcement, "b")[-1].hostname == "a.example"
    driver.clear()
    driver.step(events.ConfigChanged(driver.config))
    assert driver.node("a").hostname == ""


def test_shutdown_saves_the_state() -> None:
    driver = Driver("a", SHARD)
    driver.step(events.Shutdown())
    assert len(driver.came(events.Persist)) == 1
