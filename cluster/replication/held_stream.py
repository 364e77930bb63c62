"""The stream that a replica will need once it has its snapshot: in memory up to a limit, beyond it in a file.

redis-server cuts a replica off when that becomes too much for client-output-buffer-limit. It comes again for another
snapshot, which takes as long as the first, and so for ever, as long as there are many writes. A file costs nobody
anything, as long as there is an end to it.
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

MOST_FILE_BYTES = 2 << 30
"""Who falls further behind than that will hardly ever catch up, and the disk is there for others, too."""


class HeldStream:
    """Bytes, out in the order in which they came in. `limit_bytes` 0: all of them may be in memory."""

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        self._directory = directory
        self._limit = limit_bytes
        self._chunks: deque[bytes] = deque()
        self.memory_bytes = 0
        self._file = -1
        self._read_at = 0
        self._end = 0

    def __len__(self) -> int:
        return self.memory_bytes + self._end - self._read_at

    @property
    def pieces(self) -> int:
        """In memory."""
        return len(self._chunks)

    @property
    def in_file(self) -> bool:
        return self._file >= 0

    @property
    def is_hopeless(self) -> bool:
        """More than the replica can ever make up for."""
        return self._end - self._read_at > MOST_FILE_BYTES

    def append(self, data: bytes) -> None:
        """Raises OSError when the file cannot be written."""
        if self._file < 0 and (not self._limit or self.memory_bytes + len(data) <= self._limit):
            self._chunks.append(data)
            self.memory_bytes += len(data)
            return
        if self._file < 0:
            self._file = _nameless(self._directory)
        rest = memoryview(data)
        while rest:
            count = os.pwrite(self._file, rest, self._end)
            self._end += count
            rest = rest[count:]

    def take(self, count: int) -> bytes:
        """About so many of the oldest bytes; none when there are none. Raises OSError."""
        if self._chunks:
            taken = []
            while self._chunks and count > 0:
                taken.append(self._chunks.popleft())
                count -= len(taken[-1])
                self.memory_bytes -= len(taken[-1])
            return b"".join(taken)
        if self._file < 0:
            return b""
        data = os.pread(self._file, min(count, self._end - self._read_at), self._read_at)
        self._read_at += len(data)
        if self._read_at == self._end:
            self.close()
        return data

    def copy(self) -> HeldStream | None:
        """Another of the same content, for a replica that gets the same snapshot; None where a file is in use."""
        if self.in_file:
            return None
        twin = HeldStream(self._directory, self._limit)
        twin._chunks = self._chunks.copy()
        twin.memory_bytes = self.memory_bytes
        return twin

    def close(self) -> None:
        """Give the file back; what was in it is lost."""
        if self._file >= 0:
            os.close(self._file)
        self._file, self._read_at, self._end = -1, 0, 0


def _nameless(directory: Path) -> int:
    """A file that is gone with its descriptor, whatever becomes of us."""
    path = directory / f"temp-held-{os.getpid()}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    path.unlink()
    return descriptor
