"""Requests a second and processor time a request, by redis-benchmark, in cluster mode with one replica attached.

Both servers run all the time; for each command they are measured in turn, round by round, the order turning too, so
that what else the machine does meets both alike.
"""

from __future__ import annotations

import csv
import statistics
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from scripts.benchmark.listeners import CHANNEL, MESSAGE, listening
from scripts.benchmark.servers import KINDS, BenchCluster, Kind, cpu_seconds, running_cluster

CONNECTIONS = 50
KEYSPACE = 100_000
LIST_KEY = "bench:list"
LIST_LENGTH = 500
POPPED_KEY = "mylist"
"""redis-benchmark's own."""
PUSHED_AT_ONCE = 1_000

TESTS: dict[str, Sequence[str]] = {
    "ping": ("-t", "ping_mbulk"),
    "set": ("-t", "set"),
    "get": ("-t", "get"),
    "incr": ("-t", "incr"),
    "mset": ("MSET", *(word for _ in range(10) for word in ("{bench}:__rand_int__", "xxx"))),
    "lpush": ("-t", "lpush"),
    "rpop": ("-t", "rpop"),
    "lrange_100": ("LRANGE", LIST_KEY, "0", "99"),
    "sadd": ("-t", "sadd"),
    "hset": ("-t", "hset"),
    "zadd": ("-t", "zadd"),
    "eval": ("EVAL", "return redis.call('get', KEYS[1])", "1", "{bench}:__rand_int__"),
    "publish": ("PUBLISH", CHANNEL, MESSAGE),
}
"""What follows redis-benchmark's options. Its own mset would span slots; its own lrange_100 fills a list first, which
would count as processor time of the reads. What is published goes to 50 subscribers, who all get all of it."""

SLOWER_BY = {"mset": 4, "lrange_100": 4, "publish": 20}
"""Tests whose requests do more: so many times fewer of them."""


@dataclass(slots=True)
class Figures:
    """What one server did in the rounds of one test."""

    per_second: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ThroughputRow:
    test: str
    pipeline: int
    ours_per_second: float
    redis_per_second: float
    ours_cpu_us: float
    redis_cpu_us: float

    @property
    def ratio(self) -> float:
        return self.ours_per_second / self.redis_per_second


def measure(
    directory: Path, tests: Sequence[str], pipelines: Sequence[int], requests: int, rounds: int,
    report: Callable[[str], None],
) -> list[ThroughputRow]:  # fmt: skip
    """One row for each test and pipeline; `requests` is for a pipeline of 1, and grows with it."""
    with (
        running_cluster("ours", directory, 2, 1) as ours,
        running_cluster("redis", directory, 2, 1) as redis,
    ):
        clusters: dict[Kind, BenchCluster] = {"ours": ours, "redis": redis}
        rows = []
        for test in tests:
            for pipeline in pipelines:
                count = max(requests // SLOWER_BY.get(test, 1) * (3 if pipeline > 1 else 1), CONNECTIONS)
                figures = {kind: Figures() for kind in KINDS}
                for number in range(rounds):
                    report(f"{test}, pipeline {pipeline}, round {number + 1} of {rounds}")
                    for kind in KINDS if number % 2 == 0 else KINDS[::-1]:
                        _one_round(clusters[kind], test, pipeline, count, figures[kind])
                rows.append(_row(test, pipeline, figures))
        return rows


def _row(test: str, pipeline: int, figures: dict[Kind, Figures]) -> ThroughputRow:
    ours, redis = figures["ours"], figures["redis"]
    return ThroughputRow(
        test, pipeline, statistics.median(ours.per_second), statistics.median(redis.per_second),
        statistics.median(ours.cpu_us), statistics.median(redis.cpu_us),
    )  # fmt: skip


def _one_round(cluster: BenchCluster, test: str, pipeline: int, count: int, figures: Figures) -> None:
    node = cluster.first
    pid = node.pid()
    assert pid is not None, node.died()
    with node.connect() as client:
        client.call("FLUSHALL")
        if test == "lrange_100":
            client.call("RPUSH", LIST_KEY, *[f"element:{number}" for number in range(LIST_LENGTH)])
        if test == "rpop":
            for _ in range(0, count, PUSHED_AT_ONCE):
                client.call("RPUSH", POPPED_KEY, *["xxx"] * PUSHED_AT_ONCE)
    with ExitStack() as stack:
        listeners = stack.enter_context(listening(node.plan.port)) if test == "publish" else None
        before = cpu_seconds(pid)
        figures.per_second.append(redis_benchmark(node.plan.port, test, pipeline, count))
        if listeners is not None:
            listeners.wait_for(count)
        figures.cpu_us.append((cpu_seconds(pid) - before) / count * 1e6)


def redis_benchmark(port: int, test: str, pipeline: int, count: int) -> float:
    """Requests a second."""
    # Not with --cluster, for which one primary is too few: this one serves every slot.
    command = [
        "redis-benchmark", "-p", str(port), "-c", str(CONNECTIONS), "-n", str(count), "-P", str(pipeline),
        "-r", str(KEYSPACE), "--csv", *TESTS[test],
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {run.returncode}: {run.stdout}{run.stderr}")
    figures = [line for line in csv.reader(run.stdout.splitlines()) if len(line) > 2 and line[0] != "test"]
    return float(figures[-1][1])
