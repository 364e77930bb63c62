"""The benchmark's tables."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from scripts.benchmark.bus_bytes import BusRow
from scripts.benchmark.gaps import GapRow
from scripts.benchmark.memory import MemoryRow
from scripts.benchmark.persistence import PersistenceRow
from scripts.benchmark.resharding import ReshardRow
from scripts.benchmark.scale import ScaleRow
from scripts.benchmark.sentinels import DOWN_AFTER_MS, SentinelRow
from scripts.benchmark.servers import KINDS
from scripts.benchmark.snapshots import SnapshotRow
from scripts.benchmark.structures import FEW, OperationRow, StallRow
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


def scale_table(rows: Sequence[ScaleRow]) -> Table:
    table = _table("the bus, simulated, node timeout 15 s")
    table.add_column("nodes")
    for row in rows:
        table.add_column(f"{row.nodes:,}", justify="right")
    times: dict[str, Sequence[int | None]] = {
        "all serve after a start of all": [row.up_ms for row in rows],
        "all agree after one joined": [row.joined_ms for row in rows],
        "all agree after a slot moved": [row.slot_moved_ms for row in rows],
        "a killed primary has failed": [row.killed_known_ms for row in rows],
        "it is replaced": [row.replaced_ms for row in rows],
        "all know": [row.replacement_known_ms for row in rows],
        "10 % silent: all know they have failed": [row.silent_known_ms for row in rows],
        "10 % silent: all are replaced, all know": [row.silent_replaced_ms for row in rows],
    }
    for what, found in times.items():
        table.add_row(what, *("never" if ms is None else f"{ms / 1000:.2f} s" for ms in found))
    amounts = {
        "a heartbeat, bytes": [row.heartbeat_bytes for row in rows],
        "the same with 10 % failed": [row.failing_heartbeat_bytes for row in rows],
        "idle, bytes/s a node": [row.idle_bytes for row in rows],
        "10 % failed, bytes/s a node": [row.failing_bytes for row in rows],
    }
    for what, sizes in amounts.items():
        table.add_row(what, *(f"{size:,.0f}" for size in sizes))
    table.add_row("idle, ms of a processor a node and second", *(f"{row.idle_cpu_ms:.2f}" for row in rows))
    table.add_row("10 % failed, the same", *(f"{row.failing_cpu_ms:.2f}" for row in rows))
    return table


def sentinel_table(rows: Sequence[SentinelRow]) -> Table:
    table = _table(f"kill -9 of a primary under three sentinels, down-after-milliseconds {DOWN_AFTER_MS}")
    for heading in ("until", "cluster-node", "redis", "ratio"):
        table.add_column(heading, justify="left" if heading == "until" else "right")
    for row in rows:
        table.add_row(row.what, f"{row.ours_s:.2f} s", f"{row.redis_s:.2f} s", f"{row.ours_s / row.redis_s:.2f} ×")
    return table


def memory_table(rows: Sequence[MemoryRow]) -> Table:
    table = _table("bytes of memory for each key")
    for heading in ("what", "keys", "cluster-node", "redis", "ratio"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for row in rows:
        table.add_row(
            row.what, f"{row.keys:,}", f"{row.ours_bytes:,.0f}", f"{row.redis_bytes:,.0f}", f"{row.ratio:.2f} ×"
        )
    return table


def persistence_table(rows: Sequence[PersistenceRow]) -> Table:
    table = _table("keeping data: append-only files, snapshots, replicas")
    for heading in ("what", "", "cluster-node", "redis", "ratio"):
        table.add_column(heading, justify="left" if heading in ("what", "") else "right")
    for row in rows:
        digits = 1 if row.ours < 1000 else 0
        table.add_row(
            row.what, row.unit, f"{row.ours:,.{digits}f}", f"{row.redis:,.{digits}f}", f"{row.ratio:.2f} ×"
        )
    return table


def snapshots_table(rows: Sequence[SnapshotRow]) -> Table:
    table = _table("a snapshot while it is made; requests/s and p99.9 of GETs without it, and meanwhile")
    for heading in ("keys", "load", "writer", "s", "MB", "peak", "RSS", "req/s", "meanwhile", "ms", "meanwhile"):
        table.add_column(heading, justify="left" if heading in ("load", "writer") else "right")
    for row in rows:
        table.add_row(
            f"{row.keys:,}", row.load, row.writer, f"{row.seconds:.1f}", f"{row.pss_before_mb:,.0f}",
            f"{row.pss_peak_mb:,.0f}", f"{row.rss_peak_mb:,.0f}", f"{row.before_per_second:,.0f}",
            f"{row.meanwhile_per_second:,.0f}", f"{row.before_ms:.1f}", f"{row.meanwhile_ms:.1f}",
        )  # fmt: skip
    return table


def operations_table(rows: Sequence[OperationRow], elements: int) -> Table:
    table = _table("µs for each operation, by the server's own count")
    table.add_column("operation")
    for kind in ("cluster-node", "redis"):
        for count in (FEW, elements):
            table.add_column(f"{kind}, {count:,}", justify="right")
    for row in rows:
        table.add_row(row.what, *(f"{us:,.1f}" for kind in KINDS for us in row.us[kind]))
    return table


def stalls_table(rows: Sequence[StallRow], elements: int) -> Table:
    table = _table(f"how long another client's PING took, in ms; collections of {elements:,}")
    table.add_column("meanwhile")
    for kind in ("cluster-node", "redis"):
        for figure in ("p99.9", "longest"):
            table.add_column(f"{kind} {figure}", justify="right")
    for row in rows:
        table.add_row(row.what, *(f"{ms:,.1f}" for kind in KINDS for ms in row.ms[kind]))
    return table


def _table(title: str) -> Table:
    return Table(title=title)


def show(table: Table, *, terminal_width: int = 110) -> None:
    console = Console()
    (console if console.is_terminal else Console(width=terminal_width)).print(table)
