"""The node's timers, under a clock that stands still while nobody waits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from cluster.cron import Cron
from tests.commands.in_process import START_MS, InProcessNode

pytestmark = pytest.mark.trio


async def test_a_key_and_a_field_go_at_their_time_and_not_at_the_next_tick(autojump_clock: MockClock) -> None:
    node = InProcessNode(("hz", "1"))
    server: Any = node.server
    begun = trio.current_time()
    server.clock_ms = lambda: START_MS + round(1000 * (trio.current_time() - begun))
    server.replication = SimpleNamespace(tick=lambda _now: None, feed=lambda _entries: b"")
    server.persistence = SimpleNamespace(tick=lambda _now: None, dirty=0, aof=SimpleNamespace(is_open=False))
    reactor: Any = SimpleNamespace(finish_batch=lambda _ready: node.end_batch(), check_limits=lambda: None)
    cron = Cron(server, reactor)
    node("SET", "a", "1", "PX", 300)
    node("HSET", "h", "f", "1", "g", "2")
    node("HPEXPIRE", "h", 500, "FIELDS", 1, "f")
    node("SET", "far", "1", "PX", 700)
    node.effects.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cron.run)
        await trio.sleep(0.25)
        assert (node("DBSIZE"), node.effects) == (3, [])
        await trio.sleep(0.1)
        assert (node("DBSIZE"), node.effects) == (2, [[b"DEL", b"a"]])
        await trio.sleep(0.2)
        assert node.effects == [[b"DEL", b"a"], [b"HDEL", b"h", b"f"]]
        await trio.sleep(0.4)
        assert (node("DBSIZE"), node("HLEN", "h")) == (1, 1)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("rest_s", [0.05, 60.0])
async def test_a_snapshot_that_rests_is_not_asked_all_the_time(autojump_clock: MockClock, rest_s: float) -> None:
    node = InProcessNode(("hz", "10"))
    server: Any = node.server
    asked: list[float] = []

    def walk_on(_is_over: object) -> None:
        asked.append(trio.current_time())
        assert len(asked) < 1_000

    server.replication = SimpleNamespace(tick=lambda _now: None, feed=lambda _entries: b"")
    server.persistence = SimpleNamespace(
        tick=lambda _now: None, dirty=0, aof=SimpleNamespace(is_open=False), walk_on=walk_on, walk_rest_s=rest_s
    )
    reactor: Any = SimpleNamespace(finish_batch=lambda _ready: node.end_batch(), check_limits=lambda: None)
    server.barrier.walk = object()
    with trio.move_on_after(1.0):
        await Cron(server, reactor).run()
    assert 8 <= len(asked) <= 1 / rest_s + 11
