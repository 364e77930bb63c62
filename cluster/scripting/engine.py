"""Scripts as clients know them: sent with EVAL or by their SHA-1, kept in a cache, run with keys and arguments."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cluster import errors
from cluster.errors import CommandError
from cluster.keyspace.hashing import key_slot
from cluster.protocol import replies
from cluster.protocol.doubles import format_double
from cluster.scripting import bits, conversion
from cluster.scripting.calls import Calls
from cluster.scripting.pace import Pace
from cluster.scripting.sandbox import BOOLEAN, ENCODED, FAILED, NIL, NUMBER, STRING, Sandbox, digest
from cluster.scripting.script import (
    ALLOW_OOM,
    ALLOW_STALE,
    NO_CLUSTER,
    NO_WRITES,
    Run,
    Script,
    parse_shebang,
)
from cluster.version import REDIS_VERSION

if TYPE_CHECKING:
    from cluster.commands.context import Context
    from cluster.network.session import Session
    from cluster.server import Server

NOSCRIPT = "NOSCRIPT No matching script. Please use EVAL."
NOTBUSY = "NOTBUSY No scripts in execution right now."
UNKILLABLE = (
    "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script "
    "termination or kill the server in a hard way using the SHUTDOWN NOSAVE command."
)
UNKILLABLE_OF_PRIMARY = (
    "UNKILLABLE The busy script was sent by a master instance in the context of replication and cannot be killed."
)
WRITES_BY_RO = "ERR Can not execute a script with write flag using *_ro command."
ON_CLUSTER = "ERR Can not run script on cluster, 'no-cluster' flag is set."
EVALUATED_LIMIT = 500
"""So many scripts that came with EVAL are remembered, as in Redis 7.4: programs that write their arguments into the
text would fill the memory."""
SHA_LENGTH = 40
SMALL_BYTES = 1024
SCRIPT_BYTES = 64
"""What the cache takes for a script beside its text."""
_LEVELS = ("debug", "verbose", "notice", "warning")


class Scripts:
    """The scripts of a node. The Lua state is made at the first of them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.pace = Pace(server)
        self._by_sha: dict[bytes, Script] = {}
        self._by_source: dict[bytes, Script] = {}
        self._evaluated: dict[Script, None] = {}  # not by SCRIPT LOAD; what was used last is the last
        self._sandbox: Sandbox | None = None
        self._calls: Calls | None = None

    @property
    def sandbox(self) -> Sandbox:
        if self._sandbox is None:
            self._sandbox = Sandbox(self._host())
        return self._sandbox

    @property
    def turn_ends_ns(self) -> int:
        return self.pace.turn_ends_ns

    def tick(self) -> bool:
        return self.pace.tick()

    def _host(self) -> dict[str, Any]:
        """What the Lua side may call."""
        dice = Dice()
        self._calls = calls = Calls(self._server, self)
        parts = [int(part) for part in REDIS_VERSION.split(".")]
        return {
            "call": calls.__call__, "set": calls.set, "may": calls.may, "tick": self.pace.tick, "log": self._log,
            "sha1": self._guarded(digest), "double": self._guarded(format_double),
            "bit": self._guarded(bits.compute), "pack": self._guarded(_pack), "unpack": _unpack,
            "random": dice.share, "seed": dice.seed, "clock": time.process_time, "version": REDIS_VERSION.encode(),
            "version_number": parts[0] << 16 | parts[1] << 8 | parts[2],
        }

    def _guarded(self, function: Callable[..., bytes | int]) -> Callable[..., bytes | int | None]:
        """`function`, but nothing where its result might not fit into Lua's memory: Lua makes an error of that, and
        could not of its own while Python is on the stack."""

        def guarded(*values: Any) -> bytes | int | None:
            sandbox = self._sandbox
            return function(*values) if sandbox is None or sandbox.has_room(SMALL_BYTES) else None

        return guarded

    def _log(self, level: int, text: bytes) -> None:
        self._server.log(_LEVELS[level], text.decode("utf-8", "replace"))

    # -- the cache ---------------------------------------------------------------------------------------------

    def load(self, source: bytes, *, kept: bool = False) -> Script:
        """The script of this text, compiled when it is new. One that is not `kept` may be forgotten when there are too
        many. Raises CommandError."""
        script = self._by_source.get(source)
        if script is None:
            flags, code = parse_shebang(source)
            script = Script(digest(source), source, flags)
            self.sandbox.load(script.sha, code)
            self._by_sha[script.sha] = self._by_source[source] = script
            if not kept:
                self._evaluated[script] = None
                self._forget_some()
        elif self._evaluated:
            self._used(script, kept)
        return script

    def find(self, sha: bytes) -> Script:
        script = self._by_sha.get(sha) or self._by_sha.get(sha.lower())
        if script is None:
            raise CommandError(NOSCRIPT)
        self._used(script, False)
        return script

    def _used(self, script: Script, kept: bool) -> None:
        """`script` is now the one that was used last, or one that stays."""
        if script in self._evaluated and (kept or len(self._evaluated) > EVALUATED_LIMIT // 2):
            del self._evaluated[script]
            if not kept:
                self._evaluated[script] = None

    def _forget_some(self) -> None:
        while len(self._evaluated) > EVALUATED_LIMIT:
            oldest = next(iter(self._evaluated))
            del self._evaluated[oldest], self._by_sha[oldest.sha], self._by_source[oldest.source]
            self.sandbox.forget(oldest.sha)

    def has(self, sha: bytes) -> bool:
        return sha.lower() in self._by_sha

    def flush(self) -> None:
        """Forget all scripts, and begin a new Lua state with the next."""
        self._by_sha.clear()
        self._by_source.clear()
        self._evaluated.clear()
        self._sandbox = self._calls = None

    @property
    def count(self) -> int:
        return len(self._by_sha)

    @property
    def cached_bytes(self) -> int:
        return sum(len(script.source) + SHA_LENGTH + SCRIPT_BYTES for script in self._by_sha.values())

    @property
    def memory_bytes(self) -> int:
        """What Lua takes."""
        return 0 if self._sandbox is None else self._sandbox.memory_bytes

    # -- running -----------------------------------------------------------------------------------------------

    def run(
        self, ctx: Context, script: Script, keys: tuple[bytes, ...], arguments: tuple[bytes, ...], *, read_only: bool
    ) -> bytes | None:
        """The reply of a script; None when it takes long, and its client waits for it."""
        run = self._prepare(ctx, script, keys, read_only)
        client, command = ctx.client, ctx.command
        sandbox = self.sandbox
        calls = self._calls
        assert calls is not None

        def job() -> bytes:
            before, allows_blocking, resp = calls.run, ctx.allows_blocking, ctx.resp
            calls.begin(run, client)
            ctx.bind(calls.client)
            ctx.allows_blocking = False
            try:
                outcome = sandbox.run(script.sha, client.resp, keys, arguments)
            finally:
                calls.run = before
                ctx.bind(client)
                ctx.set_resp(resp)
                ctx.allows_blocking = allows_blocking
                ctx.command = command
            return self._reply(run, client, outcome)

        return self.pace.perform(job)

    def _prepare(self, ctx: Context, script: Script, keys: tuple[bytes, ...], read_only: bool) -> Run:
        """Raise what keeps the script from running at all."""
        server = self._server
        flags = script.flags
        client = ctx.client
        memory = server.memory
        out_of_memory = memory.is_over and server.may_evict and not memory.make_room()
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
        return Run(script, read_only=read_only, out_of_memory=out_of_memory, slot=slot)

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
                self._failed(run, wrong)
            reply: bytes = encoded
            return reply
        assert kind == FAILED
        _, text, source, line, counted = outcome
        text = text.partition(b"\0")[0]
        shown = b"%b script: %b, on %b:%d." % (text, run.script.sha, source, line) if source else text
        if not counted:
            self._failed(run, text)
        return b"-" + shown.replace(b"\r", b" ").replace(b"\n", b" ") + b"\r\n"

    def _failed(self, _run: Run, text: bytes) -> None:
        """Count an error that was not counted where it arose."""
        self._server.stats.count_error(text.decode("utf-8", "surrogateescape"))
        command = self._server.ctx.command
        if command is not None:
            command.failed += 1

    # -- ending ------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """SCRIPT KILL. Raises CommandError."""
        client = self.pace.suspended
        run = None if self._calls is None else self._calls.run
        if client is None or run is None:
            raise CommandError(NOTBUSY)
        if client.is_primary_link:
            raise CommandError(UNKILLABLE_OF_PRIMARY)
        if run.written:
            raise CommandError(UNKILLABLE)
        self.pace.ending = True


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


