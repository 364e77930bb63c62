"""Clusters of either kind for the benchmark, started as the bring-up starts them, and their processor time."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cluster.bringup.client import RespClient
from cluster.bringup.errors import BringUpError
from cluster.bringup.formation import form, wait_agreed, wait_answering
from cluster.bringup.processes import NodeProcess, plan_processes, require_free_ports, stop_all
from cluster.bringup.topology import Member, parse_nodes
from cluster.config.store import BUS_PORT_OFFSET, Setting
from cluster.config.yaml_config import ClusterPlan, NodePlan

Kind = Literal["ours", "redis"]
KINDS: tuple[Kind, Kind] = ("ours", "redis")
PROGRAMS: dict[Kind, Sequence[str]] = {"ours": (sys.executable, "-m", "cluster"), "redis": ("redis-server",)}

NODE_TIMEOUT_MS = 2000
_PORT_BASES = range(12000, 22000, 50)
"""Below the ports that the system gives to clients; with the bus's 10000 more, too."""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class BenchCluster:
    kind: Kind
    nodes: Sequence[NodeProcess]

    @property
    def first(self) -> NodeProcess:
        return self.nodes[0]

    def members(self, seen_by: NodeProcess) -> dict[int, Member]:
        """Every node by its port, as one of them sees it."""
        with seen_by.connect() as client:
            return {member.port: member for member in parse_nodes(client.text("CLUSTER", "NODES")).values()}

    def node(self, port: int) -> NodeProcess:
        return next(node for node in self.nodes if node.plan.port == port)

    def clients(self) -> list[RespClient]:
        return [node.connect() for node in self.nodes]


@contextmanager
def running_cluster(
    kind: Kind, directory: Path, size: int, replicas: int, directives: dict[str, str] | None = None
) -> Iterator[BenchCluster]:
    """A cluster that is whole; stopped at the end."""
    base = _free_base(size)
    given = {"save": "", "appendonly": "no", "repl-diskless-sync-delay": "0", **(directives or {})}
    settings = [Setting(name, tuple(value.split(" "))) for name, value in given.items()]
    own = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=directory))
    plan = ClusterPlan(
        name=kind, replicas=replicas, node_timeout_ms=NODE_TIMEOUT_MS, host="127.0.0.1", directory=str(own),
        password="", secret="", directives=settings,
        nodes=[_node(base + number, own) for number in range(size)],
    )  # fmt: skip
    nodes = plan_processes(plan)
    try:
        for node in nodes:
            node.start(PROGRAMS[kind])
        wait_answering(nodes, _quiet)
        form(plan, nodes, _quiet)
        wait_agreed(nodes, _quiet)
        yield BenchCluster(kind, nodes)
    finally:
        stop_all(nodes)


def _node(port: int, directory: Path) -> NodePlan:
    return NodePlan(port, port + BUS_PORT_OFFSET, "127.0.0.1", str(directory / str(port)), ())


def _quiet(text: str) -> None:
    """The benchmark has a progress line of its own."""


def _free_base(size: int) -> int:
    for base in _PORT_BASES:
        plan = ClusterPlan("", 0, 1, "127.0.0.1", "", "", "", (), [_node(base + n, Path()) for n in range(size)])
        try:
            require_free_ports(plan_processes(plan))
        except BringUpError:
            continue
        return base
    raise BringUpError("no free range of ports")


def free_ports(count: int) -> list[int]:
    """Consecutive ports that nobody listens at."""
    base = _free_base(count)
    return list(range(base, base + count))


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, all its threads included."""
    # The name in brackets may hold anything: what follows the last bracket is fields of numbers.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
