"""Deadlines of keys: EXPIRE and its kin set them, TTL and its kin tell them, PERSIST removes them."""

from __future__ import annotations

from cluster.commands.context import Context
from cluster.commands.deadlines import SECOND_MS, allows, any_deadline, deletion, is_past
from cluster.commands.generic import look
from cluster.commands.keys import FIRST_READ, first_key
from cluster.commands.registry import FAST, READONLY, WRITE, command
from cluster.errors import CommandError
from cluster.keyspace.events import DEL, EXPIRE, PERSIST
from cluster.protocol import replies

_KEY = first_key("RW", "update")
_CHANGES = {WRITE, FAST}
_TELLS = {READONLY, FAST}
_VARIES = ("nondeterministic_output",)


@command("EXPIRE", arity=-3, flags=_CHANGES, keys=_KEY, group="generic", since="1.0.0", own_effects=True,
         summary="Lets a key live for some seconds more.", syntax="key seconds:integer [NX | XX | GT | LT]@7.0.0")
def expire(ctx: Context, key: bytes, seconds: bytes, *conditions: bytes) -> bytes:
    return _expire(ctx, key, seconds, conditions, SECOND_MS, True, "expire")


@command("PEXPIRE", arity=-3, flags=_CHANGES, keys=_KEY, group="generic", since="2.6.0", own_effects=True,
         summary="Lets a key live for some milliseconds more.",
         syntax="key milliseconds:integer [NX | XX | GT | LT]@7.0.0")
def pexpire(ctx: Context, key: bytes, milliseconds: bytes, *conditions: bytes) -> bytes:
    return _expire(ctx, key, milliseconds, conditions, 1, True, "pexpire")


@command("EXPIREAT", arity=-3, flags=_CHANGES, keys=_KEY, group="generic", since="1.2.0", own_effects=True,
         summary="Lets a key live until a time, in Unix seconds.",
         syntax="key unix-time-seconds:unix-time [NX | XX | GT | LT]@7.0.0")
def expireat(ctx: Context, key: bytes, seconds: bytes, *conditions: bytes) -> bytes:
    return _expire(ctx, key, seconds, conditions, SECOND_MS, False, "expireat")


@command("PEXPIREAT", arity=-3, flags=_CHANGES, keys=_KEY, group="generic", since="2.6.0", own_effects=True,
         summary="Lets a key live until a time, in Unix milliseconds.",
         syntax="key unix-time-milliseconds:unix-time [NX | XX | GT | LT]@7.0.0")
def pexpireat(ctx: Context, key: bytes, milliseconds: bytes, *conditions: bytes) -> bytes:
    return _expire(ctx, key, milliseconds, conditions, 1, False, "pexpireat")


def _expire(
    ctx: Context, key: bytes, time: bytes, conditions: tuple[bytes, ...], unit_ms: int, relative: bool, name: str
) -> bytes:
    words = _conditions(conditions) if conditions else ()
    deadline = any_deadline(ctx, time, unit_ms, relative, name)
    if ctx.find_for_write(key) is None or (words and not allows(words, ctx.deadline(key), deadline)):
        return replies.ZERO
    if is_past(ctx, deadline):
        ctx.remove(key, DEL, lazily=ctx.config.lazyfree_lazy_expire)
        ctx.propagate(deletion(ctx), key)
    else:
        ctx.set_deadline(key, deadline)
        ctx.propagate(b"PEXPIREAT", key, b"%d" % deadline)
        ctx.changed(key, EXPIRE)
    return replies.ONE


def _conditions(options: tuple[bytes, ...]) -> tuple[bytes, ...]:
    words = tuple(option.upper() for option in options)
    for option, word in zip(options, words, strict=True):
        if word not in (b"NX", b"XX", b"GT", b"LT"):
            raise CommandError(f"ERR Unsupported option {option.decode('utf-8', 'surrogateescape')}")
    if b"NX" in words and len(set(words)) > 1:
        raise CommandError("ERR NX and XX, GT or LT options at the same time are not compatible")
    if b"GT" in words and b"LT" in words:
        raise CommandError("ERR GT and LT options at the same time are not compatible")
    return words


@command("PERSIST", arity=2, flags=_CHANGES, keys=_KEY, group="generic", since="2.2.0",
         summary="Removes the deadline of a key.", syntax="key")
def persist(ctx: Context, key: bytes) -> bytes:
    if ctx.find_for_write(key) is None or ctx.deadline(key) is None:
        return replies.ZERO
    ctx.set_deadline(key, None)
    ctx.changed(key, PERSIST)
    return replies.ONE


def _told(ctx: Context, key: bytes, unit_ms: int, *, relative: bool) -> bytes:
    """The deadline, or the time left, in the unit (rounded); -1 without one, -2 without a key."""
    if look(ctx, key) is None:
        return replies.MINUS_TWO
    deadline = ctx.deadline(key)
    if deadline is None:
        return replies.MINUS_ONE
    time = max(0, deadline - ctx.now_ms) if relative else deadline
    return replies.integer((time + unit_ms // 2) // unit_ms)


@command("TTL", arity=2, flags=_TELLS, keys=FIRST_READ, group="generic", since="1.0.0", tips=_VARIES,
         summary="Answers how many seconds a key has to live.", syntax="key")
def ttl(ctx: Context, key: bytes) -> bytes:
    return _told(ctx, key, SECOND_MS, relative=True)


@command("PTTL", arity=2, flags=_TELLS, keys=FIRST_READ, group="generic", since="2.6.0", tips=_VARIES,
         summary="Answers how many milliseconds a key has to live.", syntax="key")
def pttl(ctx: Context, key: bytes) -> bytes:
    return _told(ctx, key, 1, relative=True)


@command("EXPIRETIME", arity=2, flags=_TELLS, keys=FIRST_READ, group="generic", since="7.0.0",
         summary="Answers a key's deadline, in Unix seconds.", syntax="key")
def expiretime(ctx: Context, key: bytes) -> bytes:
    return _told(ctx, key, SECOND_MS, relative=False)


@command("PEXPIRETIME", arity=2, flags=_TELLS, keys=FIRST_READ, group="generic", since="7.0.0",
         summary="Answers a key's deadline, in Unix milliseconds.", syntax="key")
def pexpiretime(ctx: Context, key: bytes) -> bytes:
    return _told(ctx, key, 1, relative=False)
