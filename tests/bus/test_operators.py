"""What operators ask: the answer in Redis's words, and what comes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bus import events
from bus.messages import Fail, Member, Members
from bus.view import SLOT_COUNT
from tests.bus.driver import BUS_PORT, PORT, Driver, cluster, node_id

SHARD = cluster("abc", {"d": "a"})
B_SLOT = SHARD["b"].slots[0][0]
UNKNOWN = node_id("f")


def empty_primary() -> Driver:
    """Node e, a primary without slots, in a cluster of a, b, c and a's replica d."""
    nodes = dict(SHARD)
    nodes["e"] = replace(nodes["c"], node_id=node_id("e"), ip="10.0.0.15", slots=(), config_epoch=0)
    return Driver("e", nodes)


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (events.AddSlots((0,)), "ERR Slot 0 is already busy"),
        (events.Forget(UNKNOWN), f"ERR Unknown node {UNKNOWN}"),
        (events.Forget(node_id("a")), "ERR I tried hard but I can't forget myself..."),
        (events.SetSlot(B_SLOT, "migrating", node_id("c")), f"ERR I'm not the owner of hash slot {B_SLOT}"),
        (events.SetSlot(0, "importing", node_id("b")), "ERR I'm already the owner of hash slot 0"),
        (events.SetSlot(0, "migrating", UNKNOWN), f"ERR I don't know about node {UNKNOWN}"),
        (events.SetSlot(0, "migrating", node_id("d")), "ERR Target node is not a master"),
        (events.SetSlot(0, "node", UNKNOWN), f"ERR Unknown node {UNKNOWN}"),
        (
            events.SetSlot(0, "node", node_id("b"), 1),
            "ERR Can't assign hashslot 0 to a different node while I still hold keys for this hash slot.",
        ),
        (events.Replicate(UNKNOWN), f"ERR Unknown node {UNKNOWN}"),
        (events.Replicate(node_id("a")), "ERR Can't replicate myself"),
        (events.Replicate(node_id("d")), "ERR I can only replicate a master, not a replica."),
        (events.Replicate(node_id("b")), "ERR To set a master the node must be empty and without assigned slots."),
        (events.Failover(), "ERR You should send CLUSTER FAILOVER to a replica"),
        (events.Reset(dataset_empty=False), "ERR CLUSTER RESET can't be called with master nodes containing keys"),
        (
            events.SetConfigEpoch(5),
            "ERR The user can assign a config epoch only when the node does not know any other node.",
        ),
        (events.SetConfigEpoch(-1), "ERR Invalid config epoch specified: -1"),
    ],
)
def test_a_refusal_says_why_and_changes_nothing(event: events.OperatorEvent, error: str) -> None:
    driver = Driver("a", SHARD)
    before = driver.disk
    assert driver.ask(event) == error
    assert driver.came(events.Persist) == []
    assert driver.disk is before


# -- slots -------------------------------------------------------------------------------------------------------


def test_slots_are_added_all_or_none() -> None:
    driver = empty_primary()
    assert driver.ask(events.DelSlots((1, 2))) == "OK"
    assert driver.ask(events.AddSlots((1, 2, 0))) == "ERR Slot 0 is already busy"
    assert driver.owner(1) == ""
    assert driver.ask(events.AddSlots((1, 1))) == "ERR Slot 1 specified multiple times"
    assert driver.ask(events.DelSlots((1,))) == "ERR Slot 1 is already unassigned"
    assert driver.ask(events.AddSlots((1, 2))) == "OK"
    assert driver.node("e").slots == ((1, 2),)
    assert driver.disk.nodes[node_id("e")].slots == ((1, 2),)


def test_flushslots_gives_up_all_of_ones_own_and_no_others() -> None:
    driver = Driver("a", SHARD)
    assert driver.ask(events.FlushSlots()) == "OK"
    assert driver.node("a").slots == ()
    assert driver.node("b").slots == SHARD["b"].slots


def test_open_slots_are_seen_and_saved_and_closed_by_stable() -> None:
    driver = Driver("a", SHARD)
    assert driver.ask(events.SetSlot(0, "migrating", node_id("b"))) == "OK"
    assert driver.ask(events.SetSlot(B_SLOT, "importing", node_id("b"))) == "OK"
    assert driver.view.migrating == driver.disk.migrating == {0: node_id("b")}
    assert driver.view.importing == driver.disk.importing == {B_SLOT: node_id("b")}
    again = Driver("a", SHARD, state=driver.disk)
    assert again.view.migrating == {0: node_id("b")}
    for slot in (0, B_SLOT):
        assert again.ask(events.SetSlot(slot, "stable")) == "OK"
    assert again.view.migrating == again.view.importing == {}


def test_the_source_lets_a_slot_go_when_it_has_no_key_of_it_left() -> None:
    driver = Driver("a", SHARD)
    driver.ask(events.SetSlot(0, "migrating", node_id("b")))
    assert driver.ask(events.SetSlot(0, "node", node_id("b"))) == "OK"
    assert driver.owner(0) == "b"
    assert driver.view.migrating == {}
    assert driver.node("a").config_epoch == 1, "only who takes a slot in takes a new epoch"


def test_who_gives_its_last_slot_away_becomes_a_replica() -> None:
    nodes = SHARD | {"a": replace(SHARD["a"], slots=((0, 0),))}
    driver = Driver("a", nodes)
    driver.ask(events.SetSlot(0, "migrating", node_id("b")))
    assert driver.ask(events.SetSlot(0, "node", node_id("b"))) == "OK"
    assert driver.node("a").primary_id == node_id("b")
    assert driver.came(events.FollowNode)[-1].node_id == node_id("b")


def test_a_replica_has_no_say_about_slots() -> None:
    assert Driver("d", SHARD).ask(events.SetSlot(0, "stable")) == "ERR Please use SETSLOT only with masters."


# -- who is who --------------------------------------------------------------------------------------------------


def test_a_forgotten_node_stays_unknown_for_a_minute_although_others_speak_of_it() -> None:
    driver = Driver("a", SHARD)
    assert driver.ask(events.Forget(node_id("c"))) == "OK"
    assert not driver.knows("c")
    assert node_id("c") not in driver.disk.nodes
    assert driver.owner(SLOT_COUNT - 1) == ""
    member = Members((Member(node_id("c"), driver.ip("c"), PORT, BUS_PORT),))
    driver.clear()
    driver.hear("b", member)
    driver.hear("c", driver.announcement("c"))
    assert driver.came(events.Connect) == []
    assert driver.ask(events.Forget(node_id("c"))) == "OK"
    driver.tick(61_000, alive="bd")
    driver.hear("b", member)
    assert driver.came(events.Connect)


def test_a_forgotten_node_is_met_again_when_an_operator_says_so() -> None:
    driver = Driver("a", SHARD)
    driver.ask(events.Forget(node_id("c")))
    driver.hear("c", driver.announcement("c", meet=True))
    assert driver.knows("c")


def test_no_slot_moves_to_or_from_a_forgotten_node() -> None:
    driver = Driver("a", SHARD)
    away, here, other = 0, SHARD["c"].slots[0][0], SHARD["b"].slots[0][0]
    driver.ask(events.SetSlot(away, "migrating", node_id("c")))
    driver.ask(events.SetSlot(here, "importing", node_id("c")))
    driver.ask(events.SetSlot(other, "importing", node_id("b")))
    driver.ask(events.Forget(node_id("c")))
    for view in (driver.view, driver.disk):
        assert (dict(view.migrating), dict(view.importing)) == ({}, {other: node_id("b")})
    driver.hear("b", driver.announcement("b", config_epoch=9, slots=((here, here), *SHARD["b"].slots)))
    assert driver.owner(here) == "b", "no import stands in the way of its claim"


def test_a_slot_that_moves_to_a_node_the_file_does_not_know_is_closed() -> None:
    disk = replace(Driver("a", SHARD).disk, migrating={0: UNKNOWN}, importing={16_383: UNKNOWN})
    view = Driver("a", SHARD, state=disk).view
    assert (dict(view.migrating), dict(view.importing)) == ({}, {})


def test_a_replica_cannot_forget_its_primary() -> None:
    assert Driver("d", SHARD).ask(events.Forget(node_id("a"))) == "ERR Can't forget my master!"


def test_replicate_makes_a_replica_of_an_empty_primary() -> None:
    driver = empty_primary()
    assert driver.ask(events.Replicate(node_id("b"))) == "OK"
    assert driver.node("e").primary_id == driver.disk.nodes[node_id("e")].primary_id == node_id("b")
    assert driver.node("e").shard_id == node_id("b")
    assert driver.came(events.FollowNode) == [events.FollowNode(node_id("b"), driver.ip("b"), PORT)]


def test_replicate_moves_a_replica_to_another_primary() -> None:
    driver = Driver("d", SHARD)
    assert driver.ask(events.Replicate(node_id("c"), dataset_empty=False)) == "OK"
    assert driver.node("d").primary_id == node_id("c")


def test_a_soft_reset_leaves_the_name_and_the_epochs_and_nothing_else() -> None:
    driver = Driver("a", SHARD)
    assert driver.ask(events.Reset()) == "OK"
    assert set(driver.view.nodes) == {node_id("a")}
    assert set(driver.view.owners) == {None}
    assert driver.view.current_epoch == 3
    assert driver.node("a").config_epoch == 1
    assert set(driver.disk.nodes) == {node_id("a")}


def test_a_hard_reset_makes_a_new_node() -> None:
    driver = Driver("d", SHARD)
    driver.hear("b", Fail(node_id("a")))
    assert driver.ask(events.Reset(hard=True, dataset_empty=False)) == "OK"
    view = driver.view
    assert view.my_id != node_id("d")
    assert list(view.nodes) == [view.my_id]
    assert view.nodes[view.my_id].role == "primary"
    assert (view.current_epoch, driver.disk.current_epoch, driver.disk.last_vote_epoch) == (0, 0, 0)
    assert [type(effect) for effect in driver.effects if isinstance(effect, events.BecomePrimary | events.FlushData)] \
        == [events.BecomePrimary, events.FlushData]


def test_bumpepoch_says_whether_it_had_to() -> None:
    driver = Driver("a", SHARD)
    assert driver.ask(events.BumpEpoch()) == "BUMPED 4"
    assert driver.ask(events.BumpEpoch()) == "STILL 4"


def test_saveconfig_writes_the_state_for_good() -> None:
    driver = Driver("a", SHARD)
    assert driver.ask(events.SaveConfig()) == "OK"
    assert [effect.durable for effect in driver.came(events.Persist)] == [True]


def test_the_new_owner_of_a_slot_remembers_it_for_good() -> None:
    """A machine that loses power right after must not leave the slot to nobody."""
    last = SHARD["a"].slots[0][1]
    target = Driver("c", SHARD)  # it has the greatest epoch already, and takes no new one
    target.ask(events.SetSlot(last, "importing", node_id("a")))
    source = Driver("a", SHARD)
    source.ask(events.SetSlot(last, "migrating", node_id("c")))
    other = Driver("b", SHARD)
    for driver, durable in ((target, True), (source, False), (other, False)):
        driver.ask(events.SaveConfig())
        driver.clear()
        assert driver.ask(events.SetSlot(last, "node", node_id("c"))) == "OK"
        assert [effect.durable for effect in driver.came(events.Persist)] == [durable]
        assert driver.disk.nodes[node_id("c")].slots[0] == (last, last)


def test_the_answer_comes_last() -> None:
    driver = Driver("a", SHARD)
    effects = driver.step(events.BumpEpoch())
    assert isinstance(effects[0], events.Persist)
    assert isinstance(effects[-1], events.Reply)
