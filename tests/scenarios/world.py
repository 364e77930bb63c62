"""The world of the scenarios: bus cores under virtual time, in which nothing is left to chance.

Every message takes a millisecond, every node has its own moment of each tenth of a second, and data go from a primary
to those who follow it with each tick of theirs. So a script leads to the same story, whatever is drawn elsewhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from bus import events
from bus.core import TICK_MS, BusConfig, BusCore
from bus.messages import Data
from bus.view import SLOT_COUNT, NodeInfo, PersistentState
from tests.scenarios.story import Names, effect_in_words, first_id, in_words
from tests.simulation.network import Network
from tests.simulation.process import BUS_PORT, PORT, CoreProcess
from tests.virtual_time import Clock

NODE_TIMEOUT_MS = 2_000
WALL_MS = 1_700_000_000_000
TICK_OFFSET_MS = 7
"""Between the ticks of one node and the next."""
CONNECT_TIMEOUT_MS = 1_000


class Process(CoreProcess):
    """A node of a scenario. Of its data there is as much as the bus cares for: how many writes it has taken."""

    def __init__(self, world: World, index: int, name: str) -> None:
        config = BusConfig(node_timeout_ms=NODE_TIMEOUT_MS, port=PORT, bus_port=BUS_PORT)
        super().__init__(world.clock, world.network, index, config)
        self.world = world
        self.name = name
        self.in_step_at: int | None = None

    @property
    def serves(self) -> bool:
        """Whether it takes writes."""
        view = self.running.view
        return view.state_ok and view.nodes[view.my_id].role == "primary" and bool(view.nodes[view.my_id].slots)

    # -- life ------------------------------------------------------------------------------------------------

    def start(self, *, with_data: bool = True) -> None:
        now = self.world.clock.now
        state = self.disk
        if state is None:
            node_id = self.world.names.new_id(self.name)
            state = PersistentState(node_id, {node_id: NodeInfo(node_id, "", PORT, BUS_PORT, shard_id=node_id)})
        rng = random.Random(f"{self.name} {now}")
        self.core = BusCore(self.config, rng, state, now, WALL_MS + now, loading=True)
        self.powered, self.stopped = True, False
        self.following = self.in_step_at = None
        self._held.clear()
        if not with_data:
            self.offset = 0
        self.carry_out(None, self.core.start())
        self.step(events.Loaded(self._data(0 if self.offset else None)))
        self._tick_by(now - now % TICK_MS + TICK_MS + self.index * TICK_OFFSET_MS)

    def _data(self, age_ms: int | None) -> Data:
        """All that a shard ever wrote is one history here."""
        view = self.running.view
        history = view.nodes[view.my_id].shard_id if self.offset else ""
        return Data(history, self.offset, age_ms, has_keys=self.offset > 0)

    def resume(self) -> None:
        self.stopped = False
        waiting, self._held = self._held, []
        for event in [events.Tick(WALL_MS + self.world.clock.now), *waiting]:
            self.step(event)
        self._tick_by(self.world.clock.now + TICK_MS)

    def ask(self, event: events.OperatorEvent) -> str:
        (reply,) = [effect for effect in self._step(event) if isinstance(effect, events.Reply)]
        return reply.error or reply.text

    def _tick_by(self, when: int) -> None:
        core, self._tick_at = self.core, when

        def tick() -> None:
            if self.core is not core or self._tick_at != when or self.stopped:
                return
            self._tick_at = when + TICK_MS
            self.step(events.Tick(WALL_MS + when))
            self._move_data()
            if self._tick_at == when + TICK_MS:
                self._tick_by(self._tick_at)

        self.world.clock.at(when, tick)

    def _move_data(self) -> None:
        if self.following is None:
            self.step(events.ReplicationOffset(self.offset))
            return
        primary, now = self.world.by_id(self.following), self.world.clock.now
        up = primary is not None and primary.gives_data_to(self)
        if primary is not None and up:
            if primary.offset < self.offset:
                self.world.tell(f"{self.name}: had {self.offset} writes, and is given {primary.offset}")
            self.offset, self.in_step_at = primary.offset, now
        age = None if self.in_step_at is None else now - self.in_step_at
        offset = 0 if age is None else self.offset
        self.step(events.ReplicationOffset(offset, up, age, self._data(age)))

    def gives_data_to(self, other: Process) -> bool:
        if self.core is None or self.stopped or self.following is not None:
            return False
        return self.core.view.settled and self.world.network.connected(self, other)

    # -- effects ---------------------------------------------------------------------------------------------

    def carry_out(self, event: events.Event | None, effects: list[events.Effect]) -> None:
        world = self.world
        world.names.add(self.node_id, self.name)
        self._tell(effects)
        for effect in effects:
            self.save_and_send(effect)
            match effect:
                case events.FollowNode():
                    if effect.node_id != self.following and not effect.same_data:
                        self.in_step_at = None
                    self.following = effect.node_id
                case events.BecomePrimary():
                    self.following = None
                case events.FlushData():
                    self.offset = 0
                case events.PauseWrites():
                    world.clock.after(1, lambda: self.step(events.Paused(self.offset)))
                case _:
                    pass

    def _tell(self, effects: list[events.Effect]) -> None:
        """A message that goes to several is told once."""
        lines: dict[str, list[str]] = {}
        for effect in effects:
            if isinstance(effect, events.Send):
                words = in_words(effect.message)
                receiver = self.world.network.other_side(self, effect.link_id) if words else None
                if receiver is not None:
                    lines.setdefault(words, []).append(self.world.processes_by_index[receiver.index].name)
            elif words := effect_in_words(effect):
                lines[words] = []
        for words, receivers in lines.items():
            self.world.tell(f"{self.name} → {' '.join(receivers)}: {words}" if receivers else f"{self.name}: {words}")


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.network = Network(self.clock, random.Random(1), CONNECT_TIMEOUT_MS)
        self.network.max_delay = 1
        self.names = Names()
        self.processes: dict[str, Process] = {}
        self.story: list[str] = []
        self.since = 0
        """Times are told from then on."""

    @property
    def processes_by_index(self) -> list[Process]:
        return list(self.processes.values())

    def tell(self, text: str) -> None:
        self.story.append(f"{(self.clock.now - self.since) / 1000:6.2f} {self.names.put_into(text)}")

    def by_id(self, node_id: str) -> Process | None:
        return next((one for one in self.living() if one.core is not None and one.node_id == node_id), None)

    def living(self) -> list[Process]:
        return [one for one in self.processes.values() if one.core is not None and not one.stopped]

    def add(self, name: str) -> Process:
        process = Process(self, len(self.processes), name)
        self.processes[name] = process
        self.network.hosts.append(process)
        return process

    def move(self, process: Process, ip: str) -> None:
        """To an address that is that process's alone from now on."""
        for other in self.processes.values():
            if other.ip == ip:
                other.ip = ""
        process.ip = ip

    def cluster(self, shards: list[list[str]]) -> None:
        """Start a cluster that has been there: the first of each shard is its primary, the others its replicas."""
        infos = {}
        for number, (primary, *replicas) in enumerate(shards):
            slots = number * SLOT_COUNT // len(shards), (number + 1) * SLOT_COUNT // len(shards) - 1
            head = NodeInfo(
                first_id(primary), self.add(primary).ip, PORT, BUS_PORT, shard_id=first_id(primary),
                config_epoch=number + 1, slots=(slots,),
            )
            infos[head.node_id] = head
            for name in replicas:
                infos[first_id(name)] = replace(
                    head, node_id=first_id(name), ip=self.add(name).ip, role="replica", primary_id=head.node_id,
                    config_epoch=0, slots=(),
                )
        names = [name for shard in shards for name in shard]
        for name in names:
            process = self.processes[name]
            process.disk = process.durable_disk = PersistentState(
                first_id(name), infos, current_epoch=len(shards), cluster_id=first_id(shards[0][0])
            )
            process.start()

    def run_until(self, condition: Callable[[], bool], limit_ms: int) -> bool:
        return self.clock.run_until(condition, limit_ms, period_ms=TICK_MS)
