"""Pub/sub between nodes under virtual time: subscriptions come and go, nodes crash and come back; who had subscribed
gets every message once, and when all is quiet a message goes to nobody else.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from bus import events
from bus.interest import WHOLE_PERIOD_MS
from bus.messages import Item
from tests.simulation.network import MAX_DELAY_MS
from tests.simulation.simulator import SimNode, Simulation

SLOTS = 5
SETTLE_MS = 5
RUN_MS = 15_000


class Chat:
    """Clients of all nodes that subscribe to slots and publish; what they are to get, and what they got."""

    def __init__(self, seed: int) -> None:
        self.sim = Simulation(seed, 6)
        self.dice = random.Random(f"chat {seed}")
        self.since: dict[tuple[int, int], int] = {}
        """(node, slot) → when it was subscribed to."""
        self.got: Counter[tuple[int, bytes]] = Counter()
        self.owed: dict[tuple[int, bytes], tuple[int, int]] = {}
        """(node, message) → the slot, and since when the node has listened to it."""
        self.serial = 0
        self.sim.observers.append(self)
        self.sim.prepare(3)
        self.sim.run(3_000)

    def on_effect(self, node: SimNode, _event: events.Event | None, effect: events.Effect) -> None:
        if isinstance(effect, events.Deliver):
            for item in effect.items:
                self.got[node.index, item.message] += 1

    def listen(self, node: SimNode, slot: int, yes: bool) -> None:
        if yes:
            self.since.setdefault((node.index, slot), self.sim.now)
        else:
            self.since.pop((node.index, slot), None)
        bits = sum(1 << slot for index, slot in self.since if index == node.index)
        node.step(events.Listen(bits, False))

    def publish(self, node: SimNode, slot: int) -> bytes:
        self.serial += 1
        message = b"%d" % self.serial
        for other in self.sim.living():
            since = self.since.get((other.index, slot))
            if other is not node and since is not None and since + MAX_DELAY_MS < self.sim.now:
                if self._linked(node, other):
                    self.owed[other.index, message] = slot, since
        node.step(events.Publish(self.serial, ((slot, Item(b"channel", message)),)))
        serial = self.serial
        self.sim.clock.after(SETTLE_MS, lambda: node.step(events.Settled(serial)))
        return message

    def _linked(self, node: SimNode, other: SimNode) -> bool:
        known = node.running.view.nodes.get(other.node_id)
        return known is not None and known.link_connected

    def crash(self, node: SimNode) -> None:
        """What was owed to its clients, or was on its way from it, is nobody's fault."""
        node.crash()
        for slot in range(SLOTS):
            self.since.pop((node.index, slot), None)
        self.owed = {key: value for key, value in self.owed.items() if key in self.got}
        self.sim.clock.after(self.dice.randint(1, 2_000), node.start)

    def go_on(self, end: int, *, crashes: bool) -> None:
        if self.sim.now >= end:
            return
        node = self.dice.choice(self.sim.living())
        slot = self.dice.randrange(SLOTS)
        chance = self.dice.random()
        if crashes and chance < 0.005:
            if len(self.sim.living()) > 4:
                self.crash(node)
        elif chance < 0.4:
            self.listen(node, slot, self.dice.random() < 0.5)
        else:
            self.publish(node, slot)
        self.sim.clock.after(self.dice.randint(1, 40), lambda: self.go_on(end, crashes=crashes))

    def problems(self) -> list[str]:
        missed = [f"node {index} missed {message!r} in {self.owed[index, message]}"
                  for index, message in self.owed if not self.got[index, message]]  # fmt: skip
        twice = [f"node {index} got {message!r} {count} times"
                 for (index, message), count in self.got.items() if count > 1]  # fmt: skip
        return missed + twice


@pytest.mark.parametrize("crashes", [False, True], ids=["calm", "crashes"])
@pytest.mark.parametrize("seed", range(6))
def test_who_had_subscribed_gets_every_message_once(seed: int, crashes: bool) -> None:
    chat = Chat(seed)
    chat.go_on(chat.sim.now + RUN_MS, crashes=crashes)
    chat.sim.run(RUN_MS + 1_000)
    assert len(chat.owed) > 50
    assert chat.problems() == []


def test_in_quiet_times_nobody_else_gets_anything() -> None:
    chat = Chat(1)
    chat.go_on(chat.sim.now + RUN_MS, crashes=True)
    chat.sim.run(RUN_MS + 10 * WHOLE_PERIOD_MS)
    chat.got.clear()
    for node in chat.sim.nodes:
        for slot in range(SLOTS):
            message = chat.publish(node, slot)
            chat.sim.run(100)
            got = {index for index, what in chat.got if what == message}
            assert got == {index for index, one in chat.since if one == slot and index != node.index}
