"""The last bytes of the replication stream, so that a replica that was away for a moment need not start anew."""

from __future__ import annotations

from collections import deque


class Backlog:
    """Bytes of the stream up to `end`; the first byte of a stream has the number 1. `size` is how many are kept."""

    def __init__(self, size: int, end: int = 0) -> None:
        self.size = size
        self.end = end
        self._chunks: deque[bytes] = deque()
        self._held = 0

    def __len__(self) -> int:
        return min(self._held, self.size)

    @property
    def held_bytes(self) -> int:
        """What it takes in memory: the chunk in which the oldest promised byte lies is kept whole."""
        return self._held

    @property
    def first(self) -> int:
        """The number of the oldest byte that is promised (one behind the end when there is none)."""
        return self.end - len(self) + 1

    def append(self, data: bytes) -> None:
        self._chunks.append(data)
        self._held += len(data)
        self.end += len(data)
        while self._held - len(self._chunks[0]) >= self.size:
            self._held -= len(self._chunks.popleft())

    def since(self, number: int) -> bytes | None:
        """The bytes from `number` on; None when some are gone, or not there yet."""
        if not self.first <= number <= self.end + 1:
            return None
        wanted = self.end + 1 - number
        found: list[bytes] = []
        for chunk in reversed(self._chunks):
            if wanted <= 0:
                break
            found.append(chunk if len(chunk) <= wanted else chunk[-wanted:])
            wanted -= len(chunk)
        return b"".join(reversed(found))
