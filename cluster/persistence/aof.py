"""The append-only file: every write of the journal, in files that make the dataset anew.

A batch's effects are one write, before any reply of the batch is sent. They are synced then (appendfsync always),
within a second by a thread (everysec), or when the system likes (no). A write waits for a sync under way, for at most
two seconds, since the system would hold it up as long as that lasts.

The files are those of Redis 7: a base with the dataset as of one moment, increments with what came after, a manifest
that names them (`aof_manifest`, `aof_directory`). `aof_rewrite` makes a new base now and then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from cluster.config.values import BadValue
from cluster.journal import Divided, ForFile, encode
from cluster.persistence.aof_buffer import AofBuffer
from cluster.persistence.aof_commands import annotation
from cluster.persistence.aof_directory import AofDirectory
from cluster.persistence.aof_faults import AofFaults
from cluster.persistence.aof_file import AppendFile, Disk, Syncer, Unwritten
from cluster.persistence.aof_rewrite import Rewrite
from cluster.persistence.aof_waits import AofWaits
from cluster.safe_file import make_directory, write_safely

if TYPE_CHECKING:
    from cluster.config.store import Configuration
    from cluster.journal import Entry
    from cluster.server import Server

OFF, ON, WAITING = "off", "on", "waiting"
"""Waiting: it was turned on, and has no base yet."""
SYNC_PERIOD_MS = 1_000
LONGEST_POSTPONED_MS = 2_000
_MESSAGES = frozenset({b"PUBLISH", b"SPUBLISH"})


class AppendOnly:
    """`is_open`: there is a file that writes go to. `selected`: the database in which it stands, -1 before the first
    SELECT. `appended` and `synced` count bytes since the start of the process: what was given, what is safe."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.disk = Disk()
        self.syncer = Syncer()
        self.directory = AofDirectory(server.config, server.log, self.syncer, self.disk)
        self.rewrite = Rewrite(server, self)
        self.state = OFF
        self.is_open = False
        self.selected = -1
        self.appended = self.synced = 0
        self.waits = AofWaits(server)
        self.base_bytes = 0
        """The size after the last rewrite, or at the start: what growth is measured by."""
        self.delayed_syncs = 0
        self._file: AppendFile | None = None
        self._other_bytes = 0  # of the files that nothing is appended to any more
        self._buffer = AofBuffer()
        self._stamped_s = 0
        self._unsynced = False
        self._synced_offset = 0
        self._syncing = False
        self._last_sync_ms = 0
        self._postponed_ms = 0  # since when the buffer waits for a sync to end
        self._faults = AofFaults(server)
        server.config.on_change(["appendonly"], self._configure)
        server.config.on_change(["aof-disable-auto-gc"], lambda _config: self.directory.delete_history())

    # -- start -----------------------------------------------------------------------------------------------

    def open_at_start(self) -> None:
        """Go on where the files end; where there are none, begin with a base of the data at hand. Raises OSError."""
        directory = self.directory
        if not directory.manifest.to_load:
            suffix = self.rewrite.suffix
            manifest, base = directory.manifest.with_base(directory.prefix, suffix)
            make_directory(directory.path)
            self._server.log("notice", f"Creating AOF base file {base.name} on server start")
            write_safely(directory.path / base.name, self.rewrite.chunks(suffix))
            directory.save(manifest)
        directory.temporary_increment.unlink(missing_ok=True)
        if directory.manifest.increments:
            name = directory.manifest.increments[-1].name
            self._server.log("notice", f"Opening AOF incr file {name} on server start")
            self._file = directory.open(directory.path / name, anew=False)
        else:
            manifest, increment = directory.manifest.with_increment(directory.prefix)
            self._server.log("notice", f"Creating AOF incr file {increment.name} on server start")
            self._file = directory.open(directory.path / increment.name, anew=True)
            directory.save(manifest)
        self.state, self.is_open = ON, True
        others = [file for file in directory.manifest.to_load if file.name != self._file.path.name]
        self._other_bytes = sum(directory.size_of(file.name) for file in others)
        self.base_bytes = self.size
        directory.delete_history()

    # -- writing ---------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Bytes of all files, what is still to be written not counted."""
        return self._other_bytes + (self._file.size if self._file is not None else 0)

    def feed(self, entries: list[Entry], messages: int, encoded: bytes | None) -> None:
        """A batch's effects, `messages` of them published messages, which no file keeps.

        encoded: all of them, as replicas are sent them, where their stream stands in the same database.
        """
        if isinstance(entries, Divided):
            entries, encoded = entries.of(ForFile), None
        if messages:
            entries = [entry for entry in entries if entry[1][0] not in _MESSAGES]
            encoded = None
        if not entries:
            return
        if encoded is None:
            encoded, self.selected = encode(entries, self.selected)
        else:
            self.selected = entries[-1][0]
        if self._server.config.aof_timestamp_enabled:
            now_s = self._server.ctx.now_ms // 1000
            if now_s > self._stamped_s:
                self._stamped_s = now_s
                encoded = annotation(now_s) + encoded
        self._buffer.add(encoded)
        self.appended += len(encoded)
        self.flush()

    def flush(self, *, at_once: bool = False) -> None:
        """Write what is buffered, and sync it as appendfsync says. `at_once`: whatever sync is under way."""
        file = self._file
        if file is None or not self._buffer or self._buffer.is_held:
            return
        config = self._server.config
        if self._is_syncing() and config.appendfsync == "everysec" and not at_once and self._may_wait():
            return
        self._postponed_ms = 0
        data = self._buffer.joined()
        try:
            self._append(file, data)
        except Unwritten as fault:
            self._not_written(fault, data)
            return
        self._buffer.clear()
        self._unsynced = True
        self._faults.written()
        self._sync_by_policy()

    def _append(self, file: AppendFile, data: bytes) -> None:
        """Raises Unwritten. The latency monitor is told how long it took, and what else went on."""
        beside = "pending-fsync" if self._syncing else "active-child" if self._child_is_at_work else "alone"
        timed = self._server.latency.timed
        timed(f"aof-write-{beside}", lambda: timed("aof-write", lambda: file.append(data)))

    def _is_syncing(self) -> bool:
        """Whether a sync is under way in the thread."""
        if self._syncing:
            self.syncer.done()
        return self._syncing

    def _may_wait(self) -> bool:
        """Whether what there is to write may wait for the sync that is under way."""
        now = self._server.ctx.now_ms
        if not self._postponed_ms:
            self._postponed_ms = now
        if now - self._postponed_ms < LONGEST_POSTPONED_MS:
            return True
        self.delayed_syncs += 1
        self._server.log(
            "notice", "Asynchronous AOF fsync is taking too long (disk is busy?). Writing the AOF buffer without "
            "waiting for fsync to complete, this may slow down Redis."
        )
        return False

    def _sync_by_policy(self) -> None:
        config = self._server.config
        if config.appendfsync == "no" or (config.no_appendfsync_on_rewrite and self._child_is_at_work):
            return
        if config.appendfsync == "always":
            self._sync_now()
        elif not self._syncing and self._server.ctx.now_ms - self._last_sync_ms >= SYNC_PERIOD_MS:
            self._start_sync()

    def _sync_now(self) -> None:
        assert self._file is not None
        try:
            self._server.latency.timed("aof-fsync-always", self._file.sync)
        except OSError as error:
            self._give_up("Can't persist AOF for fsync error when the AOF fsync policy is 'always': "
                          f"{error.strerror}. Exiting...")
            return
        self._last_sync_ms = self._server.ctx.now_ms
        self._unsynced = False
        self._note_sync(None, self.appended, self._server.replication.offset)

    def _start_sync(self) -> None:
        assert self._file is not None
        appended, offset = self.appended, self._server.replication.offset
        self._syncing, self._unsynced = True, False
        self._last_sync_ms = self._server.ctx.now_ms
        self.syncer.do(self._file.sync, lambda error: self._synced(error, appended, offset))

    def _synced(self, error: OSError | None, appended: int, offset: int) -> None:
        self._syncing = False
        self._unsynced = self._unsynced or error is not None
        self._note_sync(error, appended, offset)
        link = self._server.replication.link
        if link is not None:  # somebody may wait for that at our primary
            link.acknowledge()

    def _note_sync(self, error: OSError | None, appended: int, offset: int) -> None:
        """A sync of what had been appended then, at that offset of the stream, is through."""
        if error is None:
            self.synced = max(self.synced, appended)
            self._synced_offset = max(self._synced_offset, offset)
            if self.waits:
                self.waits.serve()
        self._faults.synced(error)

    def has_synced(self, appended: int) -> bool:
        """Whether so much of what was appended would be there after a crash: not before there is a base below it."""
        return self.state == ON and self.is_open and self.synced >= appended

    @property
    def synced_offset(self) -> int | None:
        """So much of the stream of replication is on disk; None without a file."""
        if self.state != ON:
            return None
        if self.synced == self.appended:  # what came since changes nothing
            return self._server.replication.offset
        return self._synced_offset

    @property
    def _child_is_at_work(self) -> bool:
        return self.rewrite.is_running or self._server.persistence.writes_rdb

    # -- errors ----------------------------------------------------------------------------------------------

    def _not_written(self, fault: Unwritten, data: bytes) -> None:
        self._faults.not_written(fault)
        if self._server.config.appendfsync == "always":
            self._give_up("Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...")
        self._buffer.keep_rest(data, fault.kept)

    def _give_up(self, why: str) -> None:
        """What was promised to be on disk is not, and clients must not hear that it is."""
        self._server.log("warning", why)
        self._server.shell.exit(1)

    @property
    def buffered_bytes(self) -> int:
        return self._buffer.size

    @property
    def refusal(self) -> str | None:
        """The error that writes are answered with, as long as the disk does not take them."""
        return self._faults.refusal if self.state != OFF else None

    # -- time ------------------------------------------------------------------------------------------------

    def tick(self, now_ms: int) -> None:
        self.syncer.done()
        if self._file is not None:
            if self._buffer:
                self.flush()
            elif self._unsynced or self._faults.of_sync is not None:
                self._sync_late(now_ms)
        self.rewrite.tick(now_ms)

    def _sync_late(self, now_ms: int) -> None:
        """Sync what no further write has had synced."""
        config = self._server.config
        if self._syncing or (config.no_appendfsync_on_rewrite and self._child_is_at_work):
            return
        if config.appendfsync == "always":
            self._sync_now()
        elif config.appendfsync == "everysec" and now_ms - self._last_sync_ms >= SYNC_PERIOD_MS:
            self._start_sync()

    # -- files -----------------------------------------------------------------------------------------------

    def begin_increment(self) -> None:
        """Have writes go to a new file from here on; those that a full disk did not take wait for the new base, which
        may need less of it. Raises OSError, and then they go where they went."""
        self.flush(at_once=True)
        if self._buffer.begins_within and self.state != WAITING:  # another file cannot hold the rest of a command
            raise self._faults.of_write or OSError("what came before is written in part")
        directory, manifest = self.directory, None
        if self.state == WAITING:
            self._buffer.clear()  # the base that is to be made has all of it
            path = directory.temporary_increment
        else:
            manifest, increment = directory.manifest.with_increment(directory.prefix)
            path = directory.path / increment.name
        self._server.log("notice", f"Creating AOF incr file {path.name} on background rewrite")
        fresh = directory.open(path, anew=True)
        if manifest is not None:
            try:
                self._settle_file()
                directory.save(manifest)
            except OSError:
                fresh.close()
                if not directory.holds(manifest):
                    with suppress(OSError):
                        path.unlink()
                raise
        self._leave_file()
        self._file, self.is_open = fresh, True
        if self._buffer:
            self._buffer.hold()
        else:
            self._faults.written()
        self.selected = -1
        self._stamped_s = 0

    def _settle_file(self) -> None:
        """Have the file at hand synced, since it is about to be followed by another: torn by a crash of the machine, it
        would be no end that may be cut off. Raises OSError. (With appendfsync no nobody waits for the disk.)"""
        if self._file is not None and (self._unsynced or self._syncing) and self._server.config.appendfsync != "no":
            self._file.sync()
            self._unsynced = False

    def _leave_file(self) -> None:
        """Nothing more goes to the file at hand: have it synced and closed, without waiting for that."""
        file, self._file = self._file, None
        self.is_open = False
        if file is None:
            return
        self._other_bytes += file.size
        appended = self.appended - self._buffer.size
        offset = self._synced_offset if self._buffer else self._server.replication.offset

        def finish() -> None:
            try:
                file.sync()
            finally:
                file.close()

        self._unsynced = False
        self.syncer.do(finish, lambda error: self._note_sync(error, appended, offset))

    def rewritten(self, base_bytes: int) -> None:
        """A base of that size has replaced all but the increment at hand."""
        self._other_bytes = base_bytes
        self.base_bytes = self.size
        if self.state == WAITING:
            self.state = ON
            self.waits.serve()
        if self._buffer.is_held:
            self._buffer.release(written_elsewhere=True)
            if not self._buffer:
                self._faults.written()
                self._note_sync(None, self.appended, self._server.replication.offset)
        self.flush()

    def not_rewritten(self) -> None:
        """There is no new base."""
        self._buffer.release(written_elsewhere=False)

    # -- on and off ------------------------------------------------------------------------------------------

    def _configure(self, config: Configuration) -> None:
        """CONFIG SET appendonly. Raises BadValue."""
        if config.appendonly and self.state == OFF:
            self._turn_on()
        elif not config.appendonly and self.state != OFF:
            self.turn_off()

    def _turn_on(self) -> None:
        log = self._server.log
        self.state = WAITING
        self._faults.forget()
        if self._server.persistence.writes_rdb:
            self.rewrite.scheduled = True
            log("notice", "AOF was enabled but there is already another background operation. An AOF background was "
                          "scheduled to start when possible.")
            return
        if not self._server.ctx.allows_blocking:
            self.rewrite.scheduled = True
            log("notice", "AOF was enabled during a transaction. An AOF background was scheduled to start when "
                          "possible.")
            return
        if self.rewrite.is_running:
            log("warning", "AOF was enabled but there is already an AOF rewriting in background. Stopping background "
                           "AOF and starting a rewrite now.")
            self.rewrite.stop()
        if not self.rewrite.start():
            self.turn_off()
            log("warning", "Redis needs to enable the AOF but can't trigger a background AOF rewrite operation. Check "
                           "the above logs for more info about the error.")
            raise BadValue("Unable to turn on AOF. Check server logs.")

    def turn_off(self) -> None:
        """Finish the file. What has been promised so far is on disk then."""
        if self._server.ctx.allows_blocking:
            self._server.flush_journal()
        self.not_rewritten()
        self.flush(at_once=True)
        self.rewrite.stop()
        self.rewrite.scheduled = False
        self._sync_and_close()
        if self.state == WAITING:
            with suppress(OSError):  # it is in nobody's way
                self.directory.temporary_increment.unlink()
        self.state = OFF
        self._buffer.clear()
        self._other_bytes = 0
        self._faults.forget()
        self._server.refresh_road()

    def _sync_and_close(self) -> None:
        file, self._file = self._file, None
        self.is_open = False
        if file is None:
            return
        try:
            file.sync()
        except OSError as error:
            self._server.log("warning", f"Fail to fsync the AOF file: {error.strerror}")
        else:
            self.synced = self.appended - self._buffer.size
        self._unsynced = False
        self.syncer.do(file.close)

    def dataset_replaced(self) -> None:
        """The data are others than those in the files: those of a new primary."""
        if self.state == OFF:
            return
        self.turn_off()
        self._synced_offset = 0
        try:
            self._turn_on()
        except BadValue:
            self._server.log("warning", "Failed enabling the AOF after successful master synchronization! Trying it "
                                        "again in one second.")
            self.state, self.rewrite.scheduled = WAITING, True

    # -- shutdown --------------------------------------------------------------------------------------------

    def refuses_shutdown(self, *, forced: bool) -> bool:
        """Whether the process would leave files behind that do not hold its data."""
        if self.state != WAITING:
            return False
        self._server.log("warning", "Writing initial AOF. Exit anyway." if forced else
                                    "Writing initial AOF, can't exit.")
        return not forced

    def close(self) -> None:
        """The process ends: everything is written and synced."""
        if self.state != OFF:
            if self.rewrite.is_running:
                self._server.log("warning", "There is a child rewriting the AOF. Killing it!")
            self._server.log("notice", "Calling fsync() on the AOF file.")
            self.turn_off()
        self.rewrite.stop()
        self.syncer.close()

    # -- facts -----------------------------------------------------------------------------------------------

    def info(self) -> Iterator[tuple[str, object]]:
        """The fields of INFO persistence."""
        yield "aof_enabled", int(self.state != OFF)
        yield from self.rewrite.info()
        yield "aof_last_write_status", "ok" if self.refusal is None else "err"
        yield "aof_last_cow_size", self.rewrite.last_own_bytes
        yield "module_fork_in_progress", 0
        yield "module_fork_last_cow_size", 0
        if self.state != OFF:
            yield "aof_current_size", self.size
            yield "aof_base_size", self.base_bytes
            yield "aof_pending_rewrite", int(self.rewrite.scheduled)
            yield "aof_buffer_length", self._buffer.size
            yield "aof_pending_bio_fsync", int(self._syncing)
            yield "aof_delayed_fsync", self.delayed_syncs
