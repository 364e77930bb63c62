"""Host names of instances: what they stand for, looked up beside the event loop."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable

import trio

KNOWN_LIMIT = 1_000
FRESH_SECONDS = 1.0
"""How old an answer may be before the name is looked up again, beside what goes on."""
AT_A_TIME = 8
"""Names that are looked up at a time: one that no server answers for takes seconds."""


class Names:
    """Given to the core as `resolve`. Before `run` a name that was never looked up is waited for; after that it has no
    address until it has been looked up, then `on_answer` is called, with whether it has one. What is known is answered
    at once, and looked up anew meanwhile."""

    def __init__(self, on_answer: Callable[[bool], None] = lambda found: None) -> None:
        self.enabled = False
        self._on_answer = on_answer
        self._known: dict[str, tuple[str | None, float]] = {}
        self._wanted: set[str] = set()
        self._under_way: set[str] = set()
        self._more = trio.Event()
        self._runs = False

    def resolve(self, host: str) -> str | None:
        if not _may_be_one(host):
            return None
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            if not self.enabled:
                return None
        if host not in self._known and not self._runs:
            self._learn(host, _look_up(host))
        address, _ = self._known.get(host, (None, 0.0))
        if not self._is_fresh(host) and host not in self._under_way:
            self._want(host)
        return address

    def _want(self, host: str) -> None:
        if len(self._wanted) + len(self._under_way) < KNOWN_LIMIT:
            self._wanted.add(host)
            self._more.set()

    def is_awaited(self, host: str) -> bool:
        """Whether it is a name of which a look-up that is under way may say more than `resolve` just has."""
        awaited = host in self._wanted or host in self._under_way
        return awaited and self._known.get(host, (None, 0.0))[0] is None

    async def run(self) -> None:
        """Look up what is wanted, in threads."""
        self._runs = True
        limiter = trio.CapacityLimiter(AT_A_TIME)
        async with trio.open_nursery() as nursery:
            while True:
                await self._more.wait()
                self._more = trio.Event()
                for host in self._wanted:
                    self._under_way.add(host)
                    nursery.start_soon(self._look_up, host, limiter)
                self._wanted.clear()

    async def _look_up(self, host: str, limiter: trio.CapacityLimiter) -> None:
        address = await trio.to_thread.run_sync(_look_up, host, abandon_on_cancel=True, limiter=limiter)
        self._under_way.discard(host)
        before = self._known.get(host, (None, 0.0))[0]
        self._learn(host, address or before)
        if before is None:
            self._on_answer(address is not None)

    def _is_fresh(self, host: str) -> bool:
        return host in self._known and time.monotonic() - self._known[host][1] <= FRESH_SECONDS

    def _learn(self, host: str, address: str | None) -> None:
        if host not in self._known and len(self._known) >= KNOWN_LIMIT:
            del self._known[next(iter(self._known))]  # a hello can name anything
        self._known.pop(host, None)  # so that what is asked for again and again is not the first to go
        self._known[host] = (address, time.monotonic())


def _may_be_one(host: str) -> bool:
    """An IPv6 scope takes any character, and no system call does."""
    return host.isascii() and host.isprintable() and bool(host)


def _look_up(host: str) -> str | None:
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, ValueError):  # no resolver can be asked for that (UnicodeError is one of these)
        return None
