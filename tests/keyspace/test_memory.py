"""maxmemory: it limits the data, and reaching it never makes a command slow or refuses what fits."""

from __future__ import annotations

import pytest

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
def test_what_is_used_stays_wherever_it_lies(name: str) -> None:
    node = limited("allkeys-lru")
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
