"""What keeping data costs: writes with an append-only file, snapshots written and read, full syncs, a replica's lag.

Servers of either kind in turn, round by round; medians. Writes are redis-benchmark's SETs on one node without replicas.
A snapshot is read by DEBUG RELOAD NOSAVE, so that the start of a process does not count.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from cluster.bringup.client import RespClient, info_fields
from scripts.benchmark.servers import KINDS, BenchCluster, Kind, running_cluster
from scripts.benchmark.throughput import redis_benchmark

MODES: dict[str, dict[str, str]] = {
    "no append-only file": {},
    "appendfsync everysec": {"appendonly": "yes", "appendfsync": "everysec"},
    "appendfsync always": {"appendonly": "yes", "appendfsync": "always"},
}
PIPELINES = (1, 16)
VALUE = "x" * 32
PIPELINE = 500
GIVE_UP_S = 120.0
LOOK_S = 0.002
MARKS = 200
"""How often the lag is looked at in a round."""
Look = Callable[[RespClient], bool]


@dataclass(frozen=True, slots=True)
class PersistenceRow:
    what: str
    unit: str
    ours: float
    redis: float

    @property
    def ratio(self) -> float:
        return self.ours / self.redis


def measure_persistence(
    directory: Path, keys: int, requests: int, rounds: int, report: Callable[[str], None]
) -> list[PersistenceRow]:
    """`keys` are in the snapshots; `requests` are written without pipeline, and three times as many with one."""
    return [
        *_append_only(directory, requests, rounds, report),
        *_snapshots(directory, keys, rounds, report),
        *_replicas(directory, keys, requests, rounds, report),
    ]


def _row(what: str, unit: str, figures: dict[Kind, list[float]]) -> PersistenceRow:
    return PersistenceRow(what, unit, *(statistics.median(figures[kind]) for kind in KINDS))


def _turns(rounds: int) -> Iterator[tuple[int, Kind]]:
    for number in range(rounds):
        for kind in KINDS if number % 2 == 0 else KINDS[::-1]:
            yield number, kind


def _append_only(
    directory: Path, requests: int, rounds: int, report: Callable[[str], None]
) -> Iterator[PersistenceRow]:
    figures: dict[tuple[str, int], dict[Kind, list[float]]] = {}
    for number, kind in _turns(rounds):
        for mode, directives in MODES.items():
            with running_cluster(kind, directory, 1, 0, directives) as cluster:
                for pipeline in PIPELINES:
                    report(f"SET, {mode}, pipeline {pipeline}, {kind}, round {number + 1} of {rounds}")
                    count = requests * (3 if pipeline > 1 else 1)
                    found = redis_benchmark(cluster.first.plan.port, "set", pipeline, count)
                    figures.setdefault((mode, pipeline), {one: [] for one in KINDS})[kind].append(found)
    for (mode, pipeline), found_by_kind in figures.items():
        yield _row(f"SET, pipeline {pipeline}, {mode}", "/s", found_by_kind)


def _snapshots(directory: Path, keys: int, rounds: int, report: Callable[[str], None]) -> Iterator[PersistenceRow]:
    saved: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    loaded: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    for number, kind in _turns(rounds):
        with _filled(kind, directory, 1, keys) as cluster, cluster.first.connect(GIVE_UP_S) as client:
            report(f"snapshot of {keys} keys, {kind}, round {number + 1} of {rounds}")
            started = time.monotonic()
            client.call("BGSAVE")
            _wait(client, lambda one: _info(one, "persistence")["rdb_bgsave_in_progress"] == "0")
            megabytes = _dump_bytes(client) / 1e6
            saved[kind].append(megabytes / (time.monotonic() - started))
            started = time.monotonic()
            client.call("DEBUG", "RELOAD", "NOSAVE")
            loaded[kind].append(keys / (time.monotonic() - started))
    yield _row("snapshot written by BGSAVE", "MB/s", saved)
    yield _row("snapshot loaded", "keys/s", loaded)


def _replicas(
    directory: Path, keys: int, requests: int, rounds: int, report: Callable[[str], None]
) -> Iterator[PersistenceRow]:
    synced: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    lags: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    for number, kind in _turns(rounds):
        with _filled(kind, directory, 2, keys) as cluster:
            report(f"full sync of {keys} keys, {kind}, round {number + 1} of {rounds}")
            synced[kind].append(_full_sync(cluster))
            report(f"lag of a replica under load, {kind}, round {number + 1} of {rounds}")
            lags[kind] += _lags_ms(cluster, requests)
    yield _row("full sync", "MB/s", synced)
    yield _row("lag of a replica under load, median", "ms", lags)
    worst = {kind: [statistics.quantiles(found, n=100)[-1]] for kind, found in lags.items()}
    yield _row("the same, p99", "ms", worst)


def _full_sync(cluster: BenchCluster) -> float:
    """MB of snapshot a second, from the end of the old link to the new one's."""
    with cluster.first.connect(GIVE_UP_S) as primary, cluster.nodes[1].connect(GIVE_UP_S) as replica:
        primary.call("SAVE")
        megabytes = _dump_bytes(primary) / 1e6
        before = _info(primary, "stats")["sync_full"]
        primary.call("DEBUG", "CHANGE-REPL-ID")
        started = time.monotonic()
        primary.call("CLIENT", "KILL", "TYPE", "replica")
        _wait(primary, lambda one: _info(one, "stats")["sync_full"] != before)
        _wait(replica, lambda one: _info(one, "replication")["master_link_status"] == "up")
        return megabytes / (time.monotonic() - started)


def _lags_ms(cluster: BenchCluster, requests: int) -> list[float]:
    """How long after its acknowledgement a write is seen at the replica, while redis-benchmark writes."""
    over = Event()

    def load() -> None:
        while not over.is_set():
            redis_benchmark(cluster.first.plan.port, "set", 1, requests)

    loader = Thread(target=load)
    lags = []
    with cluster.first.connect(GIVE_UP_S) as primary, cluster.nodes[1].connect(GIVE_UP_S) as replica:
        replica.call("READONLY")
        loader.start()
        try:
            for number in range(MARKS):
                primary.call("SET", "mark", number)
                written = time.monotonic()
                while replica.call("GET", "mark") != str(number):
                    pass
                lags.append((time.monotonic() - written) * 1000)
                time.sleep(LOOK_S)
        finally:
            over.set()
            loader.join()
    return lags


@contextmanager
def _filled(kind: Kind, directory: Path, nodes: int, keys: int) -> Iterator[BenchCluster]:
    """A node with `keys` strings, and perhaps its replica."""
    directives = {"enable-debug-command": "yes"}
    with running_cluster(kind, directory, nodes, nodes - 1, directives) as cluster:
        with cluster.first.connect(GIVE_UP_S) as client:
            for start in range(0, keys, PIPELINE):
                numbers = range(start, min(start + PIPELINE, keys))
                client.pipeline(*[("SET", f"key:{number:012d}", VALUE) for number in numbers])
        yield cluster


def _info(client: RespClient, section: str) -> dict[str, str]:
    return info_fields(client.text("INFO", section))


def _dump_bytes(client: RespClient) -> int:
    words = client.call("CONFIG", "GET", "dir", "dbfilename")
    assert isinstance(words, list)
    found = dict(zip(words[::2], words[1::2], strict=True))
    return Path(found["dir"], found["dbfilename"]).stat().st_size


def _wait(client: RespClient, holds: Look) -> None:
    until = time.monotonic() + GIVE_UP_S
    while not holds(client):
        if time.monotonic() > until:
            raise RuntimeError(f"not done after {GIVE_UP_S:g} s")
        time.sleep(LOOK_S)
