"""What a world is made of: servers, sentinels in a shell where all takes place at once, and the wires between."""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
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

if TYPE_CHECKING:
    from tests.sentinel.world import World

HOST = "127.0.0.1"
NAME = "mymaster"
Queue = deque[Callable[[], None]]


def only_addresses(host: str) -> str | None:
    return host if host.replace(".", "").isdigit() else None


@dataclass(eq=False)
class Wire:
    """A connection from a sentinel to whoever listens at a port."""

    number: int
    owner: SentinelProcess
    port: int
    up: bool = False
    closed: bool = False
    subscribed: bool = False
    queued: list[tuple[str, ...]] | None = None
    waiting: list[tuple[str, ...]] = field(default_factory=list)
    queues: tuple[Queue, Queue] = field(default_factory=lambda: (deque(), deque()))
    """What is on its way, there and back, in order."""


class Server:
    """A redis-server, as far as a sentinel can tell."""

    def __init__(self, world: World, port: int, follows: int | None) -> None:
        self.world = world
        self.port = port
        self.follows = follows
        self.run_id = f"{port:040d}"
        self.alive = True
        self.frozen = False
        self.offset = 0
        self.priority = 100
        self.file_follows = follows  # what it would be after a restart
        self.wires: list[Wire] = []
        self.loading = False

    @property
    def link_up(self) -> bool:
        primary = self.world.servers.get(self.follows or 0)
        return primary is not None and primary.alive and not self.world.is_cut(self.port, primary.port)

    def info(self) -> str:
        lines = [f"run_id:{self.run_id}"]
        if self.follows is None:
            lines.append("role:master")
            everybody = self.world.servers.values()
            replicas = [one for one in everybody if one.alive and one.follows == self.port and one.link_up]
            lines += [
                f"slave{number}:ip={HOST},port={one.port},state=online,offset={one.offset},lag=0"
                for number, one in enumerate(replicas)
            ]
            lines.append(f"master_repl_offset:{self.offset}")
        else:
            lines += [
                "role:slave", f"master_host:{HOST}", f"master_port:{self.follows}",
                f"master_link_status:{'up' if self.link_up else 'down'}",
            ]
            if not self.link_up:
                lines.append("master_link_down_since_seconds:1")
            lines += [f"slave_repl_offset:{self.offset}", f"slave_priority:{self.priority}", "replica_announced:1"]
        return "\r\n".join(lines) + "\r\n"

    def run(self, wire: Wire, arguments: tuple[str, ...]) -> Reply:
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
                return [self.run(wire, one) for one in queued]
            case "SLAVEOF":
                self.follow(None if arguments[1] == "NO" else int(arguments[2]))
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
        self.follows = port

    def _publish(self, text: str) -> int:
        listeners = [wire for wire in self.wires if wire.subscribed]
        for wire in listeners:
            self.world.answer(self.port, wire, [b"message", HELLO_CHANNEL, text.encode()])
        return len(listeners)


class SentinelProcess:
    """The core, and a shell in which everything takes place at once but what goes over the wire."""

    def __init__(self, world: World, port: int, text: str) -> None:
        self.world = world
        self.port = port
        self.text = text
        self.run_id = f"{port:040d}"
        self.alive = False
        self.frozen = False
        self.disk_full = False
        self.wires: dict[int, Wire] = {}
        self.incoming: list[Wire] = []
        self.generation = 0
        self.scripts: list[tuple[str, ...]] = []
        self.start()

    def start(self) -> None:
        """Begin with what the file holds."""
        world = self.world
        self.alive, self.frozen = True, False
        self.generation += 1
        settings = Settings(port=self.port, announce_ip=HOST)
        self.core = SentinelCore(
            self.run_id, settings, random.Random(world.rng.random()), only_addresses, world.now
        )
        conf.read(self.core.state, [line for line in parse_text(self.text, "file") if line.name == "sentinel"])
        self.carry_out([Persist(), *self.core.start()])
        world.later(world.rng.randrange(100), lambda: self._tick(self.generation), self.port)

    def _tick(self, generation: int) -> None:
        if generation == self.generation and self.alive:
            self.handle(Tick())
            self.world.later(self.core.next_tick_ms(), lambda: self._tick(generation), self.port)

    def handle(self, event: Event) -> None:
        if self.alive:
            self.carry_out(self.core.step(self.world.now, event))

    def operate(self, operation: Callable[[State], None]) -> None:
        self.carry_out(self.core.operate(self.world.now, operation))

    def carry_out(self, effects: list[Effect]) -> bool:
        saved = True
        afterwards: list[Effect] = []
        world = self.world
        for effect in effects:
            if not self.alive:
                return False
            match effect:
                case Persist():
                    saved = self._save()
                    afterwards = self.core.step(world.now, Saved() if saved else NotSaved())
                case Connect():
                    wire = self.wires[effect.connection] = Wire(effect.connection, self, effect.port)
                    world.connect(wire)
                case Send():
                    arguments = tuple(
                        one.decode() if isinstance(one, bytes) else str(one) for one in effect.arguments
                    )
                    self._check_epochs(arguments)
                    world.send(self.wires[effect.connection], arguments)
                case Close():
                    wire = self.wires.pop(effect.connection)
                    wire.closed = True
                case Publish() if effect.level != "verbose":
                    world.record(self.port, f"{effect.channel} {effect.text}")
                    world.told(self, effect)
                case RunScript():
                    self.scripts.append((effect.path, *effect.arguments))
                case Crash():
                    world.kill(self.port)
        return (not afterwards or self.carry_out(afterwards)) and saved

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

    def _save(self) -> bool:
        if self.disk_full:
            return False
        self.text = conf.rewrite(self.text, list(conf.lines(self.core.state)))
        return True

    def run(self, _wire: Wire, arguments: tuple[str, ...]) -> Reply:
        """A command of another sentinel."""
        match arguments[0].upper():
            case "PING":
                return b"PONG"
            case "PUBLISH":
                self.handle(Greeted(arguments[2]))
                return 1
            case "SENTINEL":
                _, _, ip, port, epoch, candidate = arguments
                down, leader, leader_epoch, effects = self.core.asked_whether_down(
                    self.world.now, ip, int(port), int(epoch), candidate
                )
                if not self.carry_out(effects):
                    leader, leader_epoch = "", 0
                if leader:
                    self.world.vote(self, leader, leader_epoch)
                return [int(down), (leader or "*").encode(), leader_epoch]
        return b"OK"

    @property
    def primary(self) -> Primary:
        return self.core.state.primaries[NAME]

    @property
    def sees(self) -> int:
        """Where it sends clients."""
        return self.primary.current_address.port
