"""The file of a node's cluster state: written as a whole or not at all, and held by one process only.

To replace a file takes milliseconds, and an operator who moves slots changes something thousands of times. So what need
not survive a crash of the machine is written into the lock's file meanwhile, in place, with a checksum, and from there
into the state's own file some times a second: a process that is killed has lost nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import time
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

SETTLE_S = 0.1
"""The file is replaced once in this time, but for what must be durable."""
_HEADER_LIMIT = 200


class StorageError(Exception):
    """nodes.conf cannot be used; one line that names the file and the cause."""


class StateFile:
    """`lock` first, then `load` and `save`, and `settle` now and then. The lock stands in a file beside the state's,
    since a save replaces that."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None
        self._base = b""  # what the file holds
        self._replaced_at = -SETTLE_S
        self._recent: bytes | None = None  # what is newer, in the lock's file

    def lock(self) -> None:
        """Keep other processes away from this state until `close`. Raises StorageError."""
        where = self.path.with_name(f"{self.path.name}.lock")
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
        self._lock = handle

    def load(self) -> str | None:
        """The text, or None when there is none yet. Raises StorageError."""
        try:
            self._base = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"Loading the cluster node config from {self.path}: {error.strerror}") from None
        self._recent = self._read_recent()
        return (self._base if self._recent is None else self._recent).decode("utf-8", "surrogateescape")

    def save(self, text: str, *, durable: bool = True) -> None:
        """Keep `text` instead of what there was. `durable`: when this returns, a crash of the machine does not lose it.
        Raises OSError."""
        data = text.encode("utf-8", "surrogateescape")
        if durable or self._lock is None or time.monotonic() - self._replaced_at >= SETTLE_S:
            self._replace(data, durable=durable)
        else:
            self._write_recent(data)

    def settle(self) -> None:
        """Have in the file what was saved beside it a while ago. Raises OSError."""
        if self._recent is not None and time.monotonic() - self._replaced_at >= SETTLE_S:
            self._replace(self._recent, durable=False)

    def _write_recent(self, data: bytes) -> None:
        assert self._lock is not None
        header = f"{_digest(self._base)} {_digest(data)} {len(data)}\n".encode()
        os.pwrite(self._lock, header + data, 0)
        os.ftruncate(self._lock, len(header) + len(data))
        self._recent = data

    def _read_recent(self) -> bytes | None:
        """What was saved after the file, and on top of it; None when there is no such thing, or not all of it."""
        if self._lock is None:
            return None
        with suppress(OSError, ValueError):
            whole = os.pread(self._lock, os.fstat(self._lock).st_size, 0)
            header, _, data = whole.partition(b"\n")
            base, digest, length = header[:_HEADER_LIMIT].decode("ascii").split(" ")
            data = data[: int(length)]
            if base == _digest(self._base) and digest == _digest(data):
                return data
        return None

    def _replace(self, data: bytes, *, durable: bool) -> None:
        directory = self.path.parent
        handle, temporary = tempfile.mkstemp(prefix=f"{self.path.name}.tmp-", dir=directory)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())  # else a crash of the machine could leave the name with nothing behind it
            os.replace(temporary, self.path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        self._base, self._recent = data, None
        self._replaced_at = time.monotonic()
        if not durable:
            return
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()
