"""MULTI, EXEC, DISCARD, WATCH, UNWATCH."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import errors
from cluster.commands.context import Context
from cluster.commands.keys import READ, KeySpec
from cluster.commands.registry import ALLOW_BUSY, FAST, LOADING, NOSCRIPT, SKIP_SLOWLOG, STALE, Command, command
from cluster.errors import CommandError
from cluster.protocol import replies

if TYPE_CHECKING:
    from cluster.network.session import Session

_BASE = {NOSCRIPT, LOADING, STALE, ALLOW_BUSY}


@command("MULTI", arity=1, flags={*_BASE, FAST}, group="transactions", since="1.2.0",
         summary="Opens a transaction: the commands that follow are queued.")
def multi(ctx: Context) -> bytes:
    if ctx.client.transaction is not None:
        raise CommandError("ERR MULTI calls can not be nested")
    ctx.client.start_transaction()
    return replies.OK


@command("DISCARD", arity=1, flags={*_BASE, FAST}, group="transactions", since="2.0.0",
         summary="Drops the queued commands and ends the transaction.",
         complexity="O(N) in the number of commands queued")
def discard(ctx: Context) -> bytes:
    if ctx.client.transaction is None:
        raise CommandError("ERR DISCARD without MULTI")
    ctx.client.end_transaction()
    return replies.OK


@command("EXEC", arity=1, flags={NOSCRIPT, LOADING, STALE, SKIP_SLOWLOG}, group="transactions", since="1.2.0",
         summary="Runs the queued commands as one.", complexity="That of the commands queued")
def exec_(ctx: Context) -> bytes | None:
    client = ctx.client
    transaction = client.transaction
    if transaction is None:
        raise CommandError("ERR EXEC without MULTI")
    if transaction.failed:
        client.end_transaction()
        raise CommandError(errors.EXECABORT)
    if "dirty_cas" in client.client_flags or ctx.server.watching.has_lapsed(client):
        client.end_transaction()
        return ctx.null_array
    client.end_transaction()
    if transaction.scripts:
        return ctx.server.pace.perform(lambda: _run_all(ctx, transaction.commands))
    return _run_all(ctx, transaction.commands)


def _run_all(ctx: Context, commands: list[tuple[Command, list[bytes]]]) -> bytes:
    client, itself = ctx.client, ctx.command
    ctx.allows_blocking = False
    try:
        answers = [_run_queued(ctx, client, queued, arguments) for queued, arguments in commands]
    finally:
        ctx.allows_blocking = True
        ctx.command = itself
    return replies.array(answers)


def _run_queued(ctx: Context, client: Session, queued: Command, arguments: list[bytes]) -> bytes:
    if client.restricted:  # it was allowed when it was queued
        try:
            ctx.server.access.check_queued(client, queued, arguments)
        except CommandError as error:
            return client.failed(ctx.command, error)
    return client.call_queued(queued, arguments)


@command("WATCH", arity=-2, flags={*_BASE, FAST}, keys=(KeySpec(1, -1, 1, READ[:1]),),
         group="transactions", since="2.2.0", summary="Makes the next EXEC fail if one of the keys changes before it.",
         complexity="O(1) for each key", syntax="key...")
def watch(ctx: Context, *keys: bytes) -> bytes:
    if ctx.client.transaction is not None:
        raise CommandError("ERR WATCH inside MULTI is not allowed")
    for key in keys:
        ctx.server.watching.watch(ctx.client, key)
    return replies.OK


@command("UNWATCH", arity=1, flags={*_BASE, FAST}, group="transactions", since="2.2.0",
         summary="Forgets all watched keys of the connection.", complexity="O(1) for each of them")
def unwatch(ctx: Context) -> bytes:
    ctx.server.watching.forget(ctx.client)
    return replies.OK
