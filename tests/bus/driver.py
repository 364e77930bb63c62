"""One core in the hands of a test: the test plays all other nodes, the clock and the operator.

Nodes have names of one hex digit, which makes ids: `node_id("a")` is forty times an a.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from bus import events
from bus.core import TICK_MS, BusConfig, BusCore
from bus.messages import Announcement, Heartbeat, Message
from bus.view import SLOT_COUNT, ClusterView, NodeInfo, PersistentState, Ranges

TIMEOUT_MS = 1_000
START_MS = 100_000
PORT = 7000
BUS_PORT = 17000
CLUSTER = "9" * 40

EffectType = TypeVar("EffectType", bound=events.Effect)
MessageType = TypeVar("MessageType", bound=Message)


def node_id(name: str) -> str:
    return name * 40


def share(index: int, parts: int) -> Ranges:
    return ((index * SLOT_COUNT // parts, (index + 1) * SLOT_COUNT // parts - 1),)


def cluster(primaries: str = "abc", replicas: Mapping[str, str] | None = None) -> dict[str, NodeInfo]:
    """Primaries with equal shares of the slots and the config epochs 1, 2, …; replicas by name, with their primary."""
    found = {}
    for index, name in enumerate([*primaries, *(replicas or {})]):
        primary = (replicas or {}).get(name)
        found[name] = NodeInfo(
            node_id(name), f"10.0.0.{int(name, 16) + 1}", PORT, BUS_PORT, shard_id=node_id(primary or name),
            role="replica" if primary else "primary", primary_id=node_id(primary) if primary else None,
            config_epoch=0 if primary else index + 1, slots=() if primary else share(index, len(primaries)),
        )
    return found


class Driver:
    """`me` is the core's node; all others are linked both ways unless `linked` is False. A replica is in step with its
    primary unless `in_step` is False."""

    def __init__(
        self, me: str = "a", nodes: Mapping[str, NodeInfo] | None = None, *, linked: bool = True,
        in_step: bool = True, config: BusConfig | None = None, state: PersistentState | None = None,
        loading: bool = False,
    ) -> None:
        self.nodes = dict(cluster() if nodes is None else nodes)
        self.config = config or BusConfig(node_timeout_ms=TIMEOUT_MS, port=PORT, bus_port=BUS_PORT)
        if state is None:
            epoch = max(one.config_epoch for one in self.nodes.values())
            infos = {one.node_id: one for one in self.nodes.values()}
            state = PersistentState(node_id(me), infos, current_epoch=epoch, cluster_id=CLUSTER)
        self.now = START_MS
        self.core = BusCore(self.config, random.Random(1), state, self.now, self.now, loading=loading)
        self.effects: list[events.Effect] = []
        self.disk = state
        self._take(self.core.start())
        self.links: dict[str, tuple[int, int]] = {}
        self.tick(0)
        if self.node(me).role == "replica" and in_step:
            self.step(events.ReplicationOffset(0))
        if linked:
            for name in self.nodes:
                if node_id(name) != self.core.my_id:
                    self.link(name)
        self.clear()

    # -- giving ----------------------------------------------------------------------------------------------

    def step(self, event: events.Event) -> list[events.Effect]:
        effects = self.core.step(self.now, event)
        self._take(effects)
        return effects

    def _take(self, effects: list[events.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, events.Persist):
                self.disk = effect.state
        self.effects += effects

    def ask(self, event: events.OperatorEvent) -> str:
        (reply,) = [effect for effect in self.step(event) if isinstance(effect, events.Reply)]
        return reply.error or reply.text

    def link(self, name: str) -> None:
        """Our link to that node and its link to us come up."""
        number = int(name, 16)
        ours, theirs = 2 * number + 100, 2 * number + 101
        self.links[name] = ours, theirs
        ip, my_ip = self.ip(name), self.view.nodes[self.core.my_id].ip or "10.0.0.99"
        self.step(events.LinkUp(theirs, node_id(name), ip, False, "", my_ip))
        self.step(events.LinkUp(ours, node_id(name), ip, True, node_id(name), my_ip))

    def ip(self, name: str) -> str:
        return f"10.0.0.{int(name, 16) + 1}"

    def hear(self, name: str, *messages: Message) -> list[events.Effect]:
        """That node says something, over its own link."""
        return [
            effect
            for message in messages
            for effect in self.step(events.FrameReceived(self.links[name][1], message))
        ]

    def tick(self, duration_ms: int = TICK_MS, alive: Iterable[str] = (), suspects: Iterable[str] = ()) -> None:
        """Let time pass; `alive` answer all the while, and say whom they cannot reach."""
        end = self.now + duration_ms
        while True:
            effects = self.step(events.Tick(self.now))
            for name in alive:
                self.hear(name, self.heartbeat(name, suspects=suspects))
                self.answer(name, effects, suspects=suspects)
            if self.now >= end:
                break
            self.now = min(self.now + TICK_MS, end)

    def answer(
        self, name: str, effects: Iterable[events.Effect], *, suspects: Iterable[str] = (), flags: int = 0,
        epoch: int = 0, offset: int = 0,
    ) -> None:
        """That node gives back the serials of those pings among `effects` that it got."""
        link_id = self.links[name][0]
        for effect in effects:
            if isinstance(effect, events.Send) and effect.link_id == link_id and isinstance(effect.message, Heartbeat):
                if effect.message.serial:
                    pong = self.heartbeat(name, suspects=suspects, flags=flags, epoch=epoch, offset=offset)
                    self.step(events.FrameReceived(link_id, replace(pong, serial=effect.message.serial)))

    # -- what others say -------------------------------------------------------------------------------------

    def heartbeat(
        self, name: str, *, suspects: Iterable[str] = (), epoch: int = 0, offset: int = 0, flags: int = 0
    ) -> Heartbeat:
        return Heartbeat(
            "pong", epoch, self.nodes[name].config_epoch, offset, b"d" * 8, b"m" * 8,
            suspects=tuple(node_id(one) for one in suspects), flags=flags,
        )

    def announcement(
        self, name: str, *, config_epoch: int | None = None, slots: Ranges | None = None, primary: str = "",
        meet: bool = False, cluster_id: str = CLUSTER, shard: str = "", offset: int = 0,
    ) -> Announcement:
        """What the node says of itself: as the cluster began, but for what is given."""
        known = self.nodes.get(name)
        epoch = known.config_epoch if known is not None else 0
        owned = known.slots if known is not None else ()
        return Announcement(
            epoch=0, config_epoch=epoch if config_epoch is None else config_epoch, ip="", port=PORT,
            bus_port=BUS_PORT, tls_port=0, hostname="", human_name="",
            shard_id=node_id(shard) if shard else known.shard_id if known is not None else node_id(name),
            primary_id=node_id(primary) if primary else "", nofailover=False,
            slots=owned if slots is None else slots, cluster_id=cluster_id, offset=offset, meet=meet,
        )

    # -- seeing ----------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Forget what came out so far."""
        self.effects = []

    def came(self, kind: type[EffectType]) -> list[EffectType]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def sent(self, kind: type[MessageType], to: str = "") -> list[MessageType]:
        """What was said since, of one kind; to one node."""
        links = self.links[to] if to else None
        return [
            effect.message
            for effect in self.came(events.Send)
            if isinstance(effect.message, kind) and (links is None or effect.link_id in links)
        ]

    @property
    def view(self) -> ClusterView:
        return self.core.view

    def node(self, name: str) -> NodeInfo:
        """As the core knows it."""
        return self.view.nodes[node_id(name)]

    def flags(self, name: str) -> frozenset[str]:
        return self.node(name).flags

    def knows(self, name: str) -> bool:
        return node_id(name) in self.view.nodes

    def owner(self, slot: int) -> str:
        """The name of the slot's owner; '' when it has none."""
        return (self.view.owners[slot] or "")[:1]
