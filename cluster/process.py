"""What the operating system knows of this process: memory and processor time."""

from __future__ import annotations

import os
import resource
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STATM = Path("/proc/self/statm")


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
