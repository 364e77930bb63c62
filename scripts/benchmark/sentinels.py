"""How long three sentinels take to replace a primary that was killed: ours and Redis's, over the same redis-servers.

Each round starts all anew, at the same settings. A client asks a sentinel for the primary and writes to it as soon as
it may; another listens for +switch-master at each sentinel.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from cluster.bringup.client import ReplyError, RespClient
from scripts.benchmark.servers import KINDS, PROGRAMS, Kind, free_ports

DOWN_AFTER_MS = 2000
_NAME = "bench"
_SENTINELS = 3
_WAIT_S = 60.0
_POLL_S = 0.002
_INFO_AGE_S = 1.0
"""Sentinels are given so long with a whole picture before the blow."""


@dataclass(frozen=True, slots=True)
class SentinelRow:
    what: str
    ours_s: float
    redis_s: float


@dataclass(frozen=True, slots=True)
class _Times:
    first_told_s: float
    all_told_s: float
    accepted_s: float


def measure_sentinels(directory: Path, rounds: int, report: Callable[[str], None]) -> list[SentinelRow]:
    """Medians of the rounds, the kinds in turn."""
    times: dict[Kind, list[_Times]] = {kind: [] for kind in KINDS}
    for number in range(rounds):
        for kind in KINDS if number % 2 == 0 else reversed(KINDS):
            report(f"kill -9 of a primary under sentinels of {kind}, round {number + 1} of {rounds}")
            times[kind].append(_one_round(kind, directory))

    def row(what: str, figure: Callable[[_Times], float]) -> SentinelRow:
        ours, redis = (statistics.median(map(figure, times[kind])) for kind in KINDS)
        return SentinelRow(what, ours, redis)

    return [
        row("+switch-master at the first sentinel", lambda one: one.first_told_s),
        row("+switch-master at all three", lambda one: one.all_told_s),
        row("the first write accepted again", lambda one: one.accepted_s),
    ]


def _one_round(kind: Kind, directory: Path) -> _Times:
    own = Path(tempfile.mkdtemp(prefix=f"sentinels-{kind}-", dir=directory))
    ports = free_ports(3 + _SENTINELS)
    servers, sentinels = ports[:3], ports[3:]
    with ExitStack() as stack:
        primary = stack.enter_context(_process(PROGRAMS["redis"], own, servers[0], _server_lines()))
        _wait(lambda: _ask(servers[0], "PING") == "PONG", "the primary answers")
        for port in servers[1:]:
            stack.enter_context(
                _process(PROGRAMS["redis"], own, port, [*_server_lines(), f"replicaof 127.0.0.1 {servers[0]}"])
            )
        for port in sentinels:
            lines = [
                f"sentinel monitor {_NAME} 127.0.0.1 {servers[0]} 2",
                f"sentinel down-after-milliseconds {_NAME} {DOWN_AFTER_MS}",
            ]
            stack.enter_context(_process([*PROGRAMS[kind]], own, port, lines, "--sentinel"))
        _wait(lambda: all(_knows_all(port) for port in sentinels), "the sentinels have found everybody")
        time.sleep(_INFO_AGE_S)
        return _strike(primary, servers[0], sentinels)


def _strike(primary: subprocess.Popen[bytes], old: int, sentinels: Sequence[int]) -> _Times:
    told: list[float] = []
    listeners = [Thread(target=_listen, args=(port, told)) for port in sentinels]
    for listener in listeners:
        listener.start()
    _wait(lambda: all(_listeners(port) for port in sentinels), "somebody listens everywhere")
    begun = time.monotonic()
    primary.kill()
    _wait(lambda: _writes(sentinels[0], old), "a write is accepted")
    accepted = time.monotonic() - begun
    for listener in listeners:
        listener.join()
    return _Times(min(told) - begun, max(told) - begun, accepted)


def _listen(port: int, told: list[float]) -> None:
    with RespClient("127.0.0.1", port, timeout_s=_WAIT_S) as client:
        client.call("SUBSCRIBE", "+switch-master")
        client.receive()
        told.append(time.monotonic())


def _listeners(port: int) -> bool:
    """Whether the sentinel at `port` has a subscriber."""
    return "sub=1" in str(_ask(port, "CLIENT", "LIST"))


def _writes(sentinel: int, old: int) -> bool:
    address = _ask(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", _NAME)
    port = int(address[1]) if isinstance(address, list) else old
    return port != old and _ask(port, "SET", "key", "value") == "OK"


def _knows_all(sentinel: int) -> bool:
    flat = _ask(sentinel, "SENTINEL", "MASTER", _NAME)
    replicas = _ask(sentinel, "SENTINEL", "REPLICAS", _NAME)
    if not isinstance(flat, list) or not isinstance(replicas, list):
        return False
    facts = dict(zip(flat[::2], flat[1::2], strict=True))
    states = [dict(zip(one[::2], one[1::2], strict=True)) for one in replicas]
    return facts["num-other-sentinels"] == str(_SENTINELS - 1) and [
        (one["flags"], one["master-link-status"]) for one in states
    ] == [("slave", "ok")] * 2


def _server_lines() -> list[str]:
    return ['save ""', "repl-diskless-sync-delay 0"]


@contextmanager
def _process(
    program: Sequence[str], directory: Path, port: int, lines: Sequence[str], *switches: str
) -> Iterator[subprocess.Popen[bytes]]:
    own = directory / str(port)
    own.mkdir()
    conf = own / "conf"
    conf.write_text("\n".join([f"port {port}", f"dir {own}", *lines, ""]))
    with (own / "log").open("wb") as log:
        process = subprocess.Popen([*program, str(conf), *switches], stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _ask(port: int, *words: str) -> object:
    with RespClient("127.0.0.1", port, timeout_s=1.0) as client:
        return client.call(*words)


def _wait(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + _WAIT_S
    while time.monotonic() < until:
        with suppress(OSError, ReplyError):
            if condition():
                return
        time.sleep(_POLL_S)
    raise RuntimeError(f"not within {_WAIT_S} s: {what}")
