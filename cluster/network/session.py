"""A session: what a connection means to the node. Bytes in, bytes out; no socket.

`receive` runs the commands of a chunk and leaves their replies in `out`; whoever owns the socket sends them when
the batch is done. The loop in `_run` is the hot path: an ordinary command on a key this node serves goes straight
from the table to its handler. Everything else (a transaction, a redirect, a replica, a client that has not
authenticated) takes the long road, `execute`, and answers the questions of `admission`.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from time import perf_counter_ns
from traceback import format_exc
from typing import TYPE_CHECKING, Any

from cluster import errors
from cluster.commands.registry import (
    NO_MANDATORY_KEYS,
    PUBSUB,
    READONLY,
    ROAD_KEY,
    ROAD_KEYS,
    ROAD_NO_KEY,
    WRITE,
    Command,
)
from cluster.errors import CommandError, NamedAsTyped, ProtocolError
from cluster.keyspace.hashing import BRACE, SLOT_MASK, common_slot, key_slot
from cluster.network.admission import admit, resolve
from cluster.network.transaction import Transaction
from cluster.protocol import replies
from cluster.protocol.requests import RequestParser
from cluster.slots.router import IMPORTED, SERVED

if TYPE_CHECKING:
    from cluster.acl.user import User
    from cluster.blocking import Wait
    from cluster.keyspace.database import Database
    from cluster.pubsub import Subscriptions
    from cluster.server import Server
    from cluster.tracking import Tracked

SHORT_BYTES = 2048
"""A chunk up to this size holds so few commands that they are run without looking at the clock between them."""
COMMANDS_PER_LOOK = 64
TURN_NS = 2_000_000
"""How long the commands of one client may hold up the others, as far as they come in a pipeline."""
_REDIRECTS = frozenset({"MOVED", "ASK", "CROSSSLOT", "TRYAGAIN", "CLUSTERDOWN"})
_NO_COMMANDS: dict[bytes, Command] = {}
_QUEUE_EXEMPT = frozenset({"exec", "discard", "multi", "watch", "quit", "reset"})
_ASKS_ON = frozenset({"asking", "multi"})
"""What leaves an ASKING in force: it holds for one command, or for one transaction."""


class Session:
    """One client.

    `unusual` is set while commands must take the long road: not authenticated, in a transaction, subscribed,
    after ASKING, …; `refresh` recomputes it when one of these changes. `user` is None where whatever comes is obeyed: a
    primary's stream, a file. One who may not do everything is `restricted`: then `road` holds what needs no look at its
    arguments.
    """

    __slots__ = (
        "__weakref__", "address", "asking", "authenticated", "client_flags", "closing", "created_ms", "db", "held",
        "held_bytes", "id", "is_primary_link", "is_replica_link", "last_command", "last_used_ms", "library",
        "library_version", "local_address", "name", "no_evict", "no_touch", "out", "out_bytes", "parser",
        "reads_replica", "replica", "reply_mode", "resp", "rest", "restricted", "road", "server", "subscribed",
        "total_in", "total_out", "tracked", "transaction", "transport", "unusual", "user", "wait", "watched",
    )

    def __init__(self, server: Server, client_id: int, *, address: str = "", local_address: str = "") -> None:
        self.server = server
        self.id = client_id
        self.address = address
        self.local_address = local_address
        self.db: Database = server.databases[0]
        self.resp = 2
        self.name = b""
        self.library = b""
        self.library_version = b""
        self.user: User | None
        self.user = server.access.default
        self.authenticated = server.access.is_open
        self.restricted = not self.user.is_unrestricted
        self.road = server.access.road(self.user)
        self.parser = RequestParser(
            authenticated=self.authenticated, bulk_limit_bytes=server.config.proto_max_bulk_len
        )
        self.out: list[bytes] = []
        self.out_bytes = 0
        self.transport: object | None = None
        self.transaction: Transaction | None = None
        self.watched: dict[tuple[int, bytes], bool] = {}  # (database, key) → whether it was past its deadline already
        self.asking = False
        self.reads_replica = False  # READONLY was sent
        self.is_primary_link = False
        self.is_replica_link = False
        self.replica: object | None = None
        self.subscribed: Subscriptions | None = None
        self.tracked: Tracked | None = None
        self.reply_mode = "on"
        self.no_evict = False
        self.no_touch = False
        self.client_flags: set[str] = set()
        self.wait: Wait | None = None
        self.held: list[bytes] = []  # what came while it could not go on, and how much that is
        self.held_bytes = 0
        self.rest: Iterator[list[bytes]] | None = None
        self.closing = False
        self.created_ms = server.ctx.now_ms
        self.last_used_ms = self.created_ms
        self.last_command: Command | None = None
        self.total_in = 0
        self.total_out = 0
        self.unusual = False
        self.refresh()

    def refresh(self) -> None:
        """Recompute `unusual` after one of the states it sums up has changed."""
        self.unusual = (
            not self.authenticated
            or self.transaction is not None
            or self.asking
            or self.is_primary_link
            or self.is_replica_link
            or self.subscribed is not None
            or (self.tracked is not None and not self.tracked.broadcasts)
            or self.reply_mode != "on"
            or self.closing
        )
        self.parser.authenticated = self.authenticated

    # -- bytes in --------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Run the commands that `data` completes; replies gather in `out`."""
        self.total_in += len(data)
        if self.wait is not None or self.rest is not None:
            self.held.append(data)
            self.held_bytes += len(data)
        elif len(data) > SHORT_BYTES:
            self._run_turn(iter(self.parser.feed(data)))
        else:
            commands = self.parser.feed(data)
            if type(commands) is tuple:
                self._run(commands, data)
                if self.transaction is None:
                    return  # nothing of it is kept
            else:
                self._run(commands)
        self._limit_input()

    def resume(self) -> None:
        """Go on after a wait, or in the next turn: the rest of the chunk at hand, then what came in meanwhile."""
        try:
            if self.rest is not None:
                rest, self.rest = self.rest, None
                self._run_turn(rest)
            while self.held and not (self.is_waiting or self.is_unfinished or self.closing):
                held, self.held, self.held_bytes = b"".join(self.held), [], 0
                self._run_turn(iter(self.parser.feed(held)))
        except Exception:  # noqa: BLE001  (whatever it is, it is that one client's)
            self.give_up()

    def _limit_input(self) -> None:
        """Close a client that has sent more than it may without completing a command, or its transaction."""
        kept = self.parser.held_bytes + self.held_bytes
        kept += self.transaction.held_bytes if self.transaction is not None else 0
        if kept > self.server.config.client_query_buffer_limit:
            self.server.log("warning", f"Closing client that reached max query buffer length: {self.address}")
            self.server.stats.input_limit_disconnections += 1
            self.server.kill(self)
        elif kept > SHORT_BYTES:
            self.server.client_eviction.grown(self)

    def _run_turn(self, commands: Iterator[list[bytes]]) -> None:
        """Run a pipeline for as long as a turn lasts; what is left then waits for the next batch."""
        until = perf_counter_ns() + TURN_NS
        while not self.closing:
            try:
                first = next(commands, None)
            except ProtocolError as error:
                self._break_off(error)
                return
            if first is None:
                return
            self._run(chain((first,), islice(commands, COMMANDS_PER_LOOK - 1)))
            if self.wait is not None:
                self.rest = commands
                return
            if perf_counter_ns() >= until:
                self.rest = commands
                self.server.postpone(self)
                return

    def run_one(self, arguments: list[bytes]) -> None:
        """One command that was parsed elsewhere (the primary's stream, a file)."""
        self._run((arguments,))

    def _run(self, commands: Iterable[list[bytes]], whole: bytes | None = None) -> None:
        """Run `commands`. `whole`: there is one, and that is its RESP, which readers of the journal get as it is."""
        server = self.server
        ctx = server.ctx
        ctx.bind(self)
        fast = _NO_COMMANDS if self.unusual or server.unusual else self.road.fast
        served = server.served
        append = self.out.append
        entries = server.journal.entries
        command: Command | None = None
        iterator = iter(commands)
        started = perf_counter_ns()
        try:
            for arguments in iterator:
                name = arguments[0]
                count = len(arguments)
                command = fast.get(name)
                if command is None or not command.minimum <= count <= command.maximum:
                    ours = False
                elif command.road == ROAD_NO_KEY:
                    ours = True
                elif command.road == ROAD_KEYS and count > 1 + command.step:
                    ours = self._takes_keys(arguments[1 :: command.step])
                else:
                    key = arguments[1]
                    ctx.routed = key
                    ctx.slot = slot = key_slot(key) if BRACE in key else crc_hqx(key, 0) & SLOT_MASK
                    state = served[slot]
                    ours = state == SERVED or (state == IMPORTED and command.takes_imports)
                if not ours:
                    command = self._run_unusual(arguments, started)
                    if self.wait is not None or self.closing:
                        self.rest = None if self.closing else iterator
                        break
                    fast = _NO_COMMANDS if self.unusual or server.unusual else self.road.fast
                    started = perf_counter_ns()
                    continue
                assert command is not None
                handler: Any = command.handler
                before = ctx.dirty
                at = len(entries)
                try:
                    # Written out, because a call with a starred list costs twice as much.
                    if count == 2:
                        reply = handler(ctx, arguments[1])
                    elif count == 3:
                        reply = handler(ctx, arguments[1], arguments[2])
                    else:
                        reply = handler(ctx, *arguments[1:])
                except CommandError as error:
                    reply = self.failed(command, error, arguments)
                append(reply)
                if command.writes:
                    if ctx.dirty != before and not command.own_effects:
                        entries.append((self.db.index, whole or arguments))
                    if len(entries) - at > 1:
                        server.journal.wrap(at)
                    if server.has_followups:
                        server.follow_up()
                        ctx.bind(self)
                        fast = _NO_COMMANDS if self.unusual or server.unusual else self.road.fast
                if command.road != ROAD_KEY:
                    ctx.one_slot = False
                    if command.road == ROAD_NO_KEY:  # it may have changed how the next ones run (MULTI, ASKING)
                        fast = _NO_COMMANDS if self.unusual or server.unusual else self.road.fast
                ended = perf_counter_ns()
                elapsed = ended - started
                started = ended
                command.calls += 1
                command.spent_ns += elapsed
                if elapsed > server.noted_ns and server.times.note(self, command, arguments, elapsed):
                    fast = _NO_COMMANDS if self.unusual or server.unusual else self.road.fast
        except ProtocolError as error:
            self._break_off(error)
        self.last_used_ms = ctx.now_ms
        if command is not None:
            self.last_command = command

    def _takes_keys(self, keys: list[bytes]) -> bool:
        """Whether several keys may be served without a question; their slot is left in the context."""
        ctx = self.server.ctx
        ctx.routed = None
        if not self.server.cluster_enabled:
            return True
        slot = common_slot(keys)
        if slot is None or self.server.served[slot] != SERVED:
            return False
        ctx.slot = slot
        ctx.one_slot = True
        return True

    def _break_off(self, error: ProtocolError) -> None:
        self.server.log("verbose", f"Protocol error ({error.message}) from client: {self.address}")
        self.out.append(error.encoded)
        self.close_after_replies()

    def _run_unusual(self, arguments: list[bytes], started: int) -> Command | None:
        """One command on the long road, with its accounting. The command, or None if it was not run."""
        server = self.server
        pubsub = server.pubsub
        pubsub.executing = self
        reply = self.execute(arguments)
        if reply is not None:
            self.out.append(reply)
        pubsub.executing = None
        if pubsub.postponed:
            pubsub.send_postponed(self)
        command = server.ctx.command
        if command is not None:
            self._account(command, arguments, started)
        if server.has_followups:
            server.follow_up()
            server.ctx.bind(self)
        return command

    def _account(self, command: Command, arguments: list[bytes], started: int) -> None:
        elapsed = perf_counter_ns() - started
        command.calls += 1
        command.spent_ns += elapsed
        if elapsed > self.server.noted_ns and not self.server.pace.is_holding(self):  # it is noted when it is over
            self.server.times.note(self, command, arguments, elapsed)

    def failed(self, command: Command | None, error: CommandError, line: Sequence[bytes] = ()) -> bytes:
        """Count an error of a command that was run, and encode it; `line` as the client spelled it."""
        if isinstance(error, NamedAsTyped):
            error = error.named(line)
        if command is not None:
            command.failed += 1
        self.server.stats.count_error(error.message)
        return error.encoded

    def execute(self, arguments: list[bytes]) -> bytes | None:
        """Run one command with every check, in redis-server's order. The reply, or None for none (yet)."""
        ctx = self.server.ctx
        ctx.command = None
        try:
            command = resolve(self, arguments)
            if command is None:
                return None
            ctx.command = command
            if not admit(self, command, arguments):
                return None
        except CommandError as error:
            error = self._fail_transaction(arguments[0], error)
            if ctx.command is not None:
                ctx.command.rejected += 1
            ctx.command = None
            self._end_caching(None)
            self.server.stats.count_error(error.message)
            return self._shown(error.encoded)
        finally:
            held = self.wait is not None  # by a pause or a script: it is run after that, with the ASKING before it
            asks_on = ctx.command is not None and ctx.command.name in _ASKS_ON
            if self.asking and self.transaction is None and not asks_on and not held:
                self.asking = False
                self.refresh()
        transaction = self.transaction
        if transaction is not None and command.name not in _QUEUE_EXEMPT:
            if not transaction.failed and "dirty_cas" not in self.client_flags:  # else nothing of it will be run
                transaction.queue(command, arguments, command.flags_for(self.server, arguments))
            ctx.command = None
            return self._shown(replies.QUEUED)
        reply = self.call(command, arguments)
        self._end_caching(command)
        return None if reply is None else self._shown(reply)

    def _fail_transaction(self, name: bytes, error: CommandError) -> CommandError:
        """A command was refused, so EXEC will be too. When it is EXEC itself, the transaction is over, and the error
        says so, but for a redirect."""
        if name.lower() != b"exec" or self.server.table.find(name) is None:
            if self.transaction is not None:
                self.transaction.failed = True
            return error
        self.end_transaction()
        if error.message.partition(" ")[0] in _REDIRECTS:
            return error
        return CommandError(f"{errors.EXECABORT_BECAUSE}{error.message.removeprefix('ERR ')}")

    def _shown(self, reply: bytes) -> bytes | None:
        """CLIENT REPLY OFF and SKIP, and a primary's commands, get no answer."""
        if self.is_primary_link and not self.server.answers_primary:
            return None
        if self.reply_mode == "on":
            return reply
        if self.reply_mode == "skip":
            self.reply_mode = "on"
            self.refresh()
        return None

    def call(self, command: Command, arguments: list[bytes]) -> bytes | None:
        """Run an admitted command and journal its effects."""
        server = self.server
        ctx = server.ctx
        ctx.command, ctx.arguments = command, arguments
        ctx.routed = None
        journal = server.journal
        before, at = ctx.dirty, len(journal.entries)
        skip = 2 if "|" in command.full_name else 1
        db = self.db.index
        if server.monitors and "skip_monitor" in command.flags:  # a script, shown before what it calls
            server.feed_monitors(self, command, arguments)
        if server.barrier.walk is not None:
            server.barrier.command(self.db, command, arguments)
        try:
            assert command.handler is not None
            reply = command.handler(ctx, *arguments[skip:])
        except CommandError as error:
            reply = self.failed(command, error, arguments)
        if self.wait is not None:
            self.wait.arguments = arguments
        elif self.tracked is not None and READONLY in command.flags and PUBSUB not in command.flags:
            self._track(self.tracked, command, arguments)
        if server.monitors and "skip_monitor" not in command.flags:  # so that EXEC stands last
            server.feed_monitors(self, command, arguments)
        if WRITE in command.flags and ctx.dirty != before and not command.own_effects:
            journal.append(db, arguments)
        if len(journal.entries) - at > 1 and ctx.allows_blocking:
            journal.wrap(at)
        return reply

    def _track(self, tracked: Tracked, command: Command, arguments: list[bytes]) -> None:
        """The client is to hear when what it has read changes. (Of a script the commands count that it calls.)"""
        if not tracked.broadcasts and tracked.remembers and NO_MANDATORY_KEYS not in command.flags:
            self.server.tracking.remember(tracked, [arguments[at] for at in command.key_positions(arguments)])

    def _end_caching(self, command: Command | None) -> None:
        """CLIENT CACHING holds for one command, or for one transaction."""
        if self.tracked is not None and self.tracked.caching and self.transaction is None:
            self.tracked.caching = command is not None and command.full_name.startswith("client|")

    def call_queued(self, command: Command, arguments: list[bytes]) -> bytes:
        """Run a command of a transaction, which counts and may be slow like any other."""
        started = perf_counter_ns()
        reply = self.call(command, arguments)
        self._account(command, arguments, started)
        return reply or b""

    # -- waiting, pushing, closing ---------------------------------------------------------------------------

    @property
    def is_waiting(self) -> bool:
        return self.wait is not None

    @property
    def is_unfinished(self) -> bool:
        return self.rest is not None

    def park(self, wait: Wait) -> None:
        self.wait = wait

    def unpark(self, reply: bytes | None) -> None:
        self.wait = None
        shown = None if reply is None else self._shown(reply)
        if shown is not None:
            self.out.append(shown)
        self.server.wake(self)

    def send(self, data: bytes) -> None:
        """Bytes for this client outside its own turn: a push, a message, a stream."""
        self.out.append(data)
        self.server.wake(self)

    def give_up(self) -> None:
        """A fault of ours (the exception at hand) in a command: it costs this client its connection, and leaves all
        there is to know in the log; the node goes on."""
        self.server.log("warning", f"=== BUG: a command of {self.address} failed: {format_exc()}")
        self.out.append(b"-ERR internal error, see the server's log\r\n")
        self.close_after_replies()
        self.server.wake(self)

    def become(self, user: User | None, *, authenticated: bool = True) -> None:
        """From now on the client is `user`; None is obeyed in everything."""
        self.user = user
        self.restricted = user is not None and not user.is_unrestricted
        self.road = self.server.access.road(user)
        self.authenticated = authenticated
        self.refresh()

    def close_after_replies(self) -> None:
        self.closing = True
        self.refresh()

    def start_transaction(self) -> None:
        self.transaction = Transaction()
        self.refresh()

    def end_transaction(self) -> None:
        self.transaction = None
        self.asking = False
        self.server.watching.forget(self)
        self.refresh()

    def select(self, db: Database) -> None:
        self.db = db
        self.server.ctx.bind_database(db)


__all__ = ["Session"]
