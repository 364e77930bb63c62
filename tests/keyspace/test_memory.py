"""maxmemory: it limits the memory that INFO shows, and reaching it never makes a command slow or refuses what fits."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.keyspace.hashing import key_slot
from cluster.keyspace.memory import STARTUP_BYTES, Buffers, MemoryAccount
from tests.commands.in_process import InProcessNode
from tests.commands.whole import WholeNode

VALUE = b"v" * 1000


EMPTY_BYTES = 80 << 20
"""What the process takes when it is empty."""


def set_limit(node: InProcessNode, size: int, policy: str = "noeviction") -> None:
    assert node("CONFIG", "SET", "maxmemory", size, "maxmemory-policy", policy) == b"OK"
    node.server.memory.configure()
    node.server.refresh_observed()
    node.server.refresh_road()


def limited(policy: str) -> InProcessNode:
    """A node with room for a megabyte."""
    node = InProcessNode()
    set_limit(node, 1 << 20, policy)
    return node


def grown(directory: Path, by: int) -> WholeNode:
    """A node that holds 300 keys, and has grown by so many bytes since it was empty."""
    node = WholeNode(directory)
    memory = node.server.memory = MemoryAccount(node.server, lambda: EMPTY_BYTES)
    for number in range(300):
        node("SET", f"old{number}", VALUE, "EX", 100)
    memory.resident_bytes = lambda: EMPTY_BYTES + by
    return node


def facts(node: InProcessNode) -> dict[str, int]:
    """The numbers of INFO."""
    lines = [line.split(":") for line in node("INFO", "memory", "stats").decode().splitlines() if ":" in line]
    return {name: int(fact) for name, fact in lines if fact.isdigit()}


POLICIES = [
    "noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-random",
    "volatile-ttl",
]  # fmt: skip


@pytest.mark.parametrize("policy", POLICIES)
def test_the_limit_is_one_of_the_memory_that_info_shows(tmp_path: Path, policy: str) -> None:
    node = grown(tmp_path, 400_000)
    used = facts(node)["used_memory"]
    assert used == STARTUP_BYTES + 400_000, "the program itself does not count"
    limit = used + (1 << 20)
    set_limit(node, limit, policy)
    assert facts(node)["used_memory"] == used, "it goes on from where it was"
    shown: list[dict[str, int]] = []
    for number in range(2000):
        reply = node("SET", number, VALUE, "EX", 1000 + number)
        before, now = shown[-1] if shown else {}, facts(node)
        shown.append(now)
        if reply != b"OK":
            assert before["used_memory"] > limit
            break
        assert policy == "noeviction" or now["used_memory"] <= limit
        if now["evicted_keys"]:
            assert limit - before["used_memory"] < 3 * len(VALUE), "not before it must be"
            break
    assert 500 < len(shown) < 1000
    assert bool(shown[-1]["evicted_keys"]) is (policy != "noeviction")


def test_a_limit_below_what_is_used_refuses_writes_at_once(tmp_path: Path) -> None:
    node = grown(tmp_path, 400_000)
    set_limit(node, STARTUP_BYTES + 300_000)
    assert node.error("SET", "q", "1").startswith("OOM")
    assert node("GET", "old1") == VALUE
    node("FLUSHALL")
    assert facts(node)["used_memory"] == STARTUP_BYTES
    assert node("SET", "q", "1") == b"OK", "what the process itself takes is far more than the limit"


def test_memory_that_is_free_for_keys_is_not_counted(tmp_path: Path) -> None:
    """Of a process that held far more once, and whose allocator has kept it."""
    node = grown(tmp_path, 900 << 20)
    set_limit(node, 200 << 20)
    assert node("SET", "q", "1") == b"OK"
    found = facts(node)
    assert STARTUP_BYTES < found["used_memory"] < 20 << 20
    assert found["used_memory_rss"] == EMPTY_BYTES + (900 << 20)
    node("FLUSHALL")
    assert facts(node)["used_memory"] == STARTUP_BYTES
    set_limit(node, 0)
    assert facts(node)["used_memory"] == STARTUP_BYTES
    set_limit(node, 200 << 20)
    assert facts(node)["used_memory"] == STARTUP_BYTES


def test_buffers_count_but_for_those_that_evicting_adds_to() -> None:
    node = InProcessNode()
    buffers = Buffers()
    memory = node.server.memory = MemoryAccount(node.server, lambda: 0, lambda: buffers)
    set_limit(node, 1 << 20)

    def after(counted: int, exempt: int) -> object:
        nonlocal buffers
        buffers = Buffers(counted, exempt)
        node.advance(1000)
        node.server.start_batch()
        memory.work(lambda: False)
        node.end_batch()
        assert memory.used - memory.limited_bytes == memory.exempt_bytes == exempt
        return node("SET", "a", "1")

    assert after(0, 2 << 20) == b"OK"
    assert str(after(2 << 20, 0)).startswith("OOM")
    assert after(0, 0) == b"OK"


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
