"""The transport over real loopback sockets, around a core that only writes down what it is told."""

from __future__ import annotations

import errno
import socket

import pytest
import trio

from bus import events
from bus.events import Effect, Event, FrameReceived, LinkDown, LinkUp, Log, Persist, Send
from bus.frames import encode, pack
from bus.messages import Announcement, Fail, Item, Messages, Vote
from bus.transport import BusListenError, StateNotSaved
from bus.view import PersistentState
from tests.bus.sides import (
    PING,
    SECRET,
    A,
    B,
    Side,
    eventually,
    handshake_of,
    linked,
    running,
)
from tests.differential.oracle import free_port

pytestmark = pytest.mark.trio


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


@pytest.mark.parametrize("secret", [b"", SECRET])
async def test_a_long_message_arrives_whole_and_holds_up_no_other(secret: bytes) -> None:
    long = Messages((Item(b"channel", bytes(range(256)) * 20_000),))
    short = Messages((Item(b"channel", b"short"),))
    async with linked(secret) as (a, b, mine, _):
        a.effects(Send(mine, long), Send(mine, short), Send(mine, Fail(B)))
        got = [event.message for event in await b.until(FrameReceived, 3)]
        assert got == [Fail(B), long, short]
        await eventually(lambda: a.transport.links()[0].queued_bytes == 0)


async def test_messages_for_a_peer_that_does_not_keep_up_are_dropped_and_the_link_stays() -> None:
    item = Item(b"channel", b"x" * 300_000)
    async with linked(queue_limit=lambda: 1_000_000) as (a, b, mine, _):
        a.effects(*(Send(mine, Messages((item,))) for _ in range(10)), Send(mine, Fail(B)))
        assert a.transport.dropped_messages == 6, "the one that goes beyond the limit is still sent"
        await b.until(FrameReceived, 5)
        assert len(b.core.of(FrameReceived)) == 5
        assert "it does not keep up" in a.log[-1]
        assert a.transport.links_over_limit == 0


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
                peer.sendall(pack(handshake_of(b"", initiator=False).hello))
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


@pytest.mark.parametrize("address", ["a..b", "x" * 70, "a\0b"])
async def test_an_address_that_no_resolver_takes_is_a_failed_connection(address: str) -> None:
    async with linked() as (a, _, _, _):
        for count in (1, 2):
            a.effects(events.Connect(B, address, 1))
            assert (await a.until(LinkDown, count))[-1] == LinkDown(None, "timeout", B)
        assert len(a.log) == 1
        assert a.log[0].startswith(f"Cannot connect to a cluster node at {address!r}: ")
        assert len(a.transport.links()) == 1, "the other links go on"


async def test_a_peer_that_takes_the_connection_and_says_nothing_is_silent() -> None:
    a = Side(A, connect_seconds=lambda: 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with running(a):
            port = server.getsockname()[1]
            a.connect(port)
            assert await a.until(LinkDown) == [LinkDown(None, "timeout", B)]
            assert a.log == [f"Closing cluster link with 127.0.0.1:{port}: it does not say who it is"]


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
