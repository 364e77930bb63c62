"""Replicas that take a snapshot and end the connection before they acknowledge it, again and again.

They cannot load it: an older redis-server, for one, does not know the format that deadlines of hash fields need. It
comes again at once, so without a pause it would be sent the same, and lose its data, a hundred times a second.
Pure: the time is an argument.
"""

from __future__ import annotations

VAIN_ALLOWED = 2
"""So many in a row may be an accident."""
FIRST_PAUSE_MS = 1_000
LONGEST_PAUSE_MS = 30_000
FORGOTTEN_MS = 120_000


class VainSyncs:
    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, int]] = {}  # name: how many in a row, when the last was

    def count(self, name: str, now_ms: int) -> None:
        """The replica has gone without having acknowledged its snapshot."""
        self._counts = {one: (n, at) for one, (n, at) in self._counts.items() if now_ms - at < FORGOTTEN_MS}
        self._counts[name] = (self._counts.get(name, (0, 0))[0] + 1, now_ms)

    def forget(self, name: str) -> None:
        """It has acknowledged one."""
        self._counts.pop(name, None)

    def of(self, name: str) -> int:
        return self._counts.get(name, (0, 0))[0]

    def pause_ms(self, name: str) -> int:
        """How long its next snapshot has to wait."""
        beyond = self.of(name) - VAIN_ALLOWED
        return 0 if beyond <= 0 else min(FIRST_PAUSE_MS << min(beyond - 1, 10), LONGEST_PAUSE_MS)
