"""What the operating system knows of this process: memory, processor time, and how it is to be scheduled."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Callable
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STATM = Path("/proc/self/statm")
_PR_SET_NAME = 15


def resident_bytes() -> int:
    """The resident set, from /proc where there is one, else the highest so far."""
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE_BYTES
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def system_memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES


def cpu_seconds(who: int) -> tuple[float, float]:
    """(system, user) of resource.RUSAGE_SELF, RUSAGE_CHILDREN or RUSAGE_THREAD."""
    usage = resource.getrusage(who)
    return usage.ru_stime, usage.ru_utime


def give_way(yielding: bool) -> bool:
    """Let this thread, when it wakes, wait for a processor that is free (Linux's SCHED_BATCH), or again push aside who
    runs there. Whether that could be done: not where there is no such thing, or somebody else has set it up."""
    try:
        wanted, found = os.SCHED_BATCH, os.SCHED_OTHER
        if not yielding:
            wanted, found = found, wanted
        if os.sched_getscheduler(0) != found:
            return False
        os.sched_setscheduler(0, wanted, os.sched_param(0))
    except (AttributeError, OSError):
        return False
    return True


def name_thread(name: str) -> None:
    """Call this thread that where threads are listed (`top -H`), on Linux."""
    prctl: Callable[..., int] | None = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_NAME, name.encode())
