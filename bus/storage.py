"""The file of a node's cluster state: never half of it, never an older one than was promised, and one process's.

To replace a file so that it survives a loss of power takes three waits for the disk, and an operator who moves slots
changes something thousands of times. So each state is first written into the lock's file, which has three places for
it, in place and with one wait at most (`durable`), and from there into the state's own file some times a second
(`settle`, which may run in a thread):

- A save takes a place that holds neither the newest state nor the newest one that was synced. So a process that is
  killed within a write leaves the state before, and a machine that loses its power the last one that was synced.
- A place has a checksum and a number, of which the greatest counts. It also says what the state's own file may hold
  beside it. When that holds something else, somebody has put it there (a backup, say), and it counts.
- The own file is written under another name and synced before it takes its name, and its directory is synced after.
"""

from __future__ import annotations

import errno
import fcntl
import os
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from threading import Lock

PLACES = 3
PLACE_BYTES = 16 << 10
"""What a place has at first; with a state that is larger, it is doubled until that fits."""
OWN_LIMIT = 8
"""So many files are remembered which a loss of power may bring back, where the sync of a directory fails."""
_HEADER_LIMIT = 512
_BLOCK = 4096
_NOTHING = "-"  # in place of a digest: the state's own file is not there


class StorageError(Exception):
    """nodes.conf cannot be used; one line that names the file and the cause."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A state in its place. `beside`: digests of what the state's own file may hold."""

    number: int
    beside: tuple[str, ...]
    data: bytes

    def encode(self) -> bytes:
        body = b"%d %d %s\n%s" % (self.number, len(self.data), ",".join(self.beside).encode(), self.data)
        return digest(body).encode() + b" " + body


def decode(place: bytes) -> Kept | None:
    """What a place holds; None for nothing, or half of it."""
    header, _, data = place.partition(b"\n")
    try:
        checksum, number, length, beside = header[:_HEADER_LIMIT].decode("ascii").split(" ")
        kept = Kept(int(number), tuple(beside.split(",")), data[: int(length)])
    except ValueError:
        return None
    return kept if kept.encode().startswith(checksum.encode() + b" ") else None


def digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


class StateFile:
    """`lock` first, then `load` and `save`, and `settle` now and then. The lock stands in a file beside the state's,
    since to settle replaces that."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.beside = path.with_name(f"{path.name}.lock")
        self.passed_over: str | None = None
        """What was saved last, when somebody has put another file in place of the state's own."""
        self._handle: int | None = None
        self._settling = Lock()  # the state's own file is being replaced
        self._guard = Lock()  # what follows is being changed, or a place written
        self._place_bytes = 0  # 0: there are no places yet
        self._number = 0
        self._newest: bytes | None = None
        self._newest_at: int | None = None
        self._synced_at: int | None = None
        self._own: list[str] = [_NOTHING]  # what the state's own file may hold

    # -- at the start ------------------------------------------------------------------------------------------

    def lock(self) -> None:
        """Keep other processes away from this state until `close`. Raises StorageError."""
        where = self.beside
        try:
            handle = os.open(where, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(f"Can't open {where} in order to acquire a lock: {error.strerror}") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            if error.errno == errno.EWOULDBLOCK:
                raise StorageError(
                    f"Sorry, the cluster configuration file {self.path} is already used by a different Redis Cluster "
                    "node. Please make sure that different nodes use different cluster configuration files."
                ) from None
            raise StorageError(f"Impossible to lock {where}: {error.strerror}") from None
        self._handle = handle

    def load(self) -> str | None:
        """The text, or None when there is none yet. Raises StorageError."""
        try:
            own: bytes | None = self.path.read_bytes()
        except FileNotFoundError:
            own = None
        except OSError as error:
            raise StorageError(f"Loading the cluster node config from {self.path}: {error.strerror}") from None
        try:
            kept = self._load_places()
            _sync_directory(self.path.parent)  # what was renamed before a kill is what the next start finds, too
        except OSError as error:
            raise StorageError(f"Loading the cluster node config from {self.beside}: {error.strerror}") from None
        if own is None:
            return None
        self._own = [digest(own)]
        self._newest = own
        if kept is None:
            return _text(own)
        if self._own[0] in (*kept.beside, digest(kept.data)):
            self._newest = kept.data
            return _text(kept.data)
        if not own.strip():
            raise StorageError(
                f"Unrecoverable error: the cluster config file {self.path} is empty, but this node has had a state: "
                f"{self.beside} holds one. Put a backup of {self.path.name} in its place, or delete both files if "
                "this is to be a new node."
            )
        self.passed_over = _text(kept.data)
        return _text(own)

    def _load_places(self) -> Kept | None:
        """The newest state in the lock's file. Raises OSError."""
        handle = self._opened
        size = os.fstat(handle).st_size
        if not size or size % (PLACES * _BLOCK):
            return None
        self._place_bytes = size // PLACES
        newest: Kept | None = None
        for at in range(PLACES):
            kept = decode(os.pread(handle, self._place_bytes, at * self._place_bytes))
            if kept is not None and kept.number > self._number:
                newest = kept
                self._number, self._newest_at = kept.number, at
        os.fdatasync(handle)  # a process that was killed may not have synced it
        self._synced_at = self._newest_at
        return newest

    @property
    def _opened(self) -> int:
        assert self._handle is not None, "lock it first"
        return self._handle

    # -- saving ------------------------------------------------------------------------------------------------

    def save(self, text: str, *, durable: bool = True) -> None:
        """Keep `text` instead of what there was: when this returns, a process that is killed does not lose it.
        `durable`: nor does a machine that loses its power. Not to be called by two threads. Raises OSError."""
        data = text.encode("utf-8", "surrogateescape")
        if len(data) + _HEADER_LIMIT > self._place_bytes:
            self._make_room(len(data) + _HEADER_LIMIT)
        with self._guard:
            self._write(data)
            if durable:
                os.fdatasync(self._opened)
                self._synced_at = self._newest_at
        if _NOTHING in self._own:
            self.settle()

    def _write(self, data: bytes) -> None:
        at = next(at for at in range(PLACES) if at not in (self._newest_at, self._synced_at))
        kept = Kept(self._number + 1, tuple(self._own), data)
        _write_all(self._opened, kept.encode(), at * self._place_bytes)
        self._newest, self._newest_at, self._number = data, at, kept.number

    def _make_room(self, needed: int) -> None:
        """Larger places. What the old ones hold is in the state's own file before they go."""
        self.settle()
        size = max(self._place_bytes, PLACE_BYTES)
        while size < needed:
            size *= 2
        with self._guard:
            self._place_bytes = 0
            self._newest_at = self._synced_at = None
            os.ftruncate(self._opened, 0)
            _write_all(self._opened, bytes(PLACES * size), 0)  # so that none of it is missing on a full disk
            os.fsync(self._opened)
            _sync_directory(self.path.parent)
            self._place_bytes = size

    # -- the state's own file ----------------------------------------------------------------------------------

    @property
    def is_settled(self) -> bool:
        """Whether the state's own file holds what was saved last."""
        return self._newest is None or self._own == [digest(self._newest)]

    def settle(self) -> None:
        """Have in the state's own file what was saved last. Raises OSError; nothing is lost by that."""
        with self._settling:
            with self._guard:
                if self._newest is None or self.is_settled:
                    return
                data = self._newest
                before = self._own
                self._own = [*before[-OWN_LIMIT:], digest(data)]  # what is saved from now on knows of both
            try:
                self._replace(data)
            except BaseException:
                self._own = before
                raise
            _sync_directory(self.path.parent)
            with self._guard:
                self._own = [digest(data)]
                if self._place_bytes:
                    self._write(self._newest)  # from now on what was in the file before is somebody else's

    def _replace(self, data: bytes) -> None:
        temporary = self.path.with_name(f"{self.path.name}.tmp")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())  # else a crash of the machine could leave the name with nothing behind it
            os.replace(temporary, self.path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def close(self) -> None:
        """Let go of the lock. What has not settled does so with the next start."""
        with self._settling:
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None


def _write_all(handle: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(handle, view, at)
        if not count:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        view, at = view[count:], at + count


def _sync_directory(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF):  # some systems cannot do that at all
            raise
    finally:
        os.close(folder)
