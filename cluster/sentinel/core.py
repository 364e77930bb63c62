"""Sentinel's core: a state machine without socket, clock or dice of its own.

`step(now, event)` returns the effects in the order in which they are to be carried out. Nothing of it waits: what is
asked of a server goes out as an effect, and its reply comes in as an event.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from cluster.sentinel import failover, reports, upkeep
from cluster.sentinel.election import ANYBODY, ask_peers, vote
from cluster.sentinel.events import (
    Connected,
    Disconnected,
    Effect,
    Event,
    Greeted,
    NamesFound,
    NotSaved,
    Received,
    Reply,
    Saved,
    Tick,
)
from cluster.sentinel.hello import hear
from cluster.sentinel.members import by_address
from cluster.sentinel.state import HELLO_CHANNEL, DataServer, Instance, Peer, Primary, Resolve, Settings, State

SAVE_AGAIN_MS = 1_000
SLOWEST_TICK_MS = 100
FASTEST_TICK_MS = 50
"""Sentinels tick at uneven times, so that those which see the same do not go on asking for votes at the same time."""


class SentinelCore:
    """`now_ms` is a clock that never goes back and that goes on while the machine sleeps."""

    def __init__(
        self, my_id: str, settings: Settings, rng: random.Random, resolve: Resolve, now_ms: int,
        is_executable: Callable[[str], bool] = lambda path: True,
    ) -> None:  # fmt: skip
        """is_executable: whether a script can be run, so that whoever sets one hears of it."""
        self.state = State(my_id, settings, rng, resolve, now_ms, is_executable)

    def start(self) -> list[Effect]:
        """What is told at the start."""
        s = self.state
        s.out = []
        for primary in s.primaries.values():
            s.tell("warning", "+monitor", primary, f" quorum {primary.quorum}")
        return s.out

    def next_tick_ms(self) -> int:
        """After how many ms the next Tick is due."""
        return self.state.rng.randint(FASTEST_TICK_MS, SLOWEST_TICK_MS)

    def step(self, now_ms: int, event: Event) -> list[Effect]:
        s = self.state
        s.now = now_ms
        s.out = []
        match event:
            case Tick():
                self._tick()
            case Connected():
                upkeep.connected(s, event.connection, event.local_ip)
            case Disconnected():
                upkeep.disconnected(s, event.connection, event.cause)
            case Received():
                self._received(event.connection, event.reply)
            case Greeted():
                hear(s, event.text)
            case Saved():
                self._saved()
            case NamesFound():
                for primary in s.primaries.values():
                    reports.find_replicas(s, primary, reports.fields_of(primary.info))
            case NotSaved():
                s.unsaved, s.not_saved_ms = True, s.now
        return s.out

    def operate(self, now_ms: int, operation: Callable[[State], None]) -> list[Effect]:
        """What an operator wants (cluster.sentinel.operators)."""
        s = self.state
        s.now = now_ms
        s.out = []
        operation(s)
        return s.out

    def asked_whether_down(
        self, now_ms: int, ip: str, port: int, epoch: int, candidate: str
    ) -> tuple[bool, str, int, list[Effect]]:
        """SENTINEL IS-MASTER-DOWN-BY-ADDR: whether it is, who has our vote ('' for nobody), and since which epoch."""
        s = self.state
        s.now = now_ms
        s.out = []
        primary = by_address(s, ip, port)
        down = primary is not None and primary.s_down and not s.tilt
        leader, leader_epoch = "", 0
        if primary is not None and candidate != ANYBODY:
            leader, leader_epoch = vote(s, primary, epoch, candidate)
        if s.unsaved:
            leader, leader_epoch = "", 0
        return down, leader, leader_epoch, s.out

    # -- replies and messages --------------------------------------------------------------------------------

    def _received(self, number: int, reply: Reply) -> None:
        s = self.state
        connection = s.connections.get(number)
        if connection is None:
            return
        link = connection.link
        if number == link.messages:
            link.last_message_ms = s.now
            if isinstance(reply, list) and len(reply) == 3 and reply[:2] == [b"message", HELLO_CHANNEL]:
                hear(s, reports.text_of(reply[2]))
            return
        if not connection.waiting:
            return
        purpose, instance = connection.waiting.popleft()
        link.pending -= 1
        if instance not in link.owners:
            return
        if purpose == "ping":
            reports.take_ping(s, instance, reply)
        elif purpose == "info" and isinstance(instance, DataServer):
            reports.take_info(s, instance, reply)
        elif purpose == "publish" and isinstance(reply, int):
            instance.last_hello_sent_ms = s.now
        elif purpose == "ask" and isinstance(instance, Peer):
            reports.take_down_answer(s, instance, reply)

    def _saved(self) -> None:
        """Go on with what had to wait for it."""
        s = self.state
        s.unsaved, s.epoch_on_disk = False, s.current_epoch
        if not s.tilt:
            for primary in s.primaries.values():
                ask_peers(s, primary)

    # -- time ------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        s = self.state
        stood_still_ms, s.ticked_ms = s.now - s.ticked_ms, s.now
        if stood_still_ms > s.periods.tilt_trigger:
            s.tilt, s.tilt_since_ms = True, s.now
            s.announce("warning", "+tilt", "#tilt mode entered", None)
        if s.unsaved and s.now - s.not_saved_ms >= SAVE_AGAIN_MS:
            s.persist()
        for primary in list(s.primaries.values()):
            self._look_after(primary)
            for replica in list(primary.replicas.values()):
                self._look_after(replica)
            for peer in list(primary.peers.values()):
                self._look_after(peer)
            failover.finish(s, primary)

    def _look_after(self, instance: Instance) -> None:
        s = self.state
        upkeep.reconnect(s, instance)
        upkeep.send_periodic(s, instance)
        if s.tilt:
            if s.now - s.tilt_since_ms < s.periods.tilt_period:
                return
            s.tilt = False
            s.announce("warning", "-tilt", "#tilt mode exited", None)
        upkeep.check_subjectively_down(s, instance)
        if isinstance(instance, Primary):
            upkeep.check_objectively_down(s, instance)
            failover.start_if_needed(s, instance)
            failover.advance(s, instance)
            ask_peers(s, instance)


