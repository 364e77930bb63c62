"""A snapshot made in the process itself, a while at a time, while clients go on writing (`bgsave-method in-process`).

The walk goes through the slots of each database and encodes their keys. Who is about to change a key says so first
(`before`): one that the walk has not reached is encoded there and then, as it still is. So the snapshot is of the
moment in which the walk began, as a forked child's is, but nothing of the data is copied for it: in a forked child each
object that is looked at gets another reference count, and with that the page of memory in which it lies is copied.

Pure: bytes come out, and whoever writes them says how long they may take. A large collection costs its change a shallow
copy; the bytes are made afterwards, in parts. What replaces a database as a whole is not provided for: the walk has to
end before that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from cluster.keyspace.database import Database
from cluster.keyspace.hashing import SLOT_COUNT, key_slot
from cluster.keyspace.values import Value
from cluster.persistence import rdb_format as rdb
from cluster.persistence.rdb_writer import (
    CHUNK_BYTES,
    Usage,
    database_head,
    file_head,
    key_bytes,
    key_parts,
    select_part,
)

if TYPE_CHECKING:
    from cluster.config.store import Configuration

KEYS_BETWEEN_LOOKS = 32
"""So many keys are encoded before the walk asks whether its time is over."""
LARGE_ELEMENTS = 256
"""Collections of more are encoded in parts."""


class _Progress:
    """How far the walk is in one database: slots before `slot` are done. `done`: in other slots, the keys that are in
    the file already, or that were not there when the walk began."""

    __slots__ = ("db", "done", "slot")

    def __init__(self, db: Database) -> None:
        self.db = db
        self.slot = 0 if len(db) else SLOT_COUNT
        self.done: dict[int, set[bytes]] = {}


class SnapshotWalk:
    def __init__(
        self,
        databases: Sequence[Database],
        config: Configuration,
        aux: Mapping[str, str],
        functions: Iterable[bytes] = (),
        usage: Usage | None = None,
    ) -> None:
        self._config = config
        self._usage = usage
        self._progress = {db.index: _Progress(db) for db in databases}
        self._queue: deque[bytes | Iterator[bytes]] = deque(file_head(databases, config, aux, functions))
        self._queue += [database_head(db) for db in databases if len(db)]
        self._selected = -1
        self._checksum = 0
        self._walk = self._steps()
        self._at_end = False
        self.is_done = False
        self.keys_done = 0
        self.keys_total = sum(map(len, databases))
        self.keys_at_once = KEYS_BETWEEN_LOOKS

    def before(self, db: Database, key: bytes) -> None:
        """`key` is about to change, to go, or to come."""
        progress = self._progress[db.index]
        slot = key_slot(key)
        if slot < progress.slot:
            return
        done = progress.done.setdefault(slot, set())
        if key not in done:
            done.add(key)
            value = db.spaces[slot].get(key)
            if value is not None:
                self._write(db, slot, key, value)

    def take(self, is_over: Callable[[], bool]) -> bytes:
        """The next chunk; a smaller one, perhaps none, when `is_over` says so before."""
        queue = self._queue
        made: list[bytes] = []
        size = 0
        while size < CHUNK_BYTES:
            if not queue:
                if self._at_end or is_over():
                    break
                self._at_end = next(self._walk, None) is None
                continue
            part = self._next_part()
            made.append(part)
            size += len(part)
            if not part and is_over():
                break
        if self._at_end and not queue:
            self.is_done = True
            made.append(bytes((rdb.EOF,)))
        data = b"".join(made)
        if self._config.rdbchecksum:
            self._checksum = rdb.CRC.calc(data, self._checksum)
        return data + self._checksum.to_bytes(8, "little") if self.is_done else data

    def _next_part(self) -> bytes:
        first = self._queue[0]
        if isinstance(first, bytes):
            self._queue.popleft()
            return first
        part = next(first, None)
        if part is None:
            self._queue.popleft()
        return part or b""

    def _steps(self) -> Iterator[bool]:
        """Queue the keys that have not been queued yet, some at a time."""
        for progress in self._progress.values():
            for slot in range(progress.slot, SLOT_COUNT):
                progress.slot = slot
                if progress.db.spaces[slot]:
                    yield from self._slot(progress, slot)
                progress.done.pop(slot, None)
            progress.slot = SLOT_COUNT

    def _slot(self, progress: _Progress, slot: int) -> Iterator[bool]:
        db = progress.db
        space = db.spaces[slot]
        keys, at = list(space), 0
        while at < len(keys):
            some = keys[at : at + self.keys_at_once]
            at += len(some)
            done = progress.done.setdefault(slot, set())
            for key in some:
                if key not in done:
                    self._write(db, slot, key, space[key])
            done.update(some)
            yield True

    def _write(self, db: Database, slot: int, key: bytes, value: Value) -> None:
        """Encode a key as it is now; of a large one only the beginning, the rest is made when its turn has come."""
        if self._selected != db.index:
            self._selected = db.index
            self._queue.append(select_part(db.index))
        deadline = db.deadlines[slot].get(key)
        if isinstance(value, (bytes, bytearray)) or len(value) <= LARGE_ELEMENTS:
            self._queue.append(key_bytes(db, key, value, deadline, self._config, self._usage))
        else:
            parts = key_parts(db, key, value, deadline, self._config, self._usage)
            self._queue.append(next(parts))
            self._queue.append(parts)
        self.keys_done += 1
