"""Bytes of memory for each key, by how much a server's resident set grows while it is filled.

A fresh node of either kind for each kind of value. A few keys go in and out before the first look at its memory, so
that its buffers are there; what is left of the noise is small beside the tens of megabytes that follow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from cluster.bringup.client import Argument, ReplyError, RespClient
from scripts.benchmark.servers import KINDS, Kind, running_cluster

Command = tuple[Argument, ...]

PIPELINE = 200
WARM_UP_KEYS = 2_000
SETTLE_S = 0.5
"""redis-server goes on moving entries to a larger table for a while."""


def _key(number: int) -> str:
    return f"key:{number:012d}"


def _string(number: int) -> Command:
    return "SET", _key(number), f"value:{number:026d}"


def _hash(number: int) -> Command:
    fields = (word for field in range(10) for word in (f"field{field}", f"val{number % 1000 + field:04d}"))
    return "HSET", _key(number), *fields


def _sorted_set(number: int) -> Command:
    members = (word for member in range(20) for word in (number % 100 + member, f"member:{member:05d}"))
    return "ZADD", _key(number), *members


def _list(number: int) -> Command:
    return "RPUSH", _key(number), *(f"element:{number % 100 + item:04d}" for item in range(20))


def _set(number: int) -> Command:
    return "SADD", _key(number), *(f"member:{number % 100 + item:05d}" for item in range(20))


def _stream(number: int) -> Command:
    return "XADD", _key(number // 20), f"{1_700_000_000_000 + number}-0", "sensor", f"{number:06d}", "value", "20.5"


@dataclass(frozen=True, slots=True)
class Filling:
    """How a kind of value is made: the command with a number, how many of them make one key, the share of --keys."""

    command: Callable[[int], Command]
    commands_per_key: int = 1
    fewer: int = 1


FILLINGS: Mapping[str, Filling] = {
    "string": Filling(_string),
    "hash": Filling(_hash, fewer=4),
    "sorted set": Filling(_sorted_set, fewer=4),
    "list": Filling(_list, fewer=4),
    "set": Filling(_set, fewer=4),
    "stream": Filling(_stream, commands_per_key=20, fewer=10),
}
ABOUT = {
    "string": "key of 16 bytes, string of 32",
    "hash": "hash of 10 short fields",
    "sorted set": "sorted set of 20",
    "list": "list of 20",
    "set": "set of 20",
    "stream": "stream of 20 entries of two fields",
}


@dataclass(frozen=True, slots=True)
class MemoryRow:
    what: str
    keys: int
    ours_bytes: float
    redis_bytes: float

    @property
    def ratio(self) -> float:
        return self.ours_bytes / self.redis_bytes


def measure_memory(directory: Path, keys: int, report: Callable[[str], None]) -> list[MemoryRow]:
    """One row for each kind of value; `keys` strings, and fewer of what is larger."""
    rows = []
    for what, filling in FILLINGS.items():
        count = max(1, keys // filling.fewer)
        figures: dict[Kind, float] = {}
        for kind in KINDS:
            report(f"memory of {count} keys: {ABOUT[what]}, {kind}")
            figures[kind] = _bytes_per_key(kind, directory, filling, count)
        rows.append(MemoryRow(ABOUT[what], count, figures["ours"], figures["redis"]))
    return rows


def _bytes_per_key(kind: Kind, directory: Path, filling: Filling, count: int) -> float:
    with running_cluster(kind, directory, 1, 0) as cluster, cluster.first.connect(60) as client:
        pid = cluster.first.pid()
        assert pid is not None, cluster.first.died()
        _fill(client, filling, WARM_UP_KEYS)
        client.call("FLUSHALL")
        before = _settled_bytes(pid)
        _fill(client, filling, count)
        grown = _settled_bytes(pid) - before
        there = client.call("DBSIZE")
        if there != count:
            raise RuntimeError(f"{there} keys instead of {count}")
        return grown / count


def _fill(client: RespClient, filling: Filling, count: int) -> None:
    send_all(client, map(filling.command, range(count * filling.commands_per_key)))


def send_all(client: RespClient, commands: Iterator[Command]) -> None:
    """Run commands in pipelines. Raises ReplyError at the first that fails."""
    while batch := list(islice(commands, PIPELINE)):
        for reply in client.pipeline(*batch):
            if isinstance(reply, ReplyError):
                raise reply


def _settled_bytes(pid: int) -> int:
    time.sleep(SETTLE_S)
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} is gone")
