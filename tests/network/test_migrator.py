"""MIGRATE against targets that are no Redis: the client gets its error, the key stays, and the node goes on.

The node has no process; the targets are scripts on real sockets.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import hiredis
import pytest
import trio
import trio.testing

from cluster.keyspace.values import ListValue, Value
from cluster.network import migrator
from cluster.network.migrator import ANSWER_LIMIT_BYTES, Migrator
from cluster.persistence.rdb_reader import load_payload
from cluster.persistence.rdb_writer import dump_payload
from tests.commands.in_process import Argument, InProcessNode

pytestmark = pytest.mark.trio

DEADLINE_SECONDS = 20.0
CONNECTING = "-IOERR error or timeout connecting to the client\r\n"
WRITING = "-IOERR error or timeout writing to target instance\r\n"
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


@pytest.mark.parametrize(("port", "answer"), [(-1, CONNECTING), (65_536, WRITING), (1 << 62, WRITING)])
async def test_what_can_be_no_port_cannot_be_connected_to(port: int, answer: str) -> None:
    async with migrating_node() as one:
        assert await one.migrate("127.0.0.1", port) == answer


async def test_a_target_that_refuses_the_connection() -> None:
    async with migrating_node() as one:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # and does not listen
            port = taken.getsockname()[1]
            assert await one.migrate("127.0.0.1", port) == WRITING
            assert one.node("MULTI") == b"OK"
            one.node("MIGRATE", "127.0.0.1", port, "k", 0, 1_000)
            [answer] = one.node("EXEC")
            assert f"-{answer}\r\n" == WRITING
        assert one.node("GET", "k") == b"v"


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


class Target:
    """Takes whatever it is sent and answers each key with OK, once it may. `received`: commands, without the payload
    of a RESTORE, which it keeps as a value."""

    def __init__(self) -> None:
        self.port = 0
        self.received: list[list[bytes]] = []
        self.values: list[Value] = []
        self.first_bytes = trio.Event()
        self.may_answer = trio.Event()

    async def serve(self, stream: trio.SocketStream) -> None:
        reader = hiredis.Reader()
        async for data in stream:
            self.first_bytes.set()
            reader.feed(bytes(data))
            while (command := reader.gets()) is not False:
                if command[0] == b"RESTORE":
                    self.values.append(load_payload(command.pop(3)))
                self.received.append(command)
                await self.may_answer.wait()
                await stream.send_all(b"+OK\r\n" if command[0] == b"RESTORE" else b":1\r\n")


@asynccontextmanager
async def recording_target(*, answers: bool = True) -> AsyncIterator[Target]:
    target = Target()
    if answers:
        target.may_answer.set()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, target.serve, 0, host="127.0.0.1"))
        target.port = listeners[0].socket.getsockname()[1]
        yield target
        nursery.cancel_scope.cancel()


async def test_a_large_value_is_encoded_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrator, "TURN_NS", 0)
    elements = [b"element:%d" % number for number in range(40_000)]
    async with migrating_node() as one, recording_target() as target:
        one.node("RPUSH", "large", *elements)
        one.submit("127.0.0.1", target.port, key="large")
        turns = 0
        while not target.first_bytes.is_set():
            turns += 1
            if turns == 20:
                one.node("RPUSH", "large", "in between")
            await trio.lowlevel.checkpoint()
        assert turns > 20, "others had a turn, and again, before all of it was encoded"
        assert await one.answer() == OK
        assert [list(value) for value in target.values if isinstance(value, ListValue)] == [
            elements, [*elements, b"in between"]
        ]
        assert target.received == [[b"RESTORE", b"large", b"0"], [b"RESTORE", b"large", b"0", b"REPLACE"]]
        assert one.node("EXISTS", "large") == 0


async def test_a_long_string_goes_over_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrator, "TURN_NS", 0)
    text = b"0123456789" * 300_000
    async with migrating_node() as one, recording_target() as target:
        one.node("SET", "large", text)
        assert await one.migrate("127.0.0.1", target.port, key="large") == OK
        assert target.values == [text]


async def test_a_key_that_is_deleted_before_it_was_sent_leaves_the_targets_own_alone() -> None:
    async with migrating_node() as one, recording_target() as target:
        one.submit("127.0.0.1", target.port)
        one.node("DEL", "k")
        assert await one.answer() in (OK, "+NOKEY\r\n")
        assert target.received == []


@pytest.mark.parametrize(("made", "change"), [
    (("SET", "x", "v"), ("SET", "x", "v")),
    (("SET", "x", "v"), ("PEXPIRE", "x", 100_000)),
    (("SETBIT", "x", 1, 1), ("SETBIT", "x", 2, 1)),
    (("HSET", "x", "f", "v"), ("HINCRBY", "x", "n", 1)),
    (("XADD", "x", "1-1", "f", "v"), ("XGROUP", "CREATE", "x", "g", 0)),
    (("XADD", "x", "1-1", "f", "v"), ("XREADGROUP", "GROUP", "old", "c", "STREAMS", "x", ">")),
    (("SADD", "x", "m"), ("RENAME", "other", "x")),
])  # fmt: skip
async def test_a_key_that_changes_while_it_is_under_way_is_sent_again(
    made: tuple[Argument, ...], change: tuple[Argument, ...]
) -> None:
    async with migrating_node() as one, recording_target(answers=False) as target:
        one.node(*made)
        if made[0] == "XADD":
            one.node("XGROUP", "CREATE", "x", "old", 0)
        one.node("SET", "other", "value")
        one.submit("127.0.0.1", target.port, key="x")
        await target.first_bytes.wait()
        one.node(*change)
        now = one.node("DUMP", "x")
        target.may_answer.set()
        assert await one.answer() == OK
        first, second = target.received
        assert (first[0], second[0], second[-1]) == (b"RESTORE", b"RESTORE", b"REPLACE")
        last = target.values[-1]
        assert dump_payload(last, one.node.server.config) == now
        assert one.node("EXISTS", "x") == 0


async def test_a_key_that_is_deleted_while_it_is_under_way_goes_at_the_target_too() -> None:
    async with migrating_node() as one, recording_target(answers=False) as target:
        one.submit("127.0.0.1", target.port)
        await target.first_bytes.wait()
        one.node("DEL", "k")
        target.may_answer.set()
        assert await one.answer() == OK
        assert target.received == [[b"RESTORE", b"k", b"0"], [b"DEL", b"k"]]


async def test_a_second_migrate_of_a_key_under_way_finds_it_gone() -> None:
    async with migrating_node() as one, recording_target(answers=False) as target:
        second = one.node.connect()
        one.submit("127.0.0.1", target.port)
        assert second.raw("MIGRATE", "127.0.0.1", target.port, "k", 0, 10_000, "REPLACE") == b""
        await target.first_bytes.wait()
        third = one.node.connect()
        third("MULTI")
        third("MIGRATE", "127.0.0.1", target.port, "k", 0, 10_000)
        [refusal] = third("EXEC")
        assert str(refusal).startswith("TRYAGAIN ")
        target.may_answer.set()
        assert await one.answer() == OK
        with trio.fail_after(DEADLINE_SECONDS):
            while not (answer := second.received()):
                await trio.lowlevel.checkpoint()
        assert answer == b"+NOKEY\r\n"
        assert target.received == [[b"RESTORE", b"k", b"0"]], "and it was not deleted at the target"


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
