"""Strings that are numbers: INCR and its kin."""

from __future__ import annotations

from cluster.commands.context import Context
from cluster.commands.keys import first_key
from cluster.commands.registry import DENYOOM, FAST, WRITE, command
from cluster.errors import CommandError, WrongType
from cluster.keyspace.events import Event
from cluster.keyspace.numbers import INT64_MAX, INT64_MIN, incremented, parse_integer
from cluster.protocol import replies

INCR_BY = Event("$", "incrby")
INCR_BY_FLOAT = Event("$", "incrbyfloat")

_FLAGS = {WRITE, DENYOOM, FAST}
_KEY = first_key("RW", "access", "update")


def _add(ctx: Context, key: bytes, increment: int) -> bytes:
    value = ctx.find_for_write(key)
    if value is None:
        text = b"%d" % increment
        ctx.put(key, text, keep_deadline=True)
    elif type(value) is bytes or type(value) is bytearray:
        number = parse_integer(value) + increment
        if not INT64_MIN <= number <= INT64_MAX:
            raise CommandError("ERR increment or decrement would overflow")
        text = b"%d" % number
        ctx.replace(key, text)
    else:
        raise WrongType
    ctx.changed(key, INCR_BY)
    return b":%b\r\n" % text


@command("INCR", arity=2, flags=_FLAGS, keys=_KEY, group="string", since="1.0.0",
         summary="Adds one to the integer in a key.", syntax="key")
def incr(ctx: Context, key: bytes) -> bytes:
    return _add(ctx, key, 1)


@command("DECR", arity=2, flags=_FLAGS, keys=_KEY, group="string", since="1.0.0",
         summary="Takes one from the integer in a key.", syntax="key")
def decr(ctx: Context, key: bytes) -> bytes:
    return _add(ctx, key, -1)


@command("INCRBY", arity=3, flags=_FLAGS, keys=_KEY, group="string", since="1.0.0",
         summary="Adds to the integer in a key.", syntax="key increment:integer")
def incrby(ctx: Context, key: bytes, increment: bytes) -> bytes:
    return _add(ctx, key, parse_integer(increment))


@command("DECRBY", arity=3, flags=_FLAGS, keys=_KEY, group="string", since="1.0.0",
         summary="Takes from the integer in a key.", syntax="key decrement:integer")
def decrby(ctx: Context, key: bytes, decrement: bytes) -> bytes:
    number = parse_integer(decrement)
    if number == INT64_MIN:
        raise CommandError("ERR decrement would overflow")
    return _add(ctx, key, -number)


@command("INCRBYFLOAT", arity=3, flags=_FLAGS, keys=_KEY, group="string", since="2.6.0", own_effects=True,
         summary="Adds to the floating-point number in a key.", syntax="key increment:double")
def incrbyfloat(ctx: Context, key: bytes, increment: bytes) -> bytes:
    text = incremented(ctx.string_for_write(key), increment)
    ctx.put(key, text, keep_deadline=True)
    # The sum itself, so that replicas of other precision cannot differ.
    ctx.propagate(b"SET", key, text, b"KEEPTTL")
    ctx.changed(key, INCR_BY_FLOAT)
    return replies.bulk(text)
