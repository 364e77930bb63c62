"""A replica, as its primary knows it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cluster.replication.held_stream import HeldStream

if TYPE_CHECKING:
    from cluster.network.session import Session

LEAST_UNREAD_BYTES = 256 * 1024
"""So much may wait in a connection in any case."""
UNLIMITED = 1 << 62
KNOWN_CAPABILITIES = frozenset({"eof", "psync2"})


class Replica:
    """First it waits for a snapshot to begin; then the stream is `held` until it has it; then it is `online`. When it
    lags, the stream is held again."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.announced_ip = ""
        self.port = 0
        self.capabilities: set[str] = set()
        self.online = False
        self.is_old = False  # asked with SYNC: it acknowledges nothing (redis-cli --rdb)
        self.rdb_only = False
        self.wants_keys = True
        self.wants_functions = True
        self.has_snapshot = False  # it has said so, by acknowledging what its snapshot holds
        self.snapshot_offset = 0
        self.acknowledged = 0
        self.synced_offset = 0  # so much of the stream is on its disk
        self.acknowledged_ms = 0
        self.held: HeldStream | None = None
        self.trouble = ""
        """Why it cannot be held on to."""

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
    def is_waiting(self) -> bool:
        """Its snapshot has not begun."""
        return not self.online and self.held is None

    @property
    def state(self) -> str:
        if self.online:
            return "online"
        return "wait_bgsave" if self.held is None else "send_bulk"

    @property
    def held_memory(self) -> tuple[int, int]:
        """Pieces of the stream that are held in memory, and their bytes."""
        return (0, 0) if self.held is None else (self.held.pieces, self.held.memory_bytes)

    def take(self, data: bytes) -> bool:
        """Bytes of the stream. Whether it lags too far to be sent them: from now on they are held, and somebody has to
        send them when it can take them."""
        if self.online and self.held is None:
            if self.session.out_bytes + len(data) <= self.most_unread:
                self.session.send(data)
                return False
            self.hold()
            self._hold(data)
            return True
        self._hold(data)
        return False

    @property
    def most_unread(self) -> int:
        """Bytes that may wait in its connection: half of what would have it cut off."""
        limit = self.session.server.config.client_output_buffer_limit["replica"]
        least = min(filter(None, (limit.hard_bytes, limit.soft_bytes)), default=0)
        return max(least // 2, LEAST_UNREAD_BYTES) if least else UNLIMITED

    def _hold(self, data: bytes) -> None:
        if self.held is not None and not self.rdb_only:
            try:
                self.held.append(data)
            except OSError as error:
                self.trouble = f"the stream could not be kept for it: {error.strerror}"

    def hold(self) -> None:
        """The stream from now on is kept for it: its snapshot begins here, or it lags."""
        config = self.session.server.config
        limit = config.client_output_buffer_limit["replica"].hard_bytes
        self.held = HeldStream(Path(config.dir), limit // 2 if self.online else limit)

    def go_online(self, now_ms: int) -> None:
        """It has the snapshot; what is left of the stream that was kept for it, and all the rest, goes out at once."""
        held, self.held = self.held, None
        if self.rdb_only:
            self.session.close_after_replies()
            self.session.send(b"")
            return
        self.online = True
        self.acknowledged_ms = now_ms
        self.held = held
        self.release()
        self.session.server.refresh_road()

    def release(self) -> None:
        """Send what is held, and hold no more. Raises OSError."""
        held, self.held = self.held, None
        if held is not None:
            while data := held.take(1 << 20):
                self.session.send(data)

    def gone(self) -> None:
        if self.held is not None:
            self.held.close()
