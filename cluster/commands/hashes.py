"""Hashes: fields and their values. Fields stand in the order in which they came."""

from __future__ import annotations

from itertools import chain

from cluster.commands.context import Context
from cluster.commands.keys import FIRST, FIRST_READ, first_key
from cluster.commands.random_elements import random_pairs
from cluster.commands.registry import DENYOOM, FAST, READONLY, WRITE, command
from cluster.commands.scan_commands import scan_members
from cluster.errors import CommandError, NotAFloat, NotAnInteger, wrong_arity
from cluster.keyspace.events import Event
from cluster.keyspace.numbers import INT64_MAX, INT64_MIN, incremented, parse_integer, parse_long_double
from cluster.keyspace.values import HashValue
from cluster.protocol import replies

HASH_SET = Event("h", "hset")
HASH_DEL = Event("h", "hdel")
HASH_INCR_BY = Event("h", "hincrby")
HASH_INCR_BY_FLOAT = Event("h", "hincrbyfloat")

_PRESENCE = first_key("RO")
_INCREMENT = first_key("RW", "access", "update")
_UNORDERED = ("nondeterministic_output_order",)


def _to_change(ctx: Context, key: bytes) -> HashValue:
    """The hash of `key`, made if need be."""
    value = ctx.typed_for_write(key, HashValue)
    if value is None:
        value = HashValue()
        ctx.put(key, value)
    return value


def _set_pairs(ctx: Context, key: bytes, pairs: tuple[bytes, ...], name: str) -> int:
    """How many fields are new."""
    if len(pairs) & 1:
        raise wrong_arity(name)
    value = _to_change(ctx, key)
    before = len(value.fields)
    if len(pairs) == 2:
        value.set(*pairs)
    else:
        rest = iter(pairs)
        for field, content in zip(rest, rest, strict=True):
            value.set(field, content)
    ctx.changed(key, HASH_SET, len(pairs) // 2)
    return len(value.fields) - before


@command("HSET", arity=-4, flags={WRITE, DENYOOM, FAST}, keys=FIRST, group="hash", since="2.0.0",
         summary="Sets fields of a hash.")
def hset(ctx: Context, key: bytes, *pairs: bytes) -> bytes:
    return replies.integer(_set_pairs(ctx, key, pairs, "hset"))


@command("HMSET", arity=-4, flags={WRITE, DENYOOM, FAST}, keys=FIRST, group="hash", since="2.0.0",
         summary="Sets fields of a hash; HSET by its old name.")
def hmset(ctx: Context, key: bytes, *pairs: bytes) -> bytes:
    _set_pairs(ctx, key, pairs, "hmset")
    return replies.OK


@command("HSETNX", arity=4, flags={WRITE, DENYOOM, FAST}, keys=first_key("RW", "insert"), group="hash",
         since="2.0.0", summary="Sets a field of a hash unless it is there.")
def hsetnx(ctx: Context, key: bytes, field: bytes, content: bytes) -> bytes:
    value = _to_change(ctx, key)
    if field in value.fields:
        return replies.ZERO
    value.set(field, content)
    ctx.changed(key, HASH_SET)
    return replies.ONE


@command("HGET", arity=3, flags={READONLY, FAST}, keys=FIRST_READ, group="hash", since="2.0.0",
         summary="Answers the value of a field.")
def hget(ctx: Context, key: bytes, field: bytes) -> bytes:
    value = ctx.typed(key, HashValue)
    content = None if value is None else value.fields.get(field)
    return ctx.null if content is None else replies.bulk(content)


@command("HMGET", arity=-3, flags={READONLY, FAST}, keys=FIRST_READ, group="hash", since="2.0.0",
         summary="Answers the values of several fields.")
def hmget(ctx: Context, key: bytes, *fields: bytes) -> bytes:
    value = ctx.typed(key, HashValue)
    if value is None:
        return replies.array([ctx.null] * len(fields))
    return replies.bulk_or_null_array(map(value.fields.get, fields), ctx.resp)


@command("HDEL", arity=-3, flags={WRITE, FAST}, keys=first_key("RW", "delete"), group="hash", since="2.0.0",
         summary="Deletes fields of a hash, and the hash with its last field.")
def hdel(ctx: Context, key: bytes, *fields: bytes) -> bytes:
    value = ctx.typed_for_write(key, HashValue)
    if value is None:
        return replies.ZERO
    deleted = sum(map(value.discard, fields))
    if deleted:
        ctx.changed(key, HASH_DEL, deleted)
        ctx.remove_if_empty(key, value)
    return replies.integer(deleted)


@command("HLEN", arity=2, flags={READONLY, FAST}, keys=_PRESENCE, group="hash", since="2.0.0",
         summary="Answers the number of fields.")
def hlen(ctx: Context, key: bytes) -> bytes:
    value = ctx.typed(key, HashValue)
    return replies.ZERO if value is None else replies.integer(len(value))


@command("HSTRLEN", arity=3, flags={READONLY, FAST}, keys=_PRESENCE, group="hash", since="3.2.0",
         summary="Answers the length of a field's value.")
def hstrlen(ctx: Context, key: bytes, field: bytes) -> bytes:
    value = ctx.typed(key, HashValue)
    return replies.integer(0 if value is None else len(value.fields.get(field, b"")))


@command("HEXISTS", arity=3, flags={READONLY, FAST}, keys=_PRESENCE, group="hash", since="2.0.0",
         summary="Tells whether a field is there.")
def hexists(ctx: Context, key: bytes, field: bytes) -> bytes:
    value = ctx.typed(key, HashValue)
    return replies.ONE if value is not None and field in value.fields else replies.ZERO


@command("HKEYS", arity=2, flags={READONLY}, keys=FIRST_READ, group="hash", since="2.0.0", tips=_UNORDERED,
         summary="Answers every field.")
def hkeys(ctx: Context, key: bytes) -> bytes:
    value = ctx.typed(key, HashValue)
    return replies.bulk_array(() if value is None else value.fields)


@command("HVALS", arity=2, flags={READONLY}, keys=FIRST_READ, group="hash", since="2.0.0", tips=_UNORDERED,
         summary="Answers every value.")
def hvals(ctx: Context, key: bytes) -> bytes:
    value = ctx.typed(key, HashValue)
    return replies.bulk_array(() if value is None else value.fields.values())


@command("HGETALL", arity=2, flags={READONLY}, keys=FIRST_READ, group="hash", since="2.0.0", tips=_UNORDERED,
         summary="Answers every field with its value.")
def hgetall(ctx: Context, key: bytes) -> bytes:
    value = ctx.typed(key, HashValue)
    return replies.bulk_map([] if value is None else list(chain.from_iterable(value.fields.items())), ctx.resp)


@command("HINCRBY", arity=4, flags={WRITE, DENYOOM, FAST}, keys=_INCREMENT, group="hash", since="2.0.0",
         summary="Adds to the integer in a field.")
def hincrby(ctx: Context, key: bytes, field: bytes, increment: bytes) -> bytes:
    by = parse_integer(increment)
    value = ctx.typed_for_write(key, HashValue)
    old = None if value is None else value.fields.get(field)
    try:
        number = by if old is None else by + parse_integer(old)
    except NotAnInteger:
        raise CommandError("ERR hash value is not an integer") from None
    if not INT64_MIN <= number <= INT64_MAX:
        raise CommandError("ERR increment or decrement would overflow")
    (_to_change(ctx, key) if value is None else value).set(field, b"%d" % number)
    ctx.changed(key, HASH_INCR_BY)
    return replies.integer(number)


@command("HINCRBYFLOAT", arity=4, flags={WRITE, DENYOOM, FAST}, keys=_INCREMENT, group="hash", since="2.6.0",
         own_effects=True, summary="Adds to the floating-point number in a field.")
def hincrbyfloat(ctx: Context, key: bytes, field: bytes, increment: bytes) -> bytes:
    if parse_long_double(increment).infinite:
        raise CommandError("ERR value is NaN or Infinity")
    value = ctx.typed_for_write(key, HashValue)
    old = None if value is None else value.fields.get(field)
    try:
        text = incremented(old, increment)
    except NotAFloat:
        raise CommandError("ERR hash value is not a float") from None
    (_to_change(ctx, key) if value is None else value).set(field, text)
    # The sum itself, so that replicas of other precision cannot differ.
    ctx.propagate(b"HSET", key, field, text)
    ctx.changed(key, HASH_INCR_BY_FLOAT)
    return replies.bulk(text)


@command("HRANDFIELD", arity=-2, flags={READONLY}, keys=FIRST_READ, group="hash", since="6.2.0",
         tips=("nondeterministic_output",), summary="Answers fields drawn at random.")
def hrandfield(ctx: Context, key: bytes, *options: bytes) -> bytes:
    return random_pairs(
        ctx, key, options, kind=HashValue, word=b"WITHVALUES", elements=HashValue.to_draw_from,
        name=lambda field: field, companion=lambda value, field: replies.bulk(value.fields[field]),
    )


@command("HSCAN", arity=-3, flags={READONLY}, keys=FIRST_READ, group="hash", since="2.8.0",
         tips=("nondeterministic_output",), summary="Goes through the fields of a hash, some at a time.")
def hscan(ctx: Context, key: bytes, cursor: bytes, *options: bytes) -> bytes:
    return scan_members(
        ctx, key, cursor, options, kind=HashValue, members=lambda value: value.fields,
        shown=lambda value, field: (field, value.fields[field]),
    )
