"""The node's timers: what happens without a client asking for it.

One task wakes `hz` times a second and gives each part a bounded share: expiry, time-outs, replication, snapshots,
rates. It wakes earlier when a waiting client's time is up or a key's or field's, and, while many keys have expired or
large values are to be freed, every few milliseconds, for that alone. Nothing here visits every key, or takes longer
than a slice.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from cluster.keyspace.agenda import NEVER
from cluster.keyspace.expiry import ExpiryCycle
from cluster.keyspace.field_expiry import FieldExpiryCycle
from cluster.latency import EVICTION
from cluster.process import give_way

if TYPE_CHECKING:
    from cluster.network.reactor import Reactor
    from cluster.server import Server

SAMPLE_MS = 100
CLIENTS_PER_TICK = 64
"""Clients looked at for the `timeout` directive in one tick."""
SLICE_NS = 1_000_000
"""How long keys that have expired are deleted, and fields, and large values freed, before others have a turn."""
BACKGROUND_SHARE = 0.25
"""The share of the time that each may take while there is more to do, as redis-server's expiry cycle."""
QUIET_BYTES_PER_S = 4096
"""A replica whose clients send less is there to be a copy: it can wait for a processor."""
_PAUSE_S = SLICE_NS / 1e9 / BACKGROUND_SHARE
EXPIRY_PAUSE_S = 0.01
"""The least time between two looks for what has expired, while that is little …"""
EXPIRY_SHARE = 0.05
"""… and the most of the time that they take together then."""


class Cron:
    def __init__(self, server: Server, reactor: Reactor) -> None:
        self._server = server
        self._reactor = reactor
        self._expiry = ExpiryCycle(server.databases)
        self._field_expiry = FieldExpiryCycle(server.databases)
        self._wakeup = trio.Event()
        self._last_sample_ms = 0
        self._client_cursor = 0
        self._commands = server.table.every()
        self._gives_way = False
        self._next_expiry = 0.0  # not before this, by trio's clock
        self._input_bytes = 0  # received until the last slice
        server.shell.hurry_cron = self.hurry

    def hurry(self) -> None:
        """A waiting client's deadline may now be earlier than the next tick."""
        self._wakeup.set()

    async def run(self) -> None:
        next_tick = trio.current_time()
        next_slice = math.inf
        while True:
            self._wakeup = trio.Event()
            next_expiry = self._expiry_time()
            with trio.move_on_at(min(next_tick, next_slice, next_expiry, self._next_time_out())) as patience:
                await self._wakeup.wait()
            now = trio.current_time()
            if patience.cancelled_caught:
                if now >= next_tick:
                    self.tick()
                    next_tick = trio.current_time() + 1 / self._server.config.hz
                elif now >= next_slice or now >= next_expiry:
                    self._slice()
                    next_slice = math.inf
                else:
                    self._end_waits()
            if not self._has_background:
                next_slice = math.inf
            elif next_slice == math.inf:
                next_slice = trio.current_time() + self._pause_s()

    @property
    def _has_background(self) -> bool:
        return self._has_work or self._server.barrier.walk is not None

    @property
    def _has_work(self) -> bool:
        server = self._server
        pausing = self._expiry.has_more or self._field_expiry.has_more or server.memory.is_busy
        return (pausing and not server.cron_paused) or server.lazy_free.is_busy or server.lost_slots.is_busy

    def _pause_s(self) -> float:
        """Until the next slice."""
        server = self._server
        rest_s = min(server.persistence.walk_rest_s, SAMPLE_MS / 1000) if server.barrier.walk is not None else math.inf
        if not self._has_work:
            return rest_s
        # There is a limit to memory: what is over it goes in every other slice, or sooner when nobody asks.
        return min(rest_s, 0.0 if server.memory.is_busy or self._is_quiet() else _PAUSE_S)

    def _is_quiet(self) -> bool:
        """Whether no client has sent anything since the last slice."""
        before, self._input_bytes = self._input_bytes, self._server.stats.input_bytes
        return before == self._input_bytes

    def _expiry_time(self) -> float:
        """When to look for what has expired, by trio's clock."""
        server = self._server
        if not self._may_expire or server.cron_paused or server.pace.suspended is not None:
            return math.inf
        next_ms = min(self._expiry.next_ms, self._field_expiry.next_ms)
        if next_ms == NEVER:
            return math.inf
        # The millisecond that the clock shows may be about to end.
        return max(self._next_expiry, trio.current_time() + (next_ms - server.clock_ms() + 1) / 1000)

    @property
    def _may_expire(self) -> bool:
        server = self._server
        return not (server.is_replica or server.loading or server.pause.active or not server.active_expiry)

    def _next_time_out(self) -> float:
        """When a waiting client's time is up, by trio's clock."""
        deadline = self._server.waiting.next_deadline_ms()
        if deadline is None:
            return math.inf
        return trio.current_time() + max(0.0005, (deadline - self._server.clock_ms()) / 1000)

    def _end_waits(self) -> None:
        server = self._server
        server.start_batch()
        server.waiting.time_out(server.ctx.now_ms)
        self._reactor.finish_batch([])

    def _slice(self) -> None:
        """Go on with what is done in slices."""
        server = self._server
        if server.pace.suspended is not None:
            return
        server.start_batch()
        server.waiting.time_out(server.ctx.now_ms)
        if not server.cron_paused:
            self._expire(server.ctx.now_ms)
            server.latency.timed(EVICTION, lambda: server.memory.work(_slice_is_over()))
        self._free()
        if server.barrier.walk is not None:
            server.persistence.walk_on(_slice_is_over())
        self._reactor.finish_batch([])

    def _free(self) -> None:
        self._server.lost_slots.work(_slice_is_over())
        self._server.lazy_free.work(_slice_is_over())

    def tick(self) -> None:
        server = self._server
        server.start_batch()
        if server.pace.suspended is not None:
            return  # the data are the script's
        now = server.ctx.now_ms
        server.waiting.time_out(now)
        server.pause.tick(now)
        if not server.cron_paused:
            self._expire(now)
            server.replication.tick(now)
            server.persistence.tick(now)
            server.latency.timed(EVICTION, lambda: server.memory.work(_slice_is_over()))
            server.tracking.tick()
            server.client_eviction.work(_slice_is_over())
            self._close_idle(now)
            self._reactor.check_limits()
            if now - self._last_sample_ms >= SAMPLE_MS:
                self._sample(now)
        self._free()
        self._reactor.finish_batch([])

    def _expire(self, now: int) -> None:
        server = self._server
        if not self._may_expire:
            self._expiry.has_more = self._field_expiry.has_more = False
            return
        begun_ns = time.perf_counter_ns()
        for db, slot, key in self._expiry.due(now, _slice_is_over()):
            server.expire_now(db, key, slot)
        if server.barrier.walk is None:
            self._field_expiry.run(now, _slice_is_over(), server.expire_fields)
        spent_ns = time.perf_counter_ns() - begun_ns
        server.stats.expiry_ns += spent_ns
        server.latency.took("expire-cycle", spent_ns)
        self._next_expiry = trio.current_time() + max(EXPIRY_PAUSE_S, spent_ns / 1e9 / EXPIRY_SHARE)

    def _close_idle(self, now: int) -> None:
        limit_ms = self._server.config.timeout * 1000
        if not limit_ms:
            return
        ids = list(self._server.clients)
        first = self._client_cursor % max(1, len(ids))
        self._client_cursor = first + CLIENTS_PER_TICK
        for client_id in ids[first : first + CLIENTS_PER_TICK]:
            client = self._server.clients[client_id]
            exempt = client.is_replica_link or client.is_primary_link or client.subscribed or client.wait
            if not exempt and now - client.last_used_ms > limit_ms:
                self._server.log("verbose", "Closing idle client")
                self._reactor.close_session(client)

    def _sample(self, now: int) -> None:
        stats = self._server.stats
        self._last_sample_ms = now
        stats.commands_rate.sample(now, sum([one.calls for one in self._commands]))
        stats.input_rate.sample(now, stats.input_bytes)
        stats.output_rate.sample(now, stats.output_bytes)
        stats.replication_input_rate.sample(now, stats.replication_input_bytes)
        stats.replication_output_rate.sample(now, stats.replication_output_bytes)
        self._give_way(self._server.is_replica and stats.input_rate.per_second < QUIET_BYTES_PER_S)

    def _give_way(self, yielding: bool) -> None:
        """A replica of a busy primary wakes thousands of times a second, each time for some writes. Where it pushes
        aside who runs on its processor, its primary or a client most of the time, these get a third less done."""
        if yielding != self._gives_way:
            self._gives_way = yielding
            give_way(yielding)


def _slice_is_over() -> Callable[[], bool]:
    """Says whether a slice of time has passed since now."""
    end_ns = time.perf_counter_ns() + SLICE_NS
    return lambda: time.perf_counter_ns() > end_ns
