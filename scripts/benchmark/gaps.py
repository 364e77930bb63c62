"""How long writes to a slot fail when its primary dies (kill -9) or falls silent (SIGSTOP).

One client writes to the slot as fast as it is answered, to the victim and then to whichever node of the shard takes
it; the gap is from the last acknowledged write before the blow to the first one after it.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cluster.bringup.client import ReplyError, RespClient
from cluster.bringup.formation import wait_agreed, wait_answering
from cluster.bringup.processes import NodeProcess
from scripts.benchmark.servers import KINDS, PROGRAMS, BenchCluster, Kind, running_cluster

Blow = Literal["kill -9", "SIGSTOP"]
BLOWS: tuple[Blow, Blow] = ("kill -9", "SIGSTOP")
NODES, REPLICAS = 6, 1

_ANSWER_S = 0.1
_RETRY_S = 0.002
_GIVE_UP_S = 60.0
_QUIET_S = 4.0
"""Between two blows: longer than an election forbids the next one."""


@dataclass(frozen=True, slots=True)
class GapRow:
    blow: Blow
    ours_s: float
    redis_s: float


def measure_gaps(directory: Path, rounds: int, report: Callable[[str], None]) -> list[GapRow]:
    """The median gap of each kind for each blow, at the benchmark's node timeout of 2 s."""
    with (
        running_cluster("ours", directory, NODES, REPLICAS) as ours,
        running_cluster("redis", directory, NODES, REPLICAS) as redis,
    ):
        gaps: dict[tuple[Blow, Kind], list[float]] = {}
        for number in range(rounds):
            for blow in BLOWS:
                for cluster in (ours, redis) if number % 2 == 0 else (redis, ours):
                    report(f"{blow} of a primary, {cluster.kind}, round {number + 1} of {rounds}")
                    gaps.setdefault((blow, cluster.kind), []).append(_one_gap(cluster, blow))
    medians = {key: statistics.median(values) for key, values in gaps.items()}
    return [GapRow(blow, *(medians[blow, kind] for kind in KINDS)) for blow in BLOWS]


def _one_gap(cluster: BenchCluster, blow: Blow) -> float:
    victim, heir, key = _shard(cluster)
    pid = victim.pid()
    assert pid is not None, victim.died()
    client = victim.connect(timeout_s=_ANSWER_S)
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        client.call("SET", key, "before")
    last = time.monotonic()
    os.kill(pid, signal.SIGKILL if blow == "kill -9" else signal.SIGSTOP)
    client.close()
    _wait_accepted((heir, victim) if blow == "kill -9" else (heir,), key)
    gap = time.monotonic() - last
    if blow == "kill -9":
        assert victim.popen is not None
        victim.popen.wait()
        victim.start(PROGRAMS[cluster.kind])
        wait_answering([victim], lambda text: None)
    else:
        os.kill(pid, signal.SIGCONT)
    wait_agreed(cluster.nodes, lambda text: None)
    time.sleep(_QUIET_S)
    return gap


def _shard(cluster: BenchCluster) -> tuple[NodeProcess, NodeProcess, str]:
    """A primary that has a replica, that replica, and a key of theirs."""
    members = cluster.members(cluster.first)
    victim = next(member for member in members.values() if member.is_primary and member.slots)
    heir = next(member for member in members.values() if member.primary_id == victim.node_id)
    with cluster.node(victim.port).connect() as client:
        key = next(key for number in range(10_000) if _takes(client, key := f"gap:{number}"))
    return cluster.node(victim.port), cluster.node(heir.port), key


def _takes(client: RespClient, key: str) -> bool:
    try:
        return client.call("SET", key, "x") == "OK"
    except ReplyError:
        return False


def _wait_accepted(nodes: Sequence[NodeProcess], key: str) -> None:
    until = time.monotonic() + _GIVE_UP_S
    while time.monotonic() < until:
        for node in nodes:
            # Refused, reset or too slow: not yet.
            with suppress(OSError), node.connect(timeout_s=_ANSWER_S) as client:
                if _takes(client, key):
                    return
        time.sleep(_RETRY_S)
    raise RuntimeError(f"no write was accepted within {_GIVE_UP_S} s")
