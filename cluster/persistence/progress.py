"""How far a child is that writes a snapshot, and how much memory it has for itself: INFO tells it while it is at work.

Both lie in a page that the child shares with its parent: nothing has to be read, waited for, or closed.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Callable
from pathlib import Path

_FIGURES = struct.Struct("=qqqqd")
"""Keys written, keys in all, bytes of its own, the most of these, and when they were measured."""
LOOK_SECONDS = 1.0
"""Between two measurements, or more: each takes the kernel some milliseconds for a gigabyte …"""
MOST_SHARE = 0.01
"""… and all of them no more than this share of the child's time."""


class Progress:
    """The child writes (`begin`, `look`, `measure`), the parent reads the rest, and clears it when the child is gone.

    `own_bytes` is what copy-on-write has cost so far: memory that the child does not share with anybody any more.
    """

    def __init__(self, own_bytes: Callable[[], int] | None = None) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)
        self._own_bytes = own_bytes or private_dirty_bytes
        self._next_look = 0.0

    def _figures(self) -> tuple[int, int, int, int, float]:
        done, total, own, peak, measured = _FIGURES.unpack_from(self._page)
        return done, total, own, peak, measured

    def clear(self) -> None:
        _FIGURES.pack_into(self._page, 0, 0, 0, 0, 0, 0.0)

    # -- in the child ----------------------------------------------------------------------------------------

    def begin(self, total: int) -> None:
        """So many keys are to be written."""
        _FIGURES.pack_into(self._page, 0, 0, total, 0, 0, 0.0)
        self._next_look = 0.0

    def look(self, done: int) -> None:
        """So many have been."""
        _, total, own, peak, measured = self._figures()
        _FIGURES.pack_into(self._page, 0, done, total, own, peak, measured)
        if time.monotonic() >= self._next_look:
            self.measure()

    def tell(self, done: int) -> None:
        """So many have been, without a child: nothing is copied for it."""
        _, total, *rest = self._figures()
        _FIGURES.pack_into(self._page, 0, done, total, *rest)

    def measure(self) -> None:
        done, total, _, peak, _ = self._figures()
        began = time.monotonic()
        own = self._own_bytes()
        ended = time.monotonic()
        self._next_look = ended + max(LOOK_SECONDS, (ended - began) / MOST_SHARE)
        _FIGURES.pack_into(self._page, 0, done, total, own, max(peak, own), ended)

    # -- in the parent ---------------------------------------------------------------------------------------

    @property
    def keys_done(self) -> int:
        return self._figures()[0]

    @property
    def keys_total(self) -> int:
        return self._figures()[1]

    @property
    def percentage(self) -> float:
        done, total, *_ = self._figures()
        return 100 * done / total if total else 0.0

    @property
    def own_bytes(self) -> int:
        return self._figures()[2]

    @property
    def peak_bytes(self) -> int:
        return self._figures()[3]

    @property
    def age_seconds(self) -> int:
        """How old the last measurement is."""
        measured = self._figures()[4]
        return int(time.monotonic() - measured) if measured else 0


def private_dirty_bytes() -> int:
    """Memory of this process that it has changed and shares with no other; 0 where the system does not tell."""
    try:
        text = Path("/proc/self/smaps_rollup").read_text()
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) * 1024
    return 0
