"""A world of sentinels and servers with virtual time: the real core, servers that answer as far as it can tell.

Everything is decided by a seed. A connection behaves as TCP does (tests/sentinel/wires.py); who stands still answers
later.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from cluster.sentinel import operators
from cluster.sentinel.events import Reply
from cluster.sentinel.operators import Refused
from cluster.sentinel.state import State
from tests.sentinel.parts import NAME, Observer, SentinelProcess, Server
from tests.sentinel.wires import HOST, LATENCY_MS, Network, Request, Wire
from tests.virtual_time import Clock

REPLICATION_MS = 100
START_MS = 1_000_000


class World:
    def __init__(self, seed: int = 1) -> None:
        self.rng = random.Random(seed)
        self.clock = Clock(START_MS)
        self.network = Network(self, seed)
        self.servers: dict[int, Server] = {}
        self.sentinels: dict[int, SentinelProcess] = {}
        self.records: list[tuple[int, int, str]] = []
        """When, who (by port; 0: what befalls the world), what."""
        self.observers: list[Observer] = []
        self.sync_limit_ms = 0
        """A replica needs up to so long until it is in step with another primary."""
        self._everybody: dict[int, Server | SentinelProcess] = {}
        self._held: list[tuple[int, Callable[[], None]]] = []
        self.later(REPLICATION_MS, self._replicate)

    # -- what there is ---------------------------------------------------------------------------------------

    def server(self, port: int, follows: int | None = None, name: str = NAME) -> Server:
        """`name`: of the primary whose data it has."""
        self._everybody[port] = self.servers[port] = Server(self, port, follows, name)
        return self.servers[port]

    def sentinel(
        self, port: int, *more: str, primary: int = 6379, quorum: int = 2, watched: Mapping[str, int] | None = None
    ) -> SentinelProcess:
        """`more`: lines of its file about the primaries, such as ``parallel-syncs 2``. `watched`: these instead of the
        usual one, names and ports."""
        given = {"down-after-milliseconds": "2000", "failover-timeout": "10000"}
        given |= dict(one.split(" ", 1) for one in more)
        lines = []
        for name, of_primary in (watched or {NAME: primary}).items():
            lines.append(f"sentinel monitor {name} {HOST} {of_primary} {quorum}")
            lines += [f"sentinel {option} {name} {value}" for option, value in given.items()]
        text = "".join(f"{line}\n" for line in lines) + f"sentinel myid {port:040d}\n"
        self._everybody[port] = self.sentinels[port] = SentinelProcess(self, port, text)
        return self.sentinels[port]

    def everybody(self) -> dict[int, Server | SentinelProcess]:
        return self._everybody

    # -- time ------------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        return self.clock.now

    def later(self, after_ms: int, what: Callable[[], None], port: int | None = None) -> None:
        """`port`: by whom; it waits while that one stands still."""
        clock = self.clock
        if port is None:
            clock.at(clock.now + after_ms, what)
            return

        def run() -> None:
            who = self._everybody.get(port)
            if who is not None and who.stands_still:
                self._held.append((port, what))
            else:
                what()

        clock.at(clock.now + after_ms, run)

    def run(self, seconds: float) -> None:
        self.clock.run(int(seconds * 1000))

    def run_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Fails when the time is over before."""
        assert self.clock.run_until(condition, int(seconds * 1000)), f"not within {seconds} s\n{self.story()}"

    def _replicate(self) -> None:
        for server in self.servers.values():
            if server.alive and not server.frozen and server.follows is None:
                server.offset += self.rng.randrange(100)
        for server in self.servers.values():
            if server.alive and not server.frozen and server.follows is not None and server.link_up:
                server.offset = self.servers[server.follows].offset
                server.linked_at = self.now
        self.later(REPLICATION_MS, self._replicate)

    # -- what befalls them -----------------------------------------------------------------------------------

    def kill(self, port: int, *, power: bool = False) -> None:
        """`power`: its host dies with it, and nobody says goodbye."""
        who = self._everybody[port]
        if isinstance(who, SentinelProcess):
            who.end()
        who.alive, who.frozen, who.powered = False, False, not power
        self._held = [(owner, what) for owner, what in self._held if owner != port]
        if not power:
            self._drop(who)

    def _drop(self, who: Server | SentinelProcess) -> None:
        wires, who.incoming = who.incoming, []
        for wire in wires:
            self.later(LATENCY_MS, partial(self.network.hang_up, wire))

    def start(self, port: int) -> None:
        who = self._everybody[port]
        if not who.powered:
            self._drop(who)  # whoever goes on to talk to the one of before is told that it is gone
        who.powered = True
        who.start()

    def freeze(self, port: int) -> None:
        self._everybody[port].frozen = True

    def thaw(self, port: int) -> None:
        self._everybody[port].frozen = False
        self.release(port)

    def release(self, port: int) -> None:
        """It goes on with what has waited for it, as long as it does not stand still again."""
        who = self._everybody[port]
        waiting = [what for owner, what in self._held if owner == port]
        self._held = [(owner, what) for owner, what in self._held if owner != port]
        while waiting and not who.stands_still:
            waiting.pop(0)()
        self._held = [(port, what) for what in waiting] + self._held

    def cut(self, some: list[int], others: list[int]) -> None:
        self.network.cut(some, others)
        self.network.cut(others, some)

    def heal(self) -> None:
        self.network.heal()

    def operate(self, port: int, operation: Callable[[State], None]) -> bool:
        """An operator's command, which may be refused."""
        with suppress(Refused):
            self.sentinels[port].operate(operation)
            return True
        return False

    def force_failover(self, port: int, name: str = NAME) -> bool:
        """SENTINEL FAILOVER."""
        sentinel = self.sentinels[port]

        def order(state: State) -> None:
            operators.fail_over(state, name)
            for observer in self.observers:
                observer.on_forced(sentinel, name)

        return self.operate(port, order)

    # -- what is seen ----------------------------------------------------------------------------------------

    def record(self, port: int, text: str) -> None:
        self.records.append((self.now, port, text))

    def note(self, text: str) -> None:
        """What befalls the world."""
        self.record(0, text)

    def heard_reply(self, wire: Wire, request: Request, reply: Reply) -> None:
        for observer in self.observers:
            observer.on_reply(wire.owner, wire.port, request, reply)

    def _named(self, text: str) -> str:
        for sentinel in self.sentinels.values():
            text = text.replace(sentinel.run_id, f"<{sentinel.port}>")
        return text

    def story(self, *ports: int) -> str:
        """What was recorded, a line each; sentinels are called by their ports."""
        return "\n".join(f"{port} {self._named(text)}" for _, port, text in self.records if not ports or port in ports)

    def history(self) -> list[str]:
        """The same with the times, in ms from the start."""
        return [f"{at - START_MS:7d} {port or '----'} {self._named(text)}" for at, port, text in self.records]

    def heard(self, port: int, event: str) -> int:
        """How often a sentinel has told an event."""
        return sum(1 for _, who, text in self.records if who == port and text.split(" ")[0] == event)


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
