"""Eviction: as long as it may take, without holding others up, and only where the data may change by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.keyspace.eviction import KEYS_PER_LOOK, time_limit_us
from tests.commands.in_process import InProcessNode
from tests.commands.whole import WholeNode

VALUE = b"v" * 1000
KEYS = 2_000


def apply(node: InProcessNode) -> None:
    """What the node does when CONFIG SET has changed a limit."""
    node.server.memory.configure()
    node.server.refresh_observed()
    node.server.refresh_road()


def limit(node: InProcessNode, size: int) -> None:
    node("CONFIG", "SET", "maxmemory", size)
    apply(node)


def go_on(node: InProcessNode, slices: int = 1_000) -> int:
    """Let the timers work, for at most some slices; how many it took until they had nothing to do."""
    for count in range(slices):
        if not node.server.memory.is_busy:
            return count
        looks = iter([False, False, True])
        node.server.memory.work(looks.__next__)
    return slices


@pytest.fixture
def full() -> InProcessNode:
    """A node with keys and no limit so far."""
    node = InProcessNode(("maxmemory-policy", "allkeys-lru"))
    apply(node)
    for number in range(KEYS):
        node("SET", number, VALUE)
    return node


def size_of_all(node: InProcessNode) -> int:
    limit(node, 1 << 40)
    go_on(node)
    size = node.server.memory.limited_bytes
    limit(node, 0)
    return size


def test_nothing_goes_that_fits_while_it_is_still_being_counted(full: InProcessNode) -> None:
    size = size_of_all(full)
    limit(full, size + size // 50)
    full("SET", "another", VALUE)
    assert go_on(full) > 1, "the count takes some slices"
    assert full("DBSIZE") == KEYS + 1


def test_a_lower_limit_is_reached_in_slices(full: InProcessNode) -> None:
    now_us = iter(range(0, 1 << 40, 100))
    full.server.shell.clock_us = lambda: next(now_us)
    limit(full, size_of_all(full) // 2)
    full("PING")
    at_once = KEYS - full("DBSIZE")
    assert KEYS_PER_LOOK <= at_once <= 10 * KEYS_PER_LOOK
    assert go_on(full) > 5
    assert KEYS * 0.45 < full("DBSIZE") < KEYS * 0.55
    limit(full, full.server.memory.limited_bytes // 2)
    full("CONFIG", "SET", "maxmemory-eviction-tenacity", 100)
    full("SET", "another", VALUE)
    assert KEYS * 0.2 < full("DBSIZE") < KEYS * 0.3, "all at once, where it may take any time"


@pytest.mark.parametrize(("tenacity", "microseconds"), [(0, 0), (5, 250), (10, 500), (11, 575), (99, 125e6)])
def test_how_long_a_try_may_take(tenacity: int, microseconds: float) -> None:
    assert time_limit_us(tenacity) == pytest.approx(microseconds, rel=0.03)
    assert time_limit_us(100) is None


def test_in_a_pipeline_too_what_does_not_fit_is_refused() -> None:
    node = InProcessNode(("maxmemory", "100kb"), ("maxmemory-policy", "noeviction"))
    apply(node)
    answers = node.client.chunk(*(("SET", number, VALUE) for number in range(200))).split(b"\r\n")[:-1]
    kept = node("DBSIZE")
    assert 50 < kept < 100
    assert [answer[:4] for answer in answers] == [b"+OK"] * kept + [b"-OOM"] * (200 - kept)
    assert node.client.chunk(("DEL", 0, 1, 2), ("SET", "one", VALUE), ("SET", "two", VALUE)) == b":3\r\n+OK\r\n+OK\r\n"


def test_in_a_pipeline_too_the_limit_holds() -> None:
    node = InProcessNode(("maxmemory", "100kb"), ("maxmemory-policy", "allkeys-random"))
    apply(node)
    answers = node.client.chunk(*(("SET", number, VALUE) for number in range(300)))
    assert answers == b"+OK\r\n" * 300
    assert 50 < node("DBSIZE") < 100
    effects = node.effects
    assert effects.index([b"SET", b"299", VALUE]) < len(effects) - 1, "what goes for a key's sake goes behind it"


def test_a_replica_leaves_it_to_its_primary(tmp_path: Path) -> None:
    node = WholeNode(tmp_path, ("maxmemory-policy", "allkeys-lru"))
    for number in range(KEYS):
        node("SET", number, VALUE)
    node.server.is_replica = True
    limit(node, 100_000)
    go_on(node)
    assert node("DBSIZE") == KEYS
    node("CONFIG", "SET", "replica-ignore-maxmemory", "no")
    apply(node)
    node.server.memory.work(lambda: True)
    go_on(node)
    assert node("DBSIZE") < 100


def test_info_tells_what_went_and_for_how_long_it_was_too_much(tmp_path: Path) -> None:
    node = WholeNode(tmp_path, ("maxmemory", "100kb"), ("maxmemory-policy", "noeviction"))
    apply(node)

    def facts() -> list[int]:
        lines = node("INFO", "stats").decode().splitlines()
        found = dict(line.split(":") for line in lines if ":" in line)
        names = ("evicted_keys", "total_eviction_exceeded_time", "current_eviction_exceeded_time")
        return [int(found[name]) for name in names]

    for number in range(200):
        node("SET", number, VALUE)
    kept = node("DBSIZE")
    node.advance(70)
    assert facts() == [0, 70, 70]
    node("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    apply(node)
    node("SET", "another", VALUE)
    assert facts() == [kept + 1 - node("DBSIZE"), 70, 0]
    node("CONFIG", "RESETSTAT")
    assert facts() == [0, 0, 0]


def test_touch_counts_as_use_also_for_a_client_whose_reads_do_not() -> None:
    node = InProcessNode(("maxmemory-policy", "allkeys-lru"))
    apply(node)
    node("SET", "a", 1)
    node.advance(5_000)
    node("CLIENT", "NO-TOUCH", "ON")
    node("GET", "a")
    assert node("OBJECT", "IDLETIME", "a") == 5
    node("TOUCH", "a")
    assert node("OBJECT", "IDLETIME", "a") == 0
