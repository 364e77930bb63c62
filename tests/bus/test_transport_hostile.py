"""The transport against peers that are broken, hostile or strangers."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

from bus import events, links, transport
from bus.auth import LinkHandshake
from bus.events import Effect, Event, FrameReceived, LinkDown, LinkUp, Send
from bus.frames import LENGTH_BYTES, encode, pack
from bus.messages import Announcement, Message, Vote
from tests.bus.sides import (
    DEADLINE_SECONDS,
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

pytestmark = pytest.mark.trio


class Peer:
    """A stranger with a socket and, if it likes, manners."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.handshake = handshake_of(SECRET, initiator=True)

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
    "no secret": (pack(handshake_of(b"", initiator=True).hello), "a cluster-secret on one side only"),
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
            peer.handshake = handshake_of(b"another", initiator=True)
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


async def test_a_conversation_that_was_recorded_changes_nothing_when_it_is_said_again() -> None:
    a = Side(A, SECRET)
    async with running(a):
        async with stranger(a) as peer:
            recorded = [pack(peer.handshake.hello)]
            await peer.stream.send_all(recorded[0])
            recorded += [pack(proof) for proof in peer.handshake.receive(await peer.frame())]
            await peer.stream.send_all(recorded[-1])
            peer.handshake.receive(await peer.frame())
            recorded.append(peer.sealed(encode(Vote(1))))
            await peer.stream.send_all(recorded[-1])
            await a.until(FrameReceived)
        await a.until(LinkDown)
        seen = list(a.core.seen)
        for said in (recorded, recorded[1:], recorded[2:], [recorded[0], recorded[2]]):
            async with stranger(a) as again:
                await again.stream.send_all(b"".join(said))
                await again.closed()
        assert a.core.seen == seen
        assert a.transport.rejected == 4


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


async def test_a_fault_that_a_link_s_beginning_brings_to_light_costs_the_link_only() -> None:
    def answer(event: Event) -> list[Effect]:
        if isinstance(event, LinkUp):
            raise KeyError("nobody")
        return []

    a, b = Side(A, SECRET), Side(B, SECRET)
    b.core.answer = answer
    async with running(a, b):
        for count in (1, 2):
            a.connect(b.port)
            [*_, up] = await b.until(LinkUp, count)
            assert (await b.until(LinkDown, count))[-1] == LinkDown(up.link_id, "closed")
        assert b.transport.links() == []
        assert len(b.log) == 1
        assert "a fault of this node (KeyError: 'nobody', answer:" in b.log[0]


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
        async with stranger(b), stranger(b):
            await first.closed()
            await second.closed()
            assert b.transport.rejected == 2
            assert len(b.log) == 1


async def test_a_flood_of_strangers_does_not_keep_a_member_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are that say nothing: the oldest of them make room."""
    monkeypatch.setattr(transport, "STRANGERS_LIMIT", 20)
    b = Side(A, SECRET)
    async with running(b), trio.open_nursery() as nursery:
        async def silent() -> None:
            async with stranger(b) as peer:
                await peer.closed()

        for _ in range(100):
            nursery.start_soon(silent)
        await eventually(lambda: b.transport.rejected == 80)
        async with stranger(b) as member:
            await member.greet()
            await b.until(LinkUp)
            await member.stream.send_all(member.sealed(encode(PING)))
            await b.until(FrameReceived)
            assert len(b.transport.links()) == 1
            assert len(b.log) == 1
        nursery.cancel_scope.cancel()


async def test_without_a_secret_who_is_no_member_is_a_stranger_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """A greeting costs nothing there; members stay, whoever greets."""
    monkeypatch.setattr(transport, "STRANGERS_LIMIT", 2)
    a = Side(A)
    async with running(a), stranger(a) as member:
        member.handshake = handshake_of(b"", initiator=True)
        await member.greet()
        await a.until(LinkUp)
        async with AsyncExitStack() as stack:
            for number in range(1, 6):
                peer = await stack.enter_async_context(stranger(a))
                peer.handshake = LinkHandshake(
                    initiator=True, node_id=f"{number:040x}", cluster_id="", secret=b"", nonce=bytes(16)
                )
                await peer.greet()
                await a.until(LinkUp, 1 + number)
            await eventually(lambda: len(a.core.of(LinkDown)) == 3)
            assert {link.node_id for link in a.transport.links()} == {B, f"{4:040x}", f"{5:040x}"}


async def test_who_is_no_member_cannot_fill_the_memory() -> None:
    a = Side(A)
    a.core.members.clear()
    async with running(a), stranger(a) as peer:
        peer.handshake = handshake_of(b"", initiator=True)
        await peer.greet()
        await peer.stream.send_all(_frame(b"\xc1" + (1 << 20).to_bytes(4, "big") + b"x" * 100))
        await peer.closed()
        assert a.log == [f"Closing cluster link with {B}: a piece out of shape"]


async def test_a_stranger_that_becomes_a_member_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "STRANGERS_LIMIT", 1)
    a = Side(A)
    a.core.members.clear()
    async with running(a), stranger(a) as peer:
        peer.handshake = handshake_of(b"", initiator=True)
        await peer.greet()
        await a.until(LinkUp)
        a.core.members.add(B)
        await peer.stream.send_all(pack([8, 1, 0, False, []]))
        await a.until(FrameReceived)
        async with stranger(a) as other:
            await other.stream.send_all(b"\0")
            await peer.stream.send_all(pack([8, 2, 0, False, []]))
            await a.until(FrameReceived, 2)
            assert a.transport.rejected == 0


async def test_a_peer_that_is_refused_time_and_again_is_logged_once() -> None:
    a, b = Side(A, SECRET), Side(B, b"another one")
    async with running(a, b):
        for number in range(1, 4):
            a.connect(b.port)
            await a.until(LinkDown, number)
        await eventually(lambda: b.transport.rejected == 3)
        assert b.log == ["Closing cluster link with 127.0.0.1: another cluster-secret"]


@pytest.mark.parametrize(("well_seconds", "lines"), [(0.0, 2), (60.0, 1)])
async def test_a_peer_with_which_all_was_well_is_news_when_it_fails_again(
    monkeypatch: pytest.MonkeyPatch, well_seconds: float, lines: int
) -> None:
    monkeypatch.setattr(transport, "WELL_SECONDS", well_seconds)
    a = Side(A, SECRET)
    async with running(a):
        for number, fault in enumerate((True, False, True), 1):
            async with stranger(a) as peer:
                await peer.greet()
                await a.until(LinkUp, number)
                if fault:
                    await peer.stream.send_all(peer.sealed(b"garbage"))
                else:
                    await peer.stream.aclose()
                await a.until(LinkDown, number)
        assert len(a.log) == lines


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
                peer.sendall(pack(handshake_of(b"", initiator=False).hello))
                [up] = await a.until(LinkUp)
                big = Send(up.link_id, Announcement(1, 1, "", 1, 1, 0, "x" * 255, "", B, "", False, (), ""))
                a.effects(*[big] * 40_000, events.CloseLink(up.link_id))
                assert await a.until(LinkDown) == [LinkDown(up.link_id, "closed")]
