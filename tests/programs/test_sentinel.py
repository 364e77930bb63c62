"""Clients in sentinel mode, redis-py, ioredis and node-redis, through a failover while they write."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel

from tests.programs.conftest import NodeJob
from tests.system.conftest import harness_of
from tests.system.sentinels import NAME, PASSWORD, Watch
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 30.0


@pytest.fixture
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    harness = harness_of("ours", tmp_path_factory)
    watch = Watch(next(harness), "ours", ("ours", "ours", "ours"))
    watch.wait_found()
    yield watch
    next(harness, None)


class Writer:
    """Counts up a key until told to stop; `count` writes were acknowledged."""

    def __init__(self, watch: Watch) -> None:
        self.places = [("127.0.0.1", sentinel.port) for sentinel in watch.sentinels]
        self.over = threading.Event()
        self.count = 0

    def redis_py(self) -> None:
        sentinel: Any = redis.sentinel.Sentinel(self.places, socket_timeout=1)  # type: ignore[no-untyped-call]
        assert len(sentinel.discover_slaves(NAME)) == 2
        client: redis.Redis = sentinel.master_for(NAME, password=PASSWORD, socket_timeout=1)
        while not self.over.is_set():
            try:
                client.incr("py:count")
                self.count += 1
            except redis.RedisError:
                continue
        for one in (client, *sentinel.sentinels):
            one.close()

    def asynchronous(self) -> None:
        asyncio.run(self._asynchronous())

    async def _asynchronous(self) -> None:
        sentinel: Any = redis.asyncio.sentinel.Sentinel(self.places, socket_timeout=1)  # type: ignore[no-untyped-call]
        client: Any = sentinel.master_for(NAME, password=PASSWORD, socket_timeout=1)
        while not self.over.is_set():
            try:
                await client.incr("async:count")
                self.count += 1
            except redis.RedisError:
                continue
        for one in (client, *sentinel.sentinels):
            await one.aclose()
            await one.connection_pool.disconnect()


def test_redis_py_goes_on_at_the_new_primary(watch: Watch) -> None:
    writers = [Writer(watch), Writer(watch)]
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(writers[0].redis_py), pool.submit(writers[1].asynchronous)]
        try:
            wait_until(lambda: all(one.count for one in writers), DEADLINE_S, "both write")
            watch.primary.kill()
            new = watch.wait_moved()
            for key in ("py:count", "async:count"):
                wait_until(_grows(new.call, key), DEADLINE_S, f"{key} goes on at {new}")
        finally:
            for writer in writers:
                writer.over.set()
        for run in runs:
            run.result()


def _grows(call: Callable[..., object], key: str) -> Callable[[], bool]:
    before = call("GET", key)
    return lambda: call("GET", key) != before


def test_clients_of_node_js_go_on_at_the_new_primary(node_job: NodeJob, watch: Watch) -> None:
    port = watch.sentinels[0].port
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(node_job, program, "sentinel", port) for program in ("ioredis.mjs", "node-redis.mjs")]
        counts = ("io:count", "nr:count")
        wait_until(lambda: all(watch.primary.call("GET", key) for key in counts), DEADLINE_S, "both write")
        watch.primary.kill()
        new = watch.wait_moved()
        assert [job.result() for job in jobs] == ["sentinel is done\n"] * 2
    assert all(int(str(new.call("GET", key))) > 0 for key in counts)
