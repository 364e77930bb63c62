"""CLIENT PAUSE, and the pauses the node itself needs (manual failover): who waits, and until when.

Several causes may pause the clients at once; the strictest holds, each until its own end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.commands.registry import MAY_REPLICATE, WRITE, Command

if TYPE_CHECKING:
    from cluster.network.session import Session


class Pause:
    """`causes` maps a cause ('client', 'failover', …) → (end in ms, whether only writes wait)."""

    def __init__(self) -> None:
        self.causes: dict[str, tuple[int, bool]] = {}

    @property
    def active(self) -> bool:
        """While anything is paused the dataset must not change by itself either: no expiry, no eviction."""
        return bool(self.causes)

    def start(self, cause: str, end_ms: int, *, writes_only: bool) -> None:
        known = self.causes.get(cause)
        if known is not None:
            end_ms, writes_only = max(end_ms, known[0]), writes_only and known[1]
        self.causes[cause] = (end_ms, writes_only)

    def stop(self, cause: str) -> None:
        self.causes.pop(cause, None)

    def tick(self, now_ms: int) -> bool:
        """Drop the causes whose time is up; whether the last one went just now."""
        if not self.causes:
            return False
        self.causes = {cause: entry for cause, entry in self.causes.items() if entry[0] > now_ms}
        return not self.causes

    def holds(self, client: Session, command: Command, writes: bool) -> bool:
        """Whether `command` of `client` has to wait. Replication and CLIENT itself never do."""
        if not self.causes or client.is_primary_link or client.is_replica_link:
            return False
        if any(not writes_only for _, writes_only in self.causes.values()):
            return not command.full_name.startswith("client")
        return writes or MAY_REPLICATE in command.flags or WRITE in command.flags
