"""CONFIG: the running configuration, read and changed."""

from __future__ import annotations

from cluster.commands.connection import allows
from cluster.commands.context import Context
from cluster.commands.registry import ADMIN, LOADING, NOSCRIPT, STALE, command, container
from cluster.config.store import ConfigSetError, RewriteError
from cluster.errors import CommandError, SyntaxFault
from cluster.protocol import replies

_FLAGS = {ADMIN, NOSCRIPT, LOADING, STALE}

CONFIG = container("CONFIG", group="server", since="2.0.0", summary="Holds the commands about the configuration.")


def _text(argument: bytes) -> str:
    return argument.decode("utf-8", "surrogateescape")


@command("CONFIG GET", arity=-3, flags=_FLAGS, group="server", since="2.0.0",
         summary="Shows the directives that match the patterns.", complexity="O(N) in the number of parameters",
         syntax="parameter...")
def config_get(ctx: Context, *patterns: bytes) -> bytes:
    found = ctx.config.get([_text(pattern) for pattern in patterns])
    return replies.map_reply([(replies.text(name), replies.text(value)) for name, value in found], ctx.resp)


@command("CONFIG SET", arity=-4, flags=_FLAGS, group="server", since="2.0.0",
         tips=("request_policy:all_nodes", "response_policy:all_succeeded"),
         summary="Changes directives, all of them or none.", complexity="O(N) in the number of parameters",
         syntax="(parameter value)...")
def config_set(ctx: Context, *pairs: bytes) -> bytes:
    if len(pairs) % 2:
        raise SyntaxFault
    changes = [(_text(name), _text(value)) for name, value in zip(pairs[::2], pairs[1::2], strict=True)]
    try:
        ctx.config.set(changes, protected_allowed=allows(ctx, ctx.config.enable_protected_configs))
    except ConfigSetError as error:
        raise CommandError(f"ERR {error.message}") from None
    return replies.OK


@command("CONFIG RESETSTAT", arity=2, flags=_FLAGS, group="server", since="2.0.0",
         tips=("request_policy:all_nodes", "response_policy:all_succeeded"),
         summary="Sets the counters of INFO to zero.")
def config_resetstat(ctx: Context) -> bytes:
    ctx.server.reset_stats()
    return replies.OK


@command("CONFIG REWRITE", arity=2, flags=_FLAGS, group="server", since="2.8.0",
         tips=("request_policy:all_nodes", "response_policy:all_succeeded"),
         summary="Writes the running configuration into its file.")
def config_rewrite(ctx: Context) -> bytes:
    try:
        ctx.server.shell.rewrite_configuration()
    except RewriteError as error:
        raise CommandError(str(error)) from None
    return replies.OK


@command("CONFIG HELP", arity=2, flags={LOADING, STALE}, group="server", since="5.0.0",
         summary="Lists the subcommands.")
def config_help(_ctx: Context) -> bytes:
    return replies.help_text("CONFIG", [
        ("GET <pattern> [<pattern> ...]", "The directives that match, with their values."),
        ("SET <directive> <value> [<directive> <value> ...]", "Change directives, all or none."),
        ("RESETSTAT", "Set the counters of INFO to zero."),
        ("REWRITE", "Write the running configuration into its file."),
    ])
