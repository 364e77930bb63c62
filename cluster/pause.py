"""CLIENT PAUSE, and the pauses the node itself needs (manual failover): who waits, and until when.

Several causes may pause the clients at once; the strictest holds, each until its own end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cluster.blocking import Wait
from cluster.commands.registry import MAY_REPLICATE, WRITE, Command

if TYPE_CHECKING:
    from cluster.network.session import Session
    from cluster.server import Server

FOR_EVER_MS = 1 << 62


class HeldCommands:
    """Commands that wait for something to be over, each with its client; `release` runs them, in order."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._parked: list[tuple[Wait, Callable[[], bytes | None]]] = []

    def park(self, client: Session, arguments: list[bytes]) -> None:
        """Run `arguments` again when it is over."""

        def again() -> bytes | None:
            self._server.ctx.bind(client)
            return client.execute(arguments)

        wait = Wait(client, keys=[], deadline_ms=None, retry=None, on_timeout=b"")
        self._parked.append((wait, again))
        self._server.waiting.park(wait)

    def release(self) -> None:
        waiting = self._server.waiting
        parked, self._parked = self._parked, []
        for wait, again in parked:
            if not wait.ended:
                wait.client.wait = None
                try:
                    reply = again()
                except Exception:  # noqa: BLE001  (whatever it is, it is that one client's)
                    reply = None
                    wait.client.give_up()
                if not wait.client.is_waiting:
                    waiting.end(wait, reply)
                else:
                    wait.ended = True
                    waiting.clients -= 1


class Pause:
    """`causes` maps a cause ('client', 'failover', …) → (end in ms, whether only writes wait)."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.causes: dict[str, tuple[int, bool]] = {}
        self._held = HeldCommands(server)
        self.afterwards: list[Callable[[], object]] = []
        """Called once each when no pause is left."""

    @property
    def active(self) -> bool:
        """While anything is paused the dataset must not change by itself either: no expiry, no eviction."""
        return bool(self.causes)

    def start(self, cause: str, end_ms: int, *, writes_only: bool) -> None:
        known = self.causes.get(cause)
        if known is not None:
            end_ms, writes_only = max(end_ms, known[0]), writes_only and known[1]
        self.causes[cause] = (end_ms, writes_only)
        self._server.refresh_road()

    def stop(self, cause: str) -> None:
        """`cause` is over; when none is left, the parked clients go on."""
        self.causes.pop(cause, None)
        if not self.causes:
            self._go_on()

    def tick(self, now_ms: int) -> None:
        """Drop the causes whose time is up."""
        if self.causes:
            self.causes = {cause: entry for cause, entry in self.causes.items() if entry[0] > now_ms}
            if not self.causes:
                self._go_on()

    def park(self, client: Session, arguments: list[bytes]) -> None:
        """Run `arguments` again when the pause is over."""
        self._held.park(client, arguments)

    def _go_on(self) -> None:
        self._server.refresh_road()
        self._server.has_followups = self._server.waiting.has_ready
        told, self.afterwards = self.afterwards, []
        for one in told:  # before the commands that waited: a slot's old keys must not take new ones along
            one()
        self._held.release()

    def holds(self, client: Session, command: Command, writes: bool) -> bool:
        """Whether `command` of `client` has to wait. Replication and CLIENT itself never do."""
        if not self.causes or client.is_primary_link or client.is_replica_link:
            return False
        if any(not writes_only for _, writes_only in self.causes.values()):
            return not command.full_name.startswith("client")
        return writes or MAY_REPLICATE in command.flags or WRITE in command.flags
