"""A replica's connection to its primary: handshake, full or partial synchronisation, then the live stream.

One task reads and applies, one acknowledges. What is said before the stream stands in `handshake`, the snapshot's way
here in `snapshot_transfer`, what becomes of the stream in `stream_applier`; here is what keeps them going.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from traceback import format_exc
from typing import TYPE_CHECKING

import trio

from cluster.errors import ProtocolError
from cluster.network.tls_stream import Stream, secured
from cluster.persistence.rdb_reader import RdbError
from cluster.replication.handshake import History, shake_hands, synchronize
from cluster.replication.snapshot_transfer import receive_snapshot, take_over
from cluster.replication.stream_applier import StreamApplier
from cluster.replication.wire import CLOSED, READ_BYTES, SILENT, LinkError, PrimaryWire

if TYPE_CHECKING:
    from cluster.replication.role import Replication
    from cluster.server import Server

RETRY_SECONDS = 0.2
"""Between two attempts: a failed-over shard should be whole again soon."""
PATIENT_RETRY_SECONDS = 1.0
HASTY_ATTEMPTS = 25
"""After so many in vain the primary is not just starting: it is called as often as redis-server would, and the log is
spared."""
ACK_SECONDS = 1.0


class ReplicaLink:
    """`in_step_ms`: when the primary was last heard over a link that was up, for as long as this node's data are known
    to be its; None: never."""

    def __init__(
        self,
        server: Server,
        replication: Replication,
        host: str,
        port: int,
        in_step_ms: int | None = None,
        down_since_ms: int | None = None,
    ) -> None:
        self._server = server
        self._replication = replication
        self.host = host
        self.port = port
        self.up = False
        self.state = "connect"
        self.heard_ms = server.clock_ms()
        self.in_step_ms = in_step_ms
        self.down_since_ms = down_since_ms  # None: no link to any primary was up yet
        self.sync_total = 0  # bytes of the snapshot under way; 0: not known
        self.sync_read = 0
        self.is_loading = False
        self._stopped = False
        self._scope: trio.CancelScope | None = None
        self._applier: StreamApplier | None = None
        self._ack = trio.Event()
        self._anew = False  # do not ask for a continuation
        self._attempts = 0  # in vain since the link was up
        self._told = ""  # why they were in vain

    # -- control ---------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """For good: the node follows another, or nobody."""
        self._stopped = True
        self.up = False
        self.hang_up()

    def hang_up(self) -> None:
        if self._scope is not None:
            self._scope.cancel()

    def acknowledge(self) -> None:
        """Tell the primary our offset now (REPLCONF GETACK)."""
        self._ack.set()

    async def run(self) -> None:
        """Connect again and again until stopped."""
        while not self._stopped:
            try:
                with trio.CancelScope() as self._scope:
                    await self._attempt()
            except (OSError, trio.BrokenResourceError, LinkError, RdbError, ProtocolError) as error:
                self._tell(_cause(error))
            except Exception:  # noqa: BLE001  (a fault of ours in a command: the data are to be had anew)
                self._server.log("warning", f"=== BUG: the stream of {self.host}:{self.port} failed: {format_exc()}")
                self._anew = True
            finally:
                self._lost()
            if not self._stopped:
                self._attempts += 1
                await trio.sleep(RETRY_SECONDS if self._attempts < HASTY_ATTEMPTS else PATIENT_RETRY_SECONDS)

    def _tell(self, cause: str) -> None:
        """Why the link failed, once until that changes: it is tried again every second, for hours perhaps."""
        if cause != self._told:
            self._told = cause
            self._server.log("warning", f"Replication link with {self.host}:{self.port}: {cause}")

    def _lost(self) -> None:
        if self.up:
            self._server.log("notice", "Connection with master lost.")
            self.down_since_ms = self._server.clock_ms()
        self.up = False
        self.state = "connect"
        self.sync_total = self.sync_read = 0
        if self._applier is not None:
            self._server.disconnect(self._applier.session)
            self._applier = None
        if not self._stopped:
            self._replication.link_changed()

    # -- one connection --------------------------------------------------------------------------------------

    async def _attempt(self) -> None:
        server = self._server
        self.state = "connecting"
        with trio.move_on_after(server.config.repl_timeout) as patience:
            stream = await self._connect()
        if patience.cancelled_caught:
            raise LinkError("timeout connecting")
        async with stream:
            wire = PrimaryWire(server, self, stream)
            self.state = "handshake"
            with trio.move_on_after(server.config.repl_timeout) as patience:
                await shake_hands(server, wire)
                history = await synchronize(server, self._replication, wire, anew=self._anew)
            if patience.cancelled_caught:
                raise LinkError("timeout during the handshake")
            if history is not None:
                await self._full_sync(wire, history)
            await self._follow(wire)

    async def _connect(self) -> Stream:
        try:
            stream = await trio.open_tcp_stream(self.host, self.port)
        except ValueError as error:  # no resolver can be asked for that (UnicodeError is one of these)
            raise LinkError(f"'{self.host}' is no name of a host: {error}") from None
        if not self._server.config.tls_replication:
            return stream
        return await secured(stream, self._server.tls.contexts.outgoing)

    async def _full_sync(self, wire: PrimaryWire, history: History) -> None:
        self.state = "sync"
        snapshot = await receive_snapshot(self._server, self, wire)
        await self._server.pace.is_over()
        take_over(self._server, snapshot)
        self._anew = False
        self._replication.begin_history(history.replid, history.offset, snapshot.aux.get("repl-stream-db", ""))
        self._server.log("notice", "MASTER <-> REPLICA sync: Finished with success")
        self._server.persistence.aof.dataset_replaced()

    # -- the stream ------------------------------------------------------------------------------------------

    def begin_stream(self) -> None:
        """What comes from now on is the primary's stream."""
        self._applier = StreamApplier(self._server, self._replication, f"{self.host}:{self.port}")
        self.state, self.up = "connected", True
        self._attempts, self._told = 0, ""
        self.in_step_ms = self.heard_ms
        self._replication.need_backlog()
        self._replication.link_changed()

    def apply(self, data: bytes) -> None:
        """Bytes of the stream."""
        assert self._applier is not None
        server, replication = self._server, self._replication
        self.heard_ms = self.in_step_ms = server.clock_ms()
        if server.journal.entries:  # what clients wrote here is not the primary's
            server.flush_journal()
        replication.applies_stream = True
        try:
            self._applier.apply(data)
        finally:
            replication.applies_stream = False

    async def _follow(self, wire: PrimaryWire) -> None:
        self.begin_stream()
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_acks, wire)
            nursery.start_soon(self._watch_silence, nursery.cancel_scope)
            try:
                await self._read_stream(wire)
            except (LinkError, ProtocolError, OSError, trio.BrokenResourceError) as error:
                failure = error  # raised again outside, where no nursery wraps it into a group
            nursery.cancel_scope.cancel()
        raise failure or LinkError(SILENT)

    async def _read_stream(self, wire: PrimaryWire) -> None:
        """Apply what comes, until the connection ends (LinkError, OSError).

        The reactor reads, beside the clients' sockets: under a load of small writes a pass of trio for each chunk
        costs more than the writes.
        """
        shell = self._server.shell
        while ahead := wire.take_read():
            for at in range(0, len(ahead), READ_BYTES):
                await self._server.pace.is_over()
                self.apply(ahead[at : at + READ_BYTES])
                await trio.lowlevel.checkpoint()
        fd = wire.stream.socket.fileno()
        ended = trio.Event()
        failures: list[Exception] = []

        def read() -> None:
            if self._scope is not None and self._scope.cancel_called:
                shell.unwatch(fd)  # whatever still comes, we follow it no more
                return
            try:
                self._read_chunk(wire)
            except BlockingIOError:
                return
            except Exception as failure:  # noqa: BLE001  (raised in the task that waits for it)
                failures.append(failure)
                shell.unwatch(fd)
                ended.set()

        shell.watch(fd, read)
        try:
            await ended.wait()
        finally:
            shell.unwatch(fd)
        raise failures[0]

    def _read_chunk(self, wire: PrimaryWire) -> None:
        data = wire.read_now()
        if not data:
            raise LinkError(CLOSED)
        self._server.stats.replication_input_bytes += len(data)
        self.apply(data)

    async def _watch_silence(self, scope: trio.CancelScope) -> None:
        """End the link when the primary says nothing for repl-timeout. It is asked twice: after a halt of this process
        there may be bytes waiting."""
        silent = False
        while True:
            await trio.sleep(ACK_SECONDS)
            was_silent = silent
            silent = self._server.clock_ms() - self.heard_ms > self._server.config.repl_timeout * 1000
            if silent and was_silent:
                scope.cancel()

    async def _send_acks(self, wire: PrimaryWire) -> None:
        while True:
            try:
                await wire.send(*self._replication.acknowledgement())
            except (OSError, trio.BrokenResourceError):
                return  # the reader sees the same end
            with trio.move_on_after(ACK_SECONDS):
                await self._ack.wait()
            self._ack = trio.Event()

    # -- facts -----------------------------------------------------------------------------------------------

    def info(self, now_ms: int) -> Iterator[tuple[str, object]]:
        yield "master_host", self.host
        yield "master_port", self.port
        yield "master_link_status", "up" if self.up else "down"
        yield "master_last_io_seconds_ago", max(0, now_ms - self.heard_ms) // 1000 if self.up else -1
        yield "master_sync_in_progress", int(self.state == "sync")
        yield "slave_read_repl_offset", self._replication.offset
        yield "slave_repl_offset", self._replication.offset
        if self.state == "sync":
            total, read = self.sync_total, self.sync_read
            yield "master_sync_total_bytes", total
            yield "master_sync_read_bytes", read
            yield "master_sync_left_bytes", total - read
            yield "master_sync_perc", f"{100 * read / total if total else 0:.2f}"
            yield "master_sync_last_io_seconds_ago", max(0, now_ms - self.heard_ms) // 1000
        if not self.up:
            down_ms = self.down_since_ms
            yield "master_link_down_since_seconds", -1 if down_ms is None else max(0, now_ms - down_ms) // 1000


def _cause(error: BaseException) -> str:
    if isinstance(error.__cause__, BaseExceptionGroup):  # what trio says of several addresses tried
        error = error.__cause__.exceptions[0]
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
    return str(error) or type(error).__name__
