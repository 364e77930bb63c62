"""The transport over real loopback sockets, around a core that only writes down what it is told."""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import trio

from bus import events, links, transport
from bus.auth import LinkHandshake
from bus.core import BusCore
from bus.events import Connect, Effect, Event, FrameReceived, LinkDown, LinkUp, Log, Persist, Send
from bus.frames import LENGTH_BYTES, encode, pack
from bus.messages import Announcement, Fail, Heartbeat, Message, Vote
from bus.transport import BusListenError, BusTransport, StateNotSaved
from bus.view import PersistentState
from tests.differential.oracle import free_port

DEADLINE_SECONDS = 10.0
A, B = "aa" * 20, "bb" * 20
SECRET = b"the secret"
PING = Heartbeat("ping", 1, 1, 0, b"d" * 8, b"m" * 8)
pytestmark = pytest.mark.trio
Answer = Callable[[Event], list[Effect]]


class FakeCore:
    """Writes events down; `answer` says which effects follow."""

    def __init__(self, my_id: str) -> None:
        self.my_id = my_id
        self.seen: list[Event] = []
        self.answer: Answer = lambda _event: []
        self.deadline: int | None = None

    def start(self) -> list[Effect]:
        return [Log("notice", "started")]

    def next_deadline(self) -> int | None:
        return self.deadline

    def step(self, now_ms: int, event: Event) -> list[Effect]:
        if not isinstance(event, events.Tick):
            self.seen.append(event)
        return self.answer(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.seen if isinstance(event, kind)]


class Side:
    """A node: a fake core, its transport, and what came out of it."""

    def __init__(self, my_id: str, secret: bytes = b"", **options: Any) -> None:
        self.core = FakeCore(my_id)
        self.port = free_port()
        self.done: list[Effect | PersistentState] = []
        self.log: list[str] = []
        self.persist: Callable[[Persist], None] = lambda effect: self.done.append(effect.state)
        self.on_effect: Callable[[Effect], None] = self.done.append
        self.transport = BusTransport(
            cast(BusCore, self.core), persist=lambda effect: self.persist(effect),
            on_effect=lambda effect: self.on_effect(effect),
            log=lambda _level, text: self.log.append(text), secret=secret,
            **{"connect_seconds": lambda: 2.0, **options},
        )

    def connect(self, port: int, target: str = B) -> None:
        """Have the core ask for a link."""
        self.effects(Connect(target, "127.0.0.1", port))

    def effects(self, *effects: Effect) -> None:
        answer, self.core.answer = self.core.answer, lambda _event: list(effects)
        try:
            self.transport.submit(events.SaveConfig())
        finally:
            self.core.answer = answer

    async def until(self, kind: type[Any], count: int = 1) -> list[Any]:
        await eventually(lambda: len(self.core.of(kind)) >= count, lambda: f"{self.core.seen} {self.log}")
        return self.core.of(kind)


async def eventually(condition: Callable[[], bool], state: Callable[[], str] = str) -> None:
    with trio.move_on_after(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - the condition is of other tasks' making, and has no event
            await trio.sleep(0.005)
        return
    raise AssertionError(f"it did not happen: {state()}")


@asynccontextmanager
async def running(*sides: Side) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for side in sides:
            side.transport.begin()
            await side.transport.listen(["127.0.0.1"], side.port)
            await nursery.start(side.transport.run)
        yield
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def linked(secret: bytes = SECRET, **options: Any) -> AsyncIterator[tuple[Side, Side, int, int]]:
    """Two sides with a link from the first to the second, and its number on each."""
    a, b = Side(A, secret, **options), Side(B, secret)
    async with running(a, b):
        a.connect(b.port)
        [mine] = await a.until(LinkUp)
        [theirs] = await b.until(LinkUp)
        yield a, b, mine.link_id, theirs.link_id


# -- two of ours -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [b"", SECRET])
async def test_a_link_comes_up_on_both_sides_and_carries_messages_both_ways(secret: bytes) -> None:
    async with linked(secret) as (a, b, mine, theirs):
        assert a.core.of(LinkUp) == [LinkUp(mine, B, "127.0.0.1", True, B, "127.0.0.1")]
        assert b.core.of(LinkUp) == [LinkUp(theirs, A, "127.0.0.1", False, "", "127.0.0.1")]
        a.effects(Send(mine, PING), Send(mine, Fail(B)))
        b.effects(Send(theirs, Vote(7)))
        assert await b.until(FrameReceived, 2) == [FrameReceived(theirs, PING), FrameReceived(theirs, Fail(B))]
        assert await a.until(FrameReceived) == [FrameReceived(mine, Vote(7))]
        assert set(a.transport.sent_bytes) == {"ping", "fail"}
        assert b.transport.received_bytes["fail"] == len(encode(Fail(B)))


async def test_a_closed_link_is_told_to_the_other_side_and_what_was_said_before_arrives() -> None:
    async with linked() as (a, b, mine, theirs):
        a.effects(Send(mine, PING), events.CloseLink(mine), Send(mine, Fail(B)))
        assert await b.until(LinkDown) == [LinkDown(theirs, "closed")]
        assert b.core.of(FrameReceived) == [FrameReceived(theirs, PING)]
        assert await a.until(LinkDown) == [LinkDown(mine, "closed")]
        assert a.transport.links() == b.transport.links() == []


async def test_effects_are_carried_out_in_order_and_returned() -> None:
    a = Side(A)
    state = PersistentState(A, {})
    effects: list[Effect] = [Persist(state), Log("notice", "then"), events.Reply()]
    a.core.answer = lambda _event: effects
    async with running(a):
        a.done.clear()
        assert a.transport.submit(events.BumpEpoch()) == effects
        assert a.done == [state, *effects[1:]]


async def test_what_an_effect_posts_comes_after_it() -> None:
    a = Side(A)
    a.core.answer = lambda event: [events.PauseWrites(5)] if isinstance(event, events.BumpEpoch) else []
    post = a.transport.post

    def pause(_effect: Effect) -> None:
        post(events.Paused(1))
        assert a.core.seen == [events.BumpEpoch()]

    a.on_effect = pause
    a.transport.submit(events.BumpEpoch())
    assert a.core.seen == [events.BumpEpoch(), events.Paused(1)]


async def test_nothing_is_said_until_the_state_is_saved() -> None:
    state = PersistentState(A, {})

    def full(_effect: Persist) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with linked() as (a, b, mine, _):
        works, a.persist = a.persist, full
        for effects in ([Persist(state), Send(mine, Vote(1))], [Send(mine, Vote(2))]):
            with pytest.raises(StateNotSaved, match="No space left on device"):
                a.effects(*effects)
        a.persist = works
        a.effects(Send(mine, Vote(3)))
        assert a.done[-1] == state
        assert [event.message for event in await b.until(FrameReceived)] == [Vote(3)]


async def test_the_core_is_ticked_when_it_wants_to_be() -> None:
    a = Side(A)
    ticks: list[int] = []

    def answer(event: Event) -> list[Effect]:
        if isinstance(event, events.Tick):
            ticks.append(a.transport.now_ms())
            a.core.deadline = ticks[-1] + 60_000
        return []

    a.core.answer = answer
    async with running(a):
        await eventually(lambda: len(ticks) == 1)
        due = a.core.deadline = a.transport.now_ms() + 20
        a.transport.submit(events.SaveConfig())
        await eventually(lambda: len(ticks) == 2)
        assert ticks[1] >= due


async def test_a_second_inbound_link_of_a_node_takes_the_place_of_the_first() -> None:
    async with linked() as (a, b, _, theirs):
        a.connect(b.port)
        assert len(await b.until(LinkUp, 2)) == 2
        assert await b.until(LinkDown) == [LinkDown(theirs, "closed")]
        assert len(b.transport.links()) == 1


async def test_links_can_be_seen_and_killed() -> None:
    async with linked() as (a, b, mine, _):
        [facts] = a.transport.links()
        assert (facts.node_id, facts.outbound, facts.queued_bytes) == (B, True, 0)
        [theirs] = b.transport.links()
        assert (theirs.node_id, theirs.outbound) == (A, False)
        a.transport.kill_links("from", B)
        a.transport.kill_links("to", A)
        assert len(a.transport.links()) == 1
        a.transport.kill_links("to", B)
        assert a.transport.links() == []
        assert await a.until(LinkDown) == [LinkDown(mine, "closed")]


async def test_messages_of_one_type_can_be_dropped() -> None:
    async with linked() as (a, b, mine, _):
        meet = Announcement(1, 1, "", 1, 1, 0, "", "", B, "", False, (), "", meet=True)
        for packet_type, dropped, passed in ((0, PING, Vote(1)), (2, meet, Vote(2)), (3, Fail(B), Vote(3))):
            b.transport.drop_type(packet_type)
            a.effects(Send(mine, dropped), Send(mine, passed))
            await b.until(FrameReceived, packet_type or 1)
        b.transport.drop_type(-1)
        a.effects(Send(mine, PING))
        await b.until(FrameReceived, 4)
        assert [event.message for event in b.core.of(FrameReceived)] == [Vote(1), Vote(2), Vote(3), PING]


async def test_a_peer_that_does_not_read_costs_its_link_when_too_much_waits() -> None:
    a = Side(A, queue_limit=lambda: 100_000)
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with running(a):
            a.connect(server.getsockname()[1])
            peer, _ = await trio.to_thread.run_sync(server.accept)
            with peer:
                peer.sendall(pack(_handshake(b"", initiator=False).hello))
                [up] = await a.until(LinkUp)
                big = events.Send(up.link_id, Announcement(1, 1, "", 1, 1, 0, "x" * 255, "", B, "", False, (), ""))
                for _ in range(100_000):
                    if not a.transport.links():
                        break
                    a.effects(*[big] * 20)
                    await trio.lowlevel.checkpoint()
                assert await a.until(LinkDown) == [LinkDown(up.link_id, "closed")]
                assert a.transport.links_over_limit == 1
                assert len(a.log) == 1


# -- nobody there ------------------------------------------------------------------------------------------------


async def test_a_refused_connection_is_told_as_such() -> None:
    a = Side(A)
    async with running(a):
        a.connect(free_port())
        assert await a.until(LinkDown) == [LinkDown(None, "refused", B)]


async def test_a_peer_that_takes_the_connection_and_says_nothing_is_silent() -> None:
    a = Side(A, connect_seconds=lambda: 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with running(a):
            a.connect(server.getsockname()[1])
            assert await a.until(LinkDown) == [LinkDown(None, "timeout", B)]
            assert a.log == ["Closing cluster link with 127.0.0.1: it does not say who it is"]


async def test_a_connection_that_a_dying_process_had_queued_is_told_as_refused() -> None:
    """Taken by the kernel, reset when the process goes: asking again at once is refused."""
    a = Side(A)
    server = socket.create_server(("127.0.0.1", 0))
    async with running(a):
        a.connect(server.getsockname()[1])
        peer, _ = await trio.to_thread.run_sync(server.accept)
        server.close()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        assert await a.until(LinkDown) == [LinkDown(None, "refused", B)]
        assert a.log == []


async def test_a_link_outlives_the_time_its_connection_may_take() -> None:
    async with linked(connect_seconds=lambda: 0.05) as (a, b, mine, _):
        for number in range(1, 5):
            before = trio.current_time()
            await eventually(lambda before=before: trio.current_time() > before + 0.03)  # type: ignore[misc]
            a.effects(Send(mine, Vote(number)))
            await b.until(FrameReceived, number)


async def test_a_taken_port_is_one_clear_line() -> None:
    a = Side(A)
    taken = pytest.raises(BusListenError, match=f"port {a.port} .cluster., aborting")
    with socket.create_server(("127.0.0.1", a.port)), taken:
        await a.transport.listen(["127.0.0.1"], a.port)


# -- hostile peers -----------------------------------------------------------------------------------------------


class Peer:
    """A stranger with a socket and, if it likes, manners."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.handshake = _handshake(SECRET, initiator=True)

    async def frame(self) -> bytes:
        size = int.from_bytes(await self._exactly(LENGTH_BYTES), "big")
        return await self._exactly(size)

    async def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = await self.stream.receive_some(count - len(data))
            assert more, "the link was closed"
            data += more
        return data

    async def greet(self) -> None:
        await self.stream.send_all(pack(self.handshake.hello))
        while not self.handshake.done:
            for answer in self.handshake.receive(await self.frame()):
                await self.stream.send_all(pack(answer))

    def sealed(self, body: bytes) -> bytes:
        frame = self.handshake.seal.seal(body)
        return len(frame).to_bytes(LENGTH_BYTES, "big") + frame

    async def closed(self) -> None:
        """Wait until the other side has hung up."""
        with trio.fail_after(DEADLINE_SECONDS):
            try:
                while await self.stream.receive_some(4096):
                    pass
            except trio.BrokenResourceError:
                return


def _handshake(secret: bytes, *, initiator: bool, nonce: bytes = b"n" * 16) -> LinkHandshake:
    return LinkHandshake(initiator=initiator, node_id=B, cluster_id="", secret=secret, nonce=nonce)


@asynccontextmanager
async def stranger(side: Side) -> AsyncIterator[Peer]:
    async with await trio.open_tcp_stream("127.0.0.1", side.port) as stream:
        yield Peer(stream)


def _frame(body: bytes) -> bytes:
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


BEFORE: dict[str, tuple[bytes, str]] = {
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", "a frame of 1195725856 bytes"),
    "a huge frame": (b"\x7f\xff\xff\xff", "a frame of 2147483647 bytes"),
    "more than a greeting": (_frame(b"x" * 1025), "a frame of 1025 bytes"),
    "no msgpack": (_frame(b"\xc1"), "no msgpack value (FormatError)"),
    "a message before the greeting": (_frame(encode(PING)), "no greeting of a cluster node"),
    "no secret": (pack(_handshake(b"", initiator=True).hello), "a cluster-secret on one side only"),
}


@pytest.mark.parametrize("name", BEFORE)
async def test_a_bad_greeting_costs_one_link_and_one_line(name: str) -> None:
    data, cause = BEFORE[name]
    b = Side(B, SECRET)
    async with running(b):
        for _ in range(3):
            async with stranger(b) as peer:
                await peer.stream.send_all(data)
                await peer.closed()
        assert b.log == [f"Closing cluster link with 127.0.0.1: {cause}"]
        assert b.transport.rejected == 3
        assert b.core.seen == []


async def test_another_secret_gets_nothing_but_a_nonce() -> None:
    b = Side(A, SECRET)
    async with running(b):
        async with stranger(b) as peer:
            peer.handshake = _handshake(b"another", initiator=True)
            with pytest.raises(AssertionError, match="closed"):
                await peer.greet()
        assert b.log == ["Closing cluster link with 127.0.0.1: another cluster-secret"]
        assert b.core.seen == []


async def test_who_keeps_silent_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "HANDSHAKE_SECONDS", 0.1)
    b = Side(B, SECRET)
    async with running(b), stranger(b) as peer:
        await peer.stream.send_all(b"\0\0\0")
        await peer.closed()
        assert b.log == ["Closing cluster link with 127.0.0.1: it does not say who it is"]


async def test_who_hangs_up_without_a_word_costs_no_line() -> None:
    b = Side(B, SECRET)
    async with running(b):
        async with stranger(b):
            pass
        async with stranger(b) as peer:
            await peer.stream.send_all(b"\1\2\3\4")
            await peer.closed()
        assert len(b.log) == 1


@pytest.mark.parametrize(("kind", "cause"), [
    ("garbage", "a frame whose seal does not fit"),
    ("altered", "a frame whose seal does not fit"),
    ("repeated", "a frame whose seal does not fit"),
    ("reordered", "a frame whose seal does not fit"),
    ("oversized", "a frame of 1048577 bytes"),
    ("unknown", "a message of an unknown kind"),
])  # fmt: skip
async def test_a_bad_frame_costs_one_link_and_one_line(kind: str, cause: str) -> None:
    a = Side(A, SECRET)
    async with running(a), stranger(a) as peer:
        await peer.greet()
        [up] = await a.until(LinkUp)
        first, second = peer.sealed(encode(Vote(1))), peer.sealed(encode(Vote(2)))
        await peer.stream.send_all({
            "garbage": _frame(b"\xff" * 40), "altered": first[:-1] + bytes([first[-1] ^ 1]),
            "repeated": first + first, "reordered": second, "oversized": (1 << 20 | 1).to_bytes(4, "big"),
            "unknown": first + second + peer.sealed(b"\x91\x63"),
        }[kind])
        await peer.closed()
        assert await a.until(LinkDown) == [LinkDown(up.link_id, "closed")]
        assert a.log == [f"Closing cluster link with {B}: {cause}"]
        votes: list[Message] = [event.message for event in a.core.of(FrameReceived)]
        assert votes == {"repeated": [Vote(1)], "unknown": [Vote(1), Vote(2)]}.get(kind, [])


async def test_a_fault_that_a_message_brings_to_light_costs_the_link_only() -> None:
    async with linked() as (a, b, mine, theirs):
        def fault(event: Event) -> list[Effect]:
            if isinstance(event, FrameReceived):
                raise KeyError("slot")
            return []

        b.core.answer = fault
        a.effects(Send(mine, PING))
        assert await b.until(LinkDown) == [LinkDown(theirs, "closed")]
        assert len(b.log) == 1
        assert "KeyError: 'slot', fault:" in b.log[0]


async def test_a_link_cut_within_a_frame_is_a_closed_link() -> None:
    a = Side(A, SECRET)
    async with running(a):
        async with stranger(a) as peer:
            await peer.greet()
            await peer.stream.send_all(peer.sealed(encode(Vote(1)))[:-3])
        [up] = await a.until(LinkUp)
        assert await a.until(LinkDown) == [LinkDown(up.link_id, "closed")]
        assert a.log == []


async def test_strangers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "STRANGERS_LIMIT", 2)
    b = Side(A, SECRET)
    async with running(b), stranger(b) as first, stranger(b) as second:
        await first.stream.send_all(b"\0")
        await second.stream.send_all(b"\0")
        for _ in range(3):
            async with stranger(b) as third:
                await third.closed()
        assert b.transport.rejected == 3
        assert len(b.log) == 1
        await second.stream.aclose()
        async with stranger(b) as fourth:
            await fourth.greet()
            await b.until(LinkUp)


async def test_complaints_of_many_addresses_take_bounded_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "COMPLAINTS_LIMIT", 3)
    a = Side(A)
    for number in range(10):
        a.transport._complain(f"10.0.0.{number}", "a fault")
    assert len(a.log) == 3


async def test_a_goodbye_to_a_peer_that_does_not_read_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "GOODBYE_SECONDS", 0.05)
    a = Side(A)
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with running(a):
            a.connect(server.getsockname()[1])
            peer, _ = await trio.to_thread.run_sync(server.accept)
            with peer:
                peer.sendall(pack(_handshake(b"", initiator=False).hello))
                [up] = await a.until(LinkUp)
                big = Send(up.link_id, Announcement(1, 1, "", 1, 1, 0, "x" * 255, "", B, "", False, (), ""))
                a.effects(*[big] * 40_000, events.CloseLink(up.link_id))
                assert await a.until(LinkDown) == [LinkDown(up.link_id, "closed")]
