"""MIGRATE against targets that are no Redis: the client gets its error, the key stays, and the node goes on.

The node has no process; the targets are scripts on real sockets.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing

from cluster.network.migrator import ANSWER_LIMIT_BYTES, Migrator
from tests.commands.in_process import Argument, InProcessNode

pytestmark = pytest.mark.trio

DEADLINE_SECONDS = 20.0
CONNECTING = "-IOERR error or timeout connecting to the client\r\n"
READING = "-IOERR error or timeout reading to target instance\r\n"
OK = "+OK\r\n"


class MigratingNode:
    """A node with a migrator that runs, and one key."""

    def __init__(self) -> None:
        self.node = InProcessNode()
        self.node("SET", "k", "v")
        self.migrator = self.node.server.migrator = Migrator(self.node.server)
        self._answered = trio.Event()
        self.node.server.shell.end_batch = self._end_batch

    def _end_batch(self) -> None:
        self.node.end_batch()
        self._answered.set()

    def submit(self, host: Argument, port: int, *, key: str = "k") -> None:
        self._client = self.node.connect()
        self._answered = trio.Event()
        assert self._client.raw("MIGRATE", host, port, key, 0, 10_000) == b""

    async def answer(self) -> str:
        with trio.fail_after(DEADLINE_SECONDS):
            await self._answered.wait()
        return self._client.received().decode()

    async def migrate(self, host: Argument, port: int, *, key: str = "k") -> str:
        """MIGRATE's answer."""
        self.submit(host, port, key=key)
        return await self.answer()


@asynccontextmanager
async def migrating_node() -> AsyncIterator[MigratingNode]:
    one = MigratingNode()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.migrator.run)
        yield one
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def target_that_says(line: bytes) -> AsyncIterator[int]:
    """The port of a target that answers each piece it reads with `line`."""

    async def answer(stream: trio.SocketStream) -> None:
        try:
            async for _ in stream:
                await stream.send_all(line)
        except trio.BrokenResourceError:
            return

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("host", ["a..b", "a" * 70, b"\xff", b"local\0host", ""])
async def test_what_can_be_no_host_name_cannot_be_connected_to(host: Argument) -> None:
    async with migrating_node() as one:
        assert await one.migrate(host, 1) == CONNECTING


@pytest.mark.parametrize("port", [-1, 65_536, 1 << 62])
async def test_what_can_be_no_port_cannot_be_connected_to(port: int) -> None:
    async with migrating_node() as one:
        assert await one.migrate("127.0.0.1", port) == CONNECTING


@pytest.mark.parametrize("line", [
    b"SSH-2.0-OpenSSH_9\r\n",
    b"HTTP/1.1 400 Bad Request\r\n",
    b"*99999999999\r\n",
    b"*4294967290\r\n",
    b"%1\r\n*0\r\n+x\r\n",
    b"+PONG\r\n",
    b"$-1\r\n",
    b"+" + b"x" * 2 * ANSWER_LIMIT_BYTES,
])  # fmt: skip
async def test_a_target_that_is_no_redis_gets_no_key(line: bytes) -> None:
    async with migrating_node() as one, target_that_says(line) as port:
        assert await one.migrate("127.0.0.1", port) == READING
        assert one.node("GET", "k") == b"v"


async def test_a_fault_of_ours_costs_one_answer_and_leaves_its_trace() -> None:
    async with migrating_node() as one, target_that_says(b"+OK\r\n") as port:
        one.node.server.databases[0].store(b"broken", object())  # type: ignore[arg-type]
        assert await one.migrate("127.0.0.1", port, key="broken") == "-ERR internal error, see the server's log\r\n"
        [(level, text)] = [line for line in one.node.logged if "BUG" in line[1]]
        assert level == "warning"
        assert "Traceback" in text
        assert await one.migrate("127.0.0.1", port) == OK, "and the next one is served"
        assert one.node("GET", "k") is None


async def held_by_a_pause(one: MigratingNode, port: int) -> None:
    """Have the key sent, and writes paused before the target has answered; until the answer waits."""
    server = one.node.server
    one.submit("127.0.0.1", port)
    server.pause.start("failover", server.clock_ms() + 5_000, writes_only=True)
    with trio.fail_after(DEADLINE_SECONDS):
        while not server.pause.afterwards:
            await trio.lowlevel.checkpoint()
    assert one.node("GET", "k") == b"v"
    assert server.journal.entries == []


async def test_while_writes_are_paused_no_key_goes(mock_clock: trio.testing.MockClock) -> None:
    async with migrating_node() as one, target_that_says(b"+OK\r\n") as port:
        await held_by_a_pause(one, port)
        mock_clock.jump(DEADLINE_SECONDS - 1)
        one.node.server.pause.stop("failover")
        assert await one.answer() == OK, "the pause did not count against the time MIGRATE was given"
        assert one.node("GET", "k") is None
        assert one.node.effects[-1] == [b"DEL", b"k"]


async def test_after_the_failover_the_key_is_the_new_primarys(mock_clock: trio.testing.MockClock) -> None:
    async with migrating_node() as one, target_that_says(b"+OK\r\n") as port:
        await held_by_a_pause(one, port)
        one.node.server.is_replica = True
        one.node.server.pause.stop("failover")
        assert (await one.answer()).startswith("-UNBLOCKED ")
        assert one.node("GET", "k") == b"v"
        assert one.node.effects[1:] == [], "but for the first SET"
