"""maxmemory: it limits the data, and reaching it never makes a command slow or refuses what fits."""

from __future__ import annotations

import pytest

from cluster.keyspace.hashing import key_slot
from tests.commands.in_process import InProcessNode

VALUE = b"v" * 1000


def limited(policy: str, resident: int = 0) -> InProcessNode:
    """A node with room for a megabyte, in a process that takes `resident` bytes when empty."""
    node = InProcessNode(("maxmemory", "1mb"), ("maxmemory-policy", policy))
    memory = node.server.memory
    memory.resident_bytes = lambda: resident
    memory.startup_bytes = resident
    memory.configure()
    node.server.refresh_observed()
    node.server.refresh_road()
    return node


def test_a_limit_below_the_size_of_the_empty_process_is_one_of_the_data() -> None:
    node = limited("allkeys-lru", 100 << 20)
    for number in range(2000):
        assert node("SET", number, VALUE) == b"OK"
    kept = node("DBSIZE")
    assert 500 < kept < 1000
    assert node("GET", 1999) == VALUE, "the newest is kept"


def test_without_eviction_what_does_not_fit_is_refused() -> None:
    node = limited("noeviction")
    replies = [node("SET", number, VALUE) for number in range(2000)]
    assert replies[0] == b"OK"
    assert str(replies[-1]).startswith("OOM command not allowed")
    assert node("GET", 0) == VALUE
    assert node("DEL", *range(2000)) > 500
    assert node("SET", "again", VALUE) == b"OK"


def test_only_keys_with_a_deadline_go_under_a_volatile_policy() -> None:
    node = limited("volatile-ttl")
    node("SET", "stays", VALUE)
    for number in range(2000):
        node("SET", number, VALUE, "EX", 1000 + number)
    assert node("GET", "stays") == VALUE
    assert node("GET", 1999) == VALUE
    assert node("GET", 0) is None, "the nearest to its end goes first"


@pytest.mark.parametrize("name", ["%d", "{tag}%d"], ids=["in all slots", "in one slot"])
@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu"])
def test_what_is_used_stays_wherever_it_lies(policy: str, name: str) -> None:
    node = limited(policy)
    used = [name % number for number in range(200)]
    for key in used:
        node("SET", key, VALUE)
    for number in range(200, 3000):
        node("SET", name % number, VALUE)
        if number % 100 == 0:
            node.advance(1000)
            node("MGET", *used)
    assert node("EXISTS", *used) > 190
    assert node("DBSIZE") < 1000


def test_any_key_may_go_under_a_random_policy() -> None:
    node = limited("allkeys-random")
    for number in range(3000):
        node("SET", f"{{tag}}{number}", VALUE)
    early = node("EXISTS", *(f"{{tag}}{number}" for number in range(1500)))
    late = node("EXISTS", *(f"{{tag}}{number}" for number in range(2900, 3000)))
    assert 50 < early < 500
    assert 50 < late < 100


@pytest.mark.parametrize("command", ["FLUSHALL", "FLUSHDB"])
def test_there_is_room_again_after_a_flush(command: str) -> None:
    node = limited("noeviction")
    for number in range(2000):
        node("SET", number, VALUE)
    node(command)
    assert all(node("SET", number, VALUE) == b"OK" for number in range(500))


def test_there_is_room_again_when_slots_have_gone() -> None:
    node = limited("noeviction")
    for number in range(2000):
        node("SET", f"{{tag}}{number}", VALUE)
    node.server.lost_slots.drop([key_slot(b"{tag}")])
    node.server.lost_slots.finish()
    assert all(node("SET", number, VALUE) == b"OK" for number in range(500))


def test_databases_that_were_exchanged_keep_their_room() -> None:
    node = limited("noeviction")
    for number in range(2000):
        node("SET", number, VALUE)
    node("SWAPDB", 0, 1)
    assert node.error("SET", "one more", VALUE).startswith("OOM")
    node("SELECT", 1)
    node("FLUSHDB")
    assert node("SET", "one more", VALUE) == b"OK"


def test_frequencies_as_redis_counts_them() -> None:
    node = InProcessNode(("maxmemory-policy", "allkeys-lfu"))
    node.server.refresh_observed()

    def frequency(key: str) -> object:
        return node("OBJECT", "FREQ", key)

    node("SET", "a", "x")
    assert frequency("a") == 5
    node("GET", "a")
    assert frequency("a") == 6
    node("RENAME", "a", "b")
    node("SET", "a", "x")
    assert (frequency("a"), frequency("b")) == (5, 6)
    node("SET", "a", "y")
    assert frequency("a") == 6
    node("DEL", "a")
    node("RPUSH", "a", "x")
    assert frequency("a") == 5
    node("FLUSHALL")
    node("APPEND", "b", "x")
    assert frequency("b") == 5


def test_idle_times_under_an_lru_policy_without_a_limit() -> None:
    node = InProcessNode(("maxmemory-policy", "allkeys-lru"))
    node.server.refresh_observed()
    node("SET", "a", "x")
    node.advance(5000)
    assert node("OBJECT", "IDLETIME", "a") == 5
    node("SWAPDB", 0, 1)
    node("SELECT", 1)
    assert node("OBJECT", "IDLETIME", "a") == 5
    node("GET", "a")
    assert node("OBJECT", "IDLETIME", "a") == 0
