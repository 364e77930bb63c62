"""The file that writes are appended to, and the thread that syncs it where nobody may wait for the disk.

`Disk` holds the few calls that reach it, so that a test can have them fail.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread


@dataclass(slots=True)
class Disk:
    write: Callable[[int, bytes | memoryview], int] = os.write
    sync: Callable[[int], None] = os.fdatasync
    truncate: Callable[[int, int], None] = os.ftruncate


class Unwritten(Exception):
    """Some bytes could not be written. The first `kept` of them are in the file and could not be taken out again."""

    def __init__(self, error: OSError, kept: int, written: int, size: int) -> None:
        super().__init__(str(error))
        self.error = error
        self.kept = kept
        self.written = written
        self.size = size


class AppendFile:
    """One file, opened for appending and made if need be. `size` is its length."""

    def __init__(self, path: Path, disk: Disk, *, anew: bool) -> None:
        """`anew`: whatever a file of that name holds is nobody's. Raises OSError."""
        self.path = path
        self._disk = disk
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self.fd = os.open(path, flags | (os.O_TRUNC if anew else 0), 0o644)
        self.size = os.fstat(self.fd).st_size

    def append(self, data: bytes) -> None:
        """Write all of `data`, or nothing of it if that can be. Raises Unwritten."""
        written = 0
        try:
            written = self._disk.write(self.fd, data)
            while written < len(data):
                written += self._disk.write(self.fd, memoryview(data)[written:])
        except OSError as error:
            kept = written
            if written:
                with suppress(OSError):
                    self._disk.truncate(self.fd, self.size)
                    kept = 0
            self.size += kept
            raise Unwritten(error, kept, written, len(data)) from None
        self.size += written

    def sync(self) -> None:
        """Raises OSError."""
        self._disk.sync(self.fd)

    def close(self) -> None:
        os.close(self.fd)


class Syncer:
    """Does what takes the disk's time in a thread of its own, one thing after the other.

    What is done is told to the caller when he asks (`done`): nothing of the node is touched from the thread.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], None], Callable[[OSError | None], None] | None] | None] = (
            SimpleQueue()
        )
        self._results: deque[tuple[Callable[[OSError | None], None], OSError | None]] = deque()
        self._thread: Thread | None = None

    def do(self, job: Callable[[], None], then: Callable[[OSError | None], None] | None = None) -> None:
        """Have `job` done; `then` is called by a later `done`, with the error if there was one."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name="aof-sync", daemon=True)
            self._thread.start()
        self._jobs.put((job, then))

    def done(self) -> None:
        """Call back for what has been done."""
        while self._results:
            then, error = self._results.popleft()
            then(error)

    def close(self) -> None:
        """Finish what is to be done, and end the thread."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None
            self.done()

    def _run(self) -> None:
        while (entry := self._jobs.get()) is not None:
            job, then = entry
            failure: OSError | None = None
            try:
                job()
            except OSError as error:
                failure = error
            if then is not None:
                self._results.append((then, failure))
