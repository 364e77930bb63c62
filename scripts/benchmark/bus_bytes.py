"""What an idle cluster's bus costs: bytes a node sends in a second, as the kernel counts them on its sockets.

The kernel's count of acknowledged bytes a connection (`ss -i`) says the same of both kinds, whatever their frames
look like, and holds neither headers nor what is sent again.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark.servers import KINDS, BenchCluster, Kind, cpu_seconds, running_cluster

SIZES = (6, 30)
WINDOW_S = 10.0
SETTLE_S = 5.0
_SAMPLE_S = 1.0
_SENT = re.compile(r"\bbytes_sent:(\d+)")


@dataclass(frozen=True, slots=True)
class BusRow:
    nodes: int
    ours_bytes_per_second: float
    redis_bytes_per_second: float
    ours_cpu_percent: float
    redis_cpu_percent: float


def measure_bus(directory: Path, sizes: Sequence[int], report: Callable[[str], None]) -> list[BusRow]:
    """One row a size. The kinds run one after the other: sixty nodes at once would starve each other."""
    rows = []
    for size in sizes:
        found: dict[Kind, tuple[float, float]] = {}
        for kind in KINDS:
            report(f"an idle cluster of {size} nodes, {kind}")
            with running_cluster(kind, directory, size, 1) as cluster:
                time.sleep(SETTLE_S)
                found[kind] = _bytes_and_cpu(cluster)
        rows.append(BusRow(size, found["ours"][0], found["redis"][0], found["ours"][1], found["redis"][1]))
    return rows


def _bytes_and_cpu(cluster: BenchCluster) -> tuple[float, float]:
    """Bytes a second and percent of a processor, for each node."""
    ports = {node.plan.bus_port for node in cluster.nodes}
    pids = [pid for node in cluster.nodes if (pid := node.pid()) is not None]
    total = 0
    seen = _sent_by_connection(ports)
    cpu = sum(map(cpu_seconds, pids))
    start = time.monotonic()
    while time.monotonic() - start < WINDOW_S:
        time.sleep(_SAMPLE_S)
        # Often enough that a connection which comes and goes is seen, too.
        now = _sent_by_connection(ports)
        total += sum(max(count - seen.get(pair, 0), 0) for pair, count in now.items())
        seen = now
    took = time.monotonic() - start
    cpu = sum(map(cpu_seconds, pids)) - cpu
    return total / took / len(cluster.nodes), cpu / took / len(cluster.nodes) * 100


def _sent_by_connection(ports: set[int]) -> dict[tuple[str, str], int]:
    """Bytes sent so far by each end of each connection that has an end at one of the bus ports."""
    lines = subprocess.run(["ss", "-tinHO"], capture_output=True, text=True, check=True).stdout.splitlines()
    sent = {}
    for line in lines:
        words = line.split()
        local, peer = words[3], words[4]
        if {_port(local), _port(peer)} & ports and (found := _SENT.search(line)) is not None:
            sent[local, peer] = int(found[1])
    return sent


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
