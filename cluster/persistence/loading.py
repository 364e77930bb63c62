"""Files → the dataset, in slices between which clients have a turn: RDB files, and append-only files.

A slice ends where a generator yields. Whoever goes through it decides what happens then: at the start the node serves
clients, who hear LOADING or look at INFO; DEBUG's commands go straight on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from cluster.persistence.aof_directory import RDB_MAGIC, AofDirectory, AofError
from cluster.persistence.aof_reader import AofFormatError, AofReader, scan
from cluster.persistence.aof_replay import Replay, UnknownCommand
from cluster.persistence.rdb_reader import RdbError, load_rdb

if TYPE_CHECKING:
    from cluster.server import Server

CHUNK_BYTES = 64 * 1024
"""Of commands: some milliseconds."""
KEYS_PER_LOOK = 64
LONGEST_SHOWN = 128
"""Of a name that no command has: there may be anything in a file."""
LONGEST_SLICE_S = 0.05
"""Unless a single key takes longer. The other nodes wait for answers, too."""
Slices = Generator[None, None, None]


class Loader:
    """Counts what it loads: `keys` and `expired` of the last RDB, and bytes of all files that are on the list."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.keys = 0
        self.expired = 0
        self._started_ms = 0
        self._total_bytes = 0
        self._done_bytes = 0
        self._file: BinaryIO | None = None
        self._was_loading = False

    def begin(self, total_bytes: int) -> None:
        """From now on the server is loading, so many bytes."""
        self._started_ms = self._server.clock_ms()
        self._total_bytes, self._done_bytes = total_bytes, 0
        self._was_loading = self._server.loading
        self._server.loading = True
        self._server.refresh_road()

    def end(self) -> None:
        """As before: a node that starts goes on to be loading until all of its parts are there."""
        self._server.loading = self._was_loading
        self._server.refresh_road()

    def info(self) -> Iterator[tuple[str, object]]:
        """The fields of INFO persistence while it is at work."""
        if not self._server.loading:
            return
        loaded = self._done_bytes
        if self._file is not None:
            loaded += self._file.tell()
        share = loaded / max(1, self._total_bytes)
        elapsed = (self._server.clock_ms() - self._started_ms) / 1000
        yield "loading_start_time", self._started_ms // 1000
        yield "loading_total_bytes", self._total_bytes
        yield "loading_rdb_used_mem", 0
        yield "loading_loaded_bytes", loaded
        yield "loading_loaded_perc", f"{100 * share:.2f}"
        yield "loading_eta_seconds", round(elapsed / share - elapsed) if share else 1

    def _rest(self, keys: int) -> None:
        """key-load-delay: make that many keys take longer, for who looks at a server that is loading."""
        delay = self._server.config.key_load_delay
        if delay:
            time.sleep(keys * (delay if delay > 0 else -1 / delay) / 1e6)

    # -- RDB -------------------------------------------------------------------------------------------------

    def rdb(self, path: Path, aux: dict[str, str], *, keep_deadlines: bool, merge: bool = True) -> Slices:
        """Add what the file holds; its AUX fields go to `aux`. Raises RdbError, OSError.

        keep_deadlines: take expired keys too. Otherwise their deletion is journaled, when all is loaded.
        """
        with path.open("rb") as file:
            yield from self._rdb(file, path, aux, keep_deadlines=keep_deadlines, merge=merge)
            self._done_bytes += file.tell()

    def _rdb(
        self, file: BinaryIO, path: Path, aux: dict[str, str], *, keep_deadlines: bool, merge: bool
    ) -> Slices:
        server = self._server
        memory = server.memory
        interval = server.config.loading_process_events_interval_bytes
        keys_per_look = 1 if server.config.key_load_delay else KEYS_PER_LOOK
        self._file = file
        self.keys = self.expired = 0
        now = server.clock_ms()
        gone: list[tuple[int, list[bytes]]] = []
        seen, rested = file.tell(), time.monotonic()

        def on_function(code: bytes) -> None:
            server.functions.load(code, replace=merge, limited=False)

        for entry in load_rdb(file, aux.__setitem__, server.field_names, on_function):
            if entry.db >= len(server.databases):
                raise RdbError(f"{path}: the file has database {entry.db}, this server has {len(server.databases)}")
            if not keep_deadlines and entry.deadline_ms is not None and entry.deadline_ms <= now:
                self.expired += 1
                gone.append((entry.db, [b"DEL", entry.key]))
                continue
            db = server.databases[entry.db]
            if not merge and db.get(entry.key) is not None:
                raise RdbError(f"{path}: the key {entry.key!r} is there already")
            db.store(entry.key, entry.value, entry.deadline_ms)
            memory.set_clock(db, entry.key, memory.clock_of(entry.idle_seconds, entry.frequency))
            self.keys += 1
            if self.keys % keys_per_look == 0:
                self._rest(keys_per_look)
                if file.tell() - seen >= interval or time.monotonic() - rested >= LONGEST_SLICE_S:
                    seen = file.tell()
                    yield
                    rested = time.monotonic()
        self._file = None
        server.journal.entries += gone

    # -- append-only files -----------------------------------------------------------------------------------

    def append_only(self, directory: AofDirectory) -> Slices:
        """Fill the databases from the files that the manifest names. Raises AofError."""
        started = time.monotonic()
        files = directory.manifest.to_load
        self.begin(sum([directory.size_of(file.name) for file in files]))
        try:
            for file in files:
                is_base = file is directory.manifest.base
                yield from self.aof(directory.path / file.name, is_base=is_base, is_last=file is files[-1])
        finally:
            self.end()
        self._server.memory.count_anew()
        self._server.log("notice", f"DB loaded from append only file: {time.monotonic() - started:.3f} seconds")

    def aof(self, path: Path, *, is_base: bool, is_last: bool) -> Slices:
        """Run what the file holds. Raises AofError; a torn end is cut off if it may be, and it is the last file."""
        started = time.monotonic()
        try:
            file = path.open("rb")
        except OSError as error:
            raise AofError(f"Fatal error: can't open the append log file {path.name} for reading: {error.strerror}"
                           ) from None
        with file:
            size = os.fstat(file.fileno()).st_size
            if file.read(len(RDB_MAGIC)) == RDB_MAGIC:
                file.seek(0)
                yield from self._rdb_of_aof(file, path)
            else:
                file.seek(0)
            self._file = file
            try:
                yield from self._commands(file, path, is_last=is_last)
            except OSError as error:
                raise AofError(f"Unrecoverable error reading the append only file {path.name}: {error.strerror}"
                               ) from None
            finally:
                self._file = None
        self._done_bytes += size
        if size:
            kind = "base" if is_base else "incr"
            self._server.log("notice", f"DB loaded from {kind} file {path.name}: {time.monotonic() - started:.3f} "
                                       "seconds")

    def _rdb_of_aof(self, file: BinaryIO, path: Path) -> Slices:
        self._server.log("notice", "Reading RDB base file on AOF loading...")
        try:
            yield from self._rdb(file, path, {}, keep_deadlines=True, merge=True)
        except (RdbError, OSError) as error:
            raise AofError(f"Error reading the RDB base file {path.name}, AOF loading aborted: {error}") from None

    def _commands(self, file: BinaryIO, path: Path, *, is_last: bool) -> Slices:
        replay = Replay(self._server, path.name)
        reader = AofReader(file.tell())
        chunk_bytes = min(CHUNK_BYTES, self._server.config.loading_process_events_interval_bytes)
        opened = reader.offset  # a transaction that is open began behind this
        try:
            while data := file.read(max(chunk_bytes, reader.wanted_bytes)):
                if replay.transaction is None:
                    opened = reader.offset
                start, commands = reader.offset, reader.feed(data)
                replay.run(commands)
                self._rest(len(commands))
                yield
            while reader.pending:
                start, commands = reader.offset, reader.feed(b"")
                if not commands:
                    break
                replay.run(commands)
        except UnknownCommand as unknown:
            place = next(at for at, one in enumerate(commands) if one is unknown.arguments)
            raise AofError(f"Unknown command {_shown(unknown.arguments[0])} reading the append only file {path.name} "
                           f"(at offset {_offset_of(file, start, place)})") from None
        except AofFormatError as error:
            raise AofError(f"Bad file format reading the append only file {path.name}: make a backup of your AOF file, "
                           f"then use ./redis-check-aof --fix <filename.manifest> ({error})") from None
        if replay.transaction is not None:
            self._server.log("warning", f"Revert incomplete MULTI/EXEC transaction in AOF file {path.name}")
            self._cut(path, _last_multi(file, opened), is_last=is_last)
        elif reader.pending:
            self._cut(path, reader.offset, is_last=is_last)

    def _cut(self, path: Path, valid_bytes: int, *, is_last: bool) -> None:
        """The file is good up to `valid_bytes` only."""
        log, name = self._server.log, path.name
        if not is_last:
            raise AofError(f"Fatal error: the truncated file is not the last file ({name} ends within a command, at "
                           f"offset {valid_bytes})")
        if self._server.config.aof_load_truncated:
            log("warning", f"!!! Warning: short read while loading the AOF file {name}!!!")
            log("warning", f"!!! Truncating the AOF {name} at offset {valid_bytes} !!!")
            try:
                os.truncate(path, valid_bytes)
            except OSError as error:
                log("warning", f"Error truncating the AOF file {name}: {error.strerror}")
            else:
                log("warning", f"AOF {name} loaded anyway because aof-load-truncated is enabled")
                return
        raise AofError(
            f"Unexpected end of file reading the append only file {name}. You can: 1) Make a backup of your AOF file, "
            "then use ./redis-check-aof --fix <filename.manifest>. 2) Alternatively you can set the "
            "'aof-load-truncated' configuration option to yes and restart the server."
        )


def _shown(name: bytes) -> str:
    """The name of a command as one line of the log can hold it."""
    text = name[:LONGEST_SHOWN].decode("utf-8", "backslashreplace")
    return f"'{text}'" if text.isprintable() else ascii(text)


def _offset_of(file: BinaryIO, start: int, place: int) -> int:
    """Where command number `place` (from 0) behind the offset `start` begins, in what has been read so far."""
    read_bytes = file.tell() - start
    file.seek(start)
    found = 0
    for end, arguments in scan(file.read(read_bytes), start):
        if arguments and found == place:
            break
        found += bool(arguments)
        start = end
    return start


def _last_multi(file: BinaryIO, offset: int) -> int:
    """Where the transaction begins that the file ends in; it does so behind `offset`."""
    file.seek(offset)
    start = offset
    opened: int | None = None
    for end, arguments in scan(file.read(), offset):
        name = arguments[0].upper() if arguments else b""
        if name == b"EXEC":
            opened = None
        elif name == b"MULTI" and opened is None:
            opened = start
        start = end
    return start if opened is None else opened
