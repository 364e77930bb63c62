"""kill -9 amid writes and rewrites, again and again: what was acknowledged is there, in order, in one piece.

The kernel has what was written, so the end of a process costs nothing but what waits for a slow disk (everysec); that
the disk has it, too, is shown where the disk can be looked into (tests/persistence/test_aof.py).
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import suppress

import pytest

from cluster.bringup.client import ReplyError
from tests.system.harness import Harness, Server
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

CLIENTS = 3
ROUNDS = 5
LONG_ROUNDS = 400
BATCH = 10
WAITS_FOR_THE_DISK_S = 3.0
"""With everysec a write may wait two seconds for a sync that is under way, and is then made."""
BUSY = {
    "cluster-enabled": "no", "appendonly": "yes", "hz": "100",
    "auto-aof-rewrite-min-size": "4kb", "auto-aof-rewrite-percentage": "20",
}  # fmt: skip


class Writer:
    """A client that appends 1, 2, 3, … to a list of its own, alone, in pipelines and in transactions."""

    def __init__(self, number: int, sent: int) -> None:
        self.key = f"list:{number}"
        self.sent = self.acknowledged = sent
        self.times: list[tuple[float, int]] = []
        """When each number was acknowledged."""

    def run(self, server: Server, rng: random.Random) -> None:
        with suppress(OSError, ReplyError), server.client() as client:
            while True:
                numbers = range(self.sent + 1, self.sent + 1 + rng.choice((1, BATCH)))
                commands = [("RPUSH", self.key, number) for number in numbers]
                self.sent = numbers[-1]
                if rng.random() < 0.3:
                    commands = [("MULTI",), *commands, ("SET", f"last:{self.key}", self.sent), ("EXEC",)]  # type: ignore[list-item]
                for answer in client.pipeline(*commands):
                    assert not isinstance(answer, ReplyError), answer
                self.acknowledged = self.sent
                self.times.append((time.monotonic(), self.sent))

    def surely_kept(self, killed_at: float, *, waits_s: float) -> int:
        if not waits_s:
            return self.acknowledged
        return max((number for at, number in self.times if at < killed_at - waits_s), default=0)

    def check(self, server: Server, kept: int) -> None:
        found = [int(item) for item in server.call("LRANGE", self.key, 0, -1)]  # type: ignore[attr-defined]
        assert found == list(range(1, len(found) + 1)), self.key
        assert kept <= len(found) <= self.sent, (self.key, kept, len(found), self.sent)
        last = server.call("GET", f"last:{self.key}")
        assert last is None or int(str(last)) <= len(found), "a transaction came back in part"
        self.sent = self.acknowledged = len(found)
        self.times.clear()


@pytest.mark.parametrize(("policy", "preamble"), [("always", "yes"), ("always", "no"), ("everysec", "yes")])
def test_what_was_acknowledged_outlives_the_process(
    harness: Harness, request: pytest.FixtureRequest, policy: str, preamble: str
) -> None:
    rng = random.Random(f"{policy} {preamble}")
    server = harness.server({**BUSY, "appendfsync": policy, "aof-use-rdb-preamble": preamble})
    writers = [Writer(number, 0) for number in range(CLIENTS)]
    waits_s = WAITS_FOR_THE_DISK_S if policy == "everysec" else 0.0
    for number in range(LONG_ROUNDS if request.config.getoption("--long") else ROUNDS):
        before = sum(writer.acknowledged for writer in writers)
        threads = [threading.Thread(target=writer.run, args=(server, rng)) for writer in writers]
        for thread in threads:
            thread.start()
        more = rng.randrange(20, 400)
        wait_until(lambda: sum(one.acknowledged for one in writers) >= before + more, 20.0, "writes are acknowledged")  # noqa: B023
        if number % 3 == 1:  # a rewrite is through; else one may be under way
            wait_until(lambda: server.info("persistence")["aof_rewrites"] != "0", 20.0, "it is rewritten")
        elif rng.random() < 0.3:
            with suppress(ReplyError):
                server.call("BGREWRITEAOF")
        kept = [writer.surely_kept(time.monotonic(), waits_s=waits_s) for writer in writers]
        server.kill()
        for thread in threads:
            thread.join(30)
        if not waits_s:
            kept = [writer.acknowledged for writer in writers]
        server.start()
        for writer, least in zip(writers, kept, strict=True):
            writer.check(server, least)
    assert "Background AOF rewrite finished successfully" in server.log()
