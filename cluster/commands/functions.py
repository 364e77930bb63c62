"""FCALL, FCALL_RO and FUNCTION. What loads and runs functions is in `cluster.scripting`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.commands.context import Context
from cluster.commands.keys import NumKeys
from cluster.commands.registry import (
    ALLOW_BUSY,
    DENYOOM,
    LOADING,
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
from cluster.commands.scripting import line_flags, line_keys
from cluster.errors import CommandError
from cluster.keyspace.glob import Glob
from cluster.keyspace.numbers import parse_integer
from cluster.persistence.rdb_reader import function_codes, payload_is_whole
from cluster.persistence.rdb_writer import functions_payload
from cluster.protocol import replies
from cluster.scripting.functions import Library
from cluster.scripting.script import FLAGS, Function

if TYPE_CHECKING:
    from cluster.server import Server

_FLAGS = {NOSCRIPT, STALE, SKIP_MONITOR, NO_MANDATORY_KEYS}
_COMPLEXITY = "Depends on the function that is executed."
_ON_SHARDS = ("request_policy:all_shards", "response_policy:all_succeeded")
_ENGINE = b"LUA"
_POLICIES = (b"APPEND", b"REPLACE", b"FLUSH")
_HELP = (
    ("LOAD [REPLACE] <FUNCTION CODE>", "Create a library from its code, or replace the one of that name."),
    ("DELETE <LIBRARY NAME>", "Delete a library."),
    ("LIST [LIBRARYNAME PATTERN] [WITHCODE]", "Show the libraries and what functions they have."),
    ("STATS", "Show the function that is running, and how many libraries and functions there are."),
    ("KILL", "End the function that is running."),
    ("FLUSH [ASYNC|SYNC]", "Delete all libraries, at once in either mode."),
    ("DUMP", "Show all libraries in the form that FUNCTION RESTORE takes."),
    ("RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
     "Create what FUNCTION DUMP has shown: instead of what there is, beside it, or in its place."),
)  # fmt: skip

FUNCTION = container("FUNCTION", group="scripting", since="7.0.0", summary="Holds the commands about functions.")


def _flags(server: Server, fcall: Command, arguments: list[bytes]) -> frozenset[str]:
    function = server.functions.libraries.find(arguments[1])
    return fcall.flags if function is None else line_flags(fcall, function.flags)


def _call(ctx: Context, name: bytes, numkeys: bytes, rest: tuple[bytes, ...], read_only: bool) -> bytes | None:
    functions = ctx.server.functions
    function = functions.find(name)
    try:
        parse_integer(numkeys)
    except CommandError:
        raise CommandError("ERR Bad number of keys provided") from None
    count = line_keys(numkeys, rest)
    return functions.runner.run(ctx, function, rest[:count], rest[count:], read_only=read_only)


@command("FCALL", arity=-3, flags=_FLAGS, keys=(NumKeys(2, ("RW", "access", "update")),), group="scripting",
         since="7.0.0", complexity=_COMPLEXITY, summary="Runs a function.", varying=_flags,
         syntax="function numkeys:integer [key...] [arg...]")
def fcall(ctx: Context, name: bytes, numkeys: bytes, *rest: bytes) -> bytes | None:
    return _call(ctx, name, numkeys, rest, False)


@command("FCALL_RO", arity=-3, flags=_FLAGS | {READONLY}, keys=(NumKeys(2, ("RO", "access")),), group="scripting",
         since="7.0.0", complexity=_COMPLEXITY, summary="Runs a function that may not write.", varying=_flags,
         syntax="function numkeys:integer [key...] [arg...]")
def fcall_ro(ctx: Context, name: bytes, numkeys: bytes, *rest: bytes) -> bytes | None:
    return _call(ctx, name, numkeys, rest, True)


@command("FUNCTION LOAD", arity=-3, flags={NOSCRIPT, WRITE, DENYOOM}, group="scripting", since="7.0.0",
         tips=_ON_SHARDS, summary="Creates a library of functions.", complexity="O(1), and what its code takes",
         syntax="[REPLACE] function-code")
def function_load(ctx: Context, *words: bytes) -> bytes:
    *options, code = words
    for option in options:
        if option.upper() != b"REPLACE":
            raise CommandError(f"ERR Unknown option given: {option.decode('utf-8', 'surrogateescape')}")
    name = ctx.server.functions.load(code, replace=bool(options), limited=not ctx.obeys_primary)
    ctx.dirty += 1
    return replies.bulk(name)


@command("FUNCTION DELETE", arity=3, flags={NOSCRIPT, WRITE}, group="scripting", since="7.0.0", tips=_ON_SHARDS,
         summary="Deletes a library and its functions.", syntax="library-name")
def function_delete(ctx: Context, name: bytes) -> bytes:
    ctx.server.functions.delete(name)
    ctx.dirty += 1
    return replies.OK


@command("FUNCTION FLUSH", arity=-2, flags={NOSCRIPT, WRITE}, group="scripting", since="7.0.0", tips=_ON_SHARDS,
         summary="Deletes all libraries and functions.", syntax="[ASYNC | SYNC]",
         complexity="O(N) where N is the number of functions deleted")
def function_flush(ctx: Context, *mode: bytes) -> bytes:
    if len(mode) > 1:
        raise _wrong_arity(b"FLUSH")
    if mode and mode[0].upper() not in (b"ASYNC", b"SYNC"):
        raise CommandError("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")
    ctx.server.functions.flush()
    ctx.dirty += 1
    return replies.OK


def _wrong_arity(subcommand: bytes) -> CommandError:
    return CommandError(
        f"ERR unknown subcommand or wrong number of arguments for '{subcommand.decode()}'. Try FUNCTION HELP."
    )


@command("FUNCTION DUMP", arity=2, flags={NOSCRIPT}, group="scripting", since="7.0.0",
         summary="Shows all libraries in the form that FUNCTION RESTORE takes.",
         complexity="O(N) where N is the number of functions")
def function_dump(ctx: Context) -> bytes:
    return replies.bulk(functions_payload(ctx.server.functions.codes, ctx.config))


@command("FUNCTION RESTORE", arity=-3, flags={NOSCRIPT, WRITE, DENYOOM}, group="scripting", since="7.0.0",
         tips=_ON_SHARDS, summary="Creates the libraries that FUNCTION DUMP has shown.",
         complexity="O(N) where N is the number of functions in the payload",
         syntax="serialized-value [FLUSH | APPEND | REPLACE]")
def function_restore(ctx: Context, payload: bytes, *policy: bytes) -> bytes:
    if len(policy) > 1:
        raise _wrong_arity(b"RESTORE")
    chosen = policy[0].upper() if policy else b"APPEND"
    if chosen not in _POLICIES:
        raise CommandError("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.")
    if not payload_is_whole(payload, may_be_empty=True):
        raise CommandError("ERR DUMP payload version or checksum are wrong")
    ctx.server.functions.restore(function_codes(payload), chosen, limited=not ctx.obeys_primary)
    ctx.dirty += 1
    return replies.OK


@command("FUNCTION LIST", arity=-2, flags={NOSCRIPT}, group="scripting", since="7.0.0",
         tips=("nondeterministic_output_order",), summary="Shows the libraries and their functions.",
         complexity="O(N) where N is the number of functions",
         syntax="[LIBRARYNAME library-name-pattern] [WITHCODE]")
def function_list(ctx: Context, *options: bytes) -> bytes:
    glob: Glob | None = None
    with_code = False
    rest = list(options)
    while rest:
        word = rest.pop(0)
        if word.upper() == b"WITHCODE" and not with_code:
            with_code = True
        elif word.upper() == b"LIBRARYNAME" and glob is None:
            if not rest:
                raise CommandError("ERR library name argument was not given")
            glob = Glob(rest.pop(0), nocase=True)
        else:
            raise CommandError(f"ERR Unknown argument {word.decode('utf-8', 'surrogateescape')}")
    return replies.array([
        _library(library, with_code, ctx.resp)
        for library in ctx.server.functions.libraries.by_name.values()
        if glob is None or glob.matches(library.name)
    ])


def _library(library: Library, with_code: bool, resp: int) -> bytes:
    shown = [
        (b"library_name", replies.bulk(library.name)),
        (b"engine", replies.bulk(_ENGINE)),
        (b"functions", replies.array([_function(function, resp) for function in library.functions])),
    ]
    if with_code:
        shown.append((b"library_code", replies.bulk(library.code)))
    return replies.map_reply([(replies.bulk(name), value) for name, value in shown], resp)


def _function(function: Function, resp: int) -> bytes:
    described = replies.null(resp) if function.description is None else replies.bulk(function.description)
    flags = replies.set_reply([replies.simple(flag) for flag in FLAGS if flag in function.flags], resp)
    shown = [(b"name", replies.bulk(function.name)), (b"description", described), (b"flags", flags)]
    return replies.map_reply([(replies.bulk(name), value) for name, value in shown], resp)


@command("FUNCTION STATS", arity=2, flags={NOSCRIPT, ALLOW_BUSY}, group="scripting", since="7.0.0",
         tips=("nondeterministic_output", "request_policy:all_shards", "response_policy:special"),
         summary="Shows the function that is running, and how many there are.")
def function_stats(ctx: Context) -> bytes:
    server, resp = ctx.server, ctx.resp
    run = server.pace.run
    running = replies.null(resp)
    if run is not None:
        if not run.is_function:
            raise CommandError(server.pace.busy)
        running = replies.map_reply([
            (replies.bulk(b"name"), replies.bulk(run.script.name)),
            (replies.bulk(b"command"), replies.bulk_array(run.arguments)),
            (replies.bulk(b"duration_ms"), replies.integer(server.pace.duration_ms)),
        ], resp)
    libraries = server.functions.libraries
    engine = replies.map_reply([
        (replies.bulk(b"libraries_count"), replies.integer(len(libraries.by_name))),
        (replies.bulk(b"functions_count"), replies.integer(libraries.function_count)),
    ], resp)
    engines = replies.map_reply([(replies.bulk(_ENGINE), engine)], resp)
    return replies.map_reply(
        [(replies.bulk(b"running_script"), running), (replies.bulk(b"engines"), engines)], resp
    )


@command("FUNCTION KILL", arity=2, flags={NOSCRIPT, ALLOW_BUSY}, group="scripting", since="7.0.0",
         tips=("request_policy:all_shards", "response_policy:one_succeeded"), summary="Ends the running function.")
def function_kill(ctx: Context) -> bytes:
    ctx.server.pace.kill(of_function=True)
    return replies.OK


@command("FUNCTION HELP", arity=2, flags={LOADING, STALE}, group="scripting", since="7.0.0",
         summary="Shows what FUNCTION can do.")
def function_help(_ctx: Context) -> bytes:
    return replies.help_text("FUNCTION", _HELP)
