"""EVAL and EVALSHA with their read-only forms, and SCRIPT. What runs scripts is in `cluster.scripting`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.commands.context import Context
from cluster.commands.keys import NumKeys
from cluster.commands.registry import (
    ALLOW_BUSY,
    DENYOOM,
    LOADING,
    MAY_REPLICATE,
    NO_MANDATORY_KEYS,
    NOSCRIPT,
    READONLY,
    SKIP_MONITOR,
    STALE,
    WRITE,
    Command,
    command,
    container,
)
from cluster.errors import CommandError
from cluster.keyspace.numbers import parse_integer
from cluster.protocol import replies
from cluster.scripting.script import ALLOW_OOM, ALLOW_STALE, NO_WRITES, Script

if TYPE_CHECKING:
    from cluster.server import Server

_FLAGS = {NOSCRIPT, STALE, SKIP_MONITOR, NO_MANDATORY_KEYS, MAY_REPLICATE}
_READS = (_FLAGS - {MAY_REPLICATE}) | {READONLY}
_WRITING = (NumKeys(2, ("RW", "access", "update")),)
_READING = (NumKeys(2, ("RO", "access")),)
_COMPLEXITY = "Depends on the script that is executed."
_EVERYWHERE = ("request_policy:all_nodes", "response_policy:all_succeeded")
_HELP = (
    ("DEBUG (YES|SYNC|NO)", "Set the debug mode for subsequent scripts executed."),
    ("EXISTS <sha1> [<sha1> ...]",
     "Return information about the existence of the scripts in the script cache."),
    ("FLUSH [ASYNC|SYNC]", "Forget all cached scripts, at once in either mode. Very dangerous on replicas."),
    ("KILL", "Kill the currently executing Lua script."),
    ("LOAD <script>", "Load a script into the scripts cache without executing it."),
)  # fmt: skip

SCRIPT = container("SCRIPT", group="scripting", since="2.6.0", summary="Holds the commands about cached scripts.")


def _run(ctx: Context, script: Script, rest: tuple[bytes, ...], count: int, read_only: bool) -> bytes | None:
    return ctx.server.scripts.runner.run(ctx, script, rest[:count], rest[count:], read_only=read_only)


def line_flags(command: Command, flags: frozenset[str]) -> frozenset[str]:
    """The flags of a command that runs what has said of itself `flags`: then it is known whether it writes."""
    varied = {*command.flags} - {WRITE, DENYOOM, STALE, MAY_REPLICATE}
    if NO_WRITES not in flags:
        varied.add(WRITE)
    if not flags & {NO_WRITES, ALLOW_OOM}:
        varied.add(DENYOOM)
    if ALLOW_STALE in flags:
        varied.add(STALE)
    return frozenset(varied)


def _flags(server: Server, command: Command, arguments: list[bytes]) -> frozenset[str]:
    flags = server.scripts.flags_of(arguments[1])
    return command.flags if flags is None else line_flags(command, flags)


def _flags_by_sha(server: Server, command: Command, arguments: list[bytes]) -> frozenset[str]:
    flags = server.scripts.flags_by_sha(arguments[1])
    return command.flags if flags is None else line_flags(command, flags)


def line_keys(numkeys: bytes, rest: tuple[bytes, ...]) -> int:
    """How many of `rest` are keys. Raises CommandError."""
    count = parse_integer(numkeys)
    if count > len(rest):
        raise CommandError("ERR Number of keys can't be greater than number of args")
    if count < 0:
        raise CommandError("ERR Number of keys can't be negative")
    return count


@command("EVAL", arity=-3, flags=_FLAGS, keys=_WRITING, group="scripting", since="2.6.0", complexity=_COMPLEXITY,
         summary="Runs a Lua script.", varying=_flags, syntax="script numkeys:integer [key...] [arg...]")
def eval_(ctx: Context, script: bytes, numkeys: bytes, *rest: bytes) -> bytes | None:
    count = line_keys(numkeys, rest)
    return _run(ctx, ctx.server.scripts.load(script), rest, count, False)


@command("EVAL_RO", arity=-3, flags=_READS, keys=_READING, group="scripting", since="7.0.0",
         complexity=_COMPLEXITY, summary="Runs a Lua script that may not write.",
         varying=_flags, syntax="script numkeys:integer [key...] [arg...]")
def eval_ro(ctx: Context, script: bytes, numkeys: bytes, *rest: bytes) -> bytes | None:
    count = line_keys(numkeys, rest)
    return _run(ctx, ctx.server.scripts.load(script), rest, count, True)


@command("EVALSHA", arity=-3, flags=_FLAGS, keys=_WRITING, group="scripting", since="2.6.0", complexity=_COMPLEXITY,
         summary="Runs a cached Lua script by its SHA-1.", varying=_flags_by_sha,
         syntax="sha1 numkeys:integer [key...] [arg...]")
def evalsha(ctx: Context, sha: bytes, numkeys: bytes, *rest: bytes) -> bytes | None:
    script = ctx.server.scripts.find(sha)
    return _run(ctx, script, rest, line_keys(numkeys, rest), False)


@command("EVALSHA_RO", arity=-3, flags=_READS, keys=_READING, group="scripting", since="7.0.0",
         complexity=_COMPLEXITY, summary="Runs a cached Lua script that may not write, by its SHA-1.",
         varying=_flags_by_sha, syntax="sha1 numkeys:integer [key...] [arg...]")
def evalsha_ro(ctx: Context, sha: bytes, numkeys: bytes, *rest: bytes) -> bytes | None:
    script = ctx.server.scripts.find(sha)
    return _run(ctx, script, rest, line_keys(numkeys, rest), True)


@command("SCRIPT LOAD", arity=3, flags={NOSCRIPT, STALE}, group="scripting", since="2.6.0", tips=_EVERYWHERE,
         complexity="O(N) with N being the length in bytes of the script body.",
         summary="Puts a Lua script into the cache.", syntax="script")
def script_load(ctx: Context, source: bytes) -> bytes:
    return replies.bulk(ctx.server.scripts.load(source, kept=True).sha)


@command("SCRIPT EXISTS", arity=-3, flags={NOSCRIPT}, group="scripting", since="2.6.0",
         tips=("request_policy:all_shards", "response_policy:agg_logical_and"),
         complexity="O(N) with N being the number of scripts to check (so checking a single script is an O(1) "
                    "operation).", summary="Says which scripts are in the cache.", syntax="sha1...")
def script_exists(ctx: Context, *shas: bytes) -> bytes:
    return replies.array([replies.ONE if ctx.server.scripts.has(sha) else replies.ZERO for sha in shas])


@command("SCRIPT FLUSH", arity=-2, flags={NOSCRIPT}, group="scripting", since="2.6.0", tips=_EVERYWHERE,
         complexity="O(N) with N being the number of scripts in cache", summary="Forgets all cached scripts.",
         syntax="[ASYNC | SYNC]@6.2.0")
def script_flush(ctx: Context, *mode: bytes) -> bytes:
    if len(mode) > 1 or (mode and mode[0].upper() not in (b"ASYNC", b"SYNC")):
        raise CommandError("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
    ctx.server.scripts.flush()
    return replies.OK


@command("SCRIPT KILL", arity=2, flags={NOSCRIPT, ALLOW_BUSY}, group="scripting", since="2.6.0",
         tips=("request_policy:all_shards", "response_policy:one_succeeded"), summary="Ends the running script.")
def script_kill(ctx: Context) -> bytes:
    ctx.server.pace.kill(of_function=False)
    return replies.OK


@command("SCRIPT DEBUG", arity=3, flags={NOSCRIPT}, group="scripting", since="3.2.0",
         summary="Sets the debug mode of the connection.", syntax="(YES | SYNC | NO)")
def script_debug(_ctx: Context, mode: bytes) -> bytes:
    if mode.upper() not in (b"YES", b"SYNC", b"NO"):
        raise CommandError("ERR Use SCRIPT DEBUG YES/SYNC/NO")
    if mode.upper() != b"NO":
        raise CommandError("ERR there is no debugger of scripts here")
    return replies.OK


@command("SCRIPT HELP", arity=2, flags={LOADING, STALE}, group="scripting", since="5.0.0",
         summary="Shows what SCRIPT can do.")
def script_help(_ctx: Context) -> bytes:
    return replies.help_text("SCRIPT", _HELP)
