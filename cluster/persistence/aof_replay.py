"""Commands of an append-only file, run as they stand: no redirect, no limit, no deadline keeps one from its effect.

A transaction is run when its EXEC has come, and not at all without it.
"""

from __future__ import annotations

from binascii import crc_hqx
from typing import TYPE_CHECKING, Any

from cluster.commands.registry import MAY_REPLICATE, ROAD_KEY
from cluster.errors import CommandError
from cluster.keyspace.hashing import BRACE, SLOT_MASK, key_slot
from cluster.network.session import Session

if TYPE_CHECKING:
    from cluster.server import Server


class UnknownCommand(Exception):
    """A command of the file that this server does not have; `arguments` is the list that it was given as."""

    def __init__(self, arguments: list[bytes]) -> None:
        super().__init__(arguments[0])
        self.arguments = arguments


class Replay:
    """`name`: of the file, for what there is to say. `transaction` is what has come of one that is not complete."""

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self._name = name
        self._session = Session(server, -1)
        self._session.is_primary_link = True  # it is obeyed as a primary is
        self._session.become(None)
        self.transaction: list[list[bytes]] | None = None

    def run(self, commands: list[list[bytes]]) -> None:
        """Raises UnknownCommand."""
        server = self._server
        ctx = server.ctx
        ctx.now_ms = server.clock_ms()
        ctx.allows_blocking = False
        ctx.bind(self._session)
        try:
            self._run(commands)
        finally:
            ctx.allows_blocking = True
            server.journal.entries.clear()  # these are in the file already, and replicas get a snapshot

    def _run(self, commands: list[list[bytes]]) -> None:
        ctx = self._server.ctx
        fast = self._server.table.fast
        for arguments in commands:
            command = fast.get(arguments[0])
            count = len(arguments)
            if (
                command is None or self.transaction is not None or not command.writes
                or not command.minimum <= count <= command.maximum
            ):
                self._run_other(arguments)
                continue
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
                self._complain(arguments, error)

    def _run_other(self, arguments: list[bytes]) -> None:
        name = arguments[0].upper()
        if name == b"MULTI":
            self.transaction = self.transaction or []
        elif name == b"EXEC":
            queued, self.transaction = self.transaction, None
            self._run(queued or [])
        elif self._server.table.find(name) is None:
            raise UnknownCommand(arguments)
        elif self.transaction is not None:
            self.transaction.append(arguments)
        else:
            self._call(arguments)

    def _call(self, arguments: list[bytes]) -> None:
        """A command that has no key at a plain place. What changes no data is passed over, so that a file shuts nobody
        down."""
        session = self._session
        command = self._server.table.find(arguments[0])
        assert command is not None
        skip = 1
        if command.subcommands and len(arguments) > 1:
            command, skip = command.subcommands.get(arguments[1].lower(), command), 2
        if not (command.writes or MAY_REPLICATE in command.flags or command.name == "select"):
            return
        ctx = self._server.ctx
        ctx.command = command
        ctx.routed = None
        ctx.one_slot = False
        handler: Any = command.handler
        try:
            if handler is None or not command.minimum <= len(arguments) <= command.maximum:
                raise CommandError("ERR wrong number of arguments, or an unknown subcommand")
            handler(ctx, *arguments[skip:])
        except CommandError as error:
            self._complain(arguments, error)
        session.out.clear()
        if ctx.db is not session.db:
            ctx.bind(session)

    def _complain(self, arguments: list[bytes], error: CommandError) -> None:
        shown = arguments[0].decode("utf-8", "replace")
        self._server.log("warning", f"A command of the append only file {self._name} fails here: {shown}: "
                                    f"{error.message}")
