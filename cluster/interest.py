"""What other nodes have to know of the subscriptions here, and the messages that are to go to them.

A node tells its peers the hash slots of the channels its clients listen to: one bit a slot, whatever the number of
channels, so that a message goes only where somebody may listen. A pattern wants everything.
"""

from __future__ import annotations

Outgoing = tuple[bytes, bytes, bool]
"""(channel, message, whether it is for the shard alone)"""


class Interest:
    """`changed`: the peers have to be told. `outgoing`: what this batch has published."""

    __slots__ = ("_counts", "_patterns", "changed", "outgoing", "slots")

    def __init__(self) -> None:
        self.slots = 0  # as bits
        self._counts: dict[int, int] = {}
        self._patterns = 0
        self.changed = False
        self.outgoing: list[Outgoing] = []

    @property
    def everything(self) -> bool:
        return self._patterns > 0

    def add(self, slot: int) -> None:
        """One more channel of that slot is listened to."""
        count = self._counts.get(slot, 0)
        self._counts[slot] = count + 1
        if not count:
            self.slots |= 1 << slot
            self.changed = True

    def drop(self, slot: int) -> None:
        self._counts[slot] -= 1
        if not self._counts[slot]:
            del self._counts[slot]
            self.slots ^= 1 << slot
            self.changed = True

    def add_pattern(self) -> None:
        self._patterns += 1
        self.changed = self.changed or self._patterns == 1

    def drop_pattern(self) -> None:
        self._patterns -= 1
        self.changed = self.changed or not self._patterns
