"""Slots that another node serves now: their keys are gone at once, and replicas hear of it bit by bit."""

from __future__ import annotations

from dataclasses import replace

from cluster.keyspace.hashing import key_slot
from cluster.lost_slots import KEYS_AT_ONCE
from tests.commands.in_process import InProcessNode, view_of_one

SLOT = key_slot(b"{tag}")
OTHER = "3" * 40
COUNT = 3 * KEYS_AT_ONCE


def filled(*directives: tuple[str, str]) -> InProcessNode:
    node = InProcessNode(("cluster-enabled", "yes"), *directives)
    for number in range(COUNT):
        node("SET", f"{{tag}}{number}", number)
    node("SET", "stays", "v")
    node.effects.clear()
    return node


def told(node: InProcessNode) -> list[bytes]:
    """The keys that replicas have been told are gone."""
    node.end_batch()
    assert all(effect[0] == b"DEL" for effect in node.effects)
    return [key for effect in node.effects for key in effect[1:]]


def test_the_keys_are_gone_at_once_and_replicas_are_told_in_slices() -> None:
    node = filled()
    assert node.server.lost_slots.drop([SLOT]) == COUNT
    assert node("DBSIZE") == 1
    assert node("KEYS", "*") == [b"stays"]
    assert told(node) == []
    node.server.lost_slots.work(lambda: True)
    assert len(told(node)) == KEYS_AT_ONCE
    node.server.lost_slots.work(lambda: False)
    assert sorted(told(node)) == sorted(b"{tag}%d" % number for number in range(COUNT))
    assert not node.server.lost_slots.pending
    assert node.server.lazy_free.is_busy, "the values are freed in slices, too"


def test_a_slot_that_comes_back_keeps_what_it_gets_then() -> None:
    for importing in (True, False):
        node = filled()
        node.server.lost_slots.drop([SLOT])
        view = view_of_one()
        if importing:
            owners = list(view.owners)
            owners[SLOT] = OTHER
            view = replace(view, owners=owners, importing={SLOT: OTHER})
        node.server.lost_slots.follow_view(view)
        assert len(told(node)) == COUNT, "before anything new can be there"
        assert not node.server.lost_slots.is_busy


def test_nothing_is_told_during_a_pause_nor_by_a_replica() -> None:
    node = filled()
    lost_slots = node.server.lost_slots
    lost_slots.drop([SLOT])
    node.server.pause.start("client", node.now_ms + 5_000, writes_only=True)
    assert not lost_slots.is_busy
    lost_slots.work(lambda: False)
    assert told(node) == []
    lost_slots.forget()
    node.server.pause.stop("client")
    lost_slots.work(lambda: False)
    assert told(node) == []


def test_who_watches_a_key_that_goes_does_not_get_past_exec() -> None:
    node = filled()
    watcher, other = node.connect(), node.connect()
    watcher("WATCH", "{tag}1")
    other("WATCH", "stays")
    node.server.lost_slots.drop([SLOT])
    for client, reply in ((watcher, None), (other, [b"v"])):
        client("MULTI")
        client("GET", "stays")
        assert client("EXEC") == reply
