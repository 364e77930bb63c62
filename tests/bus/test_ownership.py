"""Roles, slots and config epochs: the greatest epoch wins, who is behind is told, and who lost all follows."""

from __future__ import annotations

from dataclasses import replace

from bus import events
from bus.core import BusConfig
from bus.messages import WANT_ANNOUNCEMENT, Announcement, Heartbeat, Update
from tests.bus.driver import BUS_PORT, PORT, TIMEOUT_MS, Driver, cluster, node_id, share

SHARD = cluster("abc", {"d": "a", "e": "b"})
A_SLOTS, B_SLOTS, C_SLOTS = (SHARD[name].slots for name in "abc")


def test_a_greater_epoch_takes_slots_a_smaller_or_equal_one_does_not() -> None:
    driver = Driver("c", SHARD)
    for epoch, owner in ((0, "b"), (2, "b"), (3, "a")):
        driver.hear("a", driver.announcement("a", config_epoch=epoch, slots=B_SLOTS))
        assert driver.owner(B_SLOTS[0][0]) == owner


def test_a_slot_its_owner_gave_up_goes_to_whoever_claims_it() -> None:
    driver = Driver("c", SHARD)
    slot = B_SLOTS[0][0]
    driver.hear("b", driver.announcement("b", slots=((slot + 1, B_SLOTS[0][1]),)))
    assert driver.owner(slot) == "b", "nobody else has claimed it yet"
    driver.hear("a", driver.announcement("a", slots=((A_SLOTS[0][0], slot),)))
    assert driver.owner(slot) == "a"


def test_a_claim_that_came_before_the_owner_gave_up_counts_too() -> None:
    driver = Driver("c", SHARD)
    slot = B_SLOTS[0][0]
    driver.hear("a", driver.announcement("a", slots=((A_SLOTS[0][0], slot),)))
    assert driver.owner(slot) == "b"
    driver.hear("b", driver.announcement("b", slots=((slot + 1, B_SLOTS[0][1]),)))
    driver.tick(2_000, alive="ab")
    assert driver.owner(slot) == "a"


def test_a_slot_that_was_being_imported_is_learnt_of_when_that_ends() -> None:
    driver = Driver("c", SHARD)
    slot = B_SLOTS[0][0]
    assert driver.ask(events.SetSlot(slot, "importing", node_id("b"))) == "OK"
    driver.hear("a", driver.announcement("a", config_epoch=4, slots=(A_SLOTS[0], B_SLOTS[0])))
    assert driver.owner(slot) == "b"
    assert driver.owner(slot + 1) == "a"
    assert driver.ask(events.SetSlot(slot, "stable")) == "OK"
    driver.tick(2_000, alive="ab")
    assert driver.owner(slot) == "a"


def test_an_open_slot_follows_the_failover_of_its_other_side() -> None:
    driver = Driver("c", SHARD)
    slot = B_SLOTS[0][0]
    assert driver.ask(events.SetSlot(slot, "importing", node_id("b"))) == "OK"
    driver.hear("e", driver.announcement("e", config_epoch=4, slots=B_SLOTS, shard="b"))
    driver.hear("b", driver.announcement("b", config_epoch=4, primary="e", slots=()))
    assert driver.owner(slot) == "e"
    assert dict(driver.view.importing) == {slot: node_id("e")}


def test_who_claims_with_an_old_epoch_is_told_of_the_new_owner() -> None:
    driver = Driver("c", SHARD)
    driver.hear("e", driver.announcement("e", config_epoch=4, slots=B_SLOTS, shard="b"))
    driver.clear()
    driver.hear("b", driver.announcement("b"))
    assert driver.sent(Update, "b") == [Update(node_id("e"), 4, B_SLOTS)]
    driver.clear()
    driver.hear("a", driver.announcement("a"))
    assert driver.sent(Update) == []


def test_a_node_that_was_away_becomes_its_successor_s_replica() -> None:
    driver = Driver("b", SHARD)
    driver.hear("c", Update(node_id("e"), 4, B_SLOTS))
    assert driver.node("b").primary_id == node_id("e")
    assert driver.came(events.FollowNode)[-1].node_id == node_id("e")
    assert driver.owner(B_SLOTS[0][0]) == "e"
    assert driver.disk.nodes[node_id("b")].primary_id == node_id("e")


def test_a_replica_follows_its_primary_s_successor() -> None:
    driver = Driver("f", cluster("abc", {"d": "a", "e": "b", "f": "b"}))
    driver.hear("e", driver.announcement("e", config_epoch=4, slots=B_SLOTS, shard="b"))
    assert driver.node("f").primary_id == node_id("e")


def test_a_replica_whose_primary_has_become_one_follows_that_one_s_primary() -> None:
    driver = Driver("d", SHARD)
    driver.hear("a", driver.announcement("a", slots=(), primary="c", shard="c"))
    assert driver.node("d").primary_id == node_id("c")
    assert driver.node("d").shard_id == node_id("c")


def test_an_update_that_is_older_than_what_is_known_changes_nothing() -> None:
    driver = Driver("c", SHARD)
    driver.hear("b", Update(node_id("a"), 1, B_SLOTS))
    assert driver.owner(B_SLOTS[0][0]) == "b"


def test_an_update_about_a_node_nobody_knows_changes_nothing() -> None:
    driver = Driver("c", SHARD)
    driver.hear("b", Update(node_id("f"), 9, B_SLOTS))
    assert driver.owner(B_SLOTS[0][0]) == "b"


def test_after_an_update_the_node_itself_is_asked() -> None:
    driver = Driver("c", SHARD)
    driver.hear("e", driver.announcement("e", primary="b"))
    driver.hear("b", Update(node_id("e"), 4, B_SLOTS))
    driver.clear()
    driver.hear("e", driver.heartbeat("e"))
    assert any(message.want & WANT_ANNOUNCEMENT for message in driver.sent(Heartbeat, "e"))


def test_slots_lost_one_by_one_are_dropped_with_their_keys() -> None:
    driver = Driver("b", SHARD)
    first, last = B_SLOTS[0]
    driver.hear("a", driver.announcement("a", config_epoch=4, slots=((A_SLOTS[0][0], first),)))
    assert driver.came(events.DropSlotKeys) == [events.DropSlotKeys((first,))]
    assert driver.node("b").role == "primary"
    assert driver.node("b").slots == ((first + 1, last),)


def test_without_replica_migration_a_primary_that_lost_all_to_another_shard_stays_one() -> None:
    config = BusConfig(node_timeout_ms=TIMEOUT_MS, port=PORT, bus_port=BUS_PORT, allow_replica_migration=False)
    driver = Driver("b", SHARD, config=config)
    driver.hear("a", driver.announcement("a", config_epoch=4, slots=((A_SLOTS[0][0], B_SLOTS[0][1]),)))
    assert driver.node("b").role == "primary"
    assert len(driver.came(events.DropSlotKeys)[0].slots) == B_SLOTS[0][1] - B_SLOTS[0][0] + 1
    successor = Driver("b", SHARD, config=config)
    successor.hear("e", successor.announcement("e", config_epoch=4, slots=B_SLOTS, shard="b"))
    assert successor.node("b").primary_id == node_id("e")


# -- epochs ------------------------------------------------------------------------------------------------------


def test_of_two_primaries_with_one_epoch_the_one_with_the_smaller_id_takes_a_new_one() -> None:
    driver = Driver("b", SHARD | {"c": replace(SHARD["c"], config_epoch=1)})
    driver.hear("c", driver.announcement("c", config_epoch=2))
    assert driver.node("b").config_epoch == 3
    assert driver.disk.nodes[node_id("b")].config_epoch == driver.disk.current_epoch == 3
    assert driver.sent(Announcement, "a")[-1].config_epoch == 3
    other = Driver("c", SHARD)
    other.hear("b", other.announcement("b", config_epoch=3))
    assert other.node("c").config_epoch == 3


def test_a_replica_with_its_primary_s_epoch_is_no_collision() -> None:
    driver = Driver("b", SHARD)
    driver.hear("e", driver.announcement("e", config_epoch=2, primary="b"))
    assert driver.node("b").config_epoch == 2


def test_the_current_epoch_is_the_greatest_heard_of_and_is_saved() -> None:
    driver = Driver("a", SHARD)
    driver.hear("b", driver.heartbeat("b", epoch=17))
    driver.tick()
    assert driver.disk.current_epoch == driver.view.current_epoch == 17
    driver.hear("c", driver.heartbeat("c", epoch=16))
    assert driver.view.current_epoch == 17


def test_an_epoch_of_ours_is_on_disk_before_anybody_hears_of_it() -> None:
    driver = Driver("a", SHARD)
    effects = driver.step(events.BumpEpoch())
    saved = next(i for i, effect in enumerate(effects) if isinstance(effect, events.Persist) and effect.durable)
    sent = [i for i, effect in enumerate(effects) if isinstance(effect, events.Send)]
    assert sent
    assert saved < min(sent)
    assert driver.sent(Announcement, "b")[-1].config_epoch == 4


def test_a_slot_that_changes_hands_takes_a_new_epoch_with_it() -> None:
    driver = Driver("a", SHARD)
    slot = B_SLOTS[0][0]
    driver.ask(events.SetSlot(slot, "importing", node_id("b")))
    assert driver.ask(events.SetSlot(slot, "node", node_id("a"))) == "OK"
    assert driver.owner(slot) == "a"
    assert driver.node("a").config_epoch == 4
    assert driver.sent(Announcement, "b")[-1].slots == ((share(0, 3)[0][0], slot),)


def _take_a_slot_back(driver: Driver, slot: int) -> None:
    """`a` has given the slot to `b` a moment ago, of whose new epoch it has not heard, and gets it back."""
    assert driver.ask(events.SetSlot(slot, "node", node_id("b"))) == "OK"
    assert driver.ask(events.SetSlot(slot, "importing", node_id("b"))) == "OK"
    assert driver.ask(events.SetSlot(slot, "node", node_id("a"))) == "OK"
    driver.clear()


def test_a_slot_that_was_moved_here_is_held_against_what_its_old_owner_said_before() -> None:
    driver = Driver("a", SHARD)
    slot = A_SLOTS[0][1]
    driver.step(events.BumpEpoch())
    _take_a_slot_back(driver, slot)
    driver.hear("b", driver.announcement("b", config_epoch=20, slots=((slot, B_SLOTS[0][1]),)))
    assert driver.owner(slot) == "a"
    assert driver.came(events.DropSlotKeys) == []
    said = driver.sent(Announcement, "b")[-1]
    assert said.config_epoch == driver.disk.nodes[node_id("a")].config_epoch == 21
    assert said.slots == A_SLOTS, "so that b learns of it"


def test_it_is_held_against_the_old_owners_heir_who_has_not_heard_of_the_move() -> None:
    driver = Driver("a", SHARD)
    slot = A_SLOTS[0][1]
    _take_a_slot_back(driver, slot)
    driver.hear("e", driver.announcement("e", config_epoch=20, slots=((slot, B_SLOTS[0][1]),), shard="b"))
    assert driver.owner(slot) == "a"
    assert driver.owner(slot + 1) == "e"


def test_once_it_is_on_its_way_back_an_old_claim_is_neither_believed_nor_contested() -> None:
    driver = Driver("a", SHARD)
    slot = A_SLOTS[0][1]
    _take_a_slot_back(driver, slot)
    assert driver.ask(events.SetSlot(slot, "migrating", node_id("b"))) == "OK"
    epoch = driver.node("a").config_epoch
    driver.hear("b", driver.announcement("b", config_epoch=20, slots=((slot, B_SLOTS[0][1]),)))
    assert (driver.owner(slot), driver.node("a").config_epoch) == ("a", epoch)
    assert driver.came(events.DropSlotKeys) == [], "they have not been moved yet"


def test_it_is_not_held_against_others_nor_for_ever_nor_once_it_is_on_its_way_back() -> None:
    slot = A_SLOTS[0][1]
    theirs = ((slot, B_SLOTS[0][1]),)
    for name, wait_ms, opened in (("c", 0, False), ("b", 60_000, False), ("b", 4_000, True)):
        driver = Driver("a", SHARD)
        _take_a_slot_back(driver, slot)
        if opened:
            assert driver.ask(events.SetSlot(slot, "migrating", node_id("b"))) == "OK"
        driver.tick(wait_ms, alive="bcde")
        driver.hear(name, driver.announcement(name, config_epoch=20, slots=theirs))
        assert driver.owner(slot) == name, (name, wait_ms, opened)


def test_a_slot_that_is_on_its_way_is_not_given_up_on_hearsay() -> None:
    driver = Driver("a", SHARD)
    slot = A_SLOTS[0][1]
    assert driver.ask(events.SetSlot(slot, "migrating", node_id("b"))) == "OK"
    driver.hear("c", Update(node_id("b"), 20, ((slot, B_SLOTS[0][1]),)))
    assert driver.owner(slot) == "a"
    assert driver.came(events.DropSlotKeys) == []
    driver.hear("b", driver.announcement("b", config_epoch=20, slots=((slot, B_SLOTS[0][1]),)))
    assert driver.owner(slot) == "b", "its own word counts"


def test_a_slot_that_two_nodes_hold_to_be_the_others_is_taken_by_one() -> None:
    slot = B_SLOTS[0][0]
    without = ((slot + 1, B_SLOTS[0][1]),)
    a = Driver("a", SHARD)
    a.hear("b", a.announcement("b", slots=without))
    a.tick(3_000, alive="bcde")
    assert a.owner(slot) == "b"
    told = a.sent(Update, "b")
    assert told
    assert set(told) == {Update(node_id("b"), 2, ((slot, slot),))}
    b = Driver("b", SHARD)
    b.tick(2_000, alive="acde")
    b.ask(events.SetSlot(slot, "node", node_id("a")))
    b.hear("a", told[0])
    assert b.owner(slot) == "a", "whether a claims it is not known yet"
    b.hear("a", b.announcement("a"), told[0])
    assert b.owner(slot) == "a", "an operator has just said so: a's claim may be on its way"
    b.tick(3_000, alive="acde")
    b.hear("a", b.announcement("a"), told[0])
    assert b.owner(slot) == "b"
    said = b.sent(Announcement, "a")[-1]
    assert (said.config_epoch, said.slots) == (4, B_SLOTS)
    a.hear("b", said)
    a.clear()
    a.tick(3_000, alive="bcde")
    assert a.owner(slot) == "b"
    assert a.sent(Update) == []


def test_a_slot_that_somebody_claims_is_not_taken_nor_one_that_was_given_up() -> None:
    slot = B_SLOTS[0][0]
    told = Update(node_id("b"), 2, ((slot, slot),))
    b = Driver("b", SHARD)
    b.tick(2_000, alive="acde")
    b.ask(events.SetSlot(slot, "node", node_id("a")))
    b.hear("a", b.announcement("a", slots=((A_SLOTS[0][0], slot),)), told)
    assert b.owner(slot) == "a"
    b.ask(events.DelSlots((slot,)))
    b.hear("a", b.announcement("a"), told)
    assert b.owner(slot) == ""
