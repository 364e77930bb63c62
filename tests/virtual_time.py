"""The time of simulations: nothing passes but what is planned."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count


class Clock:
    """What happens when; actions of one moment in the order in which they were planned."""

    def __init__(self, now: int = 0) -> None:
        self.now = now
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, when: int, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (max(when, self.now), next(self._order), action))

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        self.at(self.now + delay_ms, action)

    def run(self, duration_ms: int) -> None:
        end = self.now + duration_ms
        while self._queue and self._queue[0][0] <= end:
            self.now, _, action = heapq.heappop(self._queue)
            action()
        self.now = end

    def run_until(self, condition: Callable[[], bool], limit_ms: int, period_ms: int = 100) -> bool:
        end = self.now + limit_ms
        while self.now < end:
            if condition():
                return True
            self.run(period_ms)
        return condition()
