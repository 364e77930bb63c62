"""Keyspace events: which are published by the directive's letters, and those that no command sets off."""

from __future__ import annotations

import hiredis
import pytest

from cluster.key_events import EventfulContext
from cluster.keyspace.hashing import key_slot
from tests.commands.in_process import Client, InProcessNode
from tests.replication.test_stream import Follower


def listener(node: InProcessNode) -> Client:
    node.server.key_events.configure(node.server.config)
    client = node.connect()
    client.raw("PSUBSCRIBE", "__key*__:*")
    return client


def heard(client: Client) -> list[tuple[bytes, bytes]]:
    """(channel, message) of what came since."""
    reader = hiredis.Reader()
    reader.feed(client.received())
    found = []
    while reader.has_data():
        *_, channel, message = reader.gets()
        found.append((channel, message))
    return found


def test_nothing_is_published_unless_asked_for() -> None:
    for letters in ("A", "KEl", "E", "g$"):
        node = InProcessNode(("notify-keyspace-events", letters))
        client = listener(node)
        node("SET", "a", 1)
        assert heard(client) == [], letters


@pytest.mark.parametrize(("letters", "expected"), [
    ("K$", [(b"__keyspace@0__:a", b"set")]),
    ("E$", [(b"__keyevent@0__:set", b"a")]),
    ("KE$", [(b"__keyspace@0__:a", b"set"), (b"__keyevent@0__:set", b"a")]),
    ("KA", [(b"__keyspace@0__:a", b"set"), (b"__keyspace@0__:a", b"expire")]),
    ("KAn", [(b"__keyspace@0__:a", b"new"), (b"__keyspace@0__:a", b"set"), (b"__keyspace@0__:a", b"expire")]),
    ("Eg", [(b"__keyevent@0__:expire", b"a")]),
])  # fmt: skip
def test_the_letters_choose(letters: str, expected: list[tuple[bytes, bytes]]) -> None:
    node = InProcessNode(("notify-keyspace-events", letters))
    client = listener(node)
    node("SETEX", "a", 100, 1)
    assert heard(client) == expected


def test_events_can_be_turned_off_again() -> None:
    node = InProcessNode(("notify-keyspace-events", "KEAn"))
    client = listener(node)
    assert isinstance(node.server.ctx, EventfulContext)
    node("CONFIG", "SET", "notify-keyspace-events", "")
    node.server.key_events.configure(node.server.config)
    node("SET", "a", 1)
    assert heard(client) == []
    assert type(node.server.ctx) is not EventfulContext
    assert not node.server.ctx.observed, "the hot path is as it was"


def test_what_happens_to_keys_without_a_command() -> None:
    node = InProcessNode(("notify-keyspace-events", "Exe"))
    client = listener(node)
    node("MSET", "a", 1, "b", 2)
    server = node.server
    node("PEXPIRE", "a", 10)
    node.advance(20)
    server.expire_now(server.databases[0], b"a", key_slot(b"a"))  # as the expiry cycle does
    server.evict_now(server.databases[0], b"b", key_slot(b"b"))
    assert heard(client) == [(b"__keyevent@0__:expired", b"a"), (b"__keyevent@0__:evicted", b"b")]


def test_slots_that_another_node_has_now_go_without_an_event() -> None:
    node = InProcessNode(("notify-keyspace-events", "KEA"), ("cluster-enabled", "yes"))
    node("SET", "a", 1)
    client = listener(node)
    assert node.server.lost_slots.drop([key_slot(b"a")]) == 1
    assert heard(client) == []


def test_a_replica_tells_its_own_clients_what_its_primary_did() -> None:
    follower = Follower(("notify-keyspace-events", "EA"))
    client = listener(follower.node)
    follower.take(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$3\r\nDEL\r\n$1\r\na\r\n")
    assert heard(client) == [(b"__keyevent@0__:set", b"a"), (b"__keyevent@0__:del", b"a")]


def test_a_published_message_of_the_primary_reaches_a_replica_s_subscribers() -> None:
    follower = Follower()
    client = follower.node.connect()
    client.raw("SUBSCRIBE", "a")
    follower.take(b"*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n$1\r\nx\r\n")
    assert heard(client) == [(b"a", b"x")]


def test_an_event_still_fails_a_watch() -> None:
    node = InProcessNode(("notify-keyspace-events", "KEA"))
    listener(node)
    other = node.connect()
    node("WATCH", "a")
    other("SET", "a", 1)
    node("MULTI")
    assert node("EXEC") is None
