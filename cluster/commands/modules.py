"""MODULE: there are none, and none can be loaded, since they are libraries of C for redis-server's own process. Tools
ask for the list."""

from __future__ import annotations

from cluster.commands.connection import allows
from cluster.commands.context import Context
from cluster.commands.registry import ADMIN, LOADING, NO_ASYNC_LOADING, NOSCRIPT, STALE, command, container
from cluster.errors import CommandError
from cluster.protocol import replies

_CHANGES = {ADMIN, NOSCRIPT, NO_ASYNC_LOADING}
_NOT_ALLOWED = (
    'ERR MODULE command not allowed. If the enable-module-command option is set to "local", you can run it from a '
    "local connection, otherwise you need to set this option in the configuration file, and then restart the server."
)

MODULE = container("MODULE", group="server", since="4.0.0", summary="Holds the commands about modules.")


@command("MODULE LIST", arity=2, flags={ADMIN, NOSCRIPT}, group="server", since="4.0.0",
         tips=("nondeterministic_output_order",), complexity="O(N) in the number of modules",
         summary="Lists the modules, of which there are none.")
def module_list(_ctx: Context) -> bytes:
    return replies.array([])


@command("MODULE LOAD", arity=-3, flags=_CHANGES, group="server", since="4.0.0",
         summary="Is refused: no module can be loaded here.", syntax="path [arg...]")
def module_load(ctx: Context, *_arguments: bytes) -> bytes:
    raise _refusal(ctx, "ERR Error loading the extension. Please check the server logs.")


@command("MODULE LOADEX", arity=-3, flags=_CHANGES, group="server", since="7.0.0",
         summary="Is refused as LOAD is.", syntax="path [CONFIG (name value)]... [ARGS arg]...")
def module_loadex(ctx: Context, *_arguments: bytes) -> bytes:
    raise _refusal(ctx, "ERR Error loading the extension. Please check the server logs.")


@command("MODULE UNLOAD", arity=3, flags=_CHANGES, group="server", since="4.0.0",
         summary="Is refused: there is no module.", syntax="name")
def module_unload(ctx: Context, _name: bytes) -> bytes:
    raise _refusal(ctx, "ERR Error unloading module: no such module with that name")


def _refusal(ctx: Context, why: str) -> CommandError:
    if not allows(ctx, ctx.config.enable_module_command):
        return CommandError(_NOT_ALLOWED)
    ctx.server.log("warning", "Modules cannot be loaded by this server.")
    return CommandError(why)


@command("MODULE HELP", arity=2, flags={LOADING, STALE}, group="server", since="5.0.0",
         summary="Lists the subcommands.")
def module_help(_ctx: Context) -> bytes:
    return replies.help_text("MODULE", [
        ("LIST", "The modules; there are none."),
        ("LOAD <path> [<arg> ...]", "Refused: this server takes no modules."),
        ("LOADEX <path> [[CONFIG NAME VALUE] ...] [ARGS ...]", "Refused as LOAD is."),
        ("UNLOAD <name>", "Refused: there is none."),
    ])
