"""Links that behave like TCP: messages arrive in order, late rather than never, or the link breaks.

What is sent into a cut waits for its end, as TCP would send it again; a cut may lie in one direction only. Who sends
to an end that is gone is told so, if there is a host to tell it.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from bus import events
from bus.messages import Message
from tests.virtual_time import Clock

RETRANSMIT_MS = 200
MIN_DELAY_MS = 1
MAX_DELAY_MS = 10


class Host(Protocol):
    """What the network sees of a node."""

    index: int
    ip: str
    stopped: bool
    powered: bool
    ends: dict[int, End]

    @property
    def node_id(self) -> str: ...

    @property
    def life(self) -> object | None:
        """The process; None while there is none."""

    def step(self, event: events.Event) -> None: ...


@dataclass(eq=False)
class End:
    """One side of a link, and what is on its way to it (None: the other side has closed)."""

    host: Host
    link_id: int
    inbox: deque[tuple[int, Message | None]] = field(default_factory=deque)
    last_arrival: int = 0
    open: bool = True
    waits: bool = False


class Network:
    def __init__(self, clock: Clock, rng: random.Random, connect_timeout_ms: int) -> None:
        self.hosts: list[Host] = []
        self.cuts: set[tuple[int, int]] = set()
        """(from, to), by the hosts' indexes: nothing passes in that direction."""
        self.max_delay = MAX_DELAY_MS
        self.loss = 0.0
        self.changed_at = 0
        """When it last became better or worse."""
        self._clock = clock
        self._rng = rng
        self._connect_timeout_ms = connect_timeout_ms
        self._ids = count(1)
        self._others: dict[End, End] = {}

    # -- faults ----------------------------------------------------------------------------------------------

    def partition(self, side: set[int]) -> None:
        """Cut off `side` from the rest."""
        for a in side:
            for b in {host.index for host in self.hosts} - side:
                self.cuts |= {(a, b), (b, a)}

    def heal(self) -> None:
        self.cuts.clear()
        self.changed_at = self._clock.now
        self.loss = 0.0
        self.max_delay = MAX_DELAY_MS

    @property
    def is_quick(self) -> bool:
        return not self.loss and self.max_delay == MAX_DELAY_MS

    def passes(self, sender: Host, receiver: Host) -> bool:
        return (sender.index, receiver.index) not in self.cuts

    def connected(self, a: Host, b: Host) -> bool:
        return self.passes(a, b) and self.passes(b, a)

    # -- links -----------------------------------------------------------------------------------------------

    def connect(self, host: Host, effect: events.Connect) -> None:
        life = host.life

        def report(reason: events.DownReason) -> None:
            if host.life is life:
                host.step(events.LinkDown(None, reason, effect.target))

        def arrive() -> None:
            target = next((one for one in self.hosts if one.ip == effect.ip), None)
            if host.life is not life:
                return
            if target is None or target.stopped or not target.powered or not self.connected(host, target):
                self._clock.after(self._connect_timeout_ms, lambda: report("timeout"))
            elif target.life is None:
                report("refused")
            else:
                self._link(host, target, effect.target)

        self._clock.after(self._delay(), arrive)

    def _link(self, host: Host, target: Host, name: str) -> None:
        mine, theirs = End(host, next(self._ids)), End(target, next(self._ids))
        self._others[mine], self._others[theirs] = theirs, mine
        host.ends[mine.link_id], target.ends[theirs.link_id] = mine, theirs
        target.step(events.LinkUp(theirs.link_id, host.node_id, host.ip, False, "", target.ip))
        host.step(events.LinkUp(mine.link_id, target.node_id, target.ip, True, name, host.ip))

    def other_side(self, host: Host, link_id: int) -> Host | None:
        """Who gets what `host` says on that link; None when the link is gone."""
        mine = host.ends.get(link_id)
        return None if mine is None else self._others[mine].host

    def send(self, host: Host, link_id: int, message: Message) -> None:
        mine = host.ends.get(link_id)
        if mine is None:
            return
        if self._rng.random() < self.loss:
            self._reset(mine)
            self._reset(self._others[mine])
            return
        self._put(self._others[mine], message)

    def close(self, host: Host, link_id: int) -> None:
        """The host's own wish: it is not told, the other side is."""
        mine = host.ends.pop(link_id, None)
        if mine is not None:
            mine.open = False
            self._put(self._others[mine], None)

    def drop(self, host: Host, *, silently: bool) -> None:
        """The process is gone. `silently`: so is its host, and nobody says goodbye."""
        for mine in host.ends.values():
            mine.open = False
            if not silently:
                self._put(self._others[mine], None)
        host.ends.clear()

    def _reset(self, end: End) -> None:
        if end.open:
            end.open = False
            end.host.ends.pop(end.link_id, None)
            self._clock.after(self._delay(), lambda: end.host.step(events.LinkDown(end.link_id, "closed")))

    # -- on the way ------------------------------------------------------------------------------------------

    def _delay(self) -> int:
        return self._rng.randint(MIN_DELAY_MS, self.max_delay)

    def _put(self, receiver: End, message: Message | None) -> None:
        receiver.last_arrival = max(self._clock.now + self._delay(), receiver.last_arrival)
        receiver.inbox.append((receiver.last_arrival, message))
        self._clock.at(receiver.last_arrival, lambda: self._deliver(receiver))

    def _deliver(self, end: End) -> None:
        sender = self._others[end]
        if not end.host.powered or not self.passes(sender.host, end.host):
            if not end.waits:
                end.waits = True
                self._clock.after(RETRANSMIT_MS, lambda: self._try_again(end))
            return
        while end.inbox and end.inbox[0][0] <= self._clock.now:
            _, message = end.inbox.popleft()
            if not end.open:
                self._reset(sender)
            elif message is None:
                end.open = False
                end.host.ends.pop(end.link_id, None)
                end.host.step(events.LinkDown(end.link_id, "closed"))
            else:
                end.host.step(events.FrameReceived(end.link_id, message))

    def _try_again(self, end: End) -> None:
        end.waits = False
        self._deliver(end)
