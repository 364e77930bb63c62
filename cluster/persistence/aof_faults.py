"""What the disk does not take of the append-only file: said in the log, and writes refused as long as it lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.persistence.aof_file import Unwritten
    from cluster.server import Server

COMPLAINT_PERIOD_MS = 30_000


class AofFaults:
    """The errors that last, one of writing and one of syncing."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.of_write: OSError | None = None
        self.of_sync: OSError | None = None
        self._complained_ms = 0

    def not_written(self, fault: Unwritten) -> None:
        """The disk took less than all."""
        now = self._server.ctx.now_ms
        if now - self._complained_ms >= COMPLAINT_PERIOD_MS or self.of_write is None:
            self._complained_ms = now
            self._complain(fault)
        is_new, self.of_write = self.of_write is None, fault.error
        if is_new:
            self._server.refresh_road()

    def _complain(self, fault: Unwritten) -> None:
        log = self._server.log
        if fault.written:
            log("warning", f"Short write while writing to the AOF file: (nwritten={fault.written}, "
                           f"expected={fault.size})")
        log("warning", f"Error writing to the AOF file: {fault.error.strerror}")
        if fault.kept:
            log("warning", "Could not remove short write from the append-only file. Redis may refuse to load the AOF "
                           "the next time it starts.")

    def written(self) -> None:
        """The disk took everything."""
        if self.of_write is not None:
            self.of_write = None
            self._server.log("warning", "AOF write error looks solved, Redis can write again.")
            self._server.refresh_road()

    def synced(self, error: OSError | None) -> None:
        """A sync ended, so."""
        if (error is None) != (self.of_sync is None):
            if error is not None:
                self._server.log("warning", f"Fail to fsync the AOF file: {error.strerror}")
            self.of_sync = error
            self._server.refresh_road()

    def forget(self) -> None:
        """The file they were of is given up."""
        self.of_write = self.of_sync = None

    @property
    def refusal(self) -> str | None:
        """The error that writes are answered with."""
        error = self.of_write or self.of_sync
        return None if error is None else f"MISCONF Errors writing to the AOF file: {error.strerror}"
