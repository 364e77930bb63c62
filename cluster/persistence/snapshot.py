"""Snapshots: the dataset as an RDB file, in place (SAVE) or from a forked child (BGSAVE), and its way back.

`Persistence` also holds the append-only file (`aof`), and says what the data are loaded from at the start.

The parent looks for its child with every tick. A child's picture of the data is older than any save that comes after
it, so the child is ended before there is one: its file must not take the place of the newer.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.keyspace.numbers import count_of
from cluster.persistence.aof import AppendOnly
from cluster.persistence.aof_directory import AofError
from cluster.persistence.child import SnapshotChild
from cluster.persistence.in_process import InProcessSave
from cluster.persistence.loading import Loader, Slices
from cluster.persistence.progress import Progress
from cluster.persistence.rdb_reader import RdbError
from cluster.persistence.rdb_writer import Usage, Watcher, frequency_part, idle_part, write_rdb
from cluster.persistence.walk import SnapshotWalk
from cluster.safe_file import sync_directory, write_safely
from cluster.version import REDIS_VERSION

if TYPE_CHECKING:
    from cluster.keyspace.database import Database
    from cluster.server import Server

MISCONF = (
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that "
    "may modify the data set are disabled, because this instance is configured to report errors during writes if RDB "
    "snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB "
    "error."
)
KEYS_PER_LOOK = 64
"""Between two looks of a child at its progress."""
SYNC_EVERY_BYTES = 4 << 20
"""rdb-save-incremental-fsync."""
RETRY_SECONDS = 5
"""After a failed background save, before the save points are looked at again."""


class Persistence:
    def __init__(self, server: Server) -> None:
        self._server = server
        self.dirty = 0
        """Changes since the last save."""
        self.last_save = server.clock_ms() // 1000
        self._dirty_at_fork = 0
        self._child: SnapshotChild | InProcessSave | None = None
        self._child_started = 0.0
        self._last_try = 0
        self._last_ok = True
        self._last_seconds = -1
        self._scheduled = False
        self.progress = Progress()
        """Of the latest child, whatever its snapshot is for."""
        self._child_progress = self.progress
        self._sync_children: dict[Progress, float] = {}
        self.last_own_bytes = 0
        self.turns = 0
        """Counts what makes a snapshot that was begun before one of the past: a newer one, or other data."""
        self.loaded_age_ms: int | None = None
        """Of when the data are that were loaded at the start; 0: nothing that clients were promised is missing; None:
        there were none, or nobody knows."""
        self.loader = Loader(server)
        self.aof = AppendOnly(server)

    @property
    def path(self) -> Path:
        config = self._server.config
        return Path(config.dir) / config.dbfilename

    @property
    def _sync_every(self) -> int:
        return SYNC_EVERY_BYTES if self._server.config.rdb_save_incremental_fsync else 0

    @property
    def in_background(self) -> bool:
        return self._child is not None

    @property
    def writes_rdb(self) -> bool:
        """Whether a snapshot is being made, be it for the file or for replicas. What begins by itself waits for its
        end: two children at once would copy twice as much of the memory."""
        return self._child is not None or bool(self._sync_children)

    @property
    def refuses_writes(self) -> bool:
        return self._refuses_for_want_of_snapshots or self.aof.refusal is not None

    @property
    def _refuses_for_want_of_snapshots(self) -> bool:
        config = self._server.config
        return not self._last_ok and config.stop_writes_on_bgsave_error and bool(config.save)

    @property
    def refusal(self) -> str:
        """The error that writes are answered with when they are refused."""
        return self.aof.refusal or MISCONF

    # -- loading ---------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Fill the databases with what is there at the start. Raises AofError, RdbError, OSError."""
        for _ in self.load_in_slices():
            pass

    def load_in_slices(self) -> Slices:
        """The same, for a caller that has clients to look after."""
        server, aof = self._server, self.aof
        if server.config.appendonly:
            aof.directory.read()
            if aof.directory.manifest.to_load:
                yield from self.loader.append_only(aof.directory)
                # With keys it is what clients were promised; one without keys may have been begun a moment ago.
                self.loaded_age_ms = 0 if any(any(db.spaces) for db in server.databases) else None
            else:  # it was turned on in the configuration only: what there is of data is in the snapshot
                yield from self._load_rdb()
            aof.open_at_start()
        else:
            yield from self._load_rdb()

    def _load_rdb(self) -> Slices:
        """From the file, if there is one."""
        if not self.path.exists():
            return
        started = time.monotonic()
        self.loader.begin(self.path.stat().st_size)
        try:
            aux = yield from self._load_file(self.path, keep_deadlines=self._server.is_replica)
        finally:
            self.loader.end()
        written = count_of(aux.get("ctime", ""))
        if written is not None:
            self.loaded_age_ms = max(1, self._server.clock_ms() - written * 1000)
        log, loader = self._server.log, self.loader
        log("notice", f"Done loading RDB, keys loaded: {loader.keys}, keys expired: {loader.expired}.")
        log("notice", f"DB loaded from disk: {time.monotonic() - started:.3f} seconds")

    def _load_file(
        self, path: Path, *, keep_deadlines: bool, merge: bool = True
    ) -> Generator[None, None, dict[str, str]]:
        """Add what `path` holds; its AUX fields. `keep_deadlines`: take expired keys too (a replica waits for its
        primary's word)."""
        server = self._server
        aux: dict[str, str] = {}
        yield from self.loader.rdb(path, aux, keep_deadlines=keep_deadlines, merge=merge)
        server.memory.count_anew()
        server.replication.restore(aux)
        server.flush_journal()  # what had expired is deleted, for replicas that continue our stream
        return aux

    def reload(self, *, save: bool, flush: bool, merge: bool) -> bool:
        """DEBUG RELOAD: to disk and back."""
        if save and not self.save():
            return False
        if flush:
            self._server.flush(self._server.databases)
            self._server.functions.flush()
        try:
            for _ in self._load_file(self.path, keep_deadlines=self._server.is_replica, merge=merge or flush):
                pass
        except (RdbError, OSError) as error:
            self._server.log("warning", f"Error trying to load the RDB dump: {error}")
            return False
        return True

    def reload_append_only(self) -> bool:
        """DEBUG LOADAOF: the dataset as the append-only file has it."""
        server = self._server
        server.flush_journal()
        self.aof.flush(at_once=True)
        server.flush(server.databases)
        server.functions.flush()
        try:
            for _ in self.loader.append_only(self.aof.directory):
                pass
        except AofError as error:
            server.log("warning", str(error))
            return False
        return True

    # -- saving ----------------------------------------------------------------------------------------------

    def follow_child(self) -> Progress:
        """From now on INFO tells of the child that is about to be forked."""
        self.progress = Progress()
        return self.progress

    def sync_child_began(self, progress: Progress, started: float) -> None:
        """A child that writes for replicas was forked, from `started` (time.monotonic) on."""
        self._sync_children[progress] = started
        self.forked(started)

    def forked(self, started: float) -> None:
        """A fork that took from then until now."""
        stats = self._server.stats
        stats.last_fork_usec = int((time.monotonic() - started) * 1e6)
        self._server.latency.took("fork", stats.last_fork_usec * 1000)

    def child_is_gone(self, progress: Progress) -> None:
        self._sync_children.pop(progress, None)
        self.last_own_bytes = progress.peak_bytes
        progress.clear()

    def chunks_of_child(self, progress: Progress) -> Iterator[bytes]:
        """All data, as `chunks`; in a child, whose progress its parent sees."""
        return self.watched(progress, lambda watcher: self.chunks(self._server.databases, watcher=watcher))

    def watched(self, progress: Progress, chunks: Callable[[Watcher], Iterator[bytes]]) -> Iterator[bytes]:
        """What a child writes of all data, which tells `progress` how far it is, and takes its time (by
        rdb-key-save-delay)."""
        databases, delay_us = self._server.databases, self._server.config.rdb_key_save_delay

        def rest(keys: int) -> None:
            progress.look(keys)
            time.sleep(max(1, delay_us) / 1e6)

        progress.begin(sum(map(len, databases)))
        yield from chunks(Watcher(max(1, -delay_us), rest) if delay_us else Watcher(KEYS_PER_LOOK, progress.look))
        progress.measure()

    def chunks(
        self,
        databases: list[Database],
        *,
        is_aof_base: bool = False,
        with_functions: bool = True,
        watcher: Watcher | None = None,
    ) -> Iterator[bytes]:
        """The RDB of `databases`, and of the functions, as it stands now."""
        server = self._server
        functions = server.functions.codes if with_functions else []
        return write_rdb(
            databases, server.config, self._aux(is_aof_base=is_aof_base), functions, self._usage(), watcher
        )

    def _aux(self, *, is_aof_base: bool = False) -> dict[str, str]:
        server = self._server
        return {
            "redis-ver": REDIS_VERSION,
            "redis-bits": "64",
            "ctime": str(server.clock_ms() // 1000),
            "used-mem": str(server.memory.resident_bytes()),
            **({} if is_aof_base else server.replication.aux()),
            "aof-base": str(int(is_aof_base)),
        }

    def _usage(self) -> Usage | None:
        """What the file is to say of the use of a key."""
        memory = self._server.memory
        if memory.clocked == "lru":
            return lambda db, key: idle_part(memory.idle_seconds(db, key))
        if memory.clocked == "lfu":
            return lambda db, key: frequency_part(memory.frequency(db, key))
        return None

    @property
    def changes(self) -> int:
        """Changes since the last save, those of the batch at hand among them."""
        return self.dirty + len(self._server.journal.entries)

    def save(self) -> bool:
        """Write the file now, holding everything else up."""
        self.stop_background_save()
        server = self._server
        server.stats.snapshots += 1
        started = time.monotonic()
        try:
            temporary = self.path.with_name(f"temp-{os.getpid()}.rdb")
            write_safely(
                self.path, self.chunks(server.databases), temporary=temporary, sync_every=self._sync_every
            )
        except OSError as error:
            server.log("warning", f"Failed opening or writing the RDB file {self.path}: {error.strerror}")
            return False  # who asked hears of it; that writes are refused is for saves that nobody waits for
        self._set_outcome(ok=True)
        self.dirty = -len(server.journal.entries)  # the file has them, although they are counted later
        self.last_save = server.clock_ms() // 1000
        self._last_seconds = int(time.monotonic() - started)
        server.log("notice", "DB saved on disk")
        return True

    def start_background_save(self) -> bool:
        """Fork a child that writes the file. False when it could not be started."""
        server = self._server
        server.stats.snapshots += 1
        started = time.monotonic()
        self._last_try = server.clock_ms() // 1000
        self._dirty_at_fork = self.changes
        self._child_started = started
        try:
            if server.config.bgsave_method == "in-process":
                self._begin_walk()
                server.log("notice", "Background saving started within the process")
            else:
                child = self._fork()
                server.log("notice", f"Background saving started by pid {child.pid}")
        except OSError as error:
            server.log("warning", f"Can't save in background: {error.strerror}")
            self._set_outcome(ok=False)
            return False
        return True

    def _fork(self) -> SnapshotChild:
        """Raises OSError."""
        started = time.monotonic()
        progress = self.follow_child()
        child = SnapshotChild(
            self.path, lambda: self.chunks_of_child(progress), self._server.log, sync_every=self._sync_every
        )
        self.forked(started)
        self._child, self._child_progress = child, progress
        return child

    # -- in the process itself -------------------------------------------------------------------------------

    def _begin_walk(self) -> None:
        """Raises OSError."""
        server = self._server
        walk = SnapshotWalk(server.databases, server.config, self._aux(), server.functions.codes, self._usage())
        self._child = InProcessSave(
            self.path, walk, server.log, sync_every=self._sync_every, key_delay_us=self._key_delay_us
        )
        self._child_progress = self.follow_child()
        self._child_progress.begin(walk.keys_total)
        server.barrier.raise_for(walk)
        server.shell.hurry_cron()

    def _key_delay_us(self) -> float:
        delay_us = self._server.config.rdb_key_save_delay
        return delay_us if delay_us >= 0 else 1 / -delay_us

    @property
    def walk_rest_s(self) -> float:
        """For so long the snapshot that is made here needs no time; inf when there is none."""
        return self._child.rest_s if isinstance(self._child, InProcessSave) else math.inf

    def walk_on(self, is_over: Callable[[], bool]) -> None:
        """Go on with the snapshot that is made here; a change before which the barrier is needs it no more when it is
        all encoded."""
        save = self._child
        if isinstance(save, InProcessSave):
            save.work(is_over)
            self._child_progress.tell(save.walk.keys_done)
            if save.walk.is_done or save.exit_code is not None:
                self._server.barrier.raise_for(None)

    def go_on_by_fork(self) -> None:
        """What comes now replaces so much at once that no barrier holds it: a child makes the snapshot, as of now."""
        if self._server.barrier.walk is None or self._child is None:
            return
        self._child.stop()
        self._server.barrier.raise_for(None)
        self._child = None
        self._dirty_at_fork = self.changes
        try:
            child = self._fork()
        except OSError as error:
            self._server.log("warning", f"Can't save in background: {error.strerror}")
            self._set_outcome(ok=False)
        else:
            self._server.log("notice", f"Background saving goes on by pid {child.pid}: data are replaced at once")

    def stop_background_save(self) -> None:
        """End the child, if there is one: what it would write is of the past."""
        self.turns += 1
        child = self._child
        if child is None:
            return
        child.stop()
        self._child_ended(child, stopped=True)

    @property
    def keeps_sync_files(self) -> bool:
        """Whether a snapshot that was made for a full synchronisation stays as ours."""
        config = self._server.config
        return bool(config.save) or self.aof.is_open or not config.rdb_del_sync_files

    def adopt(self, path: Path) -> None:
        """`path`, which is on disk, holds all data as they are or soon will be: it is our snapshot from now on. Raises
        OSError."""
        self.stop_background_save()
        path.replace(self.path)
        sync_directory(self.path.parent)

    def emptied(self) -> None:
        """Every key was deleted: a file that somebody counts on must not bring them back."""
        self.stop_background_save()
        if self._server.config.save:
            self.save()

    def schedule_background_save(self) -> None:
        """BGSAVE SCHEDULE while another child is at work."""
        self._scheduled = True

    def tick(self, now_ms: int) -> None:
        """Look for the child; start a save when a save point is reached."""
        self.aof.tick(now_ms)
        if self._child is not None:
            if self._child.poll():
                self._child_ended(self._child)
            return
        if self.aof.rewrite.is_running or self._sync_children:  # one child at a time
            return
        now = now_ms // 1000
        if self._scheduled:
            self._scheduled = False
            self.start_background_save()
            return
        if not self._last_ok and now - self._last_try < RETRY_SECONDS:
            return
        for seconds, changes in self._server.config.save:
            if self.dirty >= changes and now - self.last_save >= seconds:
                self._server.log("notice", f"{changes} changes in {seconds} seconds. Saving...")
                self.start_background_save()
                return

    def _child_ended(self, child: SnapshotChild | InProcessSave, *, stopped: bool = False) -> None:
        server = self._server
        self._child = None
        server.barrier.raise_for(None)
        self.child_is_gone(self._child_progress)
        self._last_seconds = int(time.monotonic() - self._child_started)
        if child.exit_code == 0:
            self._set_outcome(ok=True)
            self.turns += 1
            self.dirty -= self._dirty_at_fork
            self.last_save = server.clock_ms() // 1000
            server.log("notice", "Background saving terminated with success")
            return
        if not stopped and child.exit_code != -signal.SIGUSR1:  # by which somebody ends it on purpose
            self._set_outcome(ok=False)
        number = -(child.exit_code or 0)
        server.log("warning", f"Background saving terminated by signal {number}" if number > 0 else
                              "Background saving error")

    def _set_outcome(self, *, ok: bool) -> None:
        self._last_ok = ok
        self._server.refresh_road()

    def info(self) -> Iterator[tuple[str, object]]:
        """The fields of INFO persistence."""
        started = [self._child_started] if self.in_background else [*self._sync_children.values()]
        running = int(time.monotonic() - min(started)) if started else -1
        progress = self.progress
        yield "current_cow_peak", progress.peak_bytes
        yield "current_cow_size", progress.own_bytes
        yield "current_cow_size_age", progress.age_seconds
        yield "current_fork_perc", f"{progress.percentage:.2f}"
        yield "current_save_keys_processed", progress.keys_done
        yield "current_save_keys_total", progress.keys_total
        yield "rdb_changes_since_last_save", self.changes
        yield "rdb_bgsave_in_progress", int(self.writes_rdb)
        yield "rdb_last_save_time", self.last_save
        yield "rdb_last_bgsave_status", "ok" if self._last_ok else "err"
        yield "rdb_last_bgsave_time_sec", self._last_seconds
        yield "rdb_current_bgsave_time_sec", running
        yield "rdb_saves", self._server.stats.snapshots
        yield "rdb_last_cow_size", self.last_own_bytes
        yield "rdb_last_load_keys_expired", self.loader.expired
        yield "rdb_last_load_keys_loaded", self.loader.keys
        yield from self.aof.info()
        yield from self.loader.info()
