"""Connections between sentinels and whom they watch, as TCP makes them, under virtual time.

What is sent into a cut arrives when it is healed; what is lost is sent again, later; who dies closes its connections,
unless its host dies with it.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cluster.sentinel.events import Connected, Disconnected, Received, Reply

if TYPE_CHECKING:
    from tests.sentinel.parts import SentinelProcess
    from tests.sentinel.world import World

HOST = "127.0.0.1"
LATENCY_MS = 2
RETRANSMIT_MS = 200
LOST_AGAIN = 4
"""What is lost may be lost again, each time with twice the patience."""
CONNECT_TIMEOUT_MS = 5_000
RESETS = 0.1
"""Of what is lost, so much breaks the connection."""

Queue = deque[Callable[[], None]]
Request = tuple[str, ...]


@dataclass(eq=False)
class Wire:
    """A connection from a sentinel to whoever listens at a port."""

    number: int
    owner: SentinelProcess
    port: int
    up: bool = False
    closed: bool = False
    subscribed: bool = False
    queued: list[Request] | None = None
    waiting: list[Request] = field(default_factory=list)
    asked: deque[Request] = field(default_factory=deque)
    """What is not yet answered."""
    queues: tuple[Queue, Queue] = field(default_factory=lambda: (deque(), deque()))
    """What is on its way, there and back, in order."""
    busy_until: list[int] = field(default_factory=lambda: [0, 0])
    """There and back: nothing arrives before what was sent before it."""


class Network:
    """Each pair of ports has its own conditions, one for each direction."""

    def __init__(self, world: World, seed: int) -> None:
        self.cuts: set[tuple[int, int]] = set()
        """(from, to): nothing passes."""
        self.slow: dict[tuple[int, int], int] = {}
        """So many ms more, at most."""
        self.loss: dict[tuple[int, int], float] = {}
        self._parked: list[tuple[int, Callable[[], None]]] = []
        """What has come to a cut, and when: it is sent again every now and then, in vain until the cut is healed."""
        self._world = world
        self._rng = random.Random(f"network {seed}")

    def cut(self, some: Iterable[int], others: Iterable[int]) -> None:
        """In that direction only."""
        self.cuts |= {(one, other) for one in some for other in others if one != other}

    def heal(self) -> None:
        self.cuts.clear()
        self.slow.clear()
        self.loss.clear()
        parked, self._parked = self._parked, []
        for since, what in parked:
            self._world.later(RETRANSMIT_MS - (self._world.now - since) % RETRANSMIT_MS, what)

    def _park(self, what: Callable[[], None]) -> None:
        self._parked.append((self._world.now, what))

    def passes(self, one: int, other: int) -> bool:
        return (one, other) not in self.cuts

    def connected(self, one: int, other: int) -> bool:
        return self.passes(one, other) and self.passes(other, one)

    # -- connections -----------------------------------------------------------------------------------------

    def connect(self, wire: Wire) -> None:
        world, owner, port = self._world, wire.owner, wire.port
        target = world.everybody().get(port)
        if not self.connected(owner.port, port) or (target is not None and not target.powered):
            world.later(CONNECT_TIMEOUT_MS, lambda: self.lose(wire))
        else:
            self._through(wire, lambda: self._connected(wire))

    def _connected(self, wire: Wire) -> None:
        owner = wire.owner
        target = self._world.everybody().get(wire.port)
        if target is None or not target.alive:
            self.lose(wire)
            return
        target.incoming.append(wire)
        wire.up = True
        self._world.later(0, lambda: None if wire.closed else owner.handle(Connected(wire.number, HOST)), owner.port)
        for arguments in wire.waiting:
            self.send(wire, arguments)

    def lose(self, wire: Wire) -> None:
        """Its owner hears of it when it has time; until then it may go on to send, in vain."""
        if wire.closed:
            return
        wire.closed = True
        owner = wire.owner

        def tell() -> None:
            if owner.wires.pop(wire.number, None) is not None:
                owner.handle(Disconnected(wire.number, "Connection refused"))

        self._world.later(0, tell, owner.port)

    def hang_up(self, wire: Wire) -> None:
        """The other side says goodbye, which arrives as everything does."""
        if self.passes(wire.port, wire.owner.port):
            self.lose(wire)
        else:
            self._park(lambda: self.hang_up(wire))

    def send(self, wire: Wire, arguments: Request) -> None:
        if not wire.up:
            wire.waiting.append(arguments)
            return
        world = self._world

        def execute() -> None:
            target = world.everybody()[wire.port]
            if target.alive and not wire.closed:
                target.run(wire, arguments)

        wire.asked.append(arguments)
        self._through(wire, lambda: world.later(0, execute, wire.port))

    def answer(self, wire: Wire, reply: Reply) -> None:
        """A reply; what is said to a subscriber is one, too."""
        owner, world = wire.owner, self._world

        def hear() -> None:
            if not wire.closed:
                if wire.asked:
                    world.heard_reply(wire, wire.asked.popleft(), reply)
                owner.handle(Received(wire.number, reply))

        self._through(wire, lambda: world.later(0, hear, owner.port), back=True)

    # -- on the way ------------------------------------------------------------------------------------------

    def _through(self, wire: Wire, what: Callable[[], None], *, back: bool = False) -> None:
        """Do `what` when the bytes have arrived."""
        world, queue = self._world, wire.queues[back]
        way = (wire.port, wire.owner.port) if back else (wire.owner.port, wire.port)
        queue.append(what)

        def arrive() -> None:
            if wire.closed or not queue:
                return
            if way in self.cuts:
                self._park(arrive)
            else:
                queue.popleft()()

        delay_ms = LATENCY_MS + world.rng.randrange(LATENCY_MS)
        if way in self.slow or way in self.loss or wire.busy_until[back] > world.now + delay_ms:
            delay_ms = max(delay_ms + self._trouble(wire, way), wire.busy_until[back] - world.now)
            wire.busy_until[back] = world.now + delay_ms
        world.later(delay_ms, arrive)

    def _trouble(self, wire: Wire, way: tuple[int, int]) -> int:
        """For how much longer something is on its way."""
        slow = self.slow.get(way, 0)
        more_ms = self._rng.randint(slow // 2, slow)
        if way in self.loss and self._rng.random() < self.loss[way]:
            if self._rng.random() < RESETS:
                self._world.later(more_ms, lambda: self.lose(wire))
            more_ms += RETRANSMIT_MS << self._rng.randrange(LOST_AGAIN)
        return more_ms
