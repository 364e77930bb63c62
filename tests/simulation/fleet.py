"""Very many nodes in one process: the simulator's cores under virtual time, with as little around them as can be.

Each message takes a millisecond, nothing is lost, nobody writes data; a node may die, so that its connections are
refused, or fall silent. A thousand nodes have a million links: they are numbers here, and no objects.
"""

from __future__ import annotations

import heapq
import random
import time
from collections import Counter
from collections.abc import Callable
from itertools import count

from bus import events
from bus.core import TICK_MS, BusConfig, BusCore
from bus.frames import LENGTH_BYTES, encode
from bus.messages import Message
from bus.state import kind_name, random_id
from bus.view import ClusterView, NodeInfo, PersistentState
from tests.simulation.process import BUS_PORT, PORT
from tests.simulation.simulator import WALL_OFFSET_MS, share

DELAY_MS = 1


class Fleet:
    """`nodes` nodes of a cluster that has been there, half of them primaries, and `spare` ones that know nobody."""

    def __init__(self, nodes: int, *, spare: int = 0, node_timeout_ms: int = 15_000, seed: int = 1) -> None:
        self.rng = random.Random(seed)
        self.size = nodes
        self.node_timeout_ms = node_timeout_ms
        self.now = 0
        self.cores: list[BusCore] = []
        self.views: list[ClusterView] = []
        self.alive = [True] * (nodes + spare)
        self.silent = [False] * (nodes + spare)
        self.measures = False
        self.bytes_sent = 0
        self.bytes_by_kind: Counter[str] = Counter()
        self.frames_by_kind: Counter[str] = Counter()
        self.cpu_ns = 0
        """What the cores took, while `measures`."""
        self._total = nodes + spare
        self._queue: list[tuple[int, int, int, events.Event | None]] = []
        self._order = count()
        self._tick_at = [0] * self._total
        self._generations = bytearray(self._total**2)
        self._open = bytearray(self._total**2)
        self._numbers = {ip_of(index): index for index in range(self._total)}
        self._start(nodes, spare)

    def _start(self, nodes: int, spare: int) -> None:
        primaries = nodes // 2
        ids = [random_id(self.rng) for _ in range(nodes + spare)]
        infos = {}
        for index in range(nodes):
            shard, replica = index % primaries, index >= primaries
            infos[ids[index]] = NodeInfo(
                ids[index], ip_of(index), PORT, BUS_PORT, shard_id=ids[shard],
                role="replica" if replica else "primary", primary_id=ids[shard] if replica else None,
                config_epoch=0 if replica else index + 1, slots=() if replica else share(shard, primaries),
            )
        config = BusConfig(node_timeout_ms=self.node_timeout_ms, port=PORT, bus_port=BUS_PORT)
        for index, node_id in enumerate(ids):
            mine = infos if index < nodes else {
                node_id: NodeInfo(node_id, ip_of(index), PORT, BUS_PORT, shard_id=node_id)
            }
            state = PersistentState(
                node_id, mine, current_epoch=primaries if index < nodes else 0,
                cluster_id=ids[0] if index < nodes else "",
            )
            core = BusCore(config, random.Random(self.rng.random()), state, 0, WALL_OFFSET_MS)
            self.cores.append(core)
            self.views.append(core.view)
            self._carry_out(index, core.start())
            self._tick_by(index, index % TICK_MS)

    # -- time ------------------------------------------------------------------------------------------------

    def _put(self, when: int, index: int, event: events.Event | None) -> None:
        """None: a tick."""
        heapq.heappush(self._queue, (when, next(self._order), index, event))

    def _tick_by(self, index: int, when: int) -> None:
        self._tick_at[index] = when
        self._put(when, index, None)

    def run(self, duration_ms: int) -> None:
        end = self.now + duration_ms
        queue = self._queue
        while queue and queue[0][0] <= end:
            self.now, _, index, event = heapq.heappop(queue)
            if event is None:
                if self.alive[index] and self._tick_at[index] == self.now:
                    self._tick_by(index, self.now + TICK_MS)
                    self._step(index, events.Tick(WALL_OFFSET_MS + self.now))
                    self._step(index, events.ReplicationOffset(0))
            elif self._arrives(index, event):
                self._step(index, event)
        self.now = end

    def run_until(self, condition: Callable[[], bool], limit_ms: int, period_ms: int = 20) -> int | None:
        """How long it took, in ms; None: it did not come to that."""
        begin = self.now
        while not condition():
            if self.now - begin >= limit_ms:
                return None
            self.run(period_ms)
        return self.now - begin

    def ask(self, index: int, event: events.OperatorEvent) -> str:
        (reply,) = [effect for effect in self._step(index, event) if isinstance(effect, events.Reply)]
        return reply.error or reply.text

    def die(self, index: int, *, silently: bool) -> None:
        """`silently`: with its host."""
        self.alive[index] = False
        self.silent[index] = silently
        if silently:
            return
        for other in range(self._total):
            for pair in (index * self._total + other, other * self._total + index):
                if self._open[pair]:
                    self._close(pair)
                    side = pair * 2 + (pair // self._total == index)
                    self._put(self.now + DELAY_MS, other, events.LinkDown(self._id(side), "closed"))

    def _step(self, index: int, event: events.Event) -> list[events.Effect]:
        core = self.cores[index]
        if self.measures:
            begin = time.process_time_ns()
            effects = core.step(self.now, event)
            self.cpu_ns += time.process_time_ns() - begin
        else:
            effects = core.step(self.now, event)
        self._carry_out(index, effects)
        due = core.next_deadline()
        if due is not None and due < self._tick_at[index]:
            self._tick_by(index, max(due, self.now + 1))
        return effects

    # -- links: the pair (from, to) is one number, a side of it another, a link the side in its generation -----

    def _id(self, side: int) -> int:
        return side + 2 * self._total**2 * self._generations[side // 2]

    def _close(self, pair: int) -> None:
        self._open[pair] = 0

    def _arrives(self, index: int, event: events.Event) -> bool:
        if not self.alive[index]:
            return False
        if isinstance(event, events.FrameReceived):
            generation, side = divmod(event.link_id, 2 * self._total**2)
            return bool(self._open[side // 2]) and self._generations[side // 2] == generation
        return True

    def _carry_out(self, index: int, effects: list[events.Effect]) -> None:
        for effect in effects:
            match effect:
                case events.Send():
                    self._send(effect.link_id, effect.message)
                case events.ViewChanged():
                    self.views[index] = effect.view
                case events.Connect():
                    self._connect(index, effect)
                case events.CloseLink():
                    side = effect.link_id % (2 * self._total**2)
                    if self._open[side // 2] and self._id(side) == effect.link_id:
                        self._close(side // 2)
                        other = side ^ 1
                        self._put(self.now + DELAY_MS, self._whose(other), events.LinkDown(self._id(other), "closed"))
                case _:
                    pass

    def _whose(self, side: int) -> int:
        """Side 0 of a pair is that of who connected."""
        begin, end = divmod(side // 2, self._total)
        return end if side & 1 else begin

    def _send(self, link_id: int, message: Message) -> None:
        if self.measures:
            size = LENGTH_BYTES + len(encode(message))
            self.bytes_sent += size
            self.bytes_by_kind[kind_name(message)] += size
            self.frames_by_kind[kind_name(message)] += 1
        receiver = link_id ^ 1
        self._put(
            self.now + DELAY_MS, self._whose(receiver % (2 * self._total**2)), events.FrameReceived(receiver, message)
        )

    def _connect(self, index: int, effect: events.Connect) -> None:
        target = self._numbers.get(effect.ip)
        if target is None or self.silent[target]:
            down = events.LinkDown(None, "timeout", effect.target)
            self._put(self.now + self.node_timeout_ms // 2, index, down)
        elif not self.alive[target]:
            self._put(self.now + DELAY_MS, index, events.LinkDown(None, "refused", effect.target))
        else:
            pair = index * self._total + target
            self._generations[pair] = (self._generations[pair] + 1) % 256
            self._open[pair] = 1
            mine, theirs = self._id(pair * 2), self._id(pair * 2 + 1)
            here, there = self.cores[index].my_id, self.cores[target].my_id
            up = events.LinkUp(theirs, here, ip_of(index), False, "", ip_of(target))
            self._put(self.now + DELAY_MS, target, up)
            up = events.LinkUp(mine, there, ip_of(target), True, effect.target, ip_of(index))
            self._put(self.now + DELAY_MS, index, up)


def ip_of(index: int) -> str:
    return f"10.0.{index // 250}.{index % 250 + 1}"
