"""Rewriting the append-only file: a forked child writes a new base, while writes go to a new increment.

Nothing of the old files is touched until the child is through and a manifest names the new ones, so a rewrite that
fails, or a process that dies meanwhile, costs nothing but the space.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.persistence.aof_commands import write_commands
from cluster.persistence.child import SnapshotChild
from cluster.persistence.progress import Progress
from cluster.persistence.rdb_writer import Watcher
from cluster.safe_file import make_directory

if TYPE_CHECKING:
    from cluster.persistence.aof import AppendOnly
    from cluster.server import Server

FAILURES_ALLOWED = 3
"""After so many in a row there is a pause before the next, of a minute first, and twice as long each time."""
LONGEST_PAUSE_MINUTES = 60


class Rewrite:
    """`scheduled`: as soon as it can be. `last_own_bytes`: what the last child had for itself, of copied memory."""

    def __init__(self, server: Server, aof: AppendOnly) -> None:
        self._server = server
        self._aof = aof
        self.scheduled = False
        self.failures = 0
        self._child: SnapshotChild | None = None
        self._progress = Progress()
        self.last_own_bytes = 0
        self._suffix = ""
        self._started = 0.0
        self._count = 0
        self._last_ok = True
        self._last_seconds = -1
        self._pause_minutes = 0
        self._next_try_ms = 0

    @property
    def is_running(self) -> bool:
        return self._child is not None

    @property
    def suffix(self) -> str:
        """What a base is to be: a snapshot (rdb) or commands (aof)."""
        return "rdb" if self._server.config.aof_use_rdb_preamble else "aof"

    def chunks(self, suffix: str, watcher: Watcher | None = None) -> Iterator[bytes]:
        """The base, as the data stand now."""
        server = self._server
        if suffix == "rdb":
            return server.persistence.chunks(server.databases, is_aof_base=True, watcher=watcher)
        stamp = server.clock_ms() // 1000 if server.config.aof_timestamp_enabled else None
        return write_commands(server.databases, server.functions.codes, stamp, watcher)

    def _chunks_of_child(self, progress: Progress) -> Iterator[bytes]:
        return self._server.persistence.watched(progress, lambda watcher: self.chunks(self._suffix, watcher))

    # -- begin and end ---------------------------------------------------------------------------------------

    def start(self) -> bool:
        """Fork. False when it could not be; the log says why. Not within a transaction."""
        server, aof = self._server, self._aof
        server.flush_journal()
        self.scheduled = False
        started = time.monotonic()
        self._suffix = self.suffix
        try:
            if aof.state != "off":
                aof.begin_increment()
        except OSError as error:
            server.log("warning", f"Can't open the append-only file for a rewrite: {error.strerror or error}")
            self._failed()
            return False
        progress = server.persistence.follow_child()
        try:
            self._child = SnapshotChild(
                self._path, lambda: self._chunks_of_child(progress), server.log, scratch="temp-rewriteaof-{pid}.aof"
            )
        except OSError as error:
            server.log("warning", f"Can't rewrite append only file in background: fork: {error.strerror}")
            self._failed()
            return False
        server.persistence.forked(started)
        self._started, self._progress = started, progress
        server.log("notice", f"Background append only file rewriting started by pid {self._child.pid}")
        return True

    @property
    def _path(self) -> Path:
        return Path(self._server.config.dir) / f"temp-rewriteaof-bg-{os.getpid()}.aof"

    def stop(self) -> None:
        """End the child, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            self._server.log("notice", f"Killing running AOF rewrite child: {child.pid}")
            child.stop()
            self._child_is_gone()
            self._path.unlink(missing_ok=True)

    def _child_is_gone(self) -> None:
        self.last_own_bytes = self._progress.peak_bytes
        self._progress.clear()

    def _ended(self, child: SnapshotChild) -> None:
        self._child = None
        self._child_is_gone()
        self._last_seconds = int(time.monotonic() - self._started)
        log = self._server.log
        if child.exit_code == 0:
            log("notice", f"Successfully created the temporary AOF base file {self._path.name}")
            log("notice", "Background AOF rewrite terminated with success")
            try:
                self._take_over()
            except OSError as error:
                log("warning", f"Error trying to take the rewritten AOF into use: {error.strerror}")
                self._failed()
            else:
                self._last_ok, self.failures = True, 0
                self._count += 1
                log("notice", "Background AOF rewrite finished successfully")
            return
        self._path.unlink(missing_ok=True)
        signal = -(child.exit_code or 0)
        log("warning", f"Background AOF rewrite terminated by signal {signal}" if signal > 0 else
                       "Background AOF rewrite terminated with error")
        self._failed()

    def _failed(self) -> None:
        self._last_ok = False
        self.failures += 1
        self._aof.not_rewritten()
        if self._aof.state == "waiting":  # there is no file without it
            self.scheduled = True

    def _take_over(self) -> None:
        """Give the new files their names, and the manifest these. Raises OSError, and then the old ones hold."""
        aof, directory, log = self._aof, self._aof.directory, self._server.log
        is_first = aof.state == "waiting"
        if aof.state == "on":
            manifest, base = directory.manifest.rewritten(directory.prefix, self._suffix)
        else:
            manifest, base = directory.manifest.with_base(directory.prefix, self._suffix)
        renames = [(self._path, directory.path / base.name, "base")]
        if is_first:
            manifest, increment = manifest.with_increment(directory.prefix)
            renames.append((directory.temporary_increment, directory.path / increment.name, "incr"))
        make_directory(directory.path)
        size = self._path.stat().st_size
        undo: list[tuple[Path, Path]] = []
        try:
            for old, new, kind in renames:
                old.rename(new)
                undo.append((new, old))
                log("notice", f"Successfully renamed the temporary AOF {kind} file {old.name} into {new.name}")
            directory.save(manifest)
        except OSError:
            if not directory.holds(manifest):
                self._undo(undo)
            raise
        aof.rewritten(size)
        directory.delete_history()

    def _undo(self, renames: list[tuple[Path, Path]]) -> None:
        """Writes go on to where they went, and the base that is not to be is deleted."""
        with suppress(OSError):
            for new, old in renames:
                new.rename(old)
            self._path.unlink(missing_ok=True)

    # -- when ------------------------------------------------------------------------------------------------

    def tick(self, now_ms: int) -> None:
        """Look for the child; start a rewrite that is due."""
        child = self._child
        if child is not None:
            if child.poll():
                self._ended(child)
            return
        if self._server.persistence.writes_rdb:
            return
        if self.scheduled:
            if not self._is_paused(now_ms):
                self.start()
            return
        growth = self._growth()
        if growth is not None and not self._is_paused(now_ms):
            self._server.log("notice", f"Starting automatic rewriting of AOF on {growth}% growth")
            self.start()

    def _growth(self) -> int | None:
        """By how many per cent the file has grown, when that is enough for a rewrite."""
        config, size = self._server.config, self._aof.size
        percentage = config.auto_aof_rewrite_percentage
        if self._aof.state != "on" or not percentage or size <= config.auto_aof_rewrite_min_size:
            return None
        growth = size * 100 // (self._aof.base_bytes or 1) - 100
        return growth if growth >= percentage else None

    def _is_paused(self, now_ms: int) -> bool:
        """Whether it has failed so often that the next has to wait."""
        if self.failures < FAILURES_ALLOWED:
            self._pause_minutes = self._next_try_ms = 0
            return False
        if self._next_try_ms:
            if now_ms < self._next_try_ms:
                return True
            self._next_try_ms = 0
            return False
        self._pause_minutes = min(max(1, 2 * self._pause_minutes), LONGEST_PAUSE_MINUTES)
        self._next_try_ms = now_ms + self._pause_minutes * 60_000
        self._server.log("warning", "Background AOF rewrite has repeatedly failed and triggered the limit, will retry "
                                    f"in {self._pause_minutes} minutes")
        return True

    # -- facts -----------------------------------------------------------------------------------------------

    def info(self) -> Iterator[tuple[str, object]]:
        yield "aof_rewrite_in_progress", int(self.is_running)
        yield "aof_rewrite_scheduled", int(self.scheduled)
        yield "aof_last_rewrite_time_sec", self._last_seconds
        yield "aof_current_rewrite_time_sec", int(time.monotonic() - self._started) if self.is_running else -1
        yield "aof_last_bgrewrite_status", "ok" if self._last_ok else "err"
        yield "aof_rewrites", self._count
        yield "aof_rewrites_consecutive_failures", self.failures
