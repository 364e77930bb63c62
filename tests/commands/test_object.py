"""OBJECT IDLETIME where redis-server cannot be asked: over time, by slot, and when the policy changes."""

from __future__ import annotations

import pytest

from cluster.keyspace.hashing import key_slot
from tests.commands.in_process import InProcessNode

POLICIES = ["noeviction", "volatile-ttl", "allkeys-random", "allkeys-lru"]


@pytest.mark.parametrize("policy", POLICIES)
def test_idle_seconds_count_from_the_last_use(policy: str) -> None:
    node = InProcessNode(("maxmemory-policy", policy))
    node("MSET", "a", "1", "b", "1")
    node.advance(10_000)
    node("GET", "a")
    node.advance(5_000)
    assert (node("OBJECT", "IDLETIME", "a"), node("OBJECT", "IDLETIME", "b")) == (5, 15)
    node("APPEND", "b", "2")
    assert node("OBJECT", "IDLETIME", "b") == 0


@pytest.mark.parametrize(("policy", "idle"), [("noeviction", 0), ("allkeys-lru", 10)])
def test_a_key_is_as_idle_as_its_slot_without_a_clock_of_its_own(policy: str, idle: int) -> None:
    node = InProcessNode(("maxmemory-policy", policy))
    node("MSET", "{t}a", "1", "{t}b", "1")
    node.advance(10_000)
    node("GET", "{t}a")
    assert key_slot(b"{t}a") == key_slot(b"{t}b")
    assert node("OBJECT", "IDLETIME", "{t}b") == idle


def test_what_is_known_outlasts_a_change_of_the_policy() -> None:
    node = InProcessNode()
    node("SET", "a", "1")
    node.advance(10_000)
    for policy in ("allkeys-lru", "noeviction"):
        node("CONFIG", "SET", "maxmemory-policy", policy)
        node.server.memory.configure()
        assert node("OBJECT", "IDLETIME", "a") == 10


def test_databases_and_their_exchange() -> None:
    node = InProcessNode()
    node("SET", "a", "1")
    node.advance(10_000)
    node("SELECT", 1)
    node("SET", "a", "1")
    assert node("OBJECT", "IDLETIME", "a") == 0
    node("SWAPDB", 0, 1)
    assert node("OBJECT", "IDLETIME", "a") == 10


def test_other_data_are_as_idle_as_they_are_old_here() -> None:
    """As after a full synchronization."""
    node = InProcessNode()
    node("SET", "a", "1")
    node.advance(10_000)
    node("PING")
    node.server.memory.replaced([{} for _ in node.server.databases])
    node.advance(3_000)
    assert node("OBJECT", "IDLETIME", "a") == 3
