"""What a command is asked on the long road before it may run, in the order of redis-server's questions.

The fast road asks none of this: it is taken while every answer is known to be yes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import errors
from cluster.commands.registry import DENYOOM, LOADING, MAY_REPLICATE, NO_AUTH, NO_MULTI, STALE, WRITE, Command
from cluster.errors import CommandError

if TYPE_CHECKING:
    from cluster.network.session import Session

_HTTP_WORDS = frozenset({b"post", b"host:"})
"""What the lines of a browser's request begin with, when a page made it send one to this port."""
_RESP2_SUBSCRIBED = frozenset(
    {"ping", "subscribe", "ssubscribe", "sunsubscribe", "psubscribe", "unsubscribe", "punsubscribe", "quit", "reset"}
)


def resolve(session: Session, arguments: list[bytes]) -> Command | None:
    """The command of a line, and none but one that has a handler and takes that many arguments; None when there is
    none, and the client is closed for it."""
    session.last_command = None
    command = session.server.table.find(arguments[0])
    if command is None:
        if arguments[0].lower() in _HTTP_WORDS:
            _abort_cross_protocol(session)
            return None
        raise errors.unknown_command(arguments)
    if command.subcommands and len(arguments) > 1:
        found = command.subcommands.get(arguments[1].lower())
        if found is not None:
            command = found
        else:
            shown = errors.typed(arguments[1])
            raise CommandError(f"ERR unknown subcommand '{shown}'. Try {command.name.upper()} HELP.")
    session.last_command = command
    if not command.minimum <= len(arguments) <= command.maximum or command.handler is None:
        raise errors.wrong_arity(command.full_name)
    return command


def _abort_cross_protocol(session: Session) -> None:
    """Close a client that speaks HTTP, without a word: whatever else its request holds must not be run, nor what
    has been answered so far be seen by the page behind it."""
    server = session.server
    line = server.attacks.line(session.address, server.ctx.now_ms)
    if line:
        server.log("warning", line)
    session.out.clear()
    session.close_after_replies()


def admit(session: Session, command: Command, arguments: list[bytes]) -> bool:
    """Raise the error that keeps `command` from running; False when it has to wait (CLIENT PAUSE)."""
    server = session.server
    flags = command.flags_for(server, arguments)
    if not session.authenticated and NO_AUTH not in flags:
        raise CommandError(errors.NOAUTH)
    if server.pace.suspended is not None and not server.pace.admits(session, command, arguments):
        return False
    transaction = session.transaction
    if transaction is not None and NO_MULTI in flags:
        raise CommandError("ERR Command not allowed inside a transaction")
    if session.restricted:
        server.access.check(session, command, arguments)
    writes = WRITE in flags or (command.name == "exec" and transaction is not None and transaction.writes)
    if not session.is_primary_link:
        server.route(session, command, arguments)
        if DENYOOM in flags or (transaction is not None and transaction.takes_memory(command)):
            server.ensure_memory()
        if writes or MAY_REPLICATE in flags:
            server.check_write_allowed(session, writes)
        elif command.name == "ping":  # who watches over the server is to hear of it
            server.check_disk()
    if session.subscribed is not None and session.resp == 2 and command.name not in _RESP2_SUBSCRIBED:
        raise CommandError(
            f"ERR Can't execute '{command.full_name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / "
            "RESET are allowed in this context"
        )
    if server.serves_stale_only and STALE not in flags and not session.is_primary_link:
        raise CommandError(errors.MASTERDOWN)
    if server.loading and LOADING not in flags and not session.is_primary_link:
        raise CommandError(errors.LOADING)
    if server.pause.holds(session, command, writes):
        server.pause.park(session, arguments)
        return False
    return True
