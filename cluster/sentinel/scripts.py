"""The queue of notification and reconfiguration scripts: what runs, what waits, what is tried again. Pure.

At most 16 run at a time, each for a minute. A script that ends with status 1, or by a signal, is tried again after 30
seconds, then after twice as long each time, ten times at most; any other status is final.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.sentinel.state import Periods

MAX_RUNNING = 16
MAX_QUEUED = 256
MAX_RETRIES = 10
TRY_AGAIN = 1
"""The exit status that asks for another try."""


@dataclass(slots=True, eq=False)
class Job:
    """`not_before_ms`: when it may start. `pid` is there while it runs."""

    path: str
    arguments: tuple[str, ...]
    not_before_ms: int = 0
    retries: int = 0
    started_ms: int = 0
    pid: int | None = None


class ScriptQueue:
    def __init__(self, periods: Periods) -> None:
        self.jobs: list[Job] = []
        self._periods = periods

    @property
    def running(self) -> int:
        return sum(1 for job in self.jobs if job.pid is not None)

    def add(self, path: str, arguments: tuple[str, ...]) -> None:
        """Of too many the oldest that does not run is dropped."""
        self.jobs.append(Job(path, arguments))
        if len(self.jobs) > MAX_QUEUED:
            self.jobs.remove(next(job for job in self.jobs if job.pid is None))

    def due(self, now_ms: int) -> Iterator[Job]:
        """Those that are to be started now, one after the other; give each its `pid`, or call `ended`."""
        for job in list(self.jobs):
            if self.running >= MAX_RUNNING:
                return
            if job.pid is None and job.not_before_ms <= now_ms:
                job.started_ms = now_ms
                job.retries += 1
                yield job

    def overdue(self, now_ms: int) -> list[Job]:
        """Those that have run for too long."""
        limit_ms = self._periods.script_max_runtime
        return [job for job in self.jobs if job.pid is not None and now_ms - job.started_ms > limit_ms]

    def ended(self, job: Job, now_ms: int, status: int, by_signal: int) -> bool:
        """Whether that was all there is to be done with it; else it waits for another try."""
        job.pid = None
        if (by_signal or status == TRY_AGAIN) and job.retries < MAX_RETRIES:
            job.not_before_ms = now_ms + self._periods.script_retry_delay * 2 ** (job.retries - 1)
            return False
        if job in self.jobs:
            self.jobs.remove(job)
        return True
