"""Two transports over real loopback sockets, around cores that only write down what they are told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import trio

from bus import events
from bus.auth import LinkHandshake
from bus.core import BusCore
from bus.events import Connect, Effect, Event, LinkUp, Log, Persist
from bus.messages import Heartbeat
from bus.transport import BusTransport
from bus.view import PersistentState
from tests.differential.oracle import free_port

DEADLINE_SECONDS = 10.0
A, B = "aa" * 20, "bb" * 20
SECRET = b"the secret"
PING = Heartbeat("ping", 1, 1, 0, b"d" * 8, b"m" * 8)
Answer = Callable[[Event], list[Effect]]


class FakeCore:
    """Writes events down; `answer` says which effects follow."""

    def __init__(self, my_id: str) -> None:
        self.my_id = my_id
        self.seen: list[Event] = []
        self.answer: Answer = lambda _event: []
        self.deadline: int | None = None
        self.members = {A, B}

    def start(self) -> list[Effect]:
        return [Log("notice", "started")]

    def next_deadline(self) -> int | None:
        return self.deadline

    def step(self, now_ms: int, event: Event) -> list[Effect]:
        if not isinstance(event, events.Tick):
            self.seen.append(event)
        return self.answer(event)

    def knows(self, node_id: str) -> bool:
        return node_id in self.members

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


def handshake_of(secret: bytes, *, initiator: bool, nonce: bytes = b"n" * 16) -> LinkHandshake:
    return LinkHandshake(initiator=initiator, node_id=B, cluster_id="", secret=secret, nonce=nonce)
