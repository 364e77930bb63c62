"""A replica, as its primary knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.network.session import Session


class Replica:
    """`held` gathers the stream while the replica still receives its snapshot; `online` says that it has it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.announced_ip = ""
        self.port = 0
        self.capabilities: set[str] = set()
        self.online = False
        self.is_old = False  # asked with SYNC: it acknowledges nothing (redis-cli --rdb)
        self.rdb_only = False
        self.wants_keys = True  # else nothing but the functions
        self.acknowledged = 0
        self.acknowledged_ms = 0
        self.held: list[bytes] = []
        self.held_bytes = 0

    @property
    def ip(self) -> str:
        return self.announced_ip or self.session.address.rpartition(":")[0].strip("[]")

    @property
    def name(self) -> str:
        return f"{self.ip}:{self.port or self.session.address.rpartition(':')[2]}"

    @property
    def heard_ms(self) -> int:
        """When it gave a sign of life. While it loads its snapshot it acknowledges nothing, but sends empty lines."""
        return max(self.acknowledged_ms, self.session.last_used_ms)

    @property
    def state(self) -> str:
        return "online" if self.online else "send_bulk"

    def take(self, data: bytes) -> None:
        """Bytes of the stream."""
        if self.online:
            self.session.send(data)
        elif not self.rdb_only:
            self.held.append(data)
            self.held_bytes += len(data)

    def synced(self, now_ms: int) -> None:
        """The snapshot is out: the stream follows it."""
        if self.rdb_only:
            self.session.close_after_replies()
            self.session.send(b"")
            return
        self.online = True
        self.acknowledged_ms = now_ms
        if self.held:
            self.session.send(b"".join(self.held))
        self.held, self.held_bytes = [], 0
