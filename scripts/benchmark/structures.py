"""Large collections: what an operation on a million elements costs, and whether anybody has to wait when they go.

The cost of an operation is what the server itself counts (INFO commandstats), so the way to it does not matter. It is
taken at two sizes: what grows between them shows an operation's complexity.

Whether others wait is seen by a client that sends a PING every half millisecond. What counts is the time since each
PING was due, so that a stall weighs as much as it lasts, although nothing is sent during it.
"""

from __future__ import annotations

import math
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from cluster.bringup.client import Argument, RespClient, info_fields
from scripts.benchmark.memory import Command, send_all
from scripts.benchmark.servers import KINDS, BenchCluster, Kind, running_cluster

FEW = 10_000
CALLS = 500
PER_COMMAND = 500
"""Elements that one command of a filling brings."""
PING_EVERY_S = 0.0005
BEFORE_S = 0.2
WATCHED_S = 1.0
SETTLED_AFTER_S = 0.5
EXPIRING = 100_000
EXPIRING_AFTER_S = 10.0
EXPIRY_WATCHED_S = 4.0
KEY = "large"


def _filling(name: str, element: Callable[[int], tuple[Argument, ...]]) -> Callable[[str, int], Iterator[Command]]:
    def fill(key: str, count: int) -> Iterator[Command]:
        numbers = iter(range(count))
        while some := list(islice(numbers, PER_COMMAND)):
            yield (name, key, *(word for number in some for word in element(number)))

    return fill


def _member(number: int) -> str:
    return f"element:{number:08d}"


def _fill_stream(key: str, count: int) -> Iterator[Command]:
    return (("XADD", key, f"{number + 1}-0", "field", _member(number)) for number in range(count))


FILL: Mapping[str, Callable[[str, int], Iterator[Command]]] = {
    "sorted-set": _filling("ZADD", lambda number: (number * 7919 % 1_000_003, _member(number))),
    "list": _filling("RPUSH", lambda number: (_member(number),)),
    "set": _filling("SADD", lambda number: (_member(number),)),
    "hash": _filling("HSET", lambda number: (_member(number), f"value:{number}")),
    "stream": _fill_stream,
}

EXPIRY = "expiry"
FAMILIES = (*FILL, EXPIRY)

Operation = Callable[[random.Random, int], Command]


def _some(rng: random.Random, count: int) -> str:
    return _member(rng.randrange(count))


OPERATIONS: Mapping[str, Mapping[str, Operation]] = {
    "sorted-set": {
        "ZADD of a new member": lambda rng, count: ("ZADD", KEY, rng.randrange(count), f"new:{rng.random()}"),
        "ZADD of another score": lambda rng, count: ("ZADD", KEY, rng.randrange(count), _some(rng, count)),
        "ZRANK": lambda rng, count: ("ZRANK", KEY, _some(rng, count)),
        "ZRANGE of 10 in the middle": lambda _, count: ("ZRANGE", KEY, count // 2, count // 2 + 9),
        "ZREM": lambda rng, count: ("ZREM", KEY, _some(rng, count)),
    },
    "list": {
        "LPUSH": lambda rng, _: ("LPUSH", KEY, f"new:{rng.random()}"),
        "LINDEX in the middle": lambda _, count: ("LINDEX", KEY, count // 2),
        "LINSERT in the middle": lambda _, count: ("LINSERT", KEY, "BEFORE", _member(count // 2), "new"),
    },
    "set": {
        "SADD": lambda rng, _: ("SADD", KEY, f"new:{rng.random()}"),
        "SRANDMEMBER": lambda _, __: ("SRANDMEMBER", KEY),
        "SREM": lambda rng, count: ("SREM", KEY, _some(rng, count)),
    },
    "hash": {
        "HSET": lambda rng, _: ("HSET", KEY, f"new:{rng.random()}", "value"),
        "HGET": lambda rng, count: ("HGET", KEY, _some(rng, count)),
    },
    "stream": {
        "XADD": lambda _, __: ("XADD", KEY, "*", "field", "value"),
        "XRANGE of 10 in the middle": lambda _, count: ("XRANGE", KEY, f"{count // 2}-0", "+", "COUNT", "10"),
    },
}
"""HSCAN follows its cursor, and is measured apart."""
HSCAN = "HSCAN, a step"
SLOW = {"LINDEX in the middle": 5, "LINSERT in the middle": 25}
"""What goes through the list: so many times fewer calls."""


@dataclass(slots=True)
class OperationRow:
    """µs a call, with FEW elements and with many."""

    what: str
    us: dict[Kind, tuple[float, float]] = field(default_factory=dict)


@dataclass(slots=True)
class StallRow:
    """Milliseconds that a PING of another client took: (p99.9, the longest)."""

    what: str
    ms: dict[Kind, tuple[float, float]] = field(default_factory=dict)


def measure_structures(
    directory: Path, families: Sequence[str], elements: int, rounds: int, report: Callable[[str], None]
) -> tuple[list[OperationRow], list[StallRow]]:
    """The rows of some of FAMILIES."""
    operations: dict[str, OperationRow] = {}
    stalls: dict[str, StallRow] = {}
    for kind in KINDS:
        with running_cluster(kind, directory, 1, 0) as cluster, cluster.first.connect(120) as client:
            stalls.setdefault("nothing", StallRow("nothing")).ms[kind] = _at_rest(cluster, rounds)
            for family in (one for one in families if one in FILL):
                report(f"{family} of {elements}, {kind}")
                for name, us in _costs(client, family, elements):
                    operations.setdefault(name, OperationRow(name)).us[kind] = us
                for what, ms in _stalls(cluster, client, family, elements, rounds):
                    stalls.setdefault(what, StallRow(what)).ms[kind] = ms
            if EXPIRY in families:
                report(f"expiry of {EXPIRING} keys, {kind}")
                what = f"expiry of {EXPIRING // 1000} k strings"
                stalls.setdefault(what, StallRow(what)).ms[kind] = _expiry(cluster, client, rounds)
    return list(operations.values()), list(stalls.values())


# -- the cost of an operation ------------------------------------------------------------------------------------


def _costs(client: RespClient, family: str, elements: int) -> Iterator[tuple[str, tuple[float, float]]]:
    found: list[dict[str, float]] = []
    for count in (FEW, elements):
        client.call("FLUSHALL")
        send_all(client, FILL[family](KEY, count))
        figures: dict[str, float] = {}
        for name, operation in OPERATIONS[family].items():
            rng = random.Random(name)
            commands = [operation(rng, count) for _ in range(CALLS // SLOW.get(name, 1))]
            figures[name] = _us_per_call(client, commands)
        if family == "hash":
            figures[HSCAN] = _us_per_scan(client)
        found.append(figures)
    few, many = found
    yield from ((name, (few[name], many[name])) for name in few)


def _us_per_call(client: RespClient, commands: list[Command]) -> float:
    client.call("CONFIG", "RESETSTAT")
    for command in commands:
        client.call(*command)
    return _counted_us(client, str(commands[0][0]))


def _us_per_scan(client: RespClient) -> float:
    client.call("CONFIG", "RESETSTAT")
    cursor: object = 0
    for _ in range(CALLS):
        reply = client.call("HSCAN", KEY, str(cursor))
        assert isinstance(reply, list)
        cursor = reply[0]
    return _counted_us(client, "HSCAN")


def _counted_us(client: RespClient, name: str) -> float:
    line = info_fields(client.text("INFO", "commandstats"))[f"cmdstat_{name.lower()}"]
    figures = dict(part.split("=", 1) for part in line.split(","))
    return float(figures["usec"]) / float(figures["calls"])


# -- whether others wait -----------------------------------------------------------------------------------------


@contextmanager
def _watched(cluster: BenchCluster, seconds: float) -> Iterator[list[float]]:
    """The block runs while another client sends its PINGs; afterwards the list holds how long each took, in ms."""
    found: list[float] = []
    with cluster.first.connect(120) as client:
        client.call("PING")
        thread = threading.Thread(target=_ping, args=(client, time.perf_counter() + seconds, found))
        thread.start()
        try:
            time.sleep(BEFORE_S)
            yield found
        finally:
            thread.join()


def _ping(client: RespClient, end: float, found: list[float]) -> None:
    due = time.perf_counter()
    while due < end:
        early = due - time.perf_counter()
        if early > 0:
            time.sleep(early)
        client.call("PING")
        found.append((time.perf_counter() - due) * 1e3)
        due += PING_EVERY_S


def _worst(latencies: list[float]) -> tuple[float, float]:
    """(p99.9, the longest)"""
    latencies.sort()
    return latencies[math.ceil(len(latencies) * 0.999) - 1], latencies[-1]


def _median(rounds: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(one[0] for one in rounds), statistics.median(one[1] for one in rounds)


def _at_rest(cluster: BenchCluster, rounds: int) -> tuple[float, float]:
    found = []
    for _ in range(rounds):
        with _watched(cluster, WATCHED_S) as latencies:
            pass
        found.append(_worst(latencies))
    return _median(found)


def _stalls(
    cluster: BenchCluster, client: RespClient, family: str, elements: int, rounds: int
) -> Iterator[tuple[str, tuple[float, float]]]:
    for blow in (("DEL", KEY), ("UNLINK", KEY), ("FLUSHALL", "ASYNC"), ("FLUSHALL", "SYNC")):
        found = []
        for _ in range(rounds):
            client.call("FLUSHALL")
            send_all(client, FILL[family](KEY, elements))
            time.sleep(SETTLED_AFTER_S)
            with _watched(cluster, WATCHED_S) as latencies:
                client.call(*blow)
            found.append(_worst(latencies))
        yield f"{' '.join(blow).replace(KEY, '').strip()} of a {family.replace('-', ' ')}", _median(found)


def _expiry(cluster: BenchCluster, client: RespClient, rounds: int) -> tuple[float, float]:
    found = []
    for _ in range(rounds):
        client.call("FLUSHALL")
        moment = time.time() + EXPIRING_AFTER_S
        at = int(moment * 1000)
        send_all(client, (("SET", f"expiring:{number}", "x" * 32, "PXAT", at) for number in range(EXPIRING)))
        time.sleep(max(0.0, moment - time.time() - BEFORE_S))
        with _watched(cluster, EXPIRY_WATCHED_S) as latencies:
            pass
        left = client.call("DBSIZE")
        if left:
            raise RuntimeError(f"{left} of {EXPIRING} keys are still there {EXPIRY_WATCHED_S} s after their time")
        found.append(_worst(latencies))
    return _median(found)
