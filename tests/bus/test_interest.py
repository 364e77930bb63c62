"""Published messages go where somebody listens, and wherever that is not known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bus import events
from bus.interest import ASK_PERIOD_MS, RECENT_LIMIT, WHOLE_PERIOD_MS
from bus.messages import ITEMS_LIMIT, WANT_INTEREST, Heartbeat, Interest, Item, Messages
from bus.slots import bits_of_slots
from tests.bus.driver import Driver, cluster

SLOT, OTHER = 77, 78
ITEM = Item(b"channel", b"message")
NOTHING_IN_SHARD = Item(b"channel", b"message", sharded=True)


def slots(*numbers: int) -> int:
    return bits_of_slots(numbers)


def informed(*names: str, replicas: dict[str, str] | None = None) -> Driver:
    """`a`, which knows of each of `names` that nobody listens there."""
    driver = Driver(nodes=cluster("abc", replicas))
    for name in names:
        driver.hear(name, driver.heartbeat(name))
    driver.clear()
    return driver


def published(driver: Driver, item: Item = ITEM, slot: int = SLOT, serial: int = 1) -> set[str]:
    """Publish, and say who was sent it."""
    driver.clear()
    driver.step(events.Publish(serial, ((slot, item),)))
    return {name for name in driver.links if driver.sent(Messages, name)}


# -- who is sent what --------------------------------------------------------------------------------------------


def test_who_has_not_said_what_it_listens_to_is_sent_everything() -> None:
    driver = informed("b")
    assert published(driver) == {"c"}


def test_who_listens_to_the_channel_s_slot_or_to_everything_is_sent_the_message() -> None:
    driver = informed("b", "c")
    driver.hear("b", Interest(1, 0, False, slots(SLOT)))
    assert published(driver) == {"b"}
    assert published(driver, slot=OTHER) == set()
    driver.hear("c", Interest(1, 0, True, 0))
    assert published(driver) == {"b", "c"}
    assert driver.sent(Messages, "b") == [Messages((ITEM,))]


def test_a_difference_is_added_to_what_is_known() -> None:
    driver = informed("b", "c")
    driver.hear("b", Interest(1, 0, False, slots(SLOT)), Interest(2, 1, False, slots(OTHER)))
    assert published(driver) == published(driver, slot=OTHER) == {"b"}
    driver.hear("b", Interest(3, 0, False, slots(OTHER)))
    assert (published(driver), published(driver, slot=OTHER)) == (set(), {"b"})


def test_a_gap_makes_unsure_until_the_whole_picture_comes() -> None:
    driver = informed("b", "c")
    driver.hear("b", Interest(1, 0, False, slots(SLOT)), Interest(3, 2, False, slots(OTHER)))
    assert published(driver, slot=5) == {"b"}
    driver.hear("b", replace(driver.heartbeat("b"), kind="ping", interest=3))
    [pong] = driver.sent(Heartbeat, "b")
    assert pong.want & WANT_INTEREST
    driver.hear("b", Interest(3, 0, False, slots(OTHER)))
    assert published(driver, slot=5) == set()
    assert published(driver, slot=OTHER) == {"b"}


def test_a_heartbeat_with_a_newer_version_makes_unsure_and_an_older_one_does_not() -> None:
    driver = informed("b", "c")
    driver.hear("b", Interest(4, 0, False, slots(SLOT)))
    driver.hear("b", driver.heartbeat("b"))  # said before, on the other link
    assert published(driver) == {"b"}
    driver.hear("b", replace(driver.heartbeat("b"), interest=6))
    assert published(driver, slot=OTHER) == {"b"}
    driver.hear("b", Interest(5, 4, False, slots(1)))
    assert published(driver, slot=OTHER) == {"b"}, "version 6 has been heard of"
    driver.hear("b", Interest(6, 5, False, slots(2)))
    assert published(driver, slot=OTHER) == set()
    assert published(driver, slot=2) == published(driver, slot=SLOT) == {"b"}


def test_a_peer_is_not_asked_again_and_again() -> None:
    driver = informed("b", "c")
    for _ in range(5):
        driver.hear("b", replace(driver.heartbeat("b"), kind="ping", interest=1))
    assert sum(bool(pong.want & WANT_INTEREST) for pong in driver.sent(Heartbeat, "b")) == 1
    driver.now += ASK_PERIOD_MS
    driver.hear("b", replace(driver.heartbeat("b"), kind="ping", interest=1))
    assert sum(bool(pong.want & WANT_INTEREST) for pong in driver.sent(Heartbeat, "b")) == 2


@pytest.mark.parametrize("which", ["its new link", "the end of its link"])
def test_what_is_known_of_a_peer_is_as_good_as_its_link(which: str) -> None:
    """It may have been started anew, or be about to tell us what it cannot tell now."""
    driver = informed("b", "c")
    theirs = driver.links["b"][1]
    if which == "its new link":
        driver.step(events.LinkUp(900, driver.nodes["b"].node_id, driver.ip("b"), False, "", "10.0.0.99"))
    else:
        driver.step(events.LinkDown(theirs, "closed"))
    assert published(driver) == {"b"}


def test_shard_messages_stay_within_the_shard() -> None:
    driver = informed("b", "c", "d", "e", replicas={"d": "a", "e": "b"})
    for name in "bcde":
        driver.hear(name, Interest(1, 0, False, slots(SLOT)))
    assert published(driver, NOTHING_IN_SHARD) == {"d"}
    assert published(driver) == {"b", "c", "d", "e"}


def test_messages_go_out_in_their_order_in_frames_of_bounded_size() -> None:
    driver = informed("b", "c")
    driver.hear("b", Interest(1, 0, True, 0))
    driver.hear("c", Interest(1, 0, True, 0))
    driver.clear()
    items = [Item(b"c", b"%d" % number) for number in range(ITEMS_LIMIT + 5)] + [Item(b"c", b"x" * 50_000)] * 3
    driver.step(events.Publish(1, tuple((SLOT, item) for item in items)))
    frames = driver.sent(Messages, "b")
    assert [item for frame in frames for item in frame.items] == items
    assert max(len(frame.items) for frame in frames) == ITEMS_LIMIT
    assert max(sum(len(item.message) for item in frame.items) for frame in frames) < 66_000
    assert [id(frame) for frame in driver.sent(Messages, "c")] == [id(frame) for frame in frames], "encoded once"


# -- what was on its way -----------------------------------------------------------------------------------------


def test_a_subscription_that_lay_unread_gets_what_was_published_meanwhile() -> None:
    driver = informed("b", "c")
    assert published(driver) == set()
    driver.hear("b", Interest(1, 0, False, slots(SLOT)))
    assert driver.sent(Messages, "b") == [Messages((ITEM,))]
    assert driver.sent(Messages, "c") == []
    driver.clear()
    driver.hear("b", Interest(2, 1, False, slots(OTHER)))
    assert driver.sent(Messages, "b") == [], "once is enough"


def test_what_has_settled_is_gone() -> None:
    driver = informed("b", "c")
    assert published(driver, serial=1) == set()
    later = Item(b"channel", b"later")
    assert published(driver, later, serial=2) == set()
    driver.step(events.Settled(1))
    driver.hear("b", Interest(1, 0, False, slots(SLOT)))
    assert driver.sent(Messages, "b") == [Messages((later,))]


def test_little_is_kept_of_a_flood() -> None:
    driver = informed("b", "c")
    for number in range(RECENT_LIMIT + 10):
        driver.step(events.Publish(number, ((SLOT, Item(b"c", b"%d" % number)),)))
    driver.step(events.Publish(0, ((OTHER, Item(b"c", b"x" * (2 << 20))),)))
    driver.clear()
    driver.hear("b", Interest(1, 0, True, 0))
    assert driver.sent(Messages, "b") == []


# -- what we say -------------------------------------------------------------------------------------------------


def test_the_first_subscription_of_a_slot_is_told_at_once_to_everybody() -> None:
    driver = informed("b", "c")
    driver.step(events.Listen(slots(SLOT), False))
    assert driver.sent(Interest) == [Interest(1, 0, False, slots(SLOT))] * 2
    driver.clear()
    driver.step(events.Listen(slots(SLOT, OTHER), False))
    assert driver.sent(Interest, "b") == [Interest(2, 1, False, slots(OTHER))]
    driver.clear()
    driver.step(events.Listen(slots(SLOT, OTHER), True))
    assert driver.sent(Interest, "b") == [Interest(3, 2, True, 0)]


def test_subscriptions_that_come_and_go_cost_no_more_than_a_frame_a_second() -> None:
    driver = informed("b", "c")
    driver.tick(2 * WHOLE_PERIOD_MS, alive="bc")
    driver.clear()
    for _ in range(10):
        driver.step(events.Listen(slots(SLOT), False))
        driver.step(events.Listen(0, False))
    assert len(driver.sent(Interest, "b")) == 1
    driver.tick(100, alive="bc")
    assert driver.sent(Interest, "b")[1:] == [Interest(2, 0, False, 0)]


def test_who_listens_to_nothing_says_nothing() -> None:
    driver = informed("b", "c")
    driver.tick(5_000, alive="bc")
    assert driver.sent(Interest) == []
    assert {beat.interest for beat in driver.sent(Heartbeat)} == {0}


def test_heartbeats_carry_the_version_and_who_asks_is_answered() -> None:
    driver = informed("b", "c")
    driver.step(events.Listen(slots(SLOT), False))
    driver.step(events.Listen(slots(SLOT, OTHER), False))
    driver.clear()
    driver.hear("b", replace(driver.heartbeat("b"), kind="ping", want=WANT_INTEREST))
    assert [pong.interest for pong in driver.sent(Heartbeat, "b")] == [2]
    assert driver.sent(Interest, "b") == [Interest(2, 0, False, slots(SLOT, OTHER))]


def test_a_new_link_begins_with_the_picture() -> None:
    driver = Driver(linked=False)
    driver.step(events.Listen(slots(SLOT), False))
    assert driver.sent(Interest) == []
    driver.link("b")
    assert driver.sent(Interest, "b") == [Interest(1, 0, False, slots(SLOT))]


# -- what is heard -----------------------------------------------------------------------------------------------


def test_messages_are_for_our_clients_and_no_stranger_s_are() -> None:
    driver = informed("b", "c")
    driver.hear("b", Messages((ITEM, NOTHING_IN_SHARD)))
    assert driver.came(events.Deliver) == [events.Deliver((ITEM, NOTHING_IN_SHARD))]
    driver.clear()
    driver.step(events.LinkUp(900, "9" * 40, "10.0.0.9", False, "", "10.0.0.99"))
    driver.step(events.FrameReceived(900, Messages((ITEM,))))
    assert driver.came(events.Deliver) == []
