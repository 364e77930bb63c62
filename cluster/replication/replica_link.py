"""A replica's connection to its primary: handshake, full or partial synchronisation, then the live stream.

One task reads and applies, one acknowledges. The commands of the stream run in a `Session` of their own that passes
all checks; each command's bytes are counted, since the offset must be the primary's to the byte.
"""

from __future__ import annotations

import os
from binascii import crc_hqx
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import perf_counter_ns
from traceback import format_exc
from typing import TYPE_CHECKING, Any

import trio

from cluster.commands.registry import ROAD_KEY
from cluster.errors import CommandError, ProtocolError
from cluster.keyspace.hashing import BRACE, SLOT_MASK, key_slot
from cluster.network.session import Session
from cluster.persistence.rdb_reader import RdbError
from cluster.protocol import replies
from cluster.protocol.requests import RequestParser
from cluster.replication.backlog import Backlog
from cluster.replication.loading import load_snapshot

if TYPE_CHECKING:
    from cluster.replication.role import Replication
    from cluster.server import Server

READ_BYTES = 64 * 1024
RETRY_SECONDS = 0.2
"""Between two attempts: a failed-over shard should be whole again soon."""
ACK_SECONDS = 1.0
LINE_LIMIT_BYTES = 1024
EOF_MARK_BYTES = 40
_CLOSED = "I/O error reading from the master: connection closed"


class LinkError(Exception):
    """The primary does not answer as it should; the link is made again."""


class ReplicaLink:
    """`in_step_ms`: when the primary was last heard over a link that was up, for as long as this node's data are known
    to be its; None: never."""

    def __init__(
        self, server: Server, replication: Replication, host: str, port: int, in_step_ms: int | None = None
    ) -> None:
        self._server = server
        self._replication = replication
        self.host = host
        self.port = port
        self.up = False
        self.state = "connect"
        self.heard_ms = server.clock_ms()
        self.in_step_ms = in_step_ms
        self.down_since_ms = self.heard_ms
        self._stopped = False
        self._scope: trio.CancelScope | None = None
        self._buffer = bytearray()
        self._session: Session | None = None
        self._parser = RequestParser()
        self._unapplied: list[bytes] = []  # pieces, joined once there is a whole command or transaction to pass on
        self._open_bytes = 0  # those of them that are commands of a transaction without its EXEC
        self._ack = trio.Event()
        self._sync_left = -1
        self._anew = False  # do not ask for a continuation

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
                self._server.log("warning", f"Replication link with {self.host}:{self.port}: {_cause(error)}")
            except Exception:  # noqa: BLE001  (a fault of ours in a command: the data are to be had anew)
                self._server.log("warning", f"=== BUG: the stream of {self.host}:{self.port} failed: {format_exc()}")
                self._anew = True
            finally:
                self._lost()
            if not self._stopped:
                await trio.sleep(RETRY_SECONDS)

    def _lost(self) -> None:
        if self.up:
            self._server.log("notice", "Connection with master lost.")
            self.down_since_ms = self._server.clock_ms()
        self.up = False
        self.state = "connect"
        self._sync_left = -1
        if self._session is not None:
            self._server.disconnect(self._session)
            self._session = None
        if not self._stopped:
            self._replication.link_changed()

    # -- one connection --------------------------------------------------------------------------------------

    async def _attempt(self) -> None:
        config = self._server.config
        self.state = "connecting"
        with trio.move_on_after(config.repl_timeout) as patience:
            stream = await trio.open_tcp_stream(self.host, self.port)
        if patience.cancelled_caught:
            raise LinkError("timeout connecting")
        async with stream:
            self._buffer.clear()
            self.state = "handshake"
            with trio.move_on_after(config.repl_timeout) as patience:
                await self._handshake(stream)
                full = await self._synchronize(stream)
            if patience.cancelled_caught:
                raise LinkError("timeout during the handshake")
            if full is not None:
                self.state = "sync"
                await self._receive_snapshot(stream, *full)
            await self._follow(stream)

    async def _handshake(self, stream: trio.SocketStream) -> None:
        config = self._server.config
        answer = await self._ask(stream, b"PING")
        if answer.startswith(b"-") and not answer.startswith((b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted")):
            raise LinkError(f"Error reply to PING from master: {answer.decode('utf-8', 'replace')}")
        if config.masterauth:
            login = [config.masterauth.encode("utf-8", "surrogateescape")]
            if config.masteruser:
                login.insert(0, config.masteruser.encode("utf-8", "surrogateescape"))
            answer = await self._ask(stream, b"AUTH", *login)
            if answer.startswith(b"-"):
                raise LinkError(f"Unable to AUTH to MASTER: {answer.decode('utf-8', 'replace')}")
        port = config.replica_announce_port or config.port
        await self._ask(stream, b"REPLCONF", b"listening-port", b"%d" % port)
        if config.replica_announce_ip:
            await self._ask(stream, b"REPLCONF", b"ip-address", config.replica_announce_ip.encode())
        await self._ask(stream, b"REPLCONF", b"capa", b"eof", b"capa", b"psync2")

    async def _ask(self, stream: trio.SocketStream, *arguments: bytes) -> bytes:
        await stream.send_all(replies.request(arguments))
        return await self._line(stream)

    async def _synchronize(self, stream: trio.SocketStream) -> tuple[str, int] | None:
        """PSYNC: None when the stream simply goes on, else (replication id, offset) of the snapshot to come."""
        replication = self._replication
        if replication.backlog is not None and not self._anew:
            wanted = (replication.replid.encode(), b"%d" % (replication.offset + 1))
            self._server.log("notice", f"Trying a partial resynchronization (request {replication.replid}:"
                                       f"{replication.offset + 1}).")
        else:
            wanted = (b"?", b"-1")
        await stream.send_all(replies.request([b"PSYNC", *wanted]))
        answer = (await self._line(stream)).decode("utf-8", "replace").split()
        if answer[:1] == ["+CONTINUE"]:
            self._continue(answer[1] if len(answer) > 1 else replication.replid)
            return None
        if answer[:1] == ["+FULLRESYNC"] and len(answer) == 3 and answer[2].isdecimal():
            self._server.log("notice", f"Full resync from master: {answer[1]}:{answer[2]}")
            return answer[1], int(answer[2])
        raise LinkError(f"Unexpected reply to PSYNC from master: {' '.join(answer)}")

    def _continue(self, replid: str) -> None:
        replication = self._replication
        if replid != replication.replid:
            replication.second_replid, replication.second_offset = replication.replid, replication.offset + 1
            replication.replid = replid
            replication.disconnect_replicas()
        self._server.log("notice", "Successful partial resynchronization with master.")

    async def _line(self, stream: trio.SocketStream) -> bytes:
        """A line without its end; empty ones are the primary's way to say that it is still there."""
        while True:
            end = self._buffer.find(b"\n")
            if end >= 0:
                line = bytes(self._buffer[:end]).rstrip(b"\r")
                del self._buffer[: end + 1]
                if line:
                    return line
                continue
            if len(self._buffer) > LINE_LIMIT_BYTES:
                raise LinkError("an endless line")
            await self._more(stream)

    async def _more(self, stream: trio.SocketStream) -> None:
        data = b""
        with trio.move_on_after(self._server.config.repl_timeout) as patience:
            data = await stream.receive_some(READ_BYTES)
        if patience.cancelled_caught:
            raise LinkError("MASTER timeout: no data nor PING received...")
        if not data:
            raise LinkError(_CLOSED)
        self.heard_ms = self._server.clock_ms()
        self._server.stats.replication_input_bytes += len(data)
        self._buffer += data

    # -- the snapshot ----------------------------------------------------------------------------------------

    async def _receive_snapshot(self, stream: trio.SocketStream, replid: str, offset: int) -> None:
        """Spool the RDB to a file, load it beside the old data, and change over in one step."""
        server = self._server
        path = Path(server.config.dir) / f"temp-replica-{os.getpid()}.rdb"
        try:
            with path.open("wb") as file:
                async for piece in self._snapshot_pieces(stream):
                    file.write(piece)
            server.log("notice", "MASTER <-> REPLICA sync: Loading DB in memory")
            # An empty line is how a replica says that it is still there.
            snapshot = await load_snapshot(server, path, lambda: stream.send_all(b"\n"))
        finally:
            path.unlink(missing_ok=True)
        server.flush(server.databases, lazily=server.config.replica_lazy_flush)
        for db, fresh in zip(server.databases, snapshot.databases, strict=True):
            db.spaces[:] = fresh.spaces
            db.deadlines[:] = fresh.deadlines
            db.fields.take_from(fresh.fields)
        server.memory.replaced(snapshot.clocks)
        replication = self._replication
        self._anew = False
        replication.replid, replication.offset = replid, offset
        replication.second_replid, replication.second_offset = "0" * 40, -1
        replication.backlog = Backlog(server.config.repl_backlog_size, offset)
        replication.stand_in(snapshot.aux.get("repl-stream-db", ""))
        replication.disconnect_replicas()
        server.log("notice", "MASTER <-> REPLICA sync: Finished with success")
        server.persistence.aof.dataset_replaced()

    async def _snapshot_pieces(self, stream: trio.SocketStream) -> AsyncIterator[bytes]:
        """The RDB's bytes, in either framing: a length before them, or a mark of 40 bytes behind them."""
        header = await self._line(stream)
        if header.startswith(b"-"):
            raise LinkError(f"MASTER aborted replication with an error: {header.decode('utf-8', 'replace')}")
        if header.startswith(b"$EOF:"):
            mark = header[5:]
            if len(mark) != EOF_MARK_BYTES:
                raise LinkError("Bad protocol from MASTER, the EOF mark is broken")
            while True:
                at = self._buffer.find(mark)
                if at >= 0:
                    yield bytes(self._buffer[:at])
                    del self._buffer[: at + EOF_MARK_BYTES]
                    return
                if len(self._buffer) > EOF_MARK_BYTES:
                    yield bytes(self._buffer[:-EOF_MARK_BYTES])
                    del self._buffer[:-EOF_MARK_BYTES]
                await self._more(stream)
        if not header.startswith(b"$") or not header[1:].isdigit():
            raise LinkError(f"Bad protocol from MASTER, the first byte is not '$': {header[:40]!r}")
        self._sync_left = int(header[1:])
        while self._sync_left:
            if not self._buffer:
                await self._more(stream)
            piece = bytes(self._buffer[: self._sync_left])
            del self._buffer[: len(piece)]
            self._sync_left -= len(piece)
            yield piece

    # -- the stream ------------------------------------------------------------------------------------------

    def begin_stream(self) -> None:
        """What comes from now on is the primary's stream."""
        server = self._server
        self._session = server.connect(address=f"{self.host}:{self.port}")
        self._session.is_primary_link = True
        self._session.authenticated = True
        self._session.db = server.databases[self._replication.stream_db]
        self._session.refresh()
        self._parser = RequestParser(bulk_limit_bytes=1 << 62)
        self._unapplied, self._open_bytes = [], 0
        self.state, self.up = "connected", True
        self.in_step_ms = self.heard_ms
        self._replication.need_backlog()
        self._replication.link_changed()

    async def _follow(self, stream: trio.SocketStream) -> None:
        self.begin_stream()
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_acks, stream)
            nursery.start_soon(self._watch_silence, nursery.cancel_scope)
            try:
                await self._read_stream(stream)
            except (LinkError, ProtocolError, OSError, trio.BrokenResourceError) as error:
                failure = error  # raised again outside, where no nursery wraps it into a group
            nursery.cancel_scope.cancel()
        raise failure or LinkError("MASTER timeout: no data nor PING received...")

    async def _read_stream(self, stream: trio.SocketStream) -> None:
        """Apply what comes, until the connection ends (LinkError, OSError).

        The reactor reads, beside the clients' sockets: under a load of small writes a pass of trio for each chunk
        costs more than the writes.
        """
        shell = self._server.shell
        data = bytes(self._buffer)
        self._buffer.clear()
        if data:
            self.apply(data)
        fd = stream.socket.fileno()
        ended = trio.Event()
        failures: list[Exception] = []

        def read() -> None:
            if self._scope is not None and self._scope.cancel_called:
                shell.unwatch(fd)  # whatever still comes, we follow it no more
                return
            try:
                self._read_chunk(fd)
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

    def _read_chunk(self, fd: int) -> None:
        data = os.read(fd, READ_BYTES)
        if not data:
            raise LinkError(_CLOSED)
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

    def apply(self, data: bytes) -> None:
        """Run the commands that `data` completes, and pass their bytes on. Within MULTI nothing counts until EXEC."""
        session = self._session
        assert session is not None
        self._server.start_batch()
        self.heard_ms = self.in_step_ms = self._server.clock_ms()
        self._unapplied.append(data)
        commands: list[list[bytes]] = []
        broken: ProtocolError | None = None
        try:
            commands.extend(self._parser.feed(data))
        except ProtocolError as error:
            broken = error  # what came before it counts
        passed = closed = index = 0  # commands passed on; those that no open transaction holds back; those run
        while index < len(commands):
            if session.transaction is None:
                closed = index = self._apply_plain(session, commands, index)
                if index == len(commands):
                    break
                if commands[index][0].upper() == b"REPLCONF":
                    # GETACK asks for the offset, which does not hold this command itself yet.
                    self._pass_on(commands[passed:index])
                    passed = index
            session.run_one(commands[index])
            session.out.clear()
            index += 1
            if session.transaction is None:
                closed = index
        if session.transaction is None and broken is None and self._parser.is_between_commands:
            self._open_bytes = 0
            self._advance(sum(map(len, self._unapplied)))  # whole commands: all of it, without adding them up
        elif closed:
            self._pass_on(commands[passed:closed])
            self._open_bytes = sum(map(_encoded_length, commands[closed:]))
        else:
            self._open_bytes += sum(map(_encoded_length, commands))
        self._server.shell.end_batch()
        if broken is not None:
            raise broken

    def _apply_plain(self, session: Session, commands: list[list[bytes]], index: int) -> int:
        """From `index` on, run the writes to keys at plain positions, which is most of any stream, straight by their
        handlers. The index of the first command that is none."""
        server = self._server
        ctx = server.ctx
        fast = {} if server.monitors else server.table.fast
        entries = server.journal.entries
        db = session.db.index
        ctx.bind(session)
        started = perf_counter_ns()
        while index < len(commands):
            arguments = commands[index]
            count = len(arguments)
            command = fast.get(arguments[0])
            if command is None or not command.writes or not command.minimum <= count <= command.maximum:
                break
            ctx.command = command
            key = arguments[1]
            if command.road == ROAD_KEY:
                ctx.routed = key
                ctx.slot = key_slot(key) if BRACE in key else crc_hqx(key, 0) & SLOT_MASK
            else:
                ctx.routed = None
            handler: Any = command.handler
            try:
                if count == 3:
                    handler(ctx, key, arguments[2])
                else:
                    handler(ctx, *arguments[1:])
            except CommandError as error:
                command.failed += 1
                server.stats.count_error(error.message)
                server.log("warning", f"The master sent a command that fails here: {error.message}")
            ended = perf_counter_ns()
            elapsed = ended - started
            started = ended
            command.calls += 1
            command.spent_ns += elapsed
            if elapsed > server.slow_ns:
                server.note_slow(session, command, arguments, elapsed)
            if not command.own_effects:
                entries.append((db, arguments))
            if server.has_followups:
                server.follow_up()
                ctx.bind(session)
            index += 1
        return index

    def _pass_on(self, commands: list[list[bytes]]) -> None:
        """These have been run, and so has what an open transaction held back before them."""
        size = self._open_bytes + sum(map(_encoded_length, commands))
        self._open_bytes = 0
        if size:
            self._advance(size)

    def _advance(self, size: int) -> None:
        held = b"".join(self._unapplied)
        done = held[:size]
        self._unapplied = [held[size:]] if len(held) > size else []
        assert self._session is not None
        self._replication.stream_db = self._session.db.index
        self._replication.stream(done)

    async def _send_acks(self, stream: trio.SocketStream) -> None:
        while True:
            try:
                await stream.send_all(replies.request([b"REPLCONF", b"ACK", b"%d" % self._replication.offset]))
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
            yield "master_sync_left_bytes", self._sync_left
        if not self.up:
            yield "master_link_down_since_seconds", max(0, now_ms - self.down_since_ms) // 1000


def _encoded_length(arguments: list[bytes]) -> int:
    """Bytes of a command in the stream, which has one form only."""
    size = 3 + len(str(len(arguments)))
    for argument in arguments:
        length = len(argument)
        size += 5 + len(str(length)) + length
    return size


def _cause(error: BaseException) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) or type(error).__name__
