"""What waits to be written to the append-only file: nothing, mostly, since each batch is written at once.

It waits for a sync that is under way, or for a disk that takes no more. When a rewrite begins meanwhile, what waits is
in the new base already. So it is kept back until the rewrite is over: dropped then, as written twice it would also be
done twice (redis-server does that), or written if there is no new base.
"""

from __future__ import annotations


class AofBuffer:
    """`begins_within`: the file at hand ends in the first part of a command, the rest of which comes first here."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._held_chunks = 0
        self.is_held = False
        self.begins_within = False

    def __bool__(self) -> bool:
        return bool(self._chunks)

    @property
    def size(self) -> int:
        return sum(map(len, self._chunks))

    def add(self, data: bytes) -> None:
        self._chunks.append(data)

    def joined(self) -> bytes:
        """All of it, in one piece."""
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def clear(self) -> None:
        self._chunks.clear()
        self.begins_within = False
        self.release(written_elsewhere=False)

    def keep_rest(self, data: bytes, written: int) -> None:
        """Of `data`, which is all of it, so many bytes are in the file."""
        self._chunks[:] = [data[written:]]
        self.begins_within = self.begins_within or written > 0

    def hold(self) -> None:
        """Write nothing from now on. What is here now may turn out to be written elsewhere."""
        self.is_held = True
        self._held_chunks = len(self._chunks)

    def release(self, *, written_elsewhere: bool) -> None:
        """Whatever is here may be written again. `written_elsewhere`: what was here when it was held need not be."""
        if written_elsewhere:
            del self._chunks[: self._held_chunks]
        self.is_held = False
        self._held_chunks = 0
