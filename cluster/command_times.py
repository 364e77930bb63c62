"""How long commands take: histograms of their times (INFO latencystats, LATENCY HISTOGRAM), and those worth a note.

The session compares the time of each command with one number, `Server.noted_ns`, and that is all that a command
costs which is faster than it: a plain SET or GET. Only what took longer comes here, and is counted in its command's
histogram. The fast ones are the rest: as many as the command's calls that were not counted, taking what is left of its
time. They are one bucket, at the mean of them, less than LONG_ENOUGH_NS wide.

A histogram is a dict of buckets, each a sixteenth to a thirty-second part of its times wide: the number of bits of the
time in ns, and the four bits that follow the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bus.doubt import STALL_MS
from cluster.commands.registry import FAST, SKIP_SLOWLOG

if TYPE_CHECKING:
    from cluster.commands.registry import Command
    from cluster.config.store import Configuration
    from cluster.network.session import Session
    from cluster.server import Server

LONG_ENOUGH_NS = 4096
"""A command that takes longer is counted for itself: what it costs is a small part of its time."""
LONG_NS = STALL_MS * 1_000_000
"""After a command that took longer the cluster may be another: the next one goes by what it has become."""
_NEVER_NS = 1 << 62
_BITS = 4
_DIRECTIVES = (
    "slowlog-log-slower-than", "slowlog-max-len", "latency-monitor-threshold", "latency-tracking",
)  # fmt: skip
_FIRST_POWER = 10
"""LATENCY HISTOGRAM's first bucket ends at 2**10 ns, which it shows as 1 µs."""


def bucket_of(elapsed_ns: int) -> int:
    """The number of the bucket; longer times have greater numbers. `elapsed_ns` is 16 at least."""
    shift = elapsed_ns.bit_length() - 1 - _BITS
    return (shift << _BITS) + (elapsed_ns >> shift)


def longest_in(bucket: int) -> int:
    """The greatest time in ns that `bucket` holds."""
    shift = (bucket >> _BITS) - 1
    return ((bucket - (shift << _BITS) + 1) << shift) - 1


class Times(NamedTuple):
    """`groups`: (ns, how many took that long), the shortest first."""

    calls: int
    groups: list[tuple[int, int]]

    def percentile_ns(self, percent: float) -> int:
        """The time within which so many of a hundred calls were done."""
        wanted = max(1, int(percent * self.calls / 100 + 0.5))
        seen = 0
        for nanoseconds, count in self.groups:
            seen += count
            if seen >= wanted:
                return nanoseconds
        return self.groups[-1][0]

    def doublings(self) -> Iterator[tuple[int, int]]:
        """(µs, how many calls were done within that), from bound to bound of twice the time, where it grew."""
        seen = shown = 0
        power = _FIRST_POWER
        rest = iter(self.groups)
        group = next(rest, None)
        while group is not None:
            # A bound is that of redis-server's buckets, which are a 128th part of their times wide.
            bound_ns = (1 << power) + (1 << power - 7) - 1
            while group is not None and group[0] <= bound_ns:
                seen += group[1]
                group = next(rest, None)
            if seen > shown:
                shown = seen
                yield bound_ns // 1000, seen
            power += 1


class CommandTimes:
    """What becomes of a command that took longer than `Server.noted_ns`, which is kept up to date here."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._slow_ns = self._tracked_ns = _NEVER_NS
        self._rare_ns = _NEVER_NS  # from here on somebody else may want to hear of it
        # What had been called, and how long that took, when tracking was turned off; None while it is on.
        self._paused: dict[Command, tuple[int, int]] | None = None if server.config.latency_tracking else {}
        self._untracked: dict[Command, tuple[int, int]] = {}  # those that came while it was off
        server.config.on_change(_DIRECTIVES, self.configure)
        self.configure(server.config)

    def configure(self, config: Configuration) -> None:
        limit_us = config.slowlog_log_slower_than
        self._server.latency.configure(config.latency_monitor_threshold)
        self._server.slow_log.limit(config.slowlog_max_len)
        self._track(config.latency_tracking)
        self.slow_ns = limit_us * 1000 if limit_us >= 0 else _NEVER_NS

    @property
    def slow_ns(self) -> int:
        """From here on a command is in the slow log."""
        return self._slow_ns

    @slow_ns.setter
    def slow_ns(self, limit_ns: int) -> None:
        self._slow_ns = limit_ns
        self._rare_ns = min(limit_ns, self._server.latency.threshold_ns)
        self._server.noted_ns = min(self._rare_ns, self._tracked_ns, LONG_NS)

    # -- noting ----------------------------------------------------------------------------------------------

    def note(self, client: Session, command: Command, arguments: list[bytes], elapsed_ns: int) -> bool:
        """A command took longer than `Server.noted_ns`. Whether so long that the cluster has been looked at: the road
        may be another now."""
        if elapsed_ns > self._tracked_ns:
            bucket = bucket_of(elapsed_ns)
            command.counts[bucket] = command.counts.get(bucket, 0) + 1
            command.counted_ns += elapsed_ns
        if elapsed_ns > self._rare_ns:
            self._note_rare(client, command, arguments, elapsed_ns)
        if elapsed_ns <= LONG_NS or client.is_primary_link or not self._server.ctx.allows_blocking:
            return False  # nobody else may act within a transaction, or what the primary sent in one piece
        self._server.doubt.look_within_batch()
        self._server.ctx.bind(client)
        return True

    def _note_rare(self, client: Session, command: Command, arguments: list[bytes], elapsed_ns: int) -> None:
        server = self._server
        server.latency.took("fast-command" if FAST in command.flags else "command", elapsed_ns)
        if elapsed_ns > self._slow_ns and SKIP_SLOWLOG not in command.flags:
            server.slow_log.note(
                arguments, client.address, client.name, now_ms=server.ctx.now_ms, elapsed_ns=elapsed_ns,
                limit=server.config.slowlog_max_len,
            )  # fmt: skip

    # -- histograms ------------------------------------------------------------------------------------------

    def _track(self, tracking: bool) -> None:
        """`latency-tracking`: what is counted while it is off belongs to no histogram."""
        self._tracked_ns = LONG_ENOUGH_NS if tracking else _NEVER_NS
        if tracking and self._paused is not None:
            for command in self._server.table.every():
                calls, spent_ns = self._paused.get(command, (0, 0))
                before_calls, before_ns = self._untracked.get(command, (0, 0))
                self._untracked[command] = (
                    before_calls + command.calls - calls, before_ns + command.spent_ns - spent_ns
                )  # fmt: skip
            self._paused = None
        elif not tracking and self._paused is None:
            self._paused = {one: (one.calls, one.spent_ns) for one in self._server.table.every()}

    def of(self, command: Command) -> Times | None:
        """What is known of its times; None where it was not called."""
        calls, spent_ns = command.calls, command.spent_ns
        if self._paused is not None:
            calls, spent_ns = self._paused.get(command, (0, 0))
        untracked, untracked_ns = self._untracked.get(command, (0, 0))
        counted = sum(command.counts.values())
        fast = max(0, calls - untracked - counted)
        if not fast + counted:
            return None
        groups = [(longest_in(bucket), count) for bucket, count in sorted(command.counts.items())]
        if fast:
            mean_ns = max(0, spent_ns - untracked_ns - command.counted_ns) // fast
            groups.insert(0, (min(mean_ns, LONG_ENOUGH_NS), fast))
        return Times(fast + counted, groups)

    def reset(self) -> None:
        """CONFIG RESETSTAT, which sets the commands' counters to 0 as well."""
        for command in self._server.table.every():
            command.counts.clear()
            command.counted_ns = 0
        self._untracked.clear()
        if self._paused is not None:
            self._paused.clear()


def shown_percentiles(times: Times, percentiles: Sequence[float]) -> str:
    """p50=1.003,p99=…, in µs, as INFO has them."""
    return ",".join(f"p{percent:.10g}={times.percentile_ns(percent) / 1000:.3f}" for percent in percentiles)
