"""The jobs that the rq worker of test_rq.py imports and runs."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from rq import get_current_job


def add(first: int, second: int) -> int:
    return first + second


def refuse(reason: str) -> None:
    raise ValueError(reason)


def third_time(marks: str) -> int:
    """Fails until it has been run twice before, which it marks in a file."""
    path = Path(marks)
    before = len(path.read_text()) if path.exists() else 0
    path.write_text("x" * (before + 1))
    if before < 2:
        raise ConnectionError("not yet")
    return before


def note_progress() -> None:
    job: Any = get_current_job()
    job.meta["progress"] = 100
    job.save_meta()


def wait_for_a_signal() -> None:
    """Runs until the worker ends it, or RQ's own limit does."""
    signal.pause()
