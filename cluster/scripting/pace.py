"""How long scripts run, and how the node lives beside one that takes long.

Scripts run in a greenlet of their own: a second stack on the same thread. One that is done within its first turn is
called and returns like any function. One that is not is left where it stands: its greenlet gives the thread back to
the reactor, which goes on with trio (the bus, its heartbeats) and with the clients' sockets, and resumes the script
for a turn between its batches. So the bus is alive during the longest script, and SCRIPT KILL can be heard.

What the others may see does not change by it: a script is atomic. While one stands suspended nothing else touches the
keyspace: commands are held back until it is over (or answered with BUSY once `busy-reply-threshold` has passed), the
timers, the primary's stream and the bus's wishes wait. Its effects are kept apart, and reach the journal whole.

A thread instead would need a hand-over for every script, since none is known to be slow before it is: some ten
microseconds and more, where a switch of greenlets takes half of one. Lua's own coroutines cannot leave a C function,
and pcall and table.sort are such.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from traceback import format_exception
from typing import TYPE_CHECKING, Any
from weakref import ref

import trio
from greenlet import getcurrent, greenlet

from cluster.blocking import Wait
from cluster.commands.registry import ALLOW_BUSY, Command
from cluster.errors import CommandError
from cluster.pause import HeldCommands

if TYPE_CHECKING:
    from cluster.journal import Entry
    from cluster.network.session import Session
    from cluster.scripting.script import Run
    from cluster.server import Server

FIRST_TURN_NS = 20_000_000
"""How long a script has before the others hear of it: it is over by then, or a few milliseconds more do not matter."""
TURN_NS = 5_000_000
"""How long it runs between two batches of the reactor afterwards."""
BUSY = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
BUSY_WITH_FUNCTION = "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
NOTBUSY = "NOTBUSY No scripts in execution right now."
UNKILLABLE = (
    "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script "
    "termination or kill the server in a hard way using the SHUTDOWN NOSAVE command."
)
UNKILLABLE_OF_PRIMARY = (
    "UNKILLABLE The busy script was sent by a master instance in the context of replication and cannot be killed."
)
Job = Callable[[], bytes]
INTERNAL = b"-ERR internal error, see the server's log\r\n"
_SUSPENDED = object()


class Pace:
    """`suspended`: the client whose script stands half-way, or None."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.suspended: Session | None = None
        self.run: Run | None = None
        """What of scripts and functions runs, or stands half-way."""
        self.is_busy = False
        """The script has run longer than busy-reply-threshold."""
        self.ending = False
        """The script is to end: Lua is told at its next instruction."""
        self.turn_ends_ns = 0
        self.afterwards: list[Callable[[], object]] = []
        """Called once each, in order, when the script is over."""
        self._held = HeldCommands(server)
        self._worker: greenlet | None = None
        self._home: greenlet | None = None
        self._is_running = False
        self._began_ns = 0
        self._wait: Wait | None = None
        self._command: Command | None = None
        self._arguments: list[bytes] = []
        self._left_ns = 0
        self._effects: list[Entry] = []

    # -- running -----------------------------------------------------------------------------------------------

    def perform(self, job: Job) -> bytes | None:
        """Run what holds a script: its reply; or None when it goes on later, and its client waits."""
        if self._is_running:  # a script of a transaction that was begun here
            return job()
        if self._worker is None or self._worker.dead:
            self._worker = greenlet(_work)
            self._home = getcurrent()
            self._worker.switch(ref(self))
        server = self._server
        threshold_ns = server.config.busy_reply_threshold * 1_000_000
        self.ending = False
        self._began_ns = perf_counter_ns()
        self.turn_ends_ns = self._began_ns + (min(threshold_ns, FIRST_TURN_NS) if threshold_ns > 0 else FIRST_TURN_NS)
        client, command, arguments = server.ctx.client, server.ctx.command, server.ctx.arguments
        outcome = self._switch(job)
        if outcome is not _SUSPENDED:
            server.journal.entries.extend(self._effects)
            self._effects.clear()
            return _reply(outcome)
        self.suspended, self._command, self._arguments = client, command, arguments
        self._left_ns = perf_counter_ns()
        self._wait = Wait(client, keys=[], deadline_ms=None, retry=None, on_timeout=b"", command=command)
        server.waiting.park(self._wait)
        server.refresh_road()
        server.shell.wake()
        return None

    def _switch(self, job: Job | None) -> Any:
        """Let the worker run until it is done or leaves; what it writes meanwhile is kept apart."""
        assert self._worker is not None
        self._home = getcurrent()
        self._is_running = True
        journal = self._server.journal
        original, journal.entries = journal.entries, self._effects
        try:
            return self._worker.switch(job)
        finally:
            journal.entries = original
            self._is_running = False

    def tick(self) -> bool:
        """Called by the script now and then. Whether it is to end."""
        if perf_counter_ns() >= self.turn_ends_ns and getcurrent() is self._worker:
            self._leave()
        return self.ending

    def _leave(self) -> None:
        """Give the thread back, and return when the script may go on: then all is as it was."""
        server = self._server
        ctx, journal = server.ctx, server.journal
        client, command, resp = ctx.client, ctx.command, ctx.resp
        allows_blocking, now_ms = ctx.allows_blocking, ctx.now_ms
        messages, journal.messages = journal.messages, 0
        is_divided, journal.is_divided = journal.is_divided, False
        followups, server.has_followups = server.has_followups, False
        ctx.allows_blocking = True
        assert self._home is not None
        self._home.switch(_SUSPENDED)
        server.has_followups = followups or server.has_followups
        journal.messages += messages
        journal.is_divided = journal.is_divided or is_divided
        ctx.bind(client)
        ctx.set_resp(resp)
        ctx.command, ctx.allows_blocking, ctx.now_ms = command, allows_blocking, now_ms

    # -- beside a suspended script -------------------------------------------------------------------------------

    def go_on(self) -> None:
        """One more turn for the suspended script. Called by the reactor between its batches."""
        server = self._server
        now_ns = perf_counter_ns()
        threshold_ms = server.config.busy_reply_threshold
        if not self.is_busy and 0 < threshold_ms * 1_000_000 <= now_ns - self._began_ns:
            self.is_busy = True
            server.log("warning", f"Slow script detected: still in execution after {threshold_ms} milliseconds.")
            self._held.release()  # they are told so
        self.turn_ends_ns = perf_counter_ns() + TURN_NS
        outcome = self._switch(None)
        if outcome is not _SUSPENDED:
            self._end(outcome)

    def _end(self, outcome: object) -> None:
        """The suspended script is over."""
        server = self._server
        client, wait, command = self.suspended, self._wait, self._command
        assert client is not None
        assert wait is not None
        self.suspended = self._wait = self._command = None
        self.is_busy = False
        entries = server.journal.entries
        at = len(entries)
        entries.extend(self._effects)
        self._effects.clear()
        if len(entries) - at > 1:
            server.journal.wrap(at)
        if command is not None:
            now_ns = perf_counter_ns()
            command.spent_ns += now_ns - self._left_ns  # the first turn is counted already
            if now_ns - self._began_ns > server.noted_ns:
                server.times.note(client, command, self._arguments, now_ns - self._began_ns)
        server.start_batch()
        server.refresh_road()
        server.ctx.bind(client)
        if isinstance(outcome, BaseException):
            server.log("warning", f"=== BUG: a script failed: {''.join(format_exception(outcome))}")
            outcome = INTERNAL
        assert isinstance(outcome, bytes)
        server.waiting.end(wait, None if wait.ended else outcome)
        while self.afterwards:
            self.afterwards[0]()
            del self.afterwards[0]
        self._held.release()

    def admits(self, client: Session, command: Command, arguments: list[bytes]) -> bool:
        """Whether a client's command may run now, while a script is suspended. It is held back until that is over, or,
        when that takes too long, refused with BUSY, but for what may be asked then."""
        if client.is_replica_link:
            return True
        if not self.is_busy or client.is_primary_link:
            self._held.park(client, arguments)
            return False
        if ALLOW_BUSY not in command.flags:
            raise CommandError(self.busy)
        return True

    def is_holding(self, client: Session) -> bool:
        """Whether `client` is the one whose command goes on later, and this is no command within that."""
        return self.suspended is client and not self._is_running

    @property
    def busy(self) -> str:
        """The error of who has to wait for what runs too long."""
        return BUSY_WITH_FUNCTION if self.run is not None and self.run.is_function else BUSY

    @property
    def duration_ms(self) -> int:
        """For how long the suspended script has run."""
        return (perf_counter_ns() - self._began_ns) // 1_000_000

    def kill(self, *, of_function: bool) -> None:
        """SCRIPT KILL, or FUNCTION KILL. Raises CommandError."""
        client, run = self.suspended, self.run
        if client is None or run is None:
            raise CommandError(NOTBUSY)
        if client.is_primary_link:
            raise CommandError(UNKILLABLE_OF_PRIMARY)
        if run.written:
            raise CommandError(UNKILLABLE)
        if run.is_function is not of_function:
            raise CommandError(self.busy)
        self.ending = True

    def defer(self, task: Callable[[], object]) -> bool:
        """Whether `task`, which touches the data, has to wait for a script: it is called afterwards then. So is
        whatever comes after it."""
        if self.suspended is None and not self.afterwards:
            return False
        self.afterwards.append(task)
        return True

    async def is_over(self) -> None:
        """Return when no script stands half-way."""
        while self.suspended is not None:
            over = trio.Event()
            self.afterwards.append(over.set)
            await over.wait()

    @property
    def has_written(self) -> bool:
        """Whether a script stands half-way that has changed the data: they may not be kept as they are."""
        return self.suspended is not None and bool(self._effects)

    def abandon(self) -> bool:
        """The process is about to end: end the script, whatever it has done. Whether it leaves data that nobody may
        keep: half of what it was to write."""
        is_half_done = False
        while self.suspended is not None:
            self.ending = True
            is_half_done = is_half_done or bool(self._effects)
            self._effects.clear()
            self.go_on()
        return is_half_done


def _reply(outcome: object) -> bytes:
    if isinstance(outcome, BaseException):
        raise outcome
    assert isinstance(outcome, bytes)
    return outcome


def _work(whose: ref[Pace]) -> None:
    """The body of the worker: one job after the other. While it waits for the next it holds on to nothing, since nobody
    collects a cycle that leads through a stack."""
    outcome: bytes | BaseException | None = None
    while True:
        pace = whose()
        assert pace is not None
        home = pace._home
        assert home is not None
        del pace
        job: Job = home.switch(outcome)
        outcome = None
        try:
            outcome = job()
        except Exception as failure:  # noqa: BLE001  (raised again where the job was given)
            outcome = failure
        del job
