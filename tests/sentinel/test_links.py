"""Connections of a sentinel to whoever it watches, over real sockets of this machine."""

from __future__ import annotations

from collections.abc import Callable

import trio

from cluster.sentinel.events import Connected, Disconnected, Event, Received
from cluster.sentinel.links import Outgoing
from cluster.sentinel.replies import MAX_ELEMENTS, Unfinished

DEADLINE_S = 20


class Talk:
    """A connection to a server that answers whatever comes with `answer`, and what came of it."""

    def __init__(self, answer: bytes, fault: Callable[[Event], None] = lambda event: None, source: str = "") -> None:
        self.answer = answer
        self.fault = fault
        self.source = source
        self.events: list[Event] = []
        self.complaints: list[str] = []
        self.from_ip = ""

    def _handle(self, event: Event) -> None:
        self.events.append(event)
        self.fault(event)

    async def _serve(self, stream: trio.SocketStream) -> None:
        self.from_ip = stream.socket.getpeername()[0]
        async with stream:
            await stream.receive_some()
            await stream.send_all(self.answer)

    async def __call__(self) -> None:
        link = Outgoing(1, self._handle, self.complaints.append, Unfinished(), source=self.source)
        link.send(("PING",))
        with trio.fail_after(DEADLINE_S):
            async with trio.open_nursery() as nursery:
                (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
                nursery.start_soon(trio.serve_listeners, self._serve, [listener])
                await link.run("127.0.0.1", listener.socket.getsockname()[1])
                nursery.cancel_scope.cancel()


def talk(answer: bytes, fault: Callable[[Event], None] = lambda event: None, source: str = "") -> Talk:
    one = Talk(answer, fault, source)
    trio.run(one)
    return one


def test_replies_come_in_order_until_it_ends() -> None:
    one = talk(b"+PONG\r\n*2\r\n:1\r\n$1\r\na\r\n")
    assert one.events == [
        Connected(1, "127.0.0.1"), Received(1, b"PONG"), Received(1, [1, b"a"]), Disconnected(1, "Connection closed"),
    ]  # fmt: skip
    assert one.complaints == []


def test_a_fault_of_ours_is_in_the_log_with_its_place_and_ends_the_connection() -> None:
    def fault(event: Event) -> None:
        if isinstance(event, Received):
            raise KeyError("oops")

    one = talk(b"+PONG\r\n", fault)
    assert one.events[-1] == Disconnected(1, "a fault of this sentinel (KeyError)")
    (complaint,) = one.complaints
    assert complaint.startswith("=== BUG: the connection to 127.0.0.1:")
    assert "Traceback" in complaint
    assert "in fault" in complaint


def test_what_others_do_wrong_is_no_fault_of_ours() -> None:
    one = talk(b"?\r\n")
    assert isinstance(one.events[-1], Disconnected)
    assert "Protocol error" in one.events[-1].cause
    assert one.complaints == []


def test_a_reply_that_is_too_long_is_told_and_ends_the_connection() -> None:
    one = talk(b"*%d\r\n" % (MAX_ELEMENTS + 1))
    what = f"a list of {MAX_ELEMENTS + 1} elements within 0 others"
    assert one.events[-1] == Disconnected(1, what)
    (complaint,) = one.complaints
    assert complaint.startswith("Closing the connection to 127.0.0.1:")
    assert complaint.endswith(what)


def test_connections_come_from_the_address_that_is_to_be_theirs() -> None:
    assert talk(b"+PONG\r\n").from_ip == "127.0.0.1"
    assert talk(b"+PONG\r\n", source="127.0.0.9").from_ip == "127.0.0.9"


def test_an_address_that_is_not_ours_is_the_cause_that_there_is_no_connection() -> None:
    one = talk(b"+PONG\r\n", source="203.0.113.1")
    assert isinstance(one.events[-1], Disconnected)
    assert "Cannot assign requested address" in one.events[-1].cause
    assert one.complaints == []
