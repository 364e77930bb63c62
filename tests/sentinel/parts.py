"""What a world is made of: servers, and sentinels in a shell where all takes place at once but what takes time."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from cluster.config.redis_conf import parse_text
from cluster.sentinel import conf
from cluster.sentinel.core import SentinelCore
from cluster.sentinel.events import (
    Close,
    Connect,
    Crash,
    Effect,
    ErrorReply,
    Event,
    Greeted,
    NotSaved,
    Persist,
    Publish,
    Reply,
    RunScript,
    Saved,
    Send,
    Tick,
)
from cluster.sentinel.state import HELLO_CHANNEL, Primary, Settings, State
from tests.sentinel.wires import HOST as HOST  # what a test needs beside the name
from tests.sentinel.wires import Request, Wire

if TYPE_CHECKING:
    from tests.sentinel.world import World

NAME = "mymaster"


def only_addresses(host: str) -> str | None:
    return host if host.replace(".", "").isdigit() else None


class Observer:
    """Sees what servers and sentinels say and do, and nothing of how they come to it."""

    def on_start(self, who: SentinelProcess) -> None:
        """A sentinel begins, with what its file holds."""

    def on_tick(self, who: SentinelProcess, since_last_ms: int) -> None:
        """By the sentinel's own clock."""

    def on_told(self, who: SentinelProcess, effect: Publish) -> None:
        """An event, once all that stood before it is done."""

    def on_hello(self, who: SentinelProcess, text: str) -> None:
        """A hello that is sent."""

    def on_answer(self, who: SentinelProcess, asker: SentinelProcess, request: Request, down: bool, leader: str,
                  epoch: int) -> None:  # fmt: skip
        """What a sentinel answers another one's is-master-down-by-addr; `leader` is '' for nobody."""

    def on_reply(self, who: SentinelProcess, port: int, request: Request, reply: Reply) -> None:
        """A sentinel hears what another one, or a server, has answered."""

    def on_order(self, who: SentinelProcess, server: Server, port: int | None) -> None:
        """A server is made a replica of the one at `port`, or (None) a primary."""

    def on_forced(self, who: SentinelProcess, name: str) -> None:
        """An operator has begun a failover there."""


class Server:
    """A redis-server, as far as a sentinel can tell."""

    def __init__(self, world: World, port: int, follows: int | None, name: str = NAME) -> None:
        self.world = world
        self.port = port
        self.name = name
        self.follows = follows
        self.run_id = f"{port:040d}"
        self.alive = True
        self.powered = True
        self.frozen = False
        self.offset = 0
        self.priority = 100
        self.lies: dict[str, str] = {}
        """What its INFO says instead of the truth."""
        self.file_follows = follows  # what it would be after a restart
        self.incoming: list[Wire] = []
        self.loading = False
        self.linked_at: int | None = world.now
        """When it was last in step with a primary; None: never since it began."""
        self._synced_at = world.now

    @property
    def stands_still(self) -> bool:
        return self.frozen

    @property
    def link_up(self) -> bool:
        world = self.world
        primary = world.servers.get(self.follows or 0)
        if primary is None or not primary.alive or world.now < self._synced_at:
            return False
        return world.network.connected(self.port, primary.port)

    def start(self) -> None:
        world = self.world
        self.alive, self.follows, self.offset, self.linked_at = True, self.file_follows, 0, None
        self.run_id = f"{world.rng.getrandbits(128):040d}"[:40]
        self._sync()

    def _sync(self) -> None:
        world = self.world
        self._synced_at = world.now
        if world.sync_limit_ms:
            self._synced_at += world.rng.randrange(world.sync_limit_ms)

    def info(self) -> str:
        fields = {"run_id": self.run_id, "role": "master" if self.follows is None else "slave"}
        if self.follows is not None:
            up = self.link_up
            fields |= {
                "master_host": HOST, "master_port": str(self.follows), "master_link_status": "up" if up else "down",
            }  # fmt: skip
            if not up:
                down_s = -1 if self.linked_at is None else max(1, (self.world.now - self.linked_at) // 1000)
                fields["master_link_down_since_seconds"] = str(down_s)
            fields |= {"slave_repl_offset": str(self.offset), "slave_priority": str(self.priority)}
            fields |= {"replica_announced": "1"} | self.lies
        everybody = self.world.servers.values()
        replicas = [one for one in everybody if one.follows == self.port and one.alive and one.link_up]
        for number, one in enumerate(replicas):
            fields[f"slave{number}"] = f"ip={HOST},port={one.port},state=online,offset={one.offset},lag=0"
        fields["master_repl_offset"] = str(self.offset)
        return "".join(f"{name}:{value}\r\n" for name, value in fields.items())

    def run(self, wire: Wire, arguments: Request) -> None:
        self.world.network.answer(wire, self._run(wire, arguments))

    def _run(self, wire: Wire, arguments: Request) -> Reply:
        name = arguments[0].upper()
        if wire.queued is not None and name != "EXEC":
            wire.queued.append(arguments)
            return b"QUEUED"
        match name:
            case "PING":
                return ErrorReply("LOADING Redis is loading the dataset in memory") if self.loading else b"PONG"
            case "INFO":
                return self.info().encode()
            case "SUBSCRIBE":
                wire.subscribed = True
                return [b"subscribe", HELLO_CHANNEL, 1]
            case "PUBLISH":
                return self._publish(arguments[2])
            case "MULTI":
                wire.queued = []
                return b"OK"
            case "EXEC":
                queued, wire.queued = wire.queued or [], None
                return [self._run(wire, one) for one in queued]
            case "SLAVEOF":
                port = None if arguments[1] == "NO" else int(arguments[2])
                for observer in self.world.observers:
                    observer.on_order(wire.owner, self, port)
                self.follow(port)
                return b"OK"
            case "CONFIG":
                self.file_follows = self.follows
                return b"OK"
            case "CLIENT" if arguments[1] == "KILL":
                return 0
            case "AUTH" | "CLIENT":
                return b"OK"
        return ErrorReply(f"ERR unknown command '{name}'")

    def follow(self, port: int | None) -> None:
        self.world.record(self.port, f"follows {port}" if port else "is a primary")
        if port != self.follows:
            self._sync()
        self.follows = port

    def _publish(self, text: str) -> int:
        listeners = [wire for wire in self.incoming if wire.subscribed]
        for wire in listeners:
            self.world.network.answer(wire, [b"message", HELLO_CHANNEL, text.encode()])
        return len(listeners)


class SentinelProcess:
    """The core, and a shell in which everything takes place at once but what goes over the wire, or to a slow disk."""

    def __init__(self, world: World, port: int, text: str) -> None:
        self.world = world
        self.port = port
        self.text = text
        self.run_id = f"{port:040d}"
        self.alive = False
        self.powered = True
        self.frozen = False
        self.disk_full = False
        self.refused = False
        """Its disk did not take something, some time in its life."""
        self.disk_ms = 0
        """How long a write to disk takes, at most; the process waits for it."""
        self.clock_ahead_ms = 0
        self.wires: dict[int, Wire] = {}
        self.incoming: list[Wire] = []
        self.generation = 0
        self.scripts: list[tuple[str, ...]] = []
        self._writing: str | None = None
        self._ticked_ms = 0
        self.start()

    @property
    def stands_still(self) -> bool:
        return self.frozen or self._writing is not None

    @property
    def clock_ms(self) -> int:
        return self.world.now + self.clock_ahead_ms

    @property
    def primaries(self) -> dict[str, Primary]:
        return self.core.state.primaries

    def start(self) -> None:
        """Begin with what the file holds."""
        world = self.world
        self.alive, self.frozen = True, False
        self.generation += 1
        settings = Settings(port=self.port, announce_ip=HOST)
        self.core = SentinelCore(
            self.run_id, settings, random.Random(world.rng.random()), only_addresses, self.clock_ms
        )
        conf.read(self.core.state, [line for line in parse_text(self.text, "file") if line.name == "sentinel"])
        self._ticked_ms = self.clock_ms
        for observer in world.observers:
            observer.on_start(self)
        self.carry_out([Persist(), *self.core.start()])
        world.later(world.rng.randrange(100), lambda: self._tick(self.generation), self.port)

    def end(self) -> None:
        """What was being written may be on disk, or not."""
        if self._writing is not None and self.world.rng.random() < 0.5:
            self.text = self._writing
        self._writing = None
        for wire in self.wires.values():
            wire.closed = True
        self.wires.clear()

    def _tick(self, generation: int) -> None:
        if generation == self.generation and self.alive:
            since_ms, self._ticked_ms = self.clock_ms - self._ticked_ms, self.clock_ms
            for observer in self.world.observers:
                observer.on_tick(self, since_ms)
            self.handle(Tick())
            self.world.later(self.core.next_tick_ms(), lambda: self._tick(generation), self.port)

    def handle(self, event: Event) -> None:
        if self.alive:
            self.carry_out(self.core.step(self.clock_ms, event))

    def operate(self, operation: Callable[[State], None]) -> None:
        self.carry_out(self.core.operate(self.clock_ms, operation))

    # -- effects ---------------------------------------------------------------------------------------------

    def carry_out(self, effects: list[Effect], then: Callable[[bool], None] = lambda saved: None) -> None:
        """`then`: what is done when all is done, with whether all is on disk; never, if it dies before."""
        self._go_on(iter(effects), saved=True, then=then)

    def _go_on(self, effects: Iterator[Effect], *, saved: bool, then: Callable[[bool], None]) -> None:
        def go_on(*, written: bool) -> None:
            following = self.core.step(self.clock_ms, Saved() if written else NotSaved())
            self._go_on(chain(effects, following), saved=saved and written, then=then)

        for effect in effects:
            if not self.alive:
                return
            if not isinstance(effect, Persist):
                self._do(effect)
            elif self.disk_ms:
                self._write_slowly(lambda written: go_on(written=written))
                return
            else:
                go_on(written=self._save(conf.rewrite(self.text, list(conf.lines(self.core.state)))))
                return
        if self.alive:
            then(saved)

    def _check_epochs(self, arguments: tuple[str, ...]) -> None:
        """Nobody is told of an epoch that a restart would make us forget, or use again."""
        told = [0]
        if arguments[0] == "PUBLISH":
            parts = arguments[2].split(",")
            told = [int(parts[3]), int(parts[7])]
        elif arguments[1:2] == ("is-master-down-by-addr",) and arguments[5] == self.run_id:
            told = [int(arguments[4])]
        saved = re.search(r"^sentinel current-epoch (\d+)$", self.text, re.MULTILINE)
        assert saved is not None
        assert max(told) <= int(saved[1]), f"{self.port} has told {arguments} before it was on disk"

    def _write_slowly(self, then: Callable[[bool], None]) -> None:
        generation, text = self.generation, conf.rewrite(self.text, list(conf.lines(self.core.state)))
        self._writing = text

        def written() -> None:
            if self.generation == generation and self._writing is not None:
                self._writing = None
                then(self._save(text))
                if not self.stands_still:
                    self.world.release(self.port)

        self.world.later(self.world.rng.randint(1, self.disk_ms), written)

    def _save(self, text: str) -> bool:
        if self.disk_full:
            self.refused = True
            return False
        self.text = text
        return True

    def _do(self, effect: Effect) -> None:
        world = self.world
        match effect:
            case Connect():
                wire = self.wires[effect.connection] = Wire(effect.connection, self, effect.port)
                world.network.connect(wire)
            case Send():
                arguments = tuple(one.decode() if isinstance(one, bytes) else str(one) for one in effect.arguments)
                self._check_epochs(arguments)
                if arguments[0] == "PUBLISH":
                    for observer in world.observers:
                        observer.on_hello(self, arguments[2])
                world.network.send(self.wires[effect.connection], arguments)
            case Close():
                self.wires.pop(effect.connection).closed = True
            case Publish() if effect.level != "verbose":
                world.record(self.port, f"{effect.channel} {effect.text}")
                for observer in world.observers:
                    observer.on_told(self, effect)
            case RunScript():
                self.scripts.append((effect.path, *effect.arguments))
            case Crash():
                world.kill(self.port)

    # -- other sentinels -------------------------------------------------------------------------------------

    def run(self, wire: Wire, arguments: Request) -> None:
        """A command of another sentinel."""
        answer = self.world.network.answer
        match arguments[0].upper():
            case "PING":
                answer(wire, b"PONG")
            case "PUBLISH":
                self.carry_out(
                    self.core.step(self.clock_ms, Greeted(arguments[2])), lambda saved: answer(wire, 1)
                )
            case "SENTINEL":
                self._say_whether_down(wire, arguments)
            case _:
                answer(wire, b"OK")

    def _say_whether_down(self, wire: Wire, arguments: Request) -> None:
        _, _, ip, port, epoch, candidate = arguments
        down, leader, leader_epoch, effects = self.core.asked_whether_down(
            self.clock_ms, ip, int(port), int(epoch), candidate
        )

        def say(saved: bool) -> None:
            for_whom, since = (leader, leader_epoch) if saved else ("", 0)
            for observer in self.world.observers:
                observer.on_answer(self, wire.owner, arguments, down, for_whom, since)
            self.world.network.answer(wire, [int(down), (for_whom or "*").encode(), since])

        self.carry_out(effects, say)

    @property
    def primary(self) -> Primary:
        return self.primaries[NAME]

    @property
    def sees(self) -> int:
        """Where it sends clients."""
        return self.primary.current_address.port
