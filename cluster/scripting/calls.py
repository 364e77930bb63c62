"""What a script may call: redis.call, with the questions that redis-server asks of each command, in its order.

The commands run for a client of the script's own (`client`), which has the caller's database and rights and no
connection. What they write is gathered in the journal; the run as a whole makes it one transaction.
"""

from __future__ import annotations

from time import perf_counter_ns
from traceback import format_exc
from typing import TYPE_CHECKING, Any

from cluster import errors
from cluster.commands.registry import DENYOOM, MAY_REPLICATE, NOSCRIPT, STALE, WRITE, Command
from cluster.errors import CommandError
from cluster.journal import ForFile, ForReplicas
from cluster.keyspace.hashing import common_slot
from cluster.network.session import Session
from cluster.scripting import conversion

if TYPE_CHECKING:
    from cluster.scripting.runner import Runner
    from cluster.scripting.script import Run
    from cluster.server import Server

REPL_NONE, REPL_AOF, REPL_REPLICA, REPL_ALL = range(4)
"""Of redis.set_repl."""
UNKNOWN = "ERR Unknown Redis command called from script"
ARITY = "ERR Wrong number of args calling Redis command from script"
NOT_ALLOWED = "ERR This Redis command is not allowed from script"
READ_ONLY_SCRIPT = "ERR Write commands are not allowed from read-only scripts."
PAUSED = "ERR May-replicate commands are not allowed in pause write."
STALE_REPLICA = "ERR Can not execute the command on a stale replica"
NOT_LOCAL = "ERR Script attempted to access a non local key in a cluster node"
CROSS_SLOT = "ERR Script attempted to access keys that do not hash to the same slot"
DOWN = "ERR Script attempted to execute a command while the cluster is down"
DOWN_READ_ONLY = "ERR Script attempted to execute a write command while the cluster is down and readonly"
INTERNAL = "ERR internal error, see the server's log"
_NEVER = frozenset({"multi", "exec", "discard", "watch", "unwatch"})


class Calls:
    """The host's side of `redis.call`. `run` is the script that is running."""

    def __init__(self, server: Server, runner: Runner) -> None:
        self._server = server
        self._runner = runner
        self.client = Session(server, 0, address="lua")
        self.run: Run | None = None
        self._caller = self.client

    def begin(self, run: Run, caller: Session) -> None:
        """`run` starts, for `caller`."""
        client = self.client
        self.run = run
        self._caller = caller
        client.db = caller.db
        client.resp = 2
        client.user, client.restricted = caller.user, caller.restricted
        client.tracked = caller.tracked
        client.asking = caller.asking
        client.reads_replica = caller.reads_replica
        client.is_primary_link = caller.is_primary_link

    def run_command(self, *values: bytes | float) -> Any:
        """Run one command. What Lua is handed: see `conversion`."""
        run = self.run
        assert run is not None
        if perf_counter_ns() > self._runner.pace.turn_ends_ns and self._runner.tick():
            return None, conversion.ERROR, b"ERR Script killed by user with SCRIPT KILL..."
        arguments = [value if type(value) is bytes else conversion.argument(value) for value in values]
        server = self._server
        entries = server.journal.entries
        at = len(entries)
        try:
            command = self._resolve(arguments)
            self._admit(run, command, arguments)
        except CommandError as error:
            server.stats.count_error(error.message)
            return None, conversion.COUNTED_ERROR, error.encoded[1:-2]
        try:
            reply = self.client.call_queued(command, arguments)
            if not self._runner.sandbox.has_room(len(reply)):
                return None, conversion.NO_MEMORY
            return conversion.for_lua(reply) if reply else False
        except Exception:  # noqa: BLE001  (it must not reach Lua, which would jump over it)
            server.log("warning", f"=== BUG: a command of a script failed: {format_exc()}")
            return None, conversion.COUNTED_ERROR, INTERNAL.encode()
        finally:
            if run.repl != REPL_ALL and len(entries) != at:
                self._divide(run.repl, at)

    def _divide(self, repl: int, at: int) -> None:
        """What a command has journaled since `at` is for those only that redis.set_repl has named."""
        journal = self._server.journal
        if repl == REPL_NONE:
            del journal.entries[at:]
        else:
            journal.address(at, ForFile if repl == REPL_AOF else ForReplicas)

    def set(self, what: bytes, value: float) -> None:
        """redis.setresp and redis.set_repl."""
        assert self.run is not None
        if what == b"resp":
            self.client.resp = int(value)
            self._server.ctx.set_resp(int(value))
        else:
            self.run.repl = int(value)

    def may(self, *values: bytes | float) -> bool | None:
        """redis.acl_check_cmd: whether the user may run this; None where there is no such command."""
        arguments = [conversion.argument(value) for value in values]
        try:
            command = self._resolve(arguments, strict=False)
        except CommandError:
            return None
        return self._server.access.allows(self.client, command, arguments)

    def _resolve(self, arguments: list[bytes], *, strict: bool = True) -> Command:
        command = self._server.table.find(arguments[0])
        if command is None:
            raise CommandError(UNKNOWN)
        if command.subcommands and len(arguments) > 1:
            found = command.subcommands.get(arguments[1].lower())
            if found is None:
                raise CommandError(UNKNOWN)
            command = found
        if strict and (not command.minimum <= len(arguments) <= command.maximum or command.handler is None):
            raise CommandError(ARITY)
        return command

    def _admit(self, run: Run, command: Command, arguments: list[bytes]) -> None:
        """Raise what keeps `command` from running."""
        server = self._server
        flags = command.flags
        if NOSCRIPT in flags or command.name in _NEVER:
            raise CommandError(NOT_ALLOWED)
        if server.serves_stale_only and STALE not in flags and not self.client.is_primary_link:
            raise CommandError(STALE_REPLICA)
        if self.client.restricted:
            server.access.check_in_script(self._caller, command, arguments)
        writes = WRITE in flags
        if MAY_REPLICATE in flags and server.pause.active:
            raise CommandError(PAUSED)
        if writes or MAY_REPLICATE in flags:
            if writes and run.read_only:
                raise CommandError(READ_ONLY_SCRIPT)
            if not self.client.is_primary_link:
                server.check_write_allowed(self.client, writes)
        if DENYOOM in flags and run.out_of_memory and not run.written:
            raise CommandError(errors.OOM)
        if writes:
            run.written = True
        if server.cluster_enabled and command.keys and not self.client.is_primary_link:
            self._check_slot(run, command, arguments)

    def _check_slot(self, run: Run, command: Command, arguments: list[bytes]) -> None:
        """In cluster mode: the keys are this node's, and (but for scripts of the old kind) of one slot."""
        server = self._server
        try:
            server.router.check(self.client, command, arguments)
        except CommandError as error:
            raise CommandError(_in_script(error.message)) from None
        if run.allows_cross_slot:
            return
        keys = [arguments[position] for position in command.key_positions(arguments)]
        if not keys:
            return
        slot = common_slot(keys)
        if run.slot is None:
            run.slot = slot
        elif run.slot != slot:
            raise CommandError(CROSS_SLOT)


def _in_script(message: str) -> str:
    """What a script is told where a client would be redirected."""
    if message == errors.CROSSSLOT:
        return CROSS_SLOT
    if message == errors.CLUSTERDOWN_READONLY:
        return DOWN_READ_ONLY
    if message == errors.CLUSTERDOWN_STATE:
        return DOWN
    return NOT_LOCAL
