"""Hashes: fields and their values. Fields stand in the order in which they came. (Their deadlines: hash_deadlines.py.)

Where `ctx.field_deadlines` is empty, no hash of the database has a field with a deadline: there is nothing to settle.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from cluster.commands.context import Context
from cluster.commands.keys import FIRST, FIRST_READ, first_key
from cluster.commands.random_elements import Companions, random_pairs
from cluster.commands.registry import DENYOOM, FAST, READONLY, WRITE, command
from cluster.commands.scan_commands import scan_members
from cluster.errors import CommandError, NotAFloat, NotAnInteger, wrong_arity
from cluster.keyspace.encodings import impose
from cluster.keyspace.events import Event
from cluster.keyspace.numbers import INT64_MAX, INT64_MIN, incremented, parse_integer, parse_long_double
from cluster.keyspace.values import ExpiringHashValue, HashValue, Value
from cluster.protocol import replies

HASH_SET = Event("h", "hset")
HASH_DEL = Event("h", "hdel")
HASH_INCR_BY = Event("h", "hincrby")
HASH_INCR_BY_FLOAT = Event("h", "hincrbyfloat")

_PRESENCE = first_key("RO")
_INCREMENT = first_key("RW", "access", "update")
_UNORDERED = ("nondeterministic_output_order",)


def settled(ctx: Context, key: bytes, value: HashValue | None, fields: Iterable[bytes]) -> HashValue | None:
    """The hash of `key` about to be changed, without those of `fields` whose time is up: the effect of a command that
    asks whether a field is there must mean the same to replicas, who go by other clocks."""
    if not isinstance(value, ExpiringHashValue) or not value.hides:
        return value
    ctx.server.expire_fields(ctx.db, key, value, value.take_named(fields))
    return value or None


def new_hash(ctx: Context, key: bytes) -> HashValue:
    value = HashValue(pool=ctx.server.field_names)
    ctx.put(key, value)
    return value


def _to_change(ctx: Context, key: bytes, field: bytes) -> HashValue:
    """The hash of `key`, made if need be."""
    value = ctx.typed_for_write(key, HashValue)
    if ctx.field_deadlines:
        value = settled(ctx, key, value, (field,))
    return new_hash(ctx, key) if value is None else value


def _set_pairs(ctx: Context, key: bytes, pairs: tuple[bytes, ...], name: str) -> int:
    """How many fields are new."""
    if len(pairs) & 1:
        raise wrong_arity(name)
    value = ctx.typed_for_write(key, HashValue)
    if value is None:
        value = new_hash(ctx, key)
    if len(pairs) == 2:
        added = int(value.set(pairs[0], pairs[1]))
    else:
        if len(pairs) // 2 > ctx.config.hash_max_listpack_entries:
            impose(value, "hashtable")
        rest = iter(pairs)
        added = sum([value.set(field, content) for field, content in zip(rest, rest, strict=True)])
    if ctx.field_deadlines:
        ctx.db.note_fields(key, value)
    ctx.changed(key, HASH_SET, len(pairs) // 2)
    return added


@command("HSET", arity=-4, flags={WRITE, DENYOOM, FAST}, keys=FIRST, group="hash", since="2.0.0",
         summary="Sets fields of a hash.", complexity="O(1) for each element", syntax="key (field value)...")
def hset(ctx: Context, key: bytes, *pairs: bytes) -> bytes:
    return replies.integer(_set_pairs(ctx, key, pairs, "hset"))


@command("HMSET", arity=-4, flags={WRITE, DENYOOM, FAST}, keys=FIRST, group="hash", since="2.0.0",
         summary="Sets fields of a hash; HSET by its old name.", complexity="O(N) in the number of fields",
         syntax="key (field value)...", deprecated=("4.0.0", "`HSET` with multiple field-value pairs"))
def hmset(ctx: Context, key: bytes, *pairs: bytes) -> bytes:
    _set_pairs(ctx, key, pairs, "hmset")
    return replies.OK


@command("HSETNX", arity=4, flags={WRITE, DENYOOM, FAST}, keys=first_key("RW", "insert"), group="hash",
         since="2.0.0", summary="Sets a field of a hash unless it is there.", syntax="key field value")
def hsetnx(ctx: Context, key: bytes, field: bytes, content: bytes) -> bytes:
    value = _to_change(ctx, key, field)
    if value.get(field) is not None:
        return replies.ZERO
    value.set(field, content)
    ctx.changed(key, HASH_SET)
    return replies.ONE


def _content(ctx: Context, key: bytes, value: Value | None, field: bytes) -> bytes | None:
    """What `value`, which `key` holds and which is no plain hash, has in a field."""
    found = None if value is None else ctx.of_kind(key, value, HashValue)
    return None if found is None else found.get(field)


@command("HGET", arity=3, flags={READONLY, FAST}, keys=FIRST_READ, group="hash", since="2.0.0",
         summary="Answers the value of a field.", syntax="key field")
def hget(ctx: Context, key: bytes, field: bytes) -> bytes:
    value = ctx.find(key)
    content = value.get(field) if type(value) is HashValue else _content(ctx, key, value, field)
    return ctx.null if content is None else b"$%d\r\n%b\r\n" % (len(content), content)


@command("HMGET", arity=-3, flags={READONLY, FAST}, keys=FIRST_READ, group="hash", since="2.0.0",
         summary="Answers the values of several fields.", complexity="O(N) in the number of fields",
         syntax="key field...")
def hmget(ctx: Context, key: bytes, *fields: bytes) -> bytes:
    value = ctx.typed(key, HashValue)
    if value is None:
        return replies.array([ctx.null] * len(fields))
    return replies.bulk_or_null_array(value.many(fields), ctx.resp)


@command("HDEL", arity=-3, flags={WRITE, FAST}, keys=first_key("RW", "delete"), group="hash", since="2.0.0",
         summary="Deletes fields of a hash, and the hash with its last field.",
         complexity="O(N) in the number of fields", syntax="key field...")
def hdel(ctx: Context, key: bytes, *fields: bytes) -> bytes:
    value = ctx.typed_for_write(key, HashValue)
    if value is None:
        return replies.ZERO
    deleted = sum(map(value.discard, fields))
    if deleted:
        if ctx.field_deadlines:
            ctx.db.note_fields(key, value)
        ctx.changed(key, HASH_DEL, deleted)
        ctx.remove_if_empty(key, value)
    return replies.integer(deleted)


@command("HLEN", arity=2, flags={READONLY, FAST}, keys=_PRESENCE, group="hash", since="2.0.0",
         summary="Answers the number of fields.", syntax="key")
def hlen(ctx: Context, key: bytes) -> bytes:
    value = ctx.typed(key, HashValue)
    return replies.ZERO if value is None else replies.integer(len(value))


@command("HSTRLEN", arity=3, flags={READONLY, FAST}, keys=_PRESENCE, group="hash", since="3.2.0",
         summary="Answers the length of a field's value.", syntax="key field")
def hstrlen(ctx: Context, key: bytes, field: bytes) -> bytes:
    value = ctx.typed(key, HashValue)
    return replies.integer(0 if value is None else len(value.get(field) or b""))


@command("HEXISTS", arity=3, flags={READONLY, FAST}, keys=_PRESENCE, group="hash", since="2.0.0",
         summary="Tells whether a field is there.", syntax="key field")
def hexists(ctx: Context, key: bytes, field: bytes) -> bytes:
    value = ctx.find(key)
    content = value.get(field) if type(value) is HashValue else _content(ctx, key, value, field)
    return replies.ZERO if content is None else replies.ONE


@command("HKEYS", arity=2, flags={READONLY}, keys=FIRST_READ, group="hash", since="2.0.0", tips=_UNORDERED,
         summary="Answers every field.", complexity="O(N) in the size of the hash", syntax="key")
def hkeys(ctx: Context, key: bytes) -> bytes:
    value = ctx.typed(key, HashValue)
    return replies.bulk_array(() if value is None else value.names())


@command("HVALS", arity=2, flags={READONLY}, keys=FIRST_READ, group="hash", since="2.0.0", tips=_UNORDERED,
         summary="Answers every value.", complexity="O(N) in the size of the hash", syntax="key")
def hvals(ctx: Context, key: bytes) -> bytes:
    value = ctx.typed(key, HashValue)
    return replies.bulk_array(() if value is None else value.contents())


@command("HGETALL", arity=2, flags={READONLY}, keys=FIRST_READ, group="hash", since="2.0.0", tips=_UNORDERED,
         summary="Answers every field with its value.", complexity="O(N) in the size of the hash", syntax="key")
def hgetall(ctx: Context, key: bytes) -> bytes:
    value = ctx.typed(key, HashValue)
    return replies.bulk_map([] if value is None else list(chain.from_iterable(value.items())), ctx.resp)


@command("HINCRBY", arity=4, flags={WRITE, DENYOOM, FAST}, keys=_INCREMENT, group="hash", since="2.0.0",
         summary="Adds to the integer in a field.", syntax="key field increment:integer")
def hincrby(ctx: Context, key: bytes, field: bytes, increment: bytes) -> bytes:
    by = parse_integer(increment)
    value = ctx.typed_for_write(key, HashValue)
    if ctx.field_deadlines:
        value = settled(ctx, key, value, (field,))
    old = None if value is None else value.get(field)
    try:
        number = by if old is None else by + parse_integer(old)
    except NotAnInteger:
        raise CommandError("ERR hash value is not an integer") from None
    if not INT64_MIN <= number <= INT64_MAX:
        raise CommandError("ERR increment or decrement would overflow")
    (new_hash(ctx, key) if value is None else value).update(field, b"%d" % number)
    ctx.changed(key, HASH_INCR_BY)
    return replies.integer(number)


@command("HINCRBYFLOAT", arity=4, flags={WRITE, DENYOOM, FAST}, keys=_INCREMENT, group="hash", since="2.6.0",
         own_effects=True, summary="Adds to the floating-point number in a field.", syntax="key field increment:double")
def hincrbyfloat(ctx: Context, key: bytes, field: bytes, increment: bytes) -> bytes:
    if parse_long_double(increment).infinite:
        raise CommandError("ERR value is NaN or Infinity")
    value = settled(ctx, key, ctx.typed_for_write(key, HashValue), (field,))
    old = None if value is None else value.get(field)
    try:
        text = incremented(old, increment)
    except NotAFloat:
        raise CommandError("ERR hash value is not a float") from None
    (new_hash(ctx, key) if value is None else value).update(field, text)
    # The sum itself, so that replicas of other precision cannot differ.
    if isinstance(value, ExpiringHashValue) and value.deadline(field) is not None:
        ctx.propagate(b"HSETEX", key, b"KEEPTTL", b"FIELDS", b"1", field, text)
    else:
        ctx.propagate(b"HSET", key, field, text)  # which older servers know too
    ctx.changed(key, HASH_INCR_BY_FLOAT)
    return replies.bulk(text)


_VALUES: Companions[HashValue, bytes] = Companions(
    of=lambda value, field: value.get(field) or b"", pairs=lambda value: list(value.items()), text=bytes,
    encoded=replies.bulk,
)


@command("HRANDFIELD", arity=-2, flags={READONLY}, keys=FIRST_READ, group="hash", since="6.2.0",
         tips=("nondeterministic_output",), summary="Answers fields drawn at random.",
         complexity="O(N) in the number of fields answered", syntax="key [count:integer [WITHVALUES]]")
def hrandfield(ctx: Context, key: bytes, *options: bytes) -> bytes:
    return random_pairs(ctx, key, options, kind=HashValue, word=b"WITHVALUES", companions=_VALUES)


@command("HSCAN", arity=-3, flags={READONLY}, keys=FIRST_READ, group="hash", since="2.8.0",
         tips=("nondeterministic_output",), summary="Goes through the fields of a hash, some at a time.",
         complexity="O(1) for each call, O(N) for all of them until the cursor is back at 0",
         syntax="key cursor:integer [MATCH pattern:pattern] [COUNT count:integer] [NOVALUES]@7.4.0")
def hscan(ctx: Context, key: bytes, cursor: bytes, *options: bytes) -> bytes:
    return scan_members(
        ctx, key, cursor, options, kind=HashValue, members=lambda value: value.fields,
        shown=lambda value, field: (field, value.get(field) or b""),
    )
