"""Host names of instances: what they stand for, looked up beside the event loop where that is possible."""

from __future__ import annotations

import ipaddress
import socket
import time

import trio

KNOWN_LIMIT = 1_000
FRESH_SECONDS = 1.0
"""How old an answer may be before the name is looked up again, beside what goes on."""


class Names:
    """Given to the core as `resolve`. A name that was never looked up is waited for; all others are answered at once,
    and looked up anew meanwhile."""

    def __init__(self) -> None:
        self.enabled = False
        self._known: dict[str, tuple[str | None, float]] = {}
        self._wanted: set[str] = set()
        self._more = trio.Event()

    def resolve(self, host: str) -> str | None:
        if not (host.isascii() and host.isprintable()):
            return None  # an IPv6 scope takes any character, and no system call does
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            if not self.enabled or not host:
                return None
        if host not in self._known:
            if len(self._known) >= KNOWN_LIMIT:
                del self._known[next(iter(self._known))]  # a hello can name anything
            self._known[host] = (_look_up(host), time.monotonic())
        address, at = self._known[host]
        if time.monotonic() - at > FRESH_SECONDS and host not in self._wanted:
            self._wanted.add(host)
            self._more.set()
        return address

    async def run(self) -> None:
        """Look up what is wanted, in threads."""
        while True:
            await self._more.wait()
            self._more = trio.Event()
            for host in list(self._wanted):
                address = await trio.to_thread.run_sync(_look_up, host, abandon_on_cancel=True)
                if address is not None or self._known.get(host, (None,))[0] is None:
                    self._known[host] = (address, time.monotonic())
                self._wanted.discard(host)


def _look_up(host: str) -> str | None:
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, ValueError):  # no resolver can be asked for that (UnicodeError is one of these)
        return None
