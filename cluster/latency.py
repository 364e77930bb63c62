"""The latency monitor: what held the node up, and when (LATENCY, `latency-monitor-threshold`).

An event is a kind of work that holds up all clients: a slow command, a fork, a pass of expiry or eviction, a write to
the append-only file. What took as long as the threshold, or longer, is kept: the worst of each second, for the last
160 seconds that had one. No clock stands here; who has worked says how long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

SAMPLES_KEPT = 160
EVICTION = "eviction-cycle"
_NEVER_NS = 1 << 62
_NS_PER_MS = 1_000_000

Result = TypeVar("Result")


class Sample(NamedTuple):
    seconds: int
    """Since the epoch."""
    latency_ms: int


class Event:
    """`samples`: the newest last."""

    __slots__ = ("samples", "worst_ms")

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.worst_ms = 0

    def add(self, seconds: int, latency_ms: int) -> None:
        self.worst_ms = max(self.worst_ms, latency_ms)
        if self.samples and self.samples[-1].seconds == seconds:
            latency_ms = max(latency_ms, self.samples.pop().latency_ms)
        self.samples.append(Sample(seconds, latency_ms))
        del self.samples[:-SAMPLES_KEPT]


class LatencyMonitor:
    """`clock_ms` is wall-clock time, `clock_ns` one that only goes forward. `threshold_ns`: from there on it counts."""

    def __init__(self, clock_ms: Callable[[], int], clock_ns: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self._clock_ns = clock_ns
        self.events: dict[str, Event] = {}
        self.threshold_ns = _NEVER_NS

    def configure(self, threshold_ms: int) -> None:
        """0: nothing is noted."""
        self.threshold_ns = threshold_ms * _NS_PER_MS or _NEVER_NS

    @property
    def is_on(self) -> bool:
        return self.threshold_ns != _NEVER_NS

    def took(self, event: str, elapsed_ns: int) -> None:
        """Something has held up the node for so long."""
        if elapsed_ns >= self.threshold_ns:
            self.events.setdefault(event, Event()).add(self._clock_ms() // 1000, elapsed_ns // _NS_PER_MS)

    def timed(self, event: str, work: Callable[[], Result]) -> Result:
        """Do `work`, and note how long it took."""
        if not self.is_on:
            return work()
        began_ns = self._clock_ns()
        try:
            return work()
        finally:
            self.took(event, self._clock_ns() - began_ns)

    def reset(self, names: list[str]) -> int:
        """Forget these events, or all. How many there were."""
        forgotten = [name for name in names or list(self.events) if self.events.pop(name, None) is not None]
        return len(forgotten)
