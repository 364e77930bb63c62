"""What a snapshot costs while it is made: time, memory, and how long clients' GETs take.

A node of either kind is filled with strings; this one's snapshots are made by a forked child and within the process,
in turn. Each is made three times: while nobody asks for anything, while redis-benchmark sends GETs, and while it sends
SETs, as fast as they are answered. Beside it some clients send a GET now and then, and count from the moment in which
it was due: who waits for a stalled server waits from then on. Memory is that of the process and its child together:
each page once (PSS), and as most tools add it up (RSS).
"""

from __future__ import annotations

import math
import random
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from cluster.bringup.client import RespClient, info_fields
from scripts.benchmark.servers import BenchCluster, Kind, running_cluster

WRITERS: dict[str, tuple[Kind, dict[str, str]]] = {
    "child": ("ours", {"bgsave-method": "fork"}),
    "in-process": ("ours", {"bgsave-method": "in-process"}),
    "redis": ("redis", {}),
}
LOADS = ("nothing", "get", "set")
VALUE_BYTES = 32
AT_ONCE = 10_000
PROBES = 8
PROBE_EVERY_S = 0.02
BEFORE_S = 4.0
"""How long the same is watched without a snapshot, for comparison."""
SETTLE_S = 1.0
LOOK_S = 0.05
GIVE_UP_S = 600.0
Memory = tuple[float, float]
"""(PSS, RSS) in MB."""


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    keys: int
    load: str
    writer: str
    seconds: float
    pss_before_mb: float
    pss_peak_mb: float
    rss_peak_mb: float
    before_ms: float
    """p99.9 of GETs without a snapshot …"""
    meanwhile_ms: float
    """… and while it was made."""
    before_per_second: float
    meanwhile_per_second: float


def measure_snapshots(
    directory: Path, sizes: Sequence[int], writers: Sequence[str], report: Callable[[str], None]
) -> list[SnapshotRow]:
    """A row for each number of keys, each load and each of WRITERS that is named."""
    return [row for keys in sizes for writer in writers for row in _rows(directory, keys, writer, report)]


def _rows(directory: Path, keys: int, writer: str, report: Callable[[str], None]) -> Iterator[SnapshotRow]:
    kind, directives = WRITERS[writer]
    with running_cluster(kind, directory, 1, 0, directives) as cluster:
        report(f"filling {keys:,} keys, {writer}")
        _fill(cluster.first.plan.port, keys)
        for load in LOADS:
            report(f"a snapshot of {keys:,} keys, {writer}, meanwhile: {load}")
            yield _one(cluster, keys, load, writer)


def _fill(port: int, keys: int) -> None:
    """SETs of the keys that redis-benchmark asks for."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        reader = Thread(target=_read, args=(connection, keys * len(b"+OK\r\n")))
        reader.start()
        command = "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$32\r\n%032d\r\n"
        for start in range(0, keys, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, keys))
            connection.sendall("".join(command % (number, number) for number in numbers).encode())
        reader.join()


def _read(connection: socket.socket, count: int) -> None:
    while count > 0:
        data = connection.recv(1 << 20)
        if not data:
            raise RuntimeError("the server closed the connection while it was filled")
        count -= len(data)


def _one(cluster: BenchCluster, keys: int, load: str, writer: str) -> SnapshotRow:
    pid = cluster.first.pid()
    assert pid is not None
    with cluster.first.connect(GIVE_UP_S) as client, _load(cluster.first.plan.port, load, keys):
        time.sleep(SETTLE_S)
        base = _memory(pid)
        with _probes(cluster, keys) as before:
            started, commands = time.monotonic(), _commands(client)
            time.sleep(BEFORE_S)
            before_rate = (_commands(client) - commands) / (time.monotonic() - started)
        peaks = base
        with _probes(cluster, keys) as meanwhile:
            started, commands = time.monotonic(), _commands(client)
            client.call("BGSAVE")
            while _info(client, "persistence")["rdb_bgsave_in_progress"] != "0":
                found = _memory(pid)
                peaks = (max(peaks[0], found[0]), max(peaks[1], found[1]))
                if time.monotonic() - started > GIVE_UP_S:
                    raise RuntimeError(f"no snapshot within {GIVE_UP_S:g} s")
                time.sleep(LOOK_S)
            seconds = time.monotonic() - started
            rate = (_commands(client) - commands) / seconds
        if _info(client, "persistence")["rdb_last_bgsave_status"] != "ok":
            raise RuntimeError("the snapshot failed")
    return SnapshotRow(
        keys, load, writer, seconds, base[0], peaks[0], peaks[1], _p999(before), _p999(meanwhile), before_rate, rate
    )


@contextmanager
def _load(port: int, load: str, keys: int) -> Iterator[None]:
    """redis-benchmark's requests, 50 connections, without an end."""
    if load == "nothing":
        yield
        return
    command = [
        "redis-benchmark", "-p", str(port), "-c", "50", "-n", str(10**9), "-r", str(keys), "-d", str(VALUE_BYTES),
        "-t", load, "-q",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


@contextmanager
def _probes(cluster: BenchCluster, keys: int) -> Iterator[list[float]]:
    """Clients that send a GET now and then; afterwards the list holds how long each took, in ms."""
    found: list[float] = []
    over = Event()

    def probe() -> None:
        with cluster.first.connect(GIVE_UP_S) as client:
            due = time.perf_counter()
            while not over.is_set():
                early = due - time.perf_counter()
                if early > 0:
                    time.sleep(early)
                client.call("GET", f"key:{random.randrange(keys):012d}")
                found.append((time.perf_counter() - due) * 1e3)
                due += PROBE_EVERY_S

    threads = [Thread(target=probe) for _ in range(PROBES)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _p999(latencies: list[float]) -> float:
    latencies.sort()
    return latencies[math.ceil(len(latencies) * 0.999) - 1]


def _memory(pid: int) -> Memory:
    """Of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = [_memory_of(one) for one in (str(pid), *children)]
    return sum(one[0] for one in found), sum(one[1] for one in found)


def _memory_of(pid: str) -> Memory:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it has just ended
        return 0.0, 0.0
    figures = {name: int(kilobytes) / 1000 for name, kilobytes in re.findall(r"(?m)^(Pss|Rss): +(\d+) kB", text)}
    return figures.get("Pss", 0.0), figures.get("Rss", 0.0)


def _commands(client: RespClient) -> int:
    return int(_info(client, "stats")["total_commands_processed"])


def _info(client: RespClient, section: str) -> dict[str, str]:
    return info_fields(client.text("INFO", section))
