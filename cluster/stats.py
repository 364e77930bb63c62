"""Counters of a node, as INFO and CONFIG RESETSTAT know them."""

from __future__ import annotations

from collections import deque

ERROR_KINDS_LIMIT = 128
"""Distinct error codes counted in INFO errorstats; scripts can invent any number of them."""
_SAMPLES = 16


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
        self.commands_rate = Rate()
        self.input_rate = Rate()
        self.output_rate = Rate()

    def reset(self) -> None:
        """CONFIG RESETSTAT."""
        self.connections = 0
        self.rejected_connections = 0
        self.commands = 0
        self.input_bytes = 0
        self.output_bytes = 0
        self.replication_input_bytes = 0
        self.replication_output_bytes = 0
        self.expired_keys = 0
        self.evicted_keys = 0
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
        self.errors: dict[str, int] = {}

    def count_error(self, message: str) -> None:
        """`message` is an error line without its '-'."""
        self.error_replies += 1
        code = message.partition(" ")[0]
        if code in self.errors or len(self.errors) < ERROR_KINDS_LIMIT:
            self.errors[code] = self.errors.get(code, 0) + 1
