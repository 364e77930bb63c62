"""How many keys a second redis-cli moves from one primary to another."""

from __future__ import annotations

import binascii
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark.servers import KINDS, BenchCluster, Kind, running_cluster

SLOTS = 200
KEYS_PER_SLOT = 400
VALUE_BYTES = 32
PIPELINE = 100
_SLOT_MASK = 0x3FFF


@dataclass(frozen=True, slots=True)
class ReshardRow:
    ours_keys_per_second: float
    redis_keys_per_second: float


def measure_resharding(directory: Path, rounds: int, report: Callable[[str], None]) -> ReshardRow:
    """The median of `rounds`, each there and back again for both kinds in turn."""
    speeds: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    with (
        running_cluster("ours", directory, 3, 0) as ours,
        running_cluster("redis", directory, 3, 0) as redis,
    ):
        for cluster in (ours, redis):
            report(f"filling {SLOTS} slots, {cluster.kind}")
            _fill(cluster)
        for number in range(rounds):
            for cluster in (ours, redis) if number % 2 == 0 else (redis, ours):
                report(f"resharding {SLOTS} slots, {cluster.kind}, round {number + 1} of {rounds}")
                here, there = (0, 1) if number % 2 == 0 else (1, 0)
                speeds[cluster.kind].append(_reshard(cluster, here, there))
    return ReshardRow(*(statistics.median(speeds[kind]) for kind in KINDS))


def _fill(cluster: BenchCluster) -> None:
    """The first node's first slots, which are those that redis-cli moves first."""
    tags: dict[int, str] = {}
    number = 0
    while len(tags) < SLOTS:
        slot = binascii.crc_hqx(str(number).encode(), 0) & _SLOT_MASK
        if slot < SLOTS:
            tags.setdefault(slot, str(number))
        number += 1
    value = "x" * VALUE_BYTES
    with cluster.first.connect(timeout_s=30.0) as client:
        for tag in tags.values():
            client.pipeline(*[("SET", f"{{{tag}}}:{key}", value) for key in range(KEYS_PER_SLOT)])


def _reshard(cluster: BenchCluster, here: int, there: int) -> float:
    source, target = cluster.nodes[here], cluster.nodes[there]
    members = cluster.members(cluster.first)
    command = [
        "redis-cli", "--cluster", "reshard", f"127.0.0.1:{source.plan.port}",
        "--cluster-from", members[source.plan.port].node_id, "--cluster-to", members[target.plan.port].node_id,
        "--cluster-slots", str(SLOTS), "--cluster-yes", "--cluster-pipeline", str(PIPELINE),
    ]  # fmt: skip
    before = _size(cluster, there)
    start = time.monotonic()
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    took = time.monotonic() - start
    moved = _size(cluster, there) - before
    if run.returncode != 0 or moved != SLOTS * KEYS_PER_SLOT:
        raise RuntimeError(f"{' '.join(command)} ended with {run.returncode} after {moved} keys: {run.stdout[-500:]}")
    return moved / took


def _size(cluster: BenchCluster, number: int) -> int:
    with cluster.nodes[number].connect() as client:
        count = client.call("DBSIZE")
    assert isinstance(count, int)
    return count
