"""What LATENCY GRAPH and LATENCY DOCTOR say of the latency monitor's events: text, made of samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from cluster.latency import Event, Sample

COLUMNS = 80
_ROWS = 4
_TIPS = "_o#"
_STEPS = _ROWS * len(_TIPS)
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
_QUIET = "No latency spike was observed by this server. "
_COMMANDS = (
    "SLOWLOG GET shows which commands were slow, if slowlog-log-slower-than is no longer than the threshold.",
    "A command that takes or deletes a large value holds up all others: divide it, and use UNLINK and SCAN.",
)
_WRITES = (
    "The disk is slow, or busy with something else. appendfsync everysec waits for it less often than always.",
    "no-appendfsync-on-rewrite yes has the file synced by nobody while a child writes to the same disk.",
)
_ADVICE: tuple[tuple[str, Sequence[str]], ...] = (
    ("command", _COMMANDS),
    ("fast-command", (*_COMMANDS, "Commands that are fast by nature were slow: look for other load on this machine.")),
    ("command-unblocking", ("Many clients wait for the same keys, or what they are given is large.",)),
    ("fork", (
        "A fork copies the tables of the process's memory: less memory a process, or bgsave-method in-process, helps.",
        "A virtual machine may make a fork slow.",
    )),
    ("expire-cycle", ("Many keys expire at once: spread their deadlines.",)),
    ("eviction-cycle", ("More is written than maxmemory leaves room for: raise it, or write less at once.",)),
    ("aof-fsync-always", _WRITES[:1]),
    ("aof-write-pending-fsync", _WRITES),
    ("aof-write-active-child", _WRITES),
    ("aof-write-alone", _WRITES[:1]),
)  # fmt: skip


def graph(name: str, event: Event, now_s: int) -> str:
    """The samples as bars, the oldest first, each with its age below it."""
    samples = event.samples
    low, high = _bounds(samples)
    lines = [f"{name} - high {high} ms, low {low} ms (all time high {event.worst_ms} ms)", "-" * COLUMNS]
    for first in range(0, len(samples), COLUMNS):
        if first:
            lines.append("")
        lines += _bars(samples[first : first + COLUMNS], low, high, now_s)
    return "".join(f"{line}\n" for line in lines)


def _bounds(samples: Iterable[Sample]) -> tuple[int, int]:
    latencies = [one.latency_ms for one in samples]
    return min(latencies), max(latencies)


def _bars(samples: list[Sample], low: int, high: int, now_s: int) -> list[str]:
    steps = [min(_STEPS - 1, (one.latency_ms - low) * _STEPS // max(1, high - low)) for one in samples]
    rows = ["".join(_part(step - row * len(_TIPS)) for step in steps) for row in reversed(range(_ROWS))]
    ages = [_age(max(0, now_s - one.seconds)) for one in samples]
    return [*rows, " " * len(samples), *map("".join, zip_longest(*ages, fillvalue=" "))]


def _part(step: int) -> str:
    """What a bar that ends `step` steps above the foot of a row shows in it."""
    if step < 0:
        return " "
    return _TIPS[step] if step < len(_TIPS) else "|"


def _age(seconds: int) -> str:
    """In the greatest unit that it fills."""
    for size, letter in _UNITS:
        if seconds >= size:
            return f"{seconds // size}{letter}"
    return "0s"


def diagnosis(events: dict[str, Event], now_s: int, *, is_on: bool) -> str:
    """What the events have in common with known causes, in words."""
    if not is_on:
        return (
            "The latency monitor is off. CONFIG SET latency-monitor-threshold <milliseconds> turns it on: "
            "whatever takes that long, or longer, is noted.\n"
        )
    if not events:
        return f"{_QUIET}Nothing took as long as latency-monitor-threshold.\n"
    lines = ["Latency spikes were observed:", ""]
    for number, (name, event) in enumerate(events.items(), start=1):
        lines.append(f"{number}. {name}: {_described(event, now_s)}")
    advice = dict.fromkeys(line for name, advised in _ADVICE if name in events for line in advised)
    if advice:
        lines += ["", "What may help:", "", *(f"- {line}" for line in advice)]
    return "".join(f"{line}\n" for line in lines)


def _described(event: Event, now_s: int) -> str:
    latencies = [one.latency_ms for one in event.samples]
    count = len(latencies)
    average = sum(latencies) // count
    deviation = sum(abs(one - average) for one in latencies) // count
    period = max(1, now_s - event.samples[0].seconds) / count
    return (
        f"{count} latency spikes (average {average}ms, mean deviation {deviation}ms, period {period:.2f} sec). "
        f"Worst all time event {event.worst_ms}ms."
    )
