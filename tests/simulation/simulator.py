"""A cluster of bus cores under virtual time: one seed decides every delay, loss, cut and crash.

Links behave like TCP: messages of one link arrive in order or the link breaks. A node that crashed refuses
connections; one that is cut off or stopped is silent. What a core asked to be persisted is what it restarts from.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from bus import events
from bus.core import BusConfig, BusCore
from bus.messages import Message, Vote
from bus.view import PersistentState

WALL_OFFSET = 1_700_000_000_000


@dataclass
class Link:
    """One end's link id on each side, and when the last message on it arrives (to keep the order)."""

    ends: dict[int, int]
    last_arrival: dict[int, int] = field(default_factory=dict)


@dataclass
class SimNode:
    index: int
    config: BusConfig
    ip: str
    core: BusCore | None = None
    disk: PersistentState | None = None
    stopped: bool = False
    links: dict[int, tuple[Link, int]] = field(default_factory=dict)
    following: str | None = None
    offset: int = 0
    log: list[str] = field(default_factory=list)
    next_link: int = 1
    held: list[tuple[int, events.Event]] = field(default_factory=list)
    bytes_sent: int = 0


class Simulation:
    def __init__(self, seed: int, nodes: int, *, node_timeout_ms: int = 2_000) -> None:
        self.rng = random.Random(seed)
        self.now = 0
        self.queue: list[tuple[int, int, Callable[[], None]]] = []
        self.order = count()
        self.cut: set[tuple[int, int]] = set()
        self.min_delay, self.max_delay = 1, 10
        self.loss = 0.0
        self.votes: dict[tuple[str, int], set[str]] = {}
        self.violations: list[str] = []
        self.nodes = [
            SimNode(i, BusConfig(node_timeout_ms=node_timeout_ms, port=7000, bus_port=17000), f"10.0.0.{i + 1}")
            for i in range(nodes)
        ]
        for node in self.nodes:
            self.start(node)

    # -- time ------------------------------------------------------------------------------------------------

    def at(self, when: int, action: Callable[[], None]) -> None:
        heapq.heappush(self.queue, (max(when, self.now), next(self.order), action))

    def run(self, duration_ms: int) -> None:
        end = self.now + duration_ms
        while self.queue and self.queue[0][0] <= end:
            self.now, _, action = heapq.heappop(self.queue)
            action()
        self.now = end

    def run_until(self, condition: Callable[[], bool], limit_ms: int) -> bool:
        end = self.now + limit_ms
        while self.now < end:
            if condition():
                return True
            self.run(50)
        return condition()

    # -- nodes -----------------------------------------------------------------------------------------------

    def start(self, node: SimNode) -> None:
        node.core = BusCore(node.config, random.Random(self.rng.random()), node.disk, self.now, self.wall)
        node.stopped = False
        node.held.clear()
        self.carry_out(node, node.core.start())
        self._schedule_tick(node, node.core)

    def crash(self, node: SimNode) -> None:
        node.core = None
        for link_id in list(node.links):
            self._break(node, link_id, "closed")

    def stop(self, node: SimNode) -> None:
        node.stopped = True

    def resume(self, node: SimNode) -> None:
        node.stopped = False
        held, node.held = node.held, []
        for _, event in held:
            self.step(node, event)

    @property
    def wall(self) -> int:
        return WALL_OFFSET + self.now

    def _schedule_tick(self, node: SimNode, core: BusCore) -> None:
        def tick() -> None:
            if node.core is not core:
                return
            if not node.stopped:
                self.step(node, events.Tick(self.wall))
                if node.following is not None:
                    self._replicate(node)
            self._schedule_tick(node, core)

        due = core.next_deadline() or self.now + 100
        self.at(max(due, self.now + 1) if due > self.now else self.now + 100, tick)

    def _replicate(self, node: SimNode) -> None:
        primary = next((one for one in self.nodes if one.core and one.core.my_id == node.following), None)
        up = primary is not None and self.connected(node.index, primary.index) and not primary.stopped
        if up and primary is not None:
            node.offset = max(node.offset, primary.offset)
        self.step(node, events.ReplicationOffset(node.offset, up, 0))

    def step(self, node: SimNode, event: events.Event) -> None:
        if node.core is None:
            return
        if node.stopped:
            node.held.append((self.now, event))
            return
        self.carry_out(node, node.core.step(self.now, event))

    def ask(self, node: SimNode, event: events.Event) -> str:
        """An operator's event; its answer."""
        assert node.core is not None
        effects = node.core.step(self.now, event)
        reply = next(effect for effect in effects if isinstance(effect, events.Reply))
        self.carry_out(node, effects)
        return reply.error or reply.text

    # -- effects ---------------------------------------------------------------------------------------------

    def carry_out(self, node: SimNode, effects: list[events.Effect]) -> None:
        for effect in effects:
            match effect:
                case events.Persist():
                    node.disk = effect.state
                case events.Send():
                    self._check_vote(node, effect.message)
                    self._transmit(node, effect.link_id, effect.message)
                case events.Connect():
                    self._connect(node, effect)
                case events.CloseLink():
                    self._break(node, effect.link_id, "closed", tell_self=False)
                case events.FollowNode():
                    node.following = effect.node_id
                case events.BecomePrimary():
                    node.following = None
                case events.PauseWrites():
                    self.at(self.now, lambda: self.step(node, events.Paused(node.offset)))
                case events.Log():
                    node.log.append(f"{self.now:7d} {effect.text}")
                case _:
                    pass

    def _check_vote(self, node: SimNode, message: Message) -> None:
        """One vote an epoch, and on disk before it leaves."""
        if not isinstance(message, Vote):
            return
        assert node.core is not None
        cast = self.votes.setdefault((node.core.my_id, message.epoch), set())
        cast.add(f"{self.now}")
        if len(cast) > 1:
            self.violations.append(f"{node.core.my_id} voted twice in epoch {message.epoch}")
        if node.disk is None or node.disk.last_vote_epoch < message.epoch:
            self.violations.append(f"{node.core.my_id} voted in epoch {message.epoch} before it was on disk")

    # -- the network -----------------------------------------------------------------------------------------

    def connected(self, a: int, b: int) -> bool:
        return (a, b) not in self.cut and (b, a) not in self.cut

    def partition(self, side: set[int]) -> None:
        """Cut every link between `side` and the rest."""
        for a in side:
            for b in range(len(self.nodes)):
                if b not in side:
                    self.cut |= {(a, b), (b, a)}

    def heal(self) -> None:
        self.cut.clear()
        self.loss = 0.0

    def delay(self) -> int:
        return self.rng.randint(self.min_delay, self.max_delay)

    def _connect(self, node: SimNode, effect: events.Connect) -> None:
        core = node.core
        target = next(one for one in self.nodes if one.ip == effect.ip)

        def arrive() -> None:
            if node.core is not core or core is None:
                return
            if not self.connected(node.index, target.index) or target.stopped:
                self.at(self.now + node.config.node_timeout_ms // 2, lambda: failed("timeout"))
            elif target.core is None:
                failed("refused")
            else:
                establish()

        def failed(reason: str) -> None:
            if node.core is core:
                down = events.LinkDown(None, "refused" if reason == "refused" else "timeout", effect.target)
                self.step(node, down)

        def establish() -> None:
            assert core is not None
            assert target.core is not None
            mine, theirs = node.next_link, target.next_link
            node.next_link += 1
            target.next_link += 1
            link = Link({node.index: mine, target.index: theirs})
            node.links[mine] = (link, target.index)
            target.links[theirs] = (link, node.index)
            self.step(target, events.LinkUp(theirs, core.my_id, node.ip, False, "", target.ip))
            self.step(node, events.LinkUp(mine, target.core.my_id, target.ip, True, effect.target, node.ip))

        self.at(self.now + self.delay(), arrive)

    def _transmit(self, node: SimNode, link_id: int, message: Message) -> None:
        known = node.links.get(link_id)
        if known is None:
            return
        link, other_index = known
        other = self.nodes[other_index]
        node.bytes_sent += 40
        if not self.connected(node.index, other_index):
            return
        if self.rng.random() < self.loss:
            self._break(node, link_id, "closed")
            return
        when = max(self.now + self.delay(), link.last_arrival.get(other_index, 0))
        link.last_arrival[other_index] = when
        theirs = link.ends[other_index]
        core = other.core

        def arrive() -> None:
            if other.core is core and theirs in other.links and self.connected(node.index, other_index):
                self.step(other, events.FrameReceived(theirs, message))

        self.at(when, arrive)

    def _break(self, node: SimNode, link_id: int, reason: str, *, tell_self: bool = True) -> None:
        known = node.links.pop(link_id, None)
        if known is None:
            return
        link, other_index = known
        other = self.nodes[other_index]
        theirs = link.ends[other_index]
        if tell_self:
            self.at(self.now, lambda: self.step(node, events.LinkDown(link_id, "closed")))

        def tell() -> None:
            if other.links.pop(theirs, None) is not None:
                self.step(other, events.LinkDown(theirs, "closed"))

        if self.connected(node.index, other_index):
            self.at(self.now + self.delay(), tell)

    # -- building and judging --------------------------------------------------------------------------------

    def build(self, primaries: int) -> None:
        """Form a cluster: slots spread over the first nodes, the rest their replicas in turn."""
        for i, node in enumerate(self.nodes):
            self.ask(node, events.SetConfigEpoch(i + 1))
            if i < primaries:
                first, last = i * 16384 // primaries, (i + 1) * 16384 // primaries
                assert self.ask(node, events.AddSlots(tuple(range(first, last)))) == "OK"
        for node in self.nodes[1:]:
            self.ask(node, events.Meet(self.nodes[0].ip, 7000, 17000))
        size = len(self.nodes)
        assert self.run_until(lambda: all(self.knows(node, size) for node in self.nodes), 60_000), self.report()
        for i, node in enumerate(self.nodes[primaries:]):
            primary = self.nodes[i % primaries].core
            assert primary is not None
            answer = self.ask(node, events.Replicate(primary.my_id))
            assert answer == "OK", answer
        assert self.run_until(self.converged, 60_000), self.report()

    def knows(self, node: SimNode, count: int) -> bool:
        assert node.core is not None
        nodes = node.core.view.nodes.values()
        return len(nodes) == count and not any("handshake" in one.flags for one in nodes)

    def living(self) -> list[SimNode]:
        return [node for node in self.nodes if node.core is not None and not node.stopped]

    def converged(self) -> bool:
        """All living nodes agree on owners and roles, every slot is served, and no two primaries share an epoch."""
        views = [node.core.view for node in self.living() if node.core is not None]
        owners = views[0].owners
        roles = {one.node_id: (one.role, one.primary_id) for one in views[0].nodes.values()}
        if None in owners or not all(view.state_ok and view.owners == owners for view in views):
            return False
        if any({one.node_id: (one.role, one.primary_id) for one in view.nodes.values()} != roles for view in views):
            return False
        serving = set(owners)
        epochs = [views[0].nodes[str(owner)].config_epoch for owner in serving]
        return len(set(epochs)) == len(epochs) and all(roles[str(owner)][0] == "primary" for owner in serving)

    def report(self) -> str:
        lines = []
        for node in self.nodes:
            if node.core is None:
                lines.append(f"{node.index}: down")
                continue
            view = node.core.view
            me = view.nodes[view.my_id]
            known = {one.node_id[:6]: (sorted(one.flags), one.config_epoch) for one in view.nodes.values()}
            lines.append(f"{node.index} {view.my_id[:6]} {me.role} ok={view.state_ok} {view.down_reason} {known}")
            lines.extend(f"    {line}" for line in node.log[-12:])
        return "\n".join(lines)
