"""A process around one core of the bus, and its disk, under virtual time: what simulations and scenarios share."""

from __future__ import annotations

from abc import ABC, abstractmethod

from bus import events
from bus.core import BusConfig, BusCore
from bus.suspects import DIGEST_DIGITS
from bus.view import PersistentState
from tests.simulation.network import End, Network
from tests.virtual_time import Clock

PORT = 7000
BUS_PORT = 17000


STEPS_PER_CHECK = 16
"""Every so many steps it is looked at what a core keeps: each look costs more than a step."""


def check_what_is_kept(core: BusCore) -> None:
    """What the core keeps, so as not to look at every node each time, is what such a look would find."""
    s = core._s
    assert s.voters() == [one for one in s.peers.values() if one.slots and one.is_primary]
    assert set(s.suspects) == {one.node_id for one in s.peers.values() if not one.reachable}
    digest = 0
    for one in s.peers.values():
        digest ^= int(one.node_id[:DIGEST_DIGITS], 16) if one.fail else 0
    assert s.suspects.failed == digest
    served = 0
    for one in s.peers.values():
        served |= one.slots
        assert all(one.node_id in sender.reported for sender in s.peers.values() if sender.node_id in one.reports)
    assert s.served_slots == served


class CoreProcess(ABC):
    """`offset` stands for its data: so much has been written to them. `stopped`: by SIGSTOP; what comes meanwhile is
    what the kernel keeps."""

    def __init__(self, clock: Clock, network: Network, index: int, config: BusConfig) -> None:
        self.clock = clock
        self.network = network
        self.index = index
        self.config = config
        self.ip = f"10.0.0.{index + 1}"
        self.core: BusCore | None = None
        self.disk: PersistentState | None = None
        self.durable_disk: PersistentState | None = None
        self.powered = True
        self.stopped = False
        self.ends: dict[int, End] = {}
        self.following: str | None = None
        self.offset = 0
        self._held: list[events.Event] = []
        self._tick_at = 0
        self._steps = 0

    @property
    def life(self) -> BusCore | None:
        return self.core

    @property
    def running(self) -> BusCore:
        assert self.core is not None, f"node {self.index} is down"
        return self.core

    @property
    def node_id(self) -> str:
        return self.running.my_id

    def crash(self, *, power: bool = False) -> None:
        """The process dies; with `power` its host does too, which then says nothing more."""
        self.core = None
        self.network.drop(self, silently=power)
        if power:
            self.powered = False
            self.disk = self.durable_disk

    def step(self, event: events.Event) -> None:
        self._step(event)

    def _step(self, event: events.Event) -> list[events.Effect]:
        if self.core is None:
            return []
        if self.stopped:
            if not isinstance(event, events.Tick):
                self._held.append(event)
            return []
        effects = self.core.step(self.clock.now, event)
        self._steps += 1
        if self._steps % STEPS_PER_CHECK == 0:
            check_what_is_kept(self.core)
        self.carry_out(event, effects)
        due = self.core.next_deadline()
        if due is not None and due < self._tick_at:
            self._tick_by(due)
        return effects

    @abstractmethod
    def _tick_by(self, when: int) -> None:
        """The next tick is at that time."""

    @abstractmethod
    def carry_out(self, event: events.Event | None, effects: list[events.Effect]) -> None:
        """`effects` came of `event` (None: of the start)."""

    def save_and_send(self, effect: events.Effect) -> None:
        """Carry out what concerns the disk and the network."""
        match effect:
            case events.Persist():
                self.disk = effect.state
                if effect.durable:
                    self.durable_disk = effect.state
            case events.Send():
                self.network.send(self, effect.link_id, effect.message)
            case events.Connect():
                self.network.connect(self, effect)
            case events.CloseLink():
                self.network.close(self, effect.link_id)
            case _:
                pass
