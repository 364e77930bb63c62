"""A cluster of bus cores under virtual time: one seed decides every delay, loss, cut and crash.

A node that crashed refuses connections; one that is cut off, stopped or without power is silent. What a core asked
to be persisted is what it restarts from; after a loss of power only what was to be durable.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from bus import events
from bus.core import TICK_MS, BusConfig, BusCore
from bus.election import MANUAL_TIMEOUT_MS
from bus.frames import LENGTH_BYTES, encode
from bus.messages import Data
from bus.state import random_id
from bus.view import SLOT_COUNT, ClusterView, NodeInfo, PersistentState, Ranges
from tests.simulation.network import Network
from tests.simulation.process import BUS_PORT, PORT, CoreProcess
from tests.virtual_time import Clock

WALL_OFFSET_MS = 1_700_000_000_000
SYNC_LIMIT_MS = 1_500
"""A replica is in step with its primary after less than that."""
WRITE_LIMIT = 10
"""A primary's offset grows by less than that in a tick."""


class Observer(Protocol):
    """Stands outside the system and looks on."""

    def on_effect(self, node: SimNode, event: events.Event | None, effect: events.Effect) -> None:
        """`effect` is about to be carried out; `event` is what it came of (None: the start)."""


class SimNode(CoreProcess):
    """A process of the simulation."""

    def __init__(self, sim: Simulation, index: int, config: BusConfig) -> None:
        super().__init__(sim.clock, sim.network, index, config)
        self.sim = sim
        self.synced_at: int | None = None
        self.forced_until = 0
        self.changed_at = 0
        """When its process last started, died, was stopped or went on."""
        self.shown: ClusterView | None = None
        """The view that its core showed last; to ask the core for one costs as much as a step."""
        self.paused_until = 0
        self.holds_clients = False
        self._sync_ends_at: int | None = None
        self.bytes_sent = 0

    @property
    def info(self) -> NodeInfo:
        """What the node thinks of itself."""
        return self.running.my_info

    @property
    def serves(self) -> bool:
        """Whether it would acknowledge a write now."""
        return self.running.view.state_ok and bool(self.info.slots) and not self.holds_clients

    @property
    def takes_replicas(self) -> bool:
        return not self.stopped and not self.following and self.running.settled

    # -- life ------------------------------------------------------------------------------------------------

    def start(self, *, load_ms: int | None = None, offset: int = 0) -> None:
        """`load_ms`: it needs that long for its data, which are those of that `offset` (0: none); otherwise it has all
        that it had, at once, and says nothing of it."""
        now, rng = self.sim.now, random.Random(self.sim.rng.random())
        self.changed_at = now
        self.powered, self.stopped = True, False
        self._held.clear()
        core = BusCore(self.config, rng, self.disk, now, WALL_OFFSET_MS + now, loading=load_ms is not None)
        self.core = core
        self.following = None
        self.paused_until = 0
        self.holds_clients = False
        self._sync_from_now()
        self.carry_out(None, self.core.start())
        self._tick_by(now + self.sim.rng.randrange(TICK_MS))
        if load_ms is None:
            return
        self.offset = offset

        def loaded() -> None:
            if self.core is core:
                data = self._data(None)
                self.step(events.Loaded(data if offset else replace(data, replid="", has_keys=False)))

        self.sim.clock.after(load_ms, loaded)

    def _data(self, age_ms: int | None) -> Data:
        """All that a shard ever wrote is one history here."""
        assert self.shown is not None
        return Data(self.shown.nodes[self.shown.my_id].shard_id, self.offset, age_ms, has_keys=self.offset > 0)

    def crash(self, *, power: bool = False) -> None:
        super().crash(power=power)
        self.changed_at = self.sim.now

    def resume(self, look: Callable[[], None] = lambda: None) -> None:
        """Go on after a stop: with what the kernel kept, and the clock's news before or after it. `look` is called
        after each of them."""
        if not self.stopped:
            return
        self.stopped = False
        self.changed_at = self.sim.now
        held, self._held = self._held, []
        tick: events.Event = events.Tick(WALL_OFFSET_MS + self.sim.now)
        for event in [tick, *held] if self.sim.rng.random() < 0.5 else [*held, tick]:
            self.step(event)
            look()

    def ask(self, event: events.OperatorEvent) -> str:
        """An operator's word; the answer, or "down"."""
        if self.core is None or self.stopped:
            return "down"
        if isinstance(event, events.Failover) and event.mode:
            self.forced_until = self.sim.now + MANUAL_TIMEOUT_MS + TICK_MS
        reply = next(effect for effect in self._step(event) if isinstance(effect, events.Reply))
        return reply.error or reply.text

    def _tick_by(self, when: int) -> None:
        core, when = self.core, max(when, self.sim.now + 1)
        self._tick_at = when

        def tick() -> None:
            if self.core is core and core is not None and self._tick_at == when:
                self._tick_at = self.sim.now + TICK_MS
                self.step(events.Tick(WALL_OFFSET_MS + self.sim.now))
                self._move_data()
                if self._tick_at == self.sim.now + TICK_MS:
                    self._tick_by(self._tick_at)

        self.sim.clock.at(when, tick)

    def _move_data(self) -> None:
        """A primary takes writes, a replica takes its primary's."""
        if self.stopped or self.core is None:
            return
        now = self.sim.now
        if self.following is None:
            if self.paused_until <= now and not self.holds_clients:
                written = self.sim.rng.randrange(WRITE_LIMIT)
                self.offset += written if self.running.settled else 0
            self.step(events.ReplicationOffset(self.offset))
            return
        primary = self.sim.by_id(self.following)
        if primary is None or not primary.takes_replicas or not self.sim.network.connected(self, primary):
            self._sync_ends_at, up = None, False
        else:
            if self._sync_ends_at is None:
                self._sync_ends_at = now + self.sim.sync_rng.randrange(SYNC_LIMIT_MS)
            up = now >= self._sync_ends_at
            if up:
                if primary.offset < self.offset:
                    self.sim.wiped.append(f"{now}: {self.index} had {self.offset}, and was given {primary.offset}")
                self.offset, self.synced_at = primary.offset, now
        if self.synced_at is None:
            self.step(events.ReplicationOffset(0, False, None, self._data(None)))
        else:
            age = now - self.synced_at
            self.step(events.ReplicationOffset(self.offset, up, age, self._data(age)))

    def _sync_from_now(self) -> None:
        """What this node holds is not known to be its primary's."""
        self.synced_at = self._sync_ends_at = None

    # -- effects ---------------------------------------------------------------------------------------------

    def carry_out(self, event: events.Event | None, effects: list[events.Effect]) -> None:
        for effect in effects:
            self.sim.observe(self, event, effect)
            if self.sim.counts_bytes and isinstance(effect, events.Send):
                self.bytes_sent += LENGTH_BYTES + len(encode(effect.message))
            self.save_and_send(effect)
            match effect:
                case events.ViewChanged():
                    self.shown = effect.view
                case events.FollowNode():
                    if effect.node_id != self.following:
                        self._sync_ends_at = None
                        if not effect.same_data:
                            self._sync_from_now()
                    self.following = effect.node_id
                case events.BecomePrimary():
                    self.following = None
                case events.PauseWrites():
                    self.paused_until = self.sim.now + effect.duration_ms
                    self.sim.clock.after(1, lambda: self._say_paused())
                case events.ResumeWrites():
                    self.paused_until = 0
                case events.HoldClients():
                    self.holds_clients = True
                case events.ReleaseClients():
                    self.holds_clients = False
                case events.Log():
                    self.sim.note(f"{self.index} {effect.text}")
                case _:
                    pass

    def _say_paused(self) -> None:
        self.step(events.Paused(self.offset))


class Simulation:
    """`nodes` empty nodes; `prepare` or `form` makes a cluster of them."""

    def __init__(self, seed: int, nodes: int, *, node_timeout_ms: int = 1_000, counts_bytes: bool = False) -> None:
        self.rng = random.Random(seed)
        self.sync_rng = random.Random(f"sync {seed}")
        self.clock = Clock()
        self.network = Network(self.clock, self.rng, node_timeout_ms // 2)
        self.observers: list[Observer] = []
        self.counts_bytes = counts_bytes
        self.history: list[str] = []
        self.wiped: list[str] = []  # replicas that took less from their primary than they had
        self.nodes = [
            SimNode(self, i, BusConfig(node_timeout_ms=node_timeout_ms, port=PORT, bus_port=BUS_PORT))
            for i in range(nodes)
        ]
        self.network.hosts.extend(self.nodes)

    @property
    def now(self) -> int:
        return self.clock.now

    def run(self, duration_ms: int) -> None:
        self.clock.run(duration_ms)

    def run_until(self, condition: Callable[[], bool], limit_ms: int) -> bool:
        return self.clock.run_until(condition, limit_ms)

    def note(self, text: str) -> None:
        self.history.append(f"{self.now:7d} {text}")

    def observe(self, node: SimNode, event: events.Event | None, effect: events.Effect) -> None:
        for observer in self.observers:
            observer.on_effect(node, event, effect)

    def by_id(self, node_id: str) -> SimNode | None:
        return next((node for node in self.nodes if node.core is not None and node.core.my_id == node_id), None)

    def living(self) -> list[SimNode]:
        return [node for node in self.nodes if node.core is not None and not node.stopped]

    # -- building --------------------------------------------------------------------------------------------

    def prepare(self, primaries: int) -> None:
        """Start all from the disks of a cluster that has been there: slots spread over the first nodes, the rest
        their replicas in turn."""
        ids = [random_id(self.rng) for _ in self.nodes]
        infos: dict[str, NodeInfo] = {}
        for i, node in enumerate(self.nodes):
            shard = i % primaries
            replica = i >= primaries
            infos[ids[i]] = NodeInfo(
                ids[i], node.ip, PORT, BUS_PORT, shard_id=ids[shard], role="replica" if replica else "primary",
                primary_id=ids[shard] if replica else None, config_epoch=0 if replica else i + 1,
                slots=() if replica else share(shard, primaries),
            )
        for node_id, node in zip(ids, self.nodes, strict=True):
            node.disk = node.durable_disk = PersistentState(
                node_id, infos, current_epoch=primaries, cluster_id=ids[0]
            )
            node.start()

    def form(self, primaries: int) -> None:
        """Make the cluster as redis-cli does: ADDSLOTS, MEET, REPLICATE."""
        for i, node in enumerate(self.nodes):
            node.start()
            node.ask(events.SetConfigEpoch(i + 1))
            if i < primaries:
                ((first, last),) = share(i, primaries)
                assert node.ask(events.AddSlots(tuple(range(first, last + 1)))) == "OK"
        for node in self.nodes[1:]:
            node.ask(events.Meet(self.nodes[0].ip, PORT, BUS_PORT))
        assert self.run_until(lambda: all(self._knows_all(node) for node in self.nodes), 60_000), self.tail()
        for i, node in enumerate(self.nodes[primaries:]):
            assert node.ask(events.Replicate(self.nodes[i % primaries].node_id)) == "OK"

    def _knows_all(self, node: SimNode) -> bool:
        nodes = node.running.view.nodes.values()
        return len(nodes) == len(self.nodes) and not any("handshake" in one.flags for one in nodes)

    def tail(self, lines: int = 40) -> str:
        """The end of the history."""
        return "\n".join(self.history[-lines:])


def share(index: int, parts: int) -> Ranges:
    """One of `parts` equal shares of the slots."""
    return ((index * SLOT_COUNT // parts, (index + 1) * SLOT_COUNT // parts - 1),)
