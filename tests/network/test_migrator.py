"""MIGRATE against targets that are no Redis: the client gets its error, the key stays, and the node goes on.

The node has no process; the targets are scripts on real sockets.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from unittest.mock import Mock

import hiredis
import pytest
import trio
import trio.testing

from bus.view import ClusterView, NodeInfo
from cluster.keyspace.hashing import SLOT_COUNT, key_slot
from cluster.keyspace.values import ListValue, Value
from cluster.network import migrator
from cluster.network.migration_link import ANSWER_LIMIT_BYTES
from cluster.network.migrator import Migrator
from cluster.persistence.rdb_reader import load_payload
from cluster.persistence.rdb_writer import dump_payload
from tests.commands.in_process import Argument, InProcessNode

pytestmark = pytest.mark.trio

DEADLINE_SECONDS = 20.0
CONNECTING = "-IOERR error or timeout connecting to the client\r\n"
WRITING = "-IOERR error or timeout writing to target instance\r\n"
READING = "-IOERR error or timeout reading to target instance\r\n"
OK = "+OK\r\n"
ME = NodeInfo("1" * 40, "127.0.0.1", 7000, 17000, "2" * 40)
OTHER = NodeInfo("3" * 40, "127.0.0.1", 7001, 17001, "4" * 40)
MANY = 1_000


class MigratingNode:
    """A node with a migrator that runs, and one key. In a cluster its slots are on their way to another node."""

    def __init__(self, *, cluster: bool = False) -> None:
        self.node = InProcessNode(*([("cluster-enabled", "yes")] if cluster else []))
        self.node("SET", "k", "v")
        if cluster:
            self.show_view(owner=ME)
        self.migrator = self.node.server.migrator = Migrator(self.node.server)
        self._answered = trio.Event()
        self.node.server.shell.end_batch = self._end_batch

    def _end_batch(self) -> None:
        self.node.end_batch()
        self._answered.set()

    def show_view(self, *, owner: NodeInfo, migrating: bool = True) -> None:
        """All slots are `owner`'s; as long as that is this node they may be on their way to the other."""
        view = ClusterView(
            1, ME.node_id, {ME.node_id: ME, OTHER.node_id: OTHER}, [owner.node_id] * SLOT_COUNT, state_ok=True,
            migrating=dict.fromkeys(range(SLOT_COUNT), OTHER.node_id) if owner is ME and migrating else {},
        )
        self.node.server.router.update(view)
        self.node.server.under_way.follow_view(view)

    def submit(self, host: Argument, port: int, *, key: str = "k") -> None:
        self._client = self.node.connect()
        self._answered = trio.Event()
        assert self._client.raw("MIGRATE", host, port, key, 0, 10_000) == b""

    def submit_several(self, port: int, *keys: str, timeout_ms: int = 10_000) -> None:
        self._client = self.node.connect()
        self._answered = trio.Event()
        assert self._client.raw("MIGRATE", "127.0.0.1", port, "", 0, timeout_ms, "KEYS", *keys) == b""

    async def answer(self) -> str:
        with trio.fail_after(DEADLINE_SECONDS):
            await self._answered.wait()
        return self._client.received().decode()

    async def migrate(self, host: Argument, port: int, *, key: str = "k") -> str:
        """MIGRATE's answer."""
        self.submit(host, port, key=key)
        return await self.answer()


@asynccontextmanager
async def migrating_node(*, cluster: bool = False) -> AsyncIterator[MigratingNode]:
    one = MigratingNode(cluster=cluster)
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


async def becomes_true(condition: Callable[[], object]) -> None:
    with trio.fail_after(DEADLINE_SECONDS):
        while not condition():
            await trio.lowlevel.checkpoint()


class Target:
    """Takes whatever it is sent and answers each command, as often as it may. `received`: commands, without the payload
    of a RESTORE, which it keeps as a value."""

    def __init__(self) -> None:
        self.port = 0
        self.received: list[list[bytes]] = []
        self.values: list[Value] = []
        self.first_bytes = trio.Event()
        self._answers = trio.Semaphore(0)

    def may_answer(self, times: int = MANY) -> None:
        for _ in range(times):
            self._answers.release()

    async def has_received(self, count: int) -> None:
        await becomes_true(lambda: len(self.received) >= count)

    async def serve(self, stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await self._serve(stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        reader = hiredis.Reader()
        async for data in stream:
            self.first_bytes.set()
            reader.feed(bytes(data))
            while (command := reader.gets()) is not False:
                if command[0].startswith(b"RESTORE"):
                    self.values.append(load_payload(command.pop(3)))
                self.received.append(command)
                await self._answers.acquire()
                await stream.send_all(b":1\r\n" if command[0] == b"DEL" else b"+OK\r\n")


@asynccontextmanager
async def recording_target(*, answers: bool = True) -> AsyncIterator[Target]:
    target = Target()
    if answers:
        target.may_answer()
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
        target.may_answer()
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
        target.may_answer()
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
        target.may_answer()
        assert await one.answer() == OK
        await becomes_true(lambda: second.session.out)
        assert second.received() == b"+NOKEY\r\n"
        assert target.received == [[b"RESTORE", b"k", b"0"]], "and it was not deleted at the target"


ASKED_OF_THE_OTHER = "ASK 7629 127.0.0.1:7001"
"""What a client is told about `k` when the target has the last word on it."""
TRY_AGAIN = "TRYAGAIN Multiple keys request during rehashing of slot"


@pytest.mark.parametrize(("made", "gone"), [
    (("SET", "k", "v"), ("DEL", "k")),
    (("SET", "k", "v"), ("GETDEL", "k")),
    (("SET", "k", "v"), ("RENAME", "k", "{k}other")),
    (("SET", "k", "v"), ("FLUSHALL",)),
    (("SET", "k", "v"), ("PEXPIREAT", "k", 1)),
    (("SADD", "k", "m"), ("SPOP", "k")),
    (("HSET", "k", "f", "v"), ("HDEL", "k", "f")),
    (("RPUSH", "k", "e"), ("RPOP", "k")),
])  # fmt: skip
async def test_what_is_deleted_under_way_stays_deleted_whoever_is_asked(
    made: tuple[Argument, ...], gone: tuple[Argument, ...]
) -> None:
    async with migrating_node(cluster=True) as one, recording_target(answers=False) as target:
        one.node("DEL", "k")
        one.show_view(owner=ME, migrating=False)
        one.node(*made)
        one.node("SET", "{k}other", "v")
        one.show_view(owner=ME)
        one.submit("127.0.0.1", target.port)
        await target.first_bytes.wait()
        one.node(*gone)
        assert one.node("EXISTS", "k") == 0, "it is not the target's yet, which still has the old value"
        target.may_answer(1)
        await target.has_received(2)
        assert one.node("EXISTS", "k") == 0
        target.may_answer()
        assert await one.answer() == OK
        assert target.received == [[b"RESTORE-ASKING", b"k", b"0"], [b"ASKING"], [b"DEL", b"k"]]
        assert one.node.error("EXISTS", "k") == ASKED_OF_THE_OTHER


async def test_what_was_evicted_under_way_is_no_exception() -> None:
    async with migrating_node(cluster=True) as one, recording_target(answers=False) as target:
        one.submit("127.0.0.1", target.port)
        await target.first_bytes.wait()
        server = one.node.server
        server.evict_now(server.databases[0], b"k", key_slot(b"k"))
        assert one.node("GET", "k") is None
        target.may_answer()
        assert await one.answer() == OK
        assert target.received[-1] == [b"DEL", b"k"]


async def test_what_is_made_anew_before_the_target_has_deleted_it_is_sent() -> None:
    async with migrating_node(cluster=True) as one, recording_target(answers=False) as target:
        one.submit("127.0.0.1", target.port)
        await target.first_bytes.wait()
        one.node("DEL", "k")
        target.may_answer(1)
        await target.has_received(2)
        assert one.node("SET", "k", "new") == b"OK", "this node has the last word on it"
        target.may_answer()
        assert await one.answer() == OK
        assert [command[0] for command in target.received] == [b"RESTORE-ASKING", b"ASKING", b"DEL", b"RESTORE-ASKING"]
        assert target.values == [b"v", b"new"]
        assert one.node.error("GET", "k") == ASKED_OF_THE_OTHER


async def test_a_key_that_the_target_has_is_the_targets_though_others_are_under_way() -> None:
    async with migrating_node(cluster=True) as one, recording_target(answers=False) as target:
        one.show_view(owner=ME, migrating=False)
        one.node("SET", "{k}2", "v")
        one.show_view(owner=ME)
        one.submit_several(target.port, "k", "{k}2")
        await target.first_bytes.wait()
        target.may_answer(1)
        await becomes_true(lambda: one.node("DBSIZE") == 1)
        assert one.node.error("GET", "k") == ASKED_OF_THE_OTHER
        assert one.node.error("SET", "k", "not here") == ASKED_OF_THE_OTHER
        assert one.node("GET", "{k}2") == b"v"
        target.may_answer()
        assert await one.answer() == OK


@pytest.mark.parametrize(("streams", "answer"), [
    (("k", ">"), ASKED_OF_THE_OTHER),
    (("k", "{k}2", ">", ">"), TRY_AGAIN),
])  # fmt: skip
async def test_who_waits_for_entries_of_a_group_is_sent_after_the_stream(
    streams: tuple[Argument, ...], answer: str
) -> None:
    async with migrating_node(cluster=True) as one, recording_target() as target:
        one.show_view(owner=ME, migrating=False)
        one.node("DEL", "k")
        for key in ("k", "{k}2"):
            one.node("XGROUP", "CREATE", key, "g", "$", "MKSTREAM")
        reader = one.node.connect()
        assert reader.raw("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", *streams) == b""
        one.show_view(owner=ME)
        assert await one.migrate("127.0.0.1", target.port) == OK
        assert reader.received() == f"-{answer}\r\n".encode()


@pytest.mark.parametrize("change", [("DEL", "k"), ("SET", "k", "changed"), ("PEXPIRE", "k", 100_000)])
async def test_once_the_slot_is_another_nodes_nothing_more_is_said_of_its_keys(change: tuple[Argument, ...]) -> None:
    async with migrating_node(cluster=True) as one, recording_target(answers=False) as target:
        one.submit("127.0.0.1", target.port)
        await target.first_bytes.wait()
        one.node(*change)
        one.show_view(owner=OTHER)
        target.may_answer()
        assert await one.answer() == OK
        assert target.received == [[b"RESTORE-ASKING", b"k", b"0"]]


async def test_a_slot_is_not_given_away_while_a_key_of_it_is_not_settled() -> None:
    async with migrating_node(cluster=True) as one, recording_target(answers=False) as target:
        one.submit("127.0.0.1", target.port)
        await target.first_bytes.wait()
        one.node("DEL", "k")
        bus = one.node.server.bus = Mock()
        bus.ask.return_value = "OK"
        one.node("CLUSTER", "SETSLOT", key_slot(b"k"), "NODE", OTHER.node_id)
        target.may_answer()
        assert await one.answer() == OK
        one.node("CLUSTER", "SETSLOT", key_slot(b"k"), "NODE", OTHER.node_id)
        assert [call.args[0].keys_in_slot for call in bus.ask.call_args_list] == [1, 0]


async def test_a_target_that_was_away_is_told_what_was_deleted_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrator, "TELL_AGAIN_SECONDS", 0.01)
    async with migrating_node(cluster=True) as one, recording_target(answers=False) as target:
        one.submit_several(target.port, "k", timeout_ms=300)
        await target.first_bytes.wait()
        one.node("DEL", "k")
        assert await one.answer() == READING
        await target.has_received(3)
        for command in (("GET", "k"), ("SET", "k", "v")):
            assert one.node.error(*command) == TRY_AGAIN, "the target may have the old value"
        target.may_answer()
        await becomes_true(lambda: not one.node.server.under_way.by_key)
        assert target.received[-1] == [b"DEL", b"k"]
        told = target.received.count([b"DEL", b"k"])  # over connections that were given up, too
        assert target.received.count([b"ASKING"]) == told
        assert one.node.error("GET", "k") == ASKED_OF_THE_OTHER


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
