"""HGETEX, HSETEX and HGETDEL: fields read or set, and their deadlines or they themselves changed, in one command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cluster.commands.context import Context
from cluster.commands.deadlines import UNITS, is_past
from cluster.commands.hash_deadlines import (
    HASH_EXPIRE,
    HASH_PERSIST,
    field_deadline,
    give_deadline,
    named_fields,
    taking_deadlines,
)
from cluster.commands.hashes import HASH_DEL, HASH_SET, new_hash, settled
from cluster.commands.keys import FIRST, READ_WRITE, first_key
from cluster.commands.registry import DENYOOM, FAST, WRITE, command
from cluster.errors import CommandError, wrong_arity
from cluster.keyspace.numbers import parse_integer
from cluster.keyspace.values import HashValue
from cluster.protocol import replies

_INT32_MAX = (1 << 31) - 1
_ONE_UNIT = "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"
_ONE_CONDITION = "ERR Only one of FXX or FNX arguments can be specified"


@command("HGETEX", arity=-5, flags={WRITE, FAST}, keys=first_key(*READ_WRITE), group="hash", since="8.0.0",
         own_effects=True, summary="Answers the values of fields, and sets or removes their deadlines.",
         complexity="O(N) in the number of fields",
         syntax="key [EX seconds:integer | PX milliseconds:integer | EXAT unix-time-seconds:unix-time | PXAT "
                "unix-time-milliseconds:unix-time | PERSIST] FIELDS (numfields:integer field...)")
def hgetex(ctx: Context, key: bytes, *arguments: bytes) -> bytes:
    value = ctx.typed_for_write(key, HashValue)
    word = arguments[0].upper()
    deadline_ms: int | None = None
    rest = arguments
    if word in UNITS:
        deadline_ms = field_deadline(ctx, arguments[1], *UNITS[word], "hgetex")
        rest = arguments[2:]
    elif word == b"PERSIST":
        rest = arguments[1:]
    if len(rest) < 2:
        raise wrong_arity("hgetex")
    fields = named_fields(rest)
    value = settled(ctx, key, value, fields)
    if value is None:
        return replies.array([ctx.null] * len(fields))
    if deadline_ms is not None and is_past(ctx, deadline_ms):
        reply, taken = _take(ctx, key, value, fields)
        ctx.server.stats.expired_fields += taken
        return reply
    reply = replies.bulk_or_null_array(value.many(fields), ctx.resp)
    if deadline_ms is not None:
        give_deadline(ctx, key, value, fields, deadline_ms)
    elif word == b"PERSIST" and (persisted := sum(map(value.clear_deadline, fields))):
        ctx.db.note_fields(key, value)
        ctx.propagate(b"HPERSIST", key, *rest)
        ctx.changed(key, HASH_PERSIST, persisted)
    return reply


@command("HGETDEL", arity=-5, flags={WRITE, FAST}, keys=first_key("RW", "access", "delete"), group="hash",
         since="8.0.0", own_effects=True, summary="Answers the values of fields, and deletes them.",
         complexity="O(N) in the number of fields", syntax="key FIELDS (numfields:integer field...)")
def hgetdel(ctx: Context, key: bytes, *arguments: bytes) -> bytes:
    value = ctx.typed_for_write(key, HashValue)
    fields = named_fields(arguments)
    value = settled(ctx, key, value, fields)
    if value is None:
        return replies.array([ctx.null] * len(fields))
    return _take(ctx, key, value, fields)[0]


def _take(ctx: Context, key: bytes, value: HashValue, fields: Sequence[bytes]) -> tuple[bytes, int]:
    """Delete fields: (the reply with what they held, each once only; how many there were)."""
    contents: list[bytes | None] = []
    for field in fields:
        contents.append(value.get(field))
        value.discard(field)
    deleted = len(fields) - contents.count(None)
    if deleted:
        ctx.db.note_fields(key, value)
        ctx.propagate(b"HDEL", key, *fields)
        ctx.changed(key, HASH_DEL, deleted)
        ctx.remove_if_empty(key, value)
    return replies.bulk_or_null_array(contents, ctx.resp), deleted


class _SetOptions(NamedTuple):
    """condition: FNX, FXX or nothing. pairs: fields and values in turn."""

    condition: bytes
    keep_deadlines: bool
    deadline_ms: int | None
    pairs: tuple[bytes, ...]


def _set_options(ctx: Context, arguments: tuple[bytes, ...]) -> _SetOptions:
    condition = b""
    keep_deadlines = False
    deadline_ms: int | None = None
    at = 0
    while at < len(arguments):
        word = arguments[at].upper()
        if word == b"FIELDS":
            return _SetOptions(condition, keep_deadlines, deadline_ms, _pairs(arguments[at + 1 :]))
        if word in (b"FNX", b"FXX"):
            if condition:
                raise CommandError(_ONE_CONDITION)
            condition = word
        elif word in UNITS or word == b"KEEPTTL":
            if keep_deadlines or deadline_ms is not None:
                raise CommandError(_ONE_UNIT)
            if word == b"KEEPTTL":
                keep_deadlines = True
            else:
                at += 1
                text = arguments[at] if at < len(arguments) else b""
                deadline_ms = field_deadline(ctx, text, *UNITS[word], "hsetex")
        else:
            raise CommandError(f"ERR unknown argument: {arguments[at].decode('utf-8', 'surrogateescape')}")
        at += 1
    raise wrong_arity("hsetex")


def _pairs(arguments: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """What stands behind FIELDS: a number, and so many fields and values."""
    if len(arguments) < 3:
        raise wrong_arity("hsetex")
    try:
        count = parse_integer(arguments[0])
    except CommandError:
        count = 0
    if not 0 < count <= _INT32_MAX:
        raise CommandError("ERR invalid number of fields")
    if len(arguments) != 1 + 2 * count:
        raise wrong_arity("hsetex")
    return arguments[1:]


@command("HSETEX", arity=-6, flags={WRITE, DENYOOM, FAST}, keys=FIRST, group="hash", since="8.0.0", own_effects=True,
         summary="Sets fields of a hash, which may live until a time, if all or none of them are there.",
         complexity="O(N) in the number of fields",
         syntax="key [FNX | FXX] [EX seconds:integer | PX milliseconds:integer | EXAT unix-time-seconds:unix-time | "
                "PXAT unix-time-milliseconds:unix-time | KEEPTTL] FIELDS (numfields:integer (field value)...)")
def hsetex(ctx: Context, key: bytes, *arguments: bytes) -> bytes:
    condition, keep_deadlines, deadline_ms, pairs = _set_options(ctx, arguments)
    fields = pairs[::2]
    value = settled(ctx, key, ctx.typed_for_write(key, HashValue), fields)
    if condition:
        there = [value is not None and field in value for field in fields]
        if any(there) if condition == b"FNX" else not all(there):
            return replies.ZERO
    if value is None:
        value = new_hash(ctx, key)
    for field, content in zip(fields, pairs[1::2], strict=True):
        (value.update if keep_deadlines else value.set)(field, content)
    ctx.changed(key, HASH_SET, len(fields))
    if deadline_ms is None:
        ctx.db.note_fields(key, value)
        ctx.propagate(b"HSETEX", key, *arguments)
    elif is_past(ctx, deadline_ms):
        give_deadline(ctx, key, value, tuple(dict.fromkeys(fields)), deadline_ms)
    else:
        taking = taking_deadlines(ctx, key, value)
        for field in fields:
            taking.set_deadline(field, deadline_ms)
        ctx.db.note_fields(key, taking)
        words = [condition] if condition else []
        ctx.propagate(
            b"HSETEX", key, *words, b"PXAT", b"%d" % deadline_ms, b"FIELDS", b"%d" % len(fields), *pairs
        )  # fmt: skip
        ctx.notify(key, HASH_EXPIRE)
    return replies.ONE
