"""ASKING, READONLY, READWRITE: what a client tells a cluster node about its next commands."""

from __future__ import annotations

from cluster.commands.context import Context
from cluster.commands.registry import FAST, LOADING, STALE, command
from cluster.errors import CommandError
from cluster.protocol import replies

_CONNECTION = ("connection",)
_DISABLED = "ERR This instance has cluster support disabled"


@command("ASKING", arity=1, flags={FAST}, group="cluster", since="3.0.0", categories=_CONNECTION,
         summary="Says that the next command follows an ASK redirect.")
def asking(ctx: Context) -> bytes:
    _need_cluster(ctx)
    ctx.client.asking = True
    ctx.client.refresh()
    return replies.OK


@command("READONLY", arity=1, flags={FAST, LOADING, STALE}, group="cluster", since="3.0.0", categories=_CONNECTION,
         summary="Lets the connection read from a replica's own data.")
def readonly(ctx: Context) -> bytes:
    _need_cluster(ctx)
    ctx.client.reads_replica = True
    return replies.OK


@command("READWRITE", arity=1, flags={FAST, LOADING, STALE}, group="cluster", since="3.0.0", categories=_CONNECTION,
         summary="Ends what READONLY began.")
def readwrite(ctx: Context) -> bytes:
    _need_cluster(ctx)
    ctx.client.reads_replica = False
    return replies.OK


def _need_cluster(ctx: Context) -> None:
    if not ctx.config.cluster_enabled:
        raise CommandError(_DISABLED)
