"""A background save in the process itself: the walk's bytes on their way to the file.

It has the face of `SnapshotChild`, so that its owner need not care which of the two is at work.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

from cluster.persistence.walk import KEYS_BETWEEN_LOOKS, SnapshotWalk
from cluster.safe_file import sync_directory

LEAST_REST_US = 1_000
"""Between two keys there is no telling less: they are written together, and the rests for them come together, too."""


class InProcessSave:
    def __init__(
        self,
        path: Path,
        walk: SnapshotWalk,
        log: Callable[[str, str], None],
        *,
        sync_every: int,
        key_delay_us: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """sync_every: so many bytes; 0: once, at the end. key_delay_us: how long it rests for each key; it may change.
        Raises OSError when the file cannot be made."""
        self.walk = walk
        self._key_delay_us = key_delay_us
        self._rests_since = time.monotonic()
        self._rests_for = 1  # keys
        self._path = path
        self._log = log
        self._temporary = path.with_name(f"temp-{os.getpid()}.rdb")
        self._file = self._temporary.open("wb")
        self._unsynced = 0
        self._sync_every = sync_every or 1 << 62
        self._syncing: Thread | None = None
        self._failure: OSError | None = None
        self.exit_code: int | None = None
        """0 after success, 1 after a failure; None while it is at work."""

    @property
    def rest_s(self) -> float:
        """For so long it has nothing to do (rdb-key-save-delay)."""
        return max(0.0, self._rests_since + self._rests_for * self._key_delay_us() / 1e6 - time.monotonic())

    def work(self, is_over: Callable[[], bool]) -> None:
        """Go on with it for a while, unless it rests."""
        delay_us = self._key_delay_us()
        if not delay_us:
            self._write(is_over)
        elif not self.rest_s:
            before = self.walk.keys_done
            most = self.walk.keys_at_once = max(1, min(KEYS_BETWEEN_LOOKS, int(LEAST_REST_US / delay_us)))
            self._write(lambda: self.walk.keys_done >= before + most or is_over())
            self._rests_since, self._rests_for = time.monotonic(), self.walk.keys_done - before

    def _write(self, is_over: Callable[[], bool]) -> None:
        walk = self.walk
        try:
            while not walk.is_done:
                data = walk.take(is_over)
                self._file.write(data)
                self._unsynced += len(data)
                if self._unsynced >= self._sync_every:
                    self._sync()
                if is_over() and not walk.is_done:
                    return
            self._sync(last=True)
        except OSError as error:
            self._fail(error)

    def _sync(self, *, last: bool = False) -> None:
        """Have what was written on disk. In a thread: it may take its time."""
        if self._syncing is not None:
            if not last and self._syncing.is_alive():
                return
            self._syncing.join()
        self._unsynced = 0
        self._file.flush()
        self._syncing = Thread(target=self._sync_now, name="snapshot-sync", daemon=True)
        self._syncing.start()

    def _sync_now(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            self._failure = error

    def poll(self) -> bool:
        """Whether it has ended; `exit_code` says how."""
        if self.exit_code is None and self._failure is not None:
            self._fail(self._failure)
        if self.exit_code is None and self.walk.is_done and self._syncing is not None and not self._syncing.is_alive():
            try:
                self._file.close()
                self._temporary.chmod(0o644)
                self._temporary.replace(self._path)
                sync_directory(self._path.parent)
                self.exit_code = 0
            except OSError as error:
                self._fail(error)
        return self.exit_code is not None

    def _fail(self, error: OSError) -> None:
        self._log("warning", f"Write error saving DB on disk: {error.strerror}")
        self.stop()

    def stop(self) -> None:
        """End it, unless it has ended by itself; when this returns nothing is written any more."""
        if self.exit_code is None:
            self.exit_code = 1
            if self._syncing is not None:
                self._syncing.join()
            self._file.close()
            self._temporary.unlink(missing_ok=True)
