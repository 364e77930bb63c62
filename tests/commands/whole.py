"""A server with all its parts in place (replication, persistence, the core of the bus), none of them running.

Still no socket and no process: what the bus would send is only noted. The clock is moved by hand, as it is for
`InProcessNode`, and what the process was asked for (`crashed`, `shutdowns`, …) can be looked at.
"""

from __future__ import annotations

import random
from pathlib import Path

from bus import events
from bus.core import BusCore
from bus.nodes_conf import parse_state
from bus.transport import LinkFacts
from cluster.bus_bridge import BusBridge, bus_config
from cluster.errors import CommandError
from cluster.network.session import Session
from cluster.persistence.snapshot import Persistence
from cluster.reconfigure import follow_rights, provide_files
from cluster.replication.role import Replication
from cluster.server import Server
from tests.commands.in_process import START_MS, InProcessNode

LONG_ENOUGH_MS = 5_000
"""A primary waits less than that before it serves."""


class CoreBridge(BusBridge):
    """The bridge with a core, and without a transport: `sent` holds the effects that are the transport's."""

    def __init__(self, server: Server, seed: int, nodes_conf: str) -> None:
        super().__init__(server, random.Random(seed))
        self.sent: list[events.Effect] = []
        self.facts: list[LinkFacts] = []
        self.dropped_kind: int | None = None
        self.killed: list[tuple[str, str]] = []
        now = server.clock_ms()
        self._core = BusCore(bus_config(server), self._rng, parse_state(nodes_conf), now - START_MS, now)
        self._sort(self._core.start())

    def _sort(self, effects: list[events.Effect]) -> list[events.Effect]:
        for effect in effects:
            if isinstance(effect, (events.Send, events.Connect, events.CloseLink, events.Persist)):
                self.sent.append(effect)
            else:
                self._hand_over(effect)
                self._thread.follow_up()
        return effects

    def report_offset(self) -> None:
        """A test says itself what the bus hears of the offset."""

    def step(self, event: events.Event) -> list[events.Effect]:
        return self._sort(self._core.step(self._server.clock_ms() - START_MS, event))

    def ask(self, event: events.OperatorEvent) -> str:
        for effect in self.step(event):
            if isinstance(effect, events.Reply):
                if effect.error is not None:
                    raise CommandError(effect.error)
                return effect.text
        raise AssertionError("the core did not answer")

    def _post(self, event: events.Event) -> None:
        self.step(event)

    def _say(self, event: events.Event) -> None:
        self.step(event)

    def configure(self) -> None:
        self.step(events.ConfigChanged(bus_config(self._server)))

    def check_stall(self, now_ms: int) -> None:
        pass

    def links(self) -> list[LinkFacts]:
        return self.facts

    @property
    def links_over_limit(self) -> int:
        return 0

    def drop_kind(self, packet_type: int) -> None:
        self.dropped_kind = packet_type

    def kill_links(self, direction: str, node_id: str) -> None:
        self.killed.append((direction, node_id))


class WholeNode(InProcessNode):
    """`directory` is the node's `dir`, where its snapshot goes; `nodes_conf` what the bus knew."""

    def __init__(self, directory: Path, *directives: tuple[str, str], seed: int = 1, nodes_conf: str = "") -> None:
        super().__init__(("dir", str(directory)), ("enable-debug-command", "yes"), *directives, seed=seed)
        server = self.server
        server.replication = Replication(server)
        server.persistence = Persistence(server)
        self.hung_up: list[Session] = []
        self.crashed = False
        self.stalled_seconds = 0.0
        self.shutdowns: list[frozenset[str]] = []
        self.purged = False
        shell = server.shell
        shell.hang_up = self._hang_up
        shell.crash = self._crash
        shell.stall = self._stall
        shell.purge_memory = self._purge
        shell.request_shutdown = self.shutdowns.append
        provide_files(server)
        follow_rights(server)
        shell.clock_us = lambda: self.now_ms * 1000
        self.bus = CoreBridge(server, seed, nodes_conf) if server.cluster_enabled else None

    def _hang_up(self, session: Session) -> None:
        self.hung_up.append(session)
        self.server.disconnect(session)

    def _crash(self) -> None:
        self.crashed = True

    def _stall(self, seconds: float) -> None:
        self.stalled_seconds += seconds

    def _purge(self) -> None:
        self.purged = True

    @property
    def core_bridge(self) -> CoreBridge:
        assert self.bus is not None
        return self.bus

    def tick(self, milliseconds: int = 0) -> None:
        """Let time pass, and the bus notice."""
        self.advance(milliseconds)
        assert self.bus is not None
        self.bus.step(events.Tick(self.now_ms))

    def serve_all(self) -> WholeNode:
        """Take every slot, and wait until this node dares to serve them."""
        assert self("CLUSTER", "ADDSLOTSRANGE", 0, 16383) == b"OK"
        self.tick(LONG_ENOUGH_MS)
        return self
