"""The benchmark's tables."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from scripts.benchmark.bus_bytes import BusRow
from scripts.benchmark.gaps import GapRow
from scripts.benchmark.resharding import ReshardRow
from scripts.benchmark.throughput import ThroughputRow


def throughput_table(rows: Sequence[ThroughputRow]) -> Table:
    table = _table("cluster mode, one replica attached, 50 connections")
    for heading in ("command", "pipeline", "cluster-node/s", "redis/s", "ratio", "cluster-node µs", "redis µs"):
        table.add_column(heading, justify="left" if heading == "command" else "right")
    for row in rows:
        table.add_row(
            row.test, str(row.pipeline), f"{row.ours_per_second:,.0f}", f"{row.redis_per_second:,.0f}",
            f"{row.ratio:.2f} ×", f"{row.ours_cpu_us:.1f}", f"{row.redis_cpu_us:.1f}",
        )  # fmt: skip
    return table


def cluster_table(gaps: Sequence[GapRow], reshard: ReshardRow | None, bus: Sequence[BusRow]) -> Table:
    table = _table("a cluster, node timeout 2 s")
    for heading in ("what", "cluster-node", "redis", "ratio"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for gap in gaps:
        table.add_row(
            f"write gap after {gap.blow}", f"{gap.ours_s:.2f} s", f"{gap.redis_s:.2f} s",
            f"{gap.ours_s / gap.redis_s:.2f} ×",
        )  # fmt: skip
    if reshard is not None:
        ours, redis = reshard.ours_keys_per_second, reshard.redis_keys_per_second
        table.add_row("resharding, keys/s", f"{ours:,.0f}", f"{redis:,.0f}", f"{ours / redis:.2f} ×")
    for row in bus:
        ours, redis = row.ours_bytes_per_second, row.redis_bytes_per_second
        table.add_row(
            f"idle bus of {row.nodes} nodes, KB/s each", f"{ours / 1000:.1f}", f"{redis / 1000:.1f}",
            f"{ours / redis:.2f} ×",
        )  # fmt: skip
        table.add_row(
            f"idle node of {row.nodes}, % of a processor", f"{row.ours_cpu_percent:.1f}",
            f"{row.redis_cpu_percent:.1f}", "",
        )  # fmt: skip
    return table


def _table(title: str) -> Table:
    return Table(title=title)


def show(table: Table, *, terminal_width: int = 110) -> None:
    console = Console()
    (console if console.is_terminal else Console(width=terminal_width)).print(table)
