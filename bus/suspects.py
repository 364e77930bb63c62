"""Those a node cannot reach, by their ids, in the order they came to it: the suspected ones and the failed."""

from __future__ import annotations

DIGEST_DIGITS = 8
"""So many of an id's hexadecimal digits go into the digest of the failed."""


class Suspects(dict[str, None]):
    """`failed` is a digest of those that are held for failed, the same with all who hold the same ones for it (0:
    nobody); `changed_at` is when it last changed, in ms."""

    def __init__(self, now_ms: int) -> None:
        super().__init__()
        self.failed = 0
        self.changed_at = now_ms

    def toggle(self, node_id: str, now_ms: int) -> None:
        """It is held for failed from now on, or no longer."""
        self.failed ^= int(node_id[:DIGEST_DIGITS], 16)
        self.changed_at = now_ms
