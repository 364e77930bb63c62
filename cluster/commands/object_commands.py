"""OBJECT: what redis-server would tell of how a value is kept."""

from __future__ import annotations

from cluster.commands.context import Context
from cluster.commands.generic import look
from cluster.commands.keys import KeySpec
from cluster.commands.registry import LOADING, READONLY, STALE, command, container
from cluster.errors import CommandError
from cluster.keyspace.encodings import encoding
from cluster.keyspace.numbers import is_integer
from cluster.protocol import replies

_KEY = (KeySpec(2, 2, 1, ("RO",)),)
_VARIES = ("nondeterministic_output",)
_SHARED_INTEGERS = 10_000
_SHARED_REFERENCES = 2_147_483_647
_SWITCHING = (
    "Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."
)
_NOT_LFU = f"ERR An LFU maxmemory policy is not selected, access frequency not tracked. {_SWITCHING}"
_IS_LFU = f"ERR An LFU maxmemory policy is selected, idle time not tracked. {_SWITCHING}"

OBJECT = container("OBJECT", group="generic", since="2.2.3", summary="Holds the commands about how values are kept.")


@command("OBJECT ENCODING", arity=3, flags={READONLY}, keys=_KEY, group="generic", since="2.2.3", tips=_VARIES,
         summary="Names the encoding of a value.", syntax="key")
def object_encoding(ctx: Context, key: bytes) -> bytes:
    value = look(ctx, key, silently=True)
    return ctx.null if value is None else replies.text(encoding(value, ctx.config))


@command("OBJECT REFCOUNT", arity=3, flags={READONLY}, keys=_KEY, group="generic", since="2.2.3", tips=_VARIES,
         summary="Answers how many references a value has: many for a shared small integer, otherwise one.",
         syntax="key")
def object_refcount(ctx: Context, key: bytes) -> bytes:
    value = look(ctx, key, silently=True)
    if value is None:
        return ctx.null
    shared = type(value) is bytes and is_integer(value) and 0 <= int(value) < _SHARED_INTEGERS
    if shared and not (ctx.config.maxmemory and ctx.config.maxmemory_policy.endswith(("lru", "lfu"))):
        return replies.integer(_SHARED_REFERENCES)
    return replies.ONE


@command("OBJECT IDLETIME", arity=3, flags={READONLY}, keys=_KEY, group="generic", since="2.2.3", tips=_VARIES,
         summary="Answers how many seconds ago a key was used last.", syntax="key")
def object_idletime(ctx: Context, key: bytes) -> bytes:
    if look(ctx, key, silently=True) is None:
        return ctx.null
    if ctx.config.maxmemory_policy.endswith("lfu"):
        raise CommandError(_IS_LFU)
    return replies.integer(ctx.server.memory.idle_seconds(ctx.db, key))


@command("OBJECT FREQ", arity=3, flags={READONLY}, keys=_KEY, group="generic", since="4.0.0", tips=_VARIES,
         summary="Answers how often a key is used, on a logarithmic scale.", syntax="key")
def object_freq(ctx: Context, key: bytes) -> bytes:
    if look(ctx, key, silently=True) is None:
        return ctx.null
    if not ctx.config.maxmemory_policy.endswith("lfu"):
        raise CommandError(_NOT_LFU)
    return replies.integer(ctx.server.memory.frequency(ctx.db, key))


@command("OBJECT HELP", arity=2, flags={LOADING, STALE}, group="generic", since="6.2.0",
         summary="Lists the subcommands.")
def object_help(_ctx: Context) -> bytes:
    return replies.help_text("OBJECT", [
        ("ENCODING <key>", "The encoding of the value."),
        ("FREQ <key>", "How often the key is used; needs an LFU maxmemory-policy."),
        ("IDLETIME <key>", "Seconds since the key was used last."),
        ("REFCOUNT <key>", "References to the value."),
    ])
