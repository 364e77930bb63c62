"""SAVE, BGSAVE, LASTSAVE."""

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
        if not options:
            raise CommandError(_BUSY)
        persistence.schedule_background_save()
        return replies.simple("Background saving scheduled")
    if not persistence.start_background_save():
        raise CommandError("ERR Can't save in background: check the server's log")
    return replies.simple("Background saving started")


@command("LASTSAVE", arity=1, flags={LOADING, STALE, FAST}, group="server", since="1.0.0", categories=("admin",
         "dangerous"), tips=("nondeterministic_output",), summary="Answers when the dataset was last saved.")
def lastsave(ctx: Context) -> bytes:
    return replies.integer(ctx.server.persistence.last_save)
