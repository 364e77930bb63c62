"""A primary's stream, carried out: command by command, and counted byte by byte.

The commands run in a `Session` of their own that passes all checks; most of any stream are writes to keys at plain
positions, which go straight to their handlers. Each command's bytes are counted, since the offset must be the
primary's to the byte, and they are passed on as they came.
"""

from __future__ import annotations

from binascii import crc_hqx
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from cluster.commands.registry import ROAD_KEY
from cluster.errors import CommandError, ProtocolError
from cluster.keyspace.hashing import BRACE, SLOT_MASK, key_slot
from cluster.network.session import Session
from cluster.protocol.requests import RequestParser

if TYPE_CHECKING:
    from cluster.replication.role import Replication
    from cluster.server import Server

_SHOWN_BYTES = 64


class StreamApplier:
    """`session` is whose commands they are: a client like others to MONITOR and CLIENT LIST."""

    def __init__(self, server: Server, replication: Replication, address: str) -> None:
        self._server = server
        self._replication = replication
        self.session = server.connect(address=address)
        self.session.is_primary_link = True
        self.session.db = server.databases[replication.stream_db]
        self.session.become(None)
        self._parser = RequestParser(bulk_limit_bytes=1 << 62)
        self._unapplied: list[bytes] = []  # pieces, joined once there is a whole command or transaction to pass on
        self._open_bytes = 0  # those of them that are commands of a transaction without its EXEC

    def apply(self, data: bytes) -> None:
        """Run the commands that `data` completes, and pass their bytes on. Within MULTI nothing counts until EXEC."""
        session = self.session
        self._server.start_batch()
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
            self._run_unusual(commands[index])
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

    def _run_unusual(self, arguments: list[bytes]) -> None:
        stats = self._server.stats
        failures = stats.error_replies
        self.session.run_one(arguments)
        self.session.out.clear()
        if stats.error_replies != failures:
            name = arguments[0][:_SHOWN_BYTES].decode("utf-8", "replace")
            self._server.log("warning", f"The master sent a command that fails here: '{name}'")

    def _apply_plain(self, session: Session, commands: list[list[bytes]], index: int) -> int:
        """From `index` on, run the writes to keys at plain positions, which is most of any stream, straight by their
        handlers. The index of the first command that is none."""
        server = self._server
        ctx = server.ctx
        fast = {} if server.monitors or server.barrier.walk is not None else server.table.plain
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
            if elapsed > server.noted_ns:
                server.times.note(session, command, arguments, elapsed)
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
        self._replication.stream_db = self.session.db.index
        self._replication.stream(done)


def _encoded_length(arguments: list[bytes]) -> int:
    """Bytes of a command in the stream, which has one form only."""
    size = 3 + len(str(len(arguments)))
    for argument in arguments:
        length = len(argument)
        size += 5 + len(str(length)) + length
    return size
