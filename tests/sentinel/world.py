"""A world of sentinels and servers with virtual time: the real core, servers that answer as far as it can tell.

Everything is decided by a seed. A connection behaves as TCP does: what is sent into a cut arrives when it is healed;
who dies closes its connections; who stands still answers later.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from cluster.sentinel import operators
from cluster.sentinel.events import (
    Connected,
    Disconnected,
    Publish,
    Received,
    Reply,
)
from cluster.sentinel.operators import Refused
from tests.sentinel.parts import HOST, NAME, SentinelProcess, Server, Wire

LATENCY_MS = 2
RETRANSMIT_MS = 200
REPLICATION_MS = 100
START_MS = 1_000_000


class World:
    def __init__(self, seed: int = 1) -> None:
        self.rng = random.Random(seed)
        self.now = START_MS
        self.servers: dict[int, Server] = {}
        self.sentinels: dict[int, SentinelProcess] = {}
        self.cuts: set[frozenset[int]] = set()
        self.records: list[tuple[int, int, str]] = []
        self.elected: dict[int, set[str]] = {}
        self.leaders: dict[int, set[str]] = {}
        """By epoch: who was elected to lead a failover; who leads one because an operator said so."""
        self.votes: dict[tuple[int, int], set[str]] = {}
        self._heap: list[tuple[int, int, int, Callable[[], None]]] = []
        self._held: list[tuple[int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.later(REPLICATION_MS, self._replicate)

    # -- what there is ---------------------------------------------------------------------------------------

    def server(self, port: int, follows: int | None = None) -> Server:
        self.servers[port] = Server(self, port, follows)
        return self.servers[port]

    def sentinel(self, port: int, *more: str, primary: int = 6379, quorum: int = 2) -> SentinelProcess:
        """`more`: lines of its file about the primary, such as ``parallel-syncs 2``."""
        lines = [f"sentinel monitor {NAME} {HOST} {primary} {quorum}"]
        given = {"down-after-milliseconds": "2000", "failover-timeout": "10000"}
        given |= dict(one.split(" ", 1) for one in more)
        lines += [f"sentinel {option} {NAME} {value}" for option, value in given.items()]
        text = "".join(f"{line}\n" for line in lines) + f"sentinel myid {port:040d}\n"
        self.sentinels[port] = SentinelProcess(self, port, text)
        return self.sentinels[port]

    def everybody(self) -> dict[int, Server | SentinelProcess]:
        return {**self.servers, **self.sentinels}

    # -- time ------------------------------------------------------------------------------------------------

    def later(self, after_ms: int, what: Callable[[], None], port: int | None = None) -> None:
        """`port`: by whom; it waits while that one stands still."""

        def run() -> None:
            who = self.everybody().get(port or 0)
            if port is not None and who is not None and who.frozen:
                self._held.append((port, what))
            else:
                what()

        heapq.heappush(self._heap, (self.now + after_ms, next(self._order), 0, run))

    def run(self, seconds: float) -> None:
        end = self.now + int(seconds * 1000)
        while self._heap and self._heap[0][0] <= end:
            self.now, _, _, what = heapq.heappop(self._heap)
            what()
        self.now = end

    def run_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Fails when the time is over before."""
        end = self.now + seconds * 1000
        while not condition():
            assert self.now < end, f"not within {seconds} s\n{self.story()}"
            self.run(0.1)

    def _replicate(self) -> None:
        for server in self.servers.values():
            if server.alive and not server.frozen and server.follows is None:
                server.offset += self.rng.randrange(100)
        for server in self.servers.values():
            if server.alive and not server.frozen and server.follows is not None and server.link_up:
                server.offset = self.servers[server.follows].offset
        self.later(REPLICATION_MS, self._replicate)

    # -- the wire --------------------------------------------------------------------------------------------

    def is_cut(self, one: int, other: int) -> bool:
        return frozenset((one, other)) in self.cuts

    def _through(self, wire: Wire, what: Callable[[], None], *, back: bool = False) -> None:
        """Do `what` when the bytes have arrived; a cut delays them."""
        queue = wire.queues[back]
        queue.append(what)

        def arrive() -> None:
            if wire.closed or not queue:
                return
            if self.is_cut(wire.owner.port, wire.port):
                self.later(RETRANSMIT_MS, arrive)
            else:
                queue.popleft()()

        self.later(LATENCY_MS + self.rng.randrange(LATENCY_MS), arrive)

    def connect(self, wire: Wire) -> None:
        owner, port = wire.owner, wire.port

        def arrive() -> None:
            target = self.everybody().get(port)
            if target is None or not target.alive:
                self._lose(wire)
                return
            (target.wires if isinstance(target, Server) else target.incoming).append(wire)
            wire.up = True
            self.later(0, lambda: None if wire.closed else owner.handle(Connected(wire.number, HOST)), owner.port)
            for arguments in wire.waiting:
                self.send(wire, arguments)

        if self.is_cut(owner.port, port):
            self.later(5000, lambda: None if wire.closed else self._lose(wire))
        else:
            self._through(wire, arrive)

    def _lose(self, wire: Wire) -> None:
        """Its owner hears of it when it has time; until then it may go on to send, in vain."""
        if wire.closed:
            return
        wire.closed = True
        owner = wire.owner

        def tell() -> None:
            if owner.wires.pop(wire.number, None) is not None:
                owner.handle(Disconnected(wire.number, "Connection refused"))

        self.later(0, tell, owner.port)

    def send(self, wire: Wire, arguments: tuple[str, ...]) -> None:
        if not wire.up:
            wire.waiting.append(arguments)
            return

        def arrive() -> None:
            self.later(0, execute, wire.port)

        def execute() -> None:
            target = self.everybody()[wire.port]
            if target.alive and not wire.closed:
                self.answer(wire.port, wire, target.run(wire, arguments))

        self._through(wire, arrive)

    def answer(self, _port: int, wire: Wire, reply: Reply) -> None:
        owner = wire.owner

        def arrive() -> None:
            self.later(0, lambda: None if wire.closed else owner.handle(Received(wire.number, reply)), owner.port)

        self._through(wire, arrive, back=True)

    # -- what befalls them -----------------------------------------------------------------------------------

    def kill(self, port: int) -> None:
        who = self.everybody()[port]
        who.alive, who.frozen = False, False
        self._held = [(owner, what) for owner, what in self._held if owner != port]
        if isinstance(who, Server):
            wires, who.wires = who.wires, []
        else:
            wires, who.incoming = who.incoming, []
            for wire in who.wires.values():
                wire.closed = True
            who.wires.clear()
        for wire in wires:
            self.later(LATENCY_MS, lambda wire=wire: self._lose(wire))  # type: ignore[misc]

    def start(self, port: int) -> None:
        who = self.everybody()[port]
        if isinstance(who, Server):
            who.alive, who.follows, who.offset = True, who.file_follows, 0
            who.run_id = f"{self.rng.getrandbits(128):040d}"[:40]
        else:
            who.start()

    def force_failover(self, port: int) -> None:
        """SENTINEL FAILOVER, which may be refused."""
        with suppress(Refused):
            self.sentinels[port].operate(partial(operators.fail_over, name=NAME))

    def freeze(self, port: int) -> None:
        self.everybody()[port].frozen = True

    def thaw(self, port: int) -> None:
        self.everybody()[port].frozen = False
        held, self._held = self._held, []
        for owner, what in held:
            if owner == port:
                what()
            else:
                self._held.append((owner, what))

    def cut(self, some: list[int], others: list[int]) -> None:
        self.cuts |= {frozenset((one, other)) for one in some for other in others if one != other}

    def heal(self) -> None:
        self.cuts.clear()

    # -- what is seen ----------------------------------------------------------------------------------------

    def record(self, port: int, text: str) -> None:
        self.records.append((self.now, port, text))

    def vote(self, voter: SentinelProcess, leader: str, epoch: int) -> None:
        self.votes.setdefault((voter.port, epoch), set()).add(leader)

    def told(self, who: SentinelProcess, effect: Publish) -> None:
        if effect.channel == "+elected-leader":
            leads = self.leaders if who.primary.forced else self.elected
            leads.setdefault(who.primary.failover_epoch, set()).add(who.run_id)

    def story(self, *ports: int) -> str:
        """What was recorded, a line each; sentinels are called by their ports."""
        lines = []
        for _, port, text in self.records:
            if not ports or port in ports:
                for sentinel in self.sentinels.values():
                    text = text.replace(sentinel.run_id, f"<{sentinel.port}>")
                lines.append(f"{port} {text}")
        return "\n".join(lines)

    def heard(self, port: int, event: str) -> int:
        """How often a sentinel has told an event."""
        return sum(1 for _, who, text in self.records if who == port and text.split(" ")[0] == event)

    def agreed(self) -> bool:
        """All sentinels that run send clients to one primary, which is one, and whom all other servers follow."""
        seen = {one.sees for one in self.sentinels.values() if one.alive}
        if len(seen) != 1:
            return False
        primary = self.servers[seen.pop()]
        others = [one for one in self.servers.values() if one is not primary and one.alive]
        return primary.alive and primary.follows is None and all(one.follows == primary.port for one in others)


def usual(seed: int = 1, *more: str, quorum: int = 2, replicas: int = 2, sentinels: int = 3) -> World:
    """A primary at 6379, its replicas, sentinels from 5000 on, and time for them to find each other."""
    world = World(seed)
    world.server(6379)
    for number in range(replicas):
        world.server(6380 + number, 6379)
    for number in range(sentinels):
        world.sentinel(5000 + number, *more, quorum=quorum)
    world.run(6)
    return world

