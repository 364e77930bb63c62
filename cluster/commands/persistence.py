"""SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE."""

from __future__ import annotations

from cluster.commands.context import Context
from cluster.commands.registry import ADMIN, FAST, LOADING, NO_ASYNC_LOADING, NO_MULTI, NOSCRIPT, STALE, command
from cluster.errors import CommandError, SyntaxFault
from cluster.protocol import replies

_BUSY = "ERR Background save already in progress"


@command("SAVE", arity=1, flags={ADMIN, NOSCRIPT, NO_ASYNC_LOADING, NO_MULTI}, group="server", since="1.0.0",
         summary="Writes the dataset to disk, and lets everybody wait meanwhile.",
         complexity="O(N) in the number of all keys")
def save(ctx: Context) -> bytes:
    persistence = ctx.server.persistence
    if persistence.in_background:
        raise CommandError(_BUSY)
    if not persistence.save():
        raise CommandError("ERR Error trying to save the DB, check server logs")
    return replies.OK


@command("BGSAVE", arity=-1, flags={ADMIN, NOSCRIPT, NO_ASYNC_LOADING}, group="server", since="1.0.0",
         summary="Writes the dataset to disk in the background.", syntax="[SCHEDULE]@3.2.2")
def bgsave(ctx: Context, *options: bytes) -> bytes:
    persistence = ctx.server.persistence
    if options and (len(options) > 1 or options[0].lower() != b"schedule"):
        raise SyntaxFault
    if persistence.in_background:
        raise CommandError(_BUSY)
    if persistence.aof.rewrite.is_running or not ctx.allows_blocking:
        if not options and ctx.allows_blocking:
            raise CommandError(
                "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to "
                "schedule a BGSAVE whenever possible."
            )
        persistence.schedule_background_save()
        return replies.simple("Background saving scheduled")
    if not persistence.start_background_save():
        raise CommandError("ERR Can't save in background: check the server's log")
    return replies.simple("Background saving started")


@command("BGREWRITEAOF", arity=1, flags={ADMIN, NOSCRIPT, NO_ASYNC_LOADING}, group="server", since="1.0.0",
         summary="Writes the append-only file anew in the background.")
def bgrewriteaof(ctx: Context) -> bytes:
    persistence = ctx.server.persistence
    rewrite = persistence.aof.rewrite
    if rewrite.is_running:
        raise CommandError("ERR Background append only file rewriting already in progress")
    rewrite.failures = 0  # who asks for it need not wait for the end of a pause
    if persistence.writes_rdb or not ctx.allows_blocking:
        rewrite.scheduled = True
        return replies.simple("Background append only file rewriting scheduled")
    if not rewrite.start():
        raise CommandError(
            "ERR Can't execute an AOF background rewriting. Please check the server logs for more information."
        )
    return replies.simple("Background append only file rewriting started")


@command("LASTSAVE", arity=1, flags={LOADING, STALE, FAST}, group="server", since="1.0.0", categories=("admin",
         "dangerous"), tips=("nondeterministic_output",), summary="Answers when the dataset was last saved.")
def lastsave(ctx: Context) -> bytes:
    return replies.integer(ctx.server.persistence.last_save)
