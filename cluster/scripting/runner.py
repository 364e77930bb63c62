"""A Lua state and what runs in it: the scripts of a node, or its functions. The state is made when it is needed."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import ref

from cluster import errors
from cluster.errors import CommandError
from cluster.keyspace.hashing import key_slot
from cluster.latency import EVICTION
from cluster.protocol import replies
from cluster.protocol.doubles import format_double
from cluster.scripting import bits, conversion
from cluster.scripting.calls import Calls
from cluster.scripting.sandbox import BOOLEAN, ENCODED, FAILED, NIL, NUMBER, STRING, Sandbox, digest, weakly
from cluster.scripting.script import ALLOW_OOM, ALLOW_STALE, NO_CLUSTER, NO_WRITES, Function, Run, Script
from cluster.version import REDIS_VERSION

if TYPE_CHECKING:
    from cluster.commands.context import Context
    from cluster.network.session import Session
    from cluster.scripting.pace import Pace
    from cluster.server import Server

WRITES_BY_RO = "ERR Can not execute a script with write flag using *_ro command."
ON_CLUSTER = "ERR Can not run script on cluster, 'no-cluster' flag is set."
SMALL_BYTES = 1024
LOAD_NS = 500_000_000
"""So long the code of a library may take that a client loads; nothing else goes on meanwhile."""
_LEVELS = ("debug", "verbose", "notice", "warning")


class Runner:
    def __init__(self, server: Server, pace: Pace, *, of_functions: bool = False) -> None:
        self._server = server
        self._of_functions = of_functions
        self._sandbox: Sandbox | None = None
        self._calls: Calls | None = None
        self._load_ends_ns = 0
        self._registered: list[Function] = []
        self.pace = pace

    @property
    def sandbox(self) -> Sandbox:
        if self._sandbox is None:
            self._sandbox = Sandbox(self._host(), of_functions=self._of_functions)
        return self._sandbox

    def forget_all(self) -> None:
        """Begin a new Lua state with the next that is loaded."""
        self._sandbox = self._calls = None

    @property
    def memory_bytes(self) -> int:
        """What Lua takes."""
        return 0 if self._sandbox is None else self._sandbox.memory_bytes

    def tick(self) -> bool:
        """Called by what runs now and then. Whether it is to end."""
        if self._load_ends_ns:
            return time.perf_counter_ns() >= self._load_ends_ns
        return self.pace.tick()

    def _host(self) -> dict[str, Any]:
        """What the Lua side may call."""
        dice = Dice()
        self._calls = calls = Calls(self._server, self)
        parts = [int(part) for part in REDIS_VERSION.split(".")]
        return {
            "call": weakly(calls.run_command), "set": weakly(calls.set), "may": weakly(calls.may),
            "tick": weakly(self.tick), "log": weakly(self._log),
            "sha1": self._guarded(digest), "double": self._guarded(format_double),
            "bit": self._guarded(bits.compute), "pack": self._guarded(_pack), "unpack": _unpack,
            "random": dice.share, "seed": dice.seed, "clock": time.process_time, "version": REDIS_VERSION.encode(),
            "version_number": parts[0] << 16 | parts[1] << 8 | parts[2], "register": weakly(self._register),
        }

    def _guarded(self, function: Callable[..., bytes | int]) -> Callable[..., bytes | int | None]:
        """`function`, but nothing where its result might not fit into Lua's memory: Lua makes an error of that, and
        could not of its own while Python is on the stack."""
        where = ref(self)

        def guarded(*values: Any) -> bytes | int | None:
            runner = where()
            sandbox = None if runner is None else runner._sandbox
            return function(*values) if sandbox is None or sandbox.has_room(SMALL_BYTES) else None

        return guarded

    def _log(self, level: int, text: bytes) -> None:
        self._server.log(_LEVELS[level], text.decode("utf-8", "replace"))

    # -- libraries ---------------------------------------------------------------------------------------------

    def _register(self, number: int, name: bytes, flags: bytes, description: bytes | bool) -> None:
        """redis.register_function, which has looked at all of it."""
        shown = description if isinstance(description, bytes) else None
        self._registered.append(Function(number, name, frozenset(flags.decode().split()), shown))

    def load_library(self, code: bytes, first: int, *, limited: bool) -> list[Function]:
        """Run a library's code: the functions that it registers, numbered from `first` on. Raises CommandError.

        limited: it is stopped when it takes too long.
        """
        registered: list[Function] = []
        self._registered = registered
        self._load_ends_ns = time.perf_counter_ns() + LOAD_NS if limited else 1 << 63
        try:
            self.sandbox.load_library(code, first)
        except CommandError:
            self.forget(registered)
            raise
        finally:
            self._load_ends_ns = 0
        return registered

    def forget(self, functions: list[Function]) -> None:
        for function in functions:
            self.sandbox.forget(function.number)

    # -- running -----------------------------------------------------------------------------------------------

    def run(
        self, ctx: Context, script: Script | Function, keys: tuple[bytes, ...], arguments: tuple[bytes, ...], *,
        read_only: bool,
    ) -> bytes | None:
        """The reply of a script; None when it takes long, and its client waits for it."""
        run = self._prepare(ctx, script, keys, read_only)
        client, command, pace = ctx.client, ctx.command, self.pace
        sandbox = self.sandbox
        calls = self._calls
        assert calls is not None

        def job() -> bytes:
            before, allows_blocking, resp = pace.run, ctx.allows_blocking, ctx.resp
            pace.run = run
            calls.begin(run, client)
            ctx.bind(calls.client)
            ctx.allows_blocking = False
            try:
                outcome = sandbox.run(script.which, client.resp, keys, arguments)
            finally:
                pace.run = before
                ctx.bind(client)
                ctx.set_resp(resp)
                ctx.allows_blocking = allows_blocking
                ctx.command = command
            return self._reply(run, client, outcome)

        return pace.perform(job)

    def _prepare(self, ctx: Context, script: Script | Function, keys: tuple[bytes, ...], read_only: bool) -> Run:
        """Raise what keeps the script from running at all."""
        server = self._server
        flags = script.flags
        client = ctx.client
        memory = server.memory
        out_of_memory = (
            memory.is_over and server.may_evict and not server.latency.timed(EVICTION, memory.make_room)
        )
        if flags is not None:
            if NO_CLUSTER in flags and server.cluster_enabled:
                raise CommandError(ON_CLUSTER)
            if server.serves_stale_only and ALLOW_STALE not in flags and not client.is_primary_link:
                raise CommandError(errors.MASTERDOWN)
            if NO_WRITES not in flags:
                if read_only:
                    raise CommandError(WRITES_BY_RO)
                if not client.is_primary_link:
                    server.check_write_allowed(client, True)
                if out_of_memory and ALLOW_OOM not in flags:
                    raise CommandError(errors.OOM)
        elif server.serves_stale_only and not client.is_primary_link:
            raise CommandError(errors.MASTERDOWN)
        slot = key_slot(keys[0]) if server.cluster_enabled and keys else None
        return Run(script, ctx.arguments, read_only=read_only, out_of_memory=out_of_memory, slot=slot)

    def _reply(self, run: Run, client: Session, outcome: Any) -> bytes:
        """What a script has come to, as the client is told."""
        kind = outcome if isinstance(outcome, int) else outcome[0]
        if kind == STRING:
            return replies.bulk(outcome[1])
        if kind == NUMBER:
            return replies.integer(conversion.integer(outcome[1]))
        if kind == NIL:
            return replies.null(client.resp)
        if kind == BOOLEAN:
            if outcome[2] >= 3:
                return replies.boolean(outcome[1], client.resp)
            return replies.ONE if outcome[1] else replies.null(client.resp)
        if kind == ENCODED:
            _, encoded, wrong = outcome
            if wrong is not None:
                self._failed(wrong)
            reply: bytes = encoded
            return reply
        assert kind == FAILED
        _, text, source, line, counted = outcome
        text = text.partition(b"\0")[0]
        shown = b"%b script: %b, on %b:%d." % (text, run.script.name, source, line) if source else text
        if not counted:
            self._failed(text)
        return b"-" + shown.replace(b"\r", b" ").replace(b"\n", b" ") + b"\r\n"

    def _failed(self, text: bytes) -> None:
        """Count an error that was not counted where it arose."""
        self._server.stats.count_error(text.decode("utf-8", "surrogateescape"))
        command = self._server.ctx.command
        if command is not None:
            command.failed += 1


class Dice:
    """math.random of scripts: the numbers of lrand48, so that a script that sets the seed finds those it knows."""

    def __init__(self) -> None:
        self._state = 0x1234ABCD330E

    def seed(self, number: float) -> None:
        whole = int(number) if math.isfinite(number) else 0
        self._state = (whole & 0xFFFFFFFF) << 16 | 0x330E

    def share(self) -> float:
        """From 0 to 1."""
        self._state = (self._state * 0x5DEECE66D + 0xB) & 0xFFFFFFFFFFFF
        return (self._state >> 17) % 0x7FFFFFFF / 0x7FFFFFFF


def _pack(layout: bytes, value: float) -> bytes:
    """struct.pack; a number that is too large for a float is infinite."""
    if layout[-1:] not in b"fd":
        return struct.pack(layout.decode(), int(value))
    try:
        return struct.pack(layout.decode(), value)
    except OverflowError:
        return struct.pack(layout.decode(), math.copysign(math.inf, value))


def _unpack(layout: bytes, data: bytes) -> float:
    value: float = struct.unpack(layout.decode(), data)[0]
    return value
