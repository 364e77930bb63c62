"""The file of a node's cluster state: written as a whole or not at all, and held by one process only."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from pathlib import Path


class StorageError(Exception):
    """nodes.conf cannot be used; one line that names the file and the cause."""


class StateFile:
    """`lock` first, then `load` and `save`. The lock stands in a file beside it, since a save replaces the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

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
            return self.path.read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"Loading the cluster node config from {self.path}: {error.strerror}") from None

    def save(self, text: str, *, durable: bool = True) -> None:
        """Replace the file as a whole. `durable`: when this returns, a crash of the machine does not lose it either.
        Raises OSError."""
        directory = self.path.parent
        handle, temporary = tempfile.mkstemp(prefix=f"{self.path.name}.tmp-", dir=directory)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text.encode("utf-8", "surrogateescape"))
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                if durable:
                    os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
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
