"""A load of writes whose acknowledged ones are remembered, so that a test can say that none was lost.

Each thread appends numbers to lists of its own; a number counts as acknowledged when the reply has come. A retried
append may stand twice, which is no loss.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from types import TracebackType
from typing import Self

import redis
from redis.backoff import ConstantBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from tests.system.clusters import Cluster
from tests.system.waiting import wait_until

LISTS_PER_THREAD = 60
_PAUSE_S = 0.002
_SOCKET_TIMEOUT_S = 2.0

TROUBLE = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.ClusterError, redis.ResponseError, OSError)
"""What a client may meet while a node is gone; what came is in `WriteLoad.errors`."""


def cluster_client(cluster: Cluster, *, retries: int = 3) -> RedisCluster:
    """redis-py's client, with short waits. Close it."""
    return RedisCluster(
        host="127.0.0.1",
        port=cluster.running[0].port,
        decode_responses=True,
        socket_timeout=_SOCKET_TIMEOUT_S,
        socket_connect_timeout=_SOCKET_TIMEOUT_S,
        retry=Retry(ConstantBackoff(0.05), retries),
    )


class Load(ABC):
    """Threads that each do their `_work` with their number until the block ends."""

    def __init__(self, threads: int) -> None:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(threads)]
        self.errors: list[Exception] = []

    @abstractmethod
    def _work(self, thread: int) -> None:
        """Go on until `_over` is set."""

    @abstractmethod
    def _wait_begun(self) -> None:
        """Until there is a load."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self._wait_begun()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)


class WriteLoad(Load):
    """`with WriteLoad(cluster) as load:` writes until the block ends."""

    def __init__(self, cluster: Cluster, *, threads: int = 2, prefix: str = "load", retries: int = 3) -> None:
        super().__init__(threads)
        self._cluster = cluster
        self._prefix = prefix
        self._retries = retries
        self.acknowledged: dict[str, set[int]] = defaultdict(set)
        self.count = 0
        """Acknowledged writes so far."""
        self.longest_gap_s = 0.0
        """The longest time in which no write at all was acknowledged."""
        self._last_reply = time.monotonic()
        self._lock = threading.Lock()

    def _wait_begun(self) -> None:
        self.wait_progress(100, 20)
        self.longest_gap_s = 0.0  # Making the connections is no gap.

    def wait_progress(self, writes: int, deadline_s: float) -> None:
        """Until so many more writes were acknowledged."""
        wanted = self.count + writes
        wait_until(
            lambda: self.count >= wanted,
            deadline_s,
            lambda: f"{writes} more writes are acknowledged; the last errors were {self.errors[-3:]}",
        )

    def wait_everywhere(self, deadline_s: float) -> None:
        """Until every list of every thread has taken a write that was begun after now."""
        before = {key: len(numbers) for key, numbers in self.acknowledged.items()}
        wait_until(
            lambda: all(len(self.acknowledged[key]) > count + 1 for key, count in before.items()),
            deadline_s,
            lambda: f"every list is written to; the last errors were {self.errors[-3:]}",
        )

    def _work(self, thread: int) -> None:
        number = 0
        client = cluster_client(self._cluster, retries=self._retries)
        try:
            while not self._over.is_set():
                number += 1
                key = f"{self._prefix}:{thread}:{number % LISTS_PER_THREAD}"
                try:
                    client.rpush(key, number)
                except TROUBLE as error:
                    self.errors.append(error)
                else:
                    self._note(key, number)
                time.sleep(_PAUSE_S)
        finally:
            client.close()

    def _note(self, key: str, number: int) -> None:
        with self._lock:
            now = time.monotonic()
            self.longest_gap_s = max(self.longest_gap_s, now - self._last_reply)
            self._last_reply = now
            self.count += 1
            self.acknowledged[key].add(number)

    def lost(self) -> dict[str, set[int]]:
        """The acknowledged writes that are nowhere, by list."""
        lost = {}
        client = cluster_client(self._cluster)
        try:
            for key, numbers in self.acknowledged.items():
                found = {int(text) for text in client.lrange(key, 0, -1)}
                if numbers - found:
                    lost[key] = numbers - found
        finally:
            client.close()
        return lost
