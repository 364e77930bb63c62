"""kill -9 amid writes, rewrites and snapshots, again and again: what was promised is there, in order, in one piece.

The kernel has what was written, so the end of a process costs nothing but what waits for a slow disk (everysec); what
the end of a machine costs is shown where the disk can be looked into (tests/persistence/test_power.py).
"""

from __future__ import annotations

import itertools
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from cluster.bringup.client import Argument, ReplyError
from tests.system.forks import forked, forker
from tests.system.harness import Harness, Server
from tests.system.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(7200)]  # with --long; on a usual run some seconds

CLIENTS = 3
ROUNDS = 4
LONG_ROUNDS = 200
DEADLINE_S = 20.0
PATIENCE_S = 60.0
"""Of a client, on a machine that may be busy."""
BATCH = 10
KEPT = 50
"""Of each list: data that grow would take ever longer to load."""
WAITS_FOR_THE_DISK_S = 3.0
"""With everysec a write may wait two seconds for a sync that is under way, and is then made."""
REWRITTEN = {
    "appendonly": "yes", "auto-aof-rewrite-min-size": "4kb", "auto-aof-rewrite-percentage": "20",
}  # fmt: skip
SETTINGS = {
    "always": {**REWRITTEN, "appendfsync": "always"},
    "always, commands": {**REWRITTEN, "appendfsync": "always", "aof-use-rdb-preamble": "no", "save": "1 50"},
    "everysec": {**REWRITTEN, "appendfsync": "everysec", "aof-timestamp-enabled": "yes"},
    "no": {**REWRITTEN, "appendfsync": "no", "no-appendfsync-on-rewrite": "yes"},
    "snapshots": {"save": "1 20"},
    "both": {**REWRITTEN, "appendfsync": "everysec", "save": "1 20"},
    "in-process": {"save": "1 20", "bgsave-method": "in-process"},
}
FURTHER = {
    f"{policy}, {base}, {save or 'no snapshots'}": {
        **REWRITTEN, "appendfsync": policy, "aof-use-rdb-preamble": base, "save": save,
        "bgsave-method": "in-process" if base == "yes" else "fork",
    }
    for policy, base, save in itertools.product(("always", "everysec", "no"), ("yes", "no"), ("", "1 20"))
}  # fmt: skip
"""All that can be set together: with --long."""
ALL = {**SETTINGS, **FURTHER}

Command = tuple[Argument, ...]
_SCRIPT = "redis.call('HSET', KEYS[2], ARGV[1], ARGV[2]) return redis.call('RPUSH', KEYS[1], ARGV[2])"


class Writer:
    """A client whose steps 1, 2, 3, … each leave a trace in a list, and change other keys, alone, in pipelines, in
    transactions and in scripts."""

    def __init__(self, number: int) -> None:
        self.list, self.hash, self.going, self.staying, self.whole = (
            f"{name}:{number}" for name in ("list", "hash", "going", "staying", "whole")
        )
        self.sent = self.acknowledged = 0
        self.times: list[tuple[float, int]] = []
        """When each step was acknowledged."""

    def commands(self, step: int, way: int) -> list[Command]:
        if way == 2:
            return [("EVAL", _SCRIPT, 2, self.list, self.hash, step % 7, step)]
        commands: list[Command] = [("RPUSH", self.list, step), ("HSET", self.hash, step % 7, step)]
        if step % 3 == 0:
            commands += [("SET", self.going, step, "PX", 1), ("SET", self.staying, step, "EX", 10_000)]
        if step % 11 == 0:
            commands += [("DEL", self.hash), ("LTRIM", self.list, -KEPT, -1)]
        if way == 1:
            commands = [("MULTI",), *commands, ("SET", self.whole, step), ("EXEC",)]
        return commands

    def run(self, server: Server, rng: random.Random) -> None:
        with suppress(OSError, ReplyError), server.client(PATIENCE_S) as client:
            while True:
                steps = range(self.sent + 1, self.sent + 1 + rng.choice((1, BATCH)))
                way = rng.randrange(3)
                self.sent = steps[-1]
                for answer in client.pipeline(*(one for step in steps for one in self.commands(step, way))):
                    assert not isinstance(answer, ReplyError), answer
                self.acknowledged = self.sent
                self.times.append((time.monotonic(), self.sent))

    def acknowledged_before(self, moment: float) -> int:
        return max((step for at, step in self.times if at < moment), default=0)

    def check(self, server: Server, kept: int) -> None:
        """Some of the steps were done, all of them up to one, and `kept` of them at least."""
        with server.client(PATIENCE_S) as client:
            found = [int(item) for item in client.call("LRANGE", self.list, 0, -1)]  # type: ignore[attr-defined]
            whole = int(str(client.call("GET", self.whole) or 0))
            fields = {int(str(field)): int(str(value)) for field, value in _pairs(client.call("HGETALL", self.hash))}
            gone = client.call("GET", self.going)
            ttl = client.call("TTL", self.staying)
        done = found[-1] if found else 0
        assert found == list(range(done - len(found) + 1, done + 1)), self.list
        assert len(found) >= min(done, KEPT), self.list
        assert kept <= done <= self.sent, (self.list, kept, done, self.sent)
        assert whole <= done, "a transaction came back in part"
        assert all(done - 7 <= value <= done and value % 7 == field for field, value in fields.items()), (done, fields)
        assert len(fields) >= min(done % 11, 7) - 1, ("a step before the last is there in part", done, fields)
        assert gone is None, "what had expired came back"
        assert ttl == -2 or 0 < int(str(ttl)) <= 10_000, ttl
        self.sent = self.acknowledged = done
        self.times.clear()


def _pairs(items: object) -> Iterator[tuple[object, object]]:
    assert isinstance(items, list)
    return zip(items[::2], items[1::2], strict=True)


@pytest.fixture(scope="module")
def parent() -> Iterator[subprocess.Popen[str]]:
    with forker() as process:
        yield process


@pytest.mark.parametrize("setting", [*SETTINGS, *(pytest.param(one, marks=pytest.mark.long) for one in FURTHER)])
def test_what_was_promised_outlives_the_process(
    harness: Harness, parent: subprocess.Popen[str], request: pytest.FixtureRequest, setting: str
) -> None:
    rng = random.Random(setting)
    server = forked(harness, parent, {"cluster-enabled": "no", "hz": "100", **ALL[setting]})
    writers = [Writer(number) for number in range(CLIENTS)]
    for number in range(LONG_ROUNDS if request.config.getoption("--long") else ROUNDS):
        before = sum(writer.acknowledged for writer in writers)
        threads = [threading.Thread(target=writer.run, args=(server, rng)) for writer in writers]
        for thread in threads:
            thread.start()
        more = rng.randrange(20, 400)
        wait_acknowledged(writers, before + more)
        safe_at = meddle(server, setting, number, rng)
        more += rng.randrange(50)  # what has begun may be anywhere
        wait_acknowledged(writers, before + more)
        killed_at = time.monotonic()
        server.kill()
        for thread in threads:
            thread.join()
        if "appendonly" not in ALL[setting]:
            kept = [writer.acknowledged_before(safe_at) for writer in writers]
        elif "always" in setting:
            kept = [writer.acknowledged for writer in writers]
        else:
            kept = [writer.acknowledged_before(killed_at - WAITS_FOR_THE_DISK_S) for writer in writers]
        server.start()
        for writer, least in zip(writers, kept, strict=True):
            writer.check(server, least)


def wait_acknowledged(writers: list[Writer], steps: int) -> None:
    def acknowledged() -> int:
        return sum(writer.acknowledged for writer in writers)

    wait_until(lambda: acknowledged() >= steps, DEADLINE_S, "writes are acknowledged", moving=acknowledged)


def meddle(server: Server, setting: str, number: int, rng: random.Random) -> float:
    """Have a rewrite or a snapshot run through, or be under way; when one began that is through (0: none did)."""
    began = 0.0
    if "appendonly" not in ALL[setting] or rng.random() < 0.2:
        if number % 3 != 2:
            began = time.monotonic()
            saves = int(server.info("persistence")["rdb_saves"])
            # One that is under way counts for nothing that is acknowledged now; the second that ends began after now.
            wait_until(lambda: _saves(server) >= saves + 2, DEADLINE_S, "snapshots are taken", moving=server.log)
        else:
            with suppress(ReplyError):
                server.call("BGSAVE", "SCHEDULE")
    elif number % 3 == 1:
        wait_until(lambda: _rewrites(server), DEADLINE_S, "it is rewritten", moving=server.log)
    elif rng.random() < 0.3:
        with suppress(ReplyError):
            server.call("BGREWRITEAOF")
    return began


def _rewrites(server: Server) -> int:
    return int(server.info("persistence")["aof_rewrites"])


def _saves(server: Server) -> int:
    with suppress(ReplyError):  # another child is at work
        server.call("BGSAVE", "SCHEDULE")
    return int(server.info("persistence")["rdb_saves"])
