"""Whole databases: DBSIZE, FLUSHALL, FLUSHDB, SWAPDB."""

from __future__ import annotations

from cluster.commands.context import Context
from cluster.commands.registry import FAST, READONLY, WRITE, command
from cluster.errors import CommandError, SyntaxFault
from cluster.keyspace.database import Database
from cluster.keyspace.numbers import parse_int32
from cluster.protocol import replies

_EVERYWHERE = ("request_policy:all_shards", "response_policy:all_succeeded")


@command("DBSIZE", arity=1, flags={READONLY, FAST}, group="server", since="1.0.0", categories=("keyspace",),
         tips=("request_policy:all_shards", "response_policy:agg_sum"), summary="Counts the keys of the database.")
def dbsize(ctx: Context) -> bytes:
    return replies.integer(len(ctx.db))


@command("FLUSHALL", arity=-1, flags={WRITE}, group="server", since="1.0.0", categories=("keyspace", "dangerous"),
         tips=_EVERYWHERE, own_effects=True, summary="Deletes every key of every database.",
         complexity="O(N) in the number of keys of all databases", syntax="[ASYNC@4.0.0 | SYNC@6.2.0]")
def flushall(ctx: Context, *mode: bytes) -> bytes:
    reply = _flush(ctx, ctx.server.databases, b"FLUSHALL", mode)
    ctx.server.emptied()
    return reply


@command("FLUSHDB", arity=-1, flags={WRITE}, group="server", since="1.0.0", categories=("keyspace", "dangerous"),
         tips=_EVERYWHERE, own_effects=True, summary="Deletes every key of the database.",
         complexity="O(N) in the number of keys of the database", syntax="[ASYNC@4.0.0 | SYNC@6.2.0]")
def flushdb(ctx: Context, *mode: bytes) -> bytes:
    return _flush(ctx, [ctx.db], b"FLUSHDB", mode)


def _flush(ctx: Context, databases: list[Database], name: bytes, mode: tuple[bytes, ...]) -> bytes:
    """ASYNC and SYNC do the same here: nobody waits for memory to be freed. INFO counts as redis-server does."""
    word = mode[0].upper() if mode else b"ASYNC" if ctx.config.lazyfree_lazy_user_flush else b"SYNC"
    if len(mode) > 1 or word not in (b"ASYNC", b"SYNC"):
        raise SyntaxFault
    ctx.dirty += ctx.server.flush(databases, lazily=word == b"ASYNC")
    # Replicas flush even when there is nothing here: they may hold what we have not.
    ctx.propagate(name, *mode)
    return replies.OK


@command("SWAPDB", arity=3, flags={WRITE, FAST}, group="server", since="4.0.0", categories=("keyspace", "dangerous"),
         summary="Swaps the contents of two databases.",
         complexity="O(N) in the number of clients that watch keys of either database, or wait for them",
         syntax="index1:integer index2:integer")
def swapdb(ctx: Context, first: bytes, second: bytes) -> bytes:
    if ctx.config.cluster_enabled:
        raise CommandError("ERR SWAPDB is not allowed in cluster mode")
    one, other = _index(first, "first"), _index(second, "second")
    if not (0 <= one < len(ctx.server.databases) and 0 <= other < len(ctx.server.databases)):
        raise CommandError("ERR DB index is out of range")
    ctx.dirty += 1
    if one != other:
        ctx.server.swap_databases(one, other)
    return replies.OK


def _index(text: bytes, which: str) -> int:
    try:
        return parse_int32(text)
    except CommandError:
        raise CommandError(f"ERR invalid {which} DB index") from None
