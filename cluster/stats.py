"""Counters of a node, as INFO and CONFIG RESETSTAT know them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

ERROR_KINDS_LIMIT = 128
"""Distinct error codes counted in INFO errorstats; scripts can invent any number of them."""
_SAMPLES = 16
SLOW_ARGUMENTS = 32
SLOW_ARGUMENT_BYTES = 128
"""What SLOWLOG shows of a command at most: it is there to recognise it by."""


def abridged(arguments: Sequence[bytes]) -> list[bytes]:
    """A command as SLOWLOG keeps it: what is left out of it is counted."""
    more = len(arguments) - SLOW_ARGUMENTS + 1
    shown = [_cut(one) for one in (arguments if more <= 1 else arguments[: SLOW_ARGUMENTS - 1])]
    return shown if more <= 1 else [*shown, b"... (%d more arguments)" % more]


def _cut(argument: bytes) -> bytes:
    more = len(argument) - SLOW_ARGUMENT_BYTES
    return argument if more <= 0 else b"%b... (%d more bytes)" % (argument[:SLOW_ARGUMENT_BYTES], more)


class Rate:
    """A counter's rate over the last 16 samples of 100 ms."""

    __slots__ = ("_last", "_samples")

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=_SAMPLES)
        self._last: tuple[int, int] | None = None

    def sample(self, now_ms: int, total: int) -> None:
        if self._last is not None and now_ms > self._last[0]:
            self._samples.append((total - self._last[1]) * 1000 / (now_ms - self._last[0]))
        self._last = (now_ms, total)

    @property
    def per_second(self) -> float:
        return sum(self._samples) / len(self._samples) if self._samples else 0.0


class Stats:
    def __init__(self) -> None:
        self.reset()
        self.own_keys = 0
        """Keys with a deadline that clients wrote on this replica."""
        self.commands_rate = Rate()
        self.input_rate = Rate()
        self.output_rate = Rate()
        self.replication_input_rate = Rate()
        self.replication_output_rate = Rate()

    def reset(self) -> None:
        """CONFIG RESETSTAT."""
        self.connections = 0
        self.rejected_connections = 0
        self.commands = 0
        self.input_bytes = 0
        self.output_bytes = 0
        self.reads = 0
        self.writes = 0
        self.replication_input_bytes = 0
        self.replication_output_bytes = 0
        self.expired_keys = 0
        self.expired_fields = 0
        self.evicted_keys = 0
        self.eviction_exceeded_us = 0
        self.evicted_clients = 0
        self.expired_time_cap_reached = 0
        self.full_syncs = 0
        self.partial_syncs_ok = 0
        self.partial_syncs_err = 0
        self.error_replies = 0
        self.input_limit_disconnections = 0
        self.output_limit_disconnections = 0
        self.peak_memory = 0
        self.migrate_sockets = 0
        self.last_fork_usec = 0
        self.forks = 0
        self.snapshots = 0
        self.expiry_ns = 0
        self.payload_checks = 0
        self.denied: dict[str, int] = {}
        """By the reason, as ACL LOG has it."""
        self.errors: dict[str, int] = {}

    def count_error(self, message: str) -> None:
        """`message` is an error line without its '-'."""
        self.error_replies += 1
        code = message.partition(" ")[0]
        if code in self.errors or len(self.errors) < ERROR_KINDS_LIMIT:
            self.errors[code] = self.errors.get(code, 0) + 1
