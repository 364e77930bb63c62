"""Deadlines of the fields of hashes: HEXPIRE and its kin set them, HTTL and its kin tell them, HPERSIST removes them.

A time in the past deletes the field then and there, which replicas learn as HDEL. They hear of absolute times only.
"""

from __future__ import annotations

from collections.abc import Sequence

from cluster.commands.context import Context
from cluster.commands.deadlines import SECOND_MS, allows, invalid_expire_time, is_past
from cluster.commands.hashes import HASH_DEL, settled
from cluster.commands.keys import FIRST, FIRST_READ
from cluster.commands.registry import FAST, READONLY, WRITE, command
from cluster.errors import CommandError
from cluster.keyspace.events import Event
from cluster.keyspace.expiring_hash import ExpiringHashValue, expiring
from cluster.keyspace.numbers import parse_integer
from cluster.keyspace.values import HashValue
from cluster.protocol import replies

HASH_EXPIRE = Event("h", "hexpire")
HASH_PERSIST = Event("h", "hpersist")

LATEST_MS = (1 << 46) - 1
"""Redis keeps deadlines of fields in 48 bits, of which it leaves two for later use."""
_CHANGES = {WRITE, FAST}
_TELLS = {READONLY, FAST}
_OPTIONS = "[NX | XX | GT | LT] FIELDS (numfields:integer field...)"
_VARIES = ("nondeterministic_output",)
_CONDITIONS = (b"NX", b"XX", b"GT", b"LT")
_NO_WORD = "ERR Mandatory argument FIELDS is missing or not at the right position"
_OTHER_COUNT = "ERR The `numfields` parameter must match the number of arguments"
_TOO_FEW = "ERR Number of fields must be a positive integer"
_TOO_FEW_TO_EXPIRE = "ERR Parameter `numFields` should be greater than 0"

NO_FIELD, NOT_MET, DONE, DELETED = replies.MINUS_TWO, replies.ZERO, replies.ONE, b":2\r\n"
_NO_DEADLINE = replies.MINUS_ONE


def named_fields(arguments: Sequence[bytes], too_few: str = _TOO_FEW) -> Sequence[bytes]:
    """The fields of ``FIELDS n field …``."""
    if arguments[0].upper() != b"FIELDS":
        raise CommandError(_NO_WORD)
    try:
        count = parse_integer(arguments[1])
    except CommandError:
        count = 0
    if count < 1:
        raise CommandError(too_few)
    if count != len(arguments) - 2:
        raise CommandError(_OTHER_COUNT)
    return arguments[2:]


def field_deadline(ctx: Context, text: bytes, unit_ms: int, relative: bool, name: str) -> int:
    """The deadline that an argument gives, as milliseconds since the epoch."""
    time = parse_integer(text)
    if time < 0:
        raise CommandError("ERR invalid expire time, must be >= 0")
    deadline = time * unit_ms + (ctx.now_ms if relative else 0)
    if deadline > LATEST_MS:
        raise invalid_expire_time(name)
    return deadline


def give_deadline(
    ctx: Context, key: bytes, value: HashValue, fields: Sequence[bytes], deadline_ms: int, condition: bytes = b""
) -> list[bytes]:
    """Set the deadline of those `fields` that are there and meet the condition, and say so to everybody. What came of
    each: NO_FIELD, NOT_MET, DONE or DELETED."""
    past = is_past(ctx, deadline_ms)
    outcomes: list[bytes] = []
    changed: list[bytes] = []
    for field in fields:
        if field not in value:
            outcomes.append(NO_FIELD)
        elif condition and not allows((condition,), value.deadline(field), deadline_ms):
            outcomes.append(NOT_MET)
        elif past:
            value.discard(field)
            outcomes.append(DELETED)
            changed.append(field)
        else:
            value = taking = taking_deadlines(ctx, key, value)
            taking.set_deadline(field, deadline_ms)
            outcomes.append(DONE)
            changed.append(field)
    if changed:
        ctx.db.note_fields(key, value)
        if past:
            ctx.server.stats.expired_fields += len(changed)
            ctx.propagate(b"HDEL", key, *changed)
        else:
            ctx.propagate(b"HPEXPIREAT", key, b"%d" % deadline_ms, b"FIELDS", b"%d" % len(changed), *changed)
        ctx.changed(key, HASH_DEL if past else HASH_EXPIRE, len(changed))
        ctx.remove_if_empty(key, value)
    return outcomes


def taking_deadlines(ctx: Context, key: bytes, value: HashValue) -> ExpiringHashValue:
    """What stands under `key` from now on, for `value`, whose fields are to have deadlines."""
    taking = expiring(value)
    if taking is not value:
        ctx.convert(key, taking)
    return taking


# -- setting -----------------------------------------------------------------------------------------------------


@command("HEXPIRE", arity=-6, flags=_CHANGES, keys=FIRST, group="hash", since="7.4.0", own_effects=True,
         summary="Lets fields of a hash live for some seconds more.", complexity="O(N) in the number of fields",
         syntax=f"key seconds:integer {_OPTIONS}")
def hexpire(ctx: Context, key: bytes, seconds: bytes, *arguments: bytes) -> bytes:
    return _expire(ctx, key, seconds, arguments, SECOND_MS, True, "hexpire")


@command("HPEXPIRE", arity=-6, flags=_CHANGES, keys=FIRST, group="hash", since="7.4.0", own_effects=True,
         summary="Lets fields of a hash live for some milliseconds more.", complexity="O(N) in the number of fields",
         syntax=f"key milliseconds:integer {_OPTIONS}")
def hpexpire(ctx: Context, key: bytes, milliseconds: bytes, *arguments: bytes) -> bytes:
    return _expire(ctx, key, milliseconds, arguments, 1, True, "hpexpire")


@command("HEXPIREAT", arity=-6, flags=_CHANGES, keys=FIRST, group="hash", since="7.4.0", own_effects=True,
         summary="Lets fields of a hash live until a time, in Unix seconds.", complexity="O(N) in the number of fields",
         syntax=f"key unix-time-seconds:unix-time {_OPTIONS}")
def hexpireat(ctx: Context, key: bytes, seconds: bytes, *arguments: bytes) -> bytes:
    return _expire(ctx, key, seconds, arguments, SECOND_MS, False, "hexpireat")


@command("HPEXPIREAT", arity=-6, flags=_CHANGES, keys=FIRST, group="hash", since="7.4.0", own_effects=True,
         summary="Lets fields of a hash live until a time, in Unix milliseconds.",
         complexity="O(N) in the number of fields",
         syntax=f"key unix-time-milliseconds:unix-time {_OPTIONS}")
def hpexpireat(ctx: Context, key: bytes, milliseconds: bytes, *arguments: bytes) -> bytes:
    return _expire(ctx, key, milliseconds, arguments, 1, False, "hpexpireat")


def _expire(
    ctx: Context, key: bytes, time: bytes, arguments: tuple[bytes, ...], unit_ms: int, relative: bool, name: str
) -> bytes:
    value = ctx.typed_for_write(key, HashValue)  # a value of another type is the first error of all
    deadline_ms = field_deadline(ctx, time, unit_ms, relative, name)
    condition = arguments[0].upper() if arguments[0].upper() in _CONDITIONS else b""
    fields = named_fields(arguments[1:] if condition else arguments, _TOO_FEW_TO_EXPIRE)
    value = settled(ctx, key, value, fields)
    if value is None:
        return replies.array([NO_FIELD] * len(fields))
    return replies.array(give_deadline(ctx, key, value, fields, deadline_ms, condition))


@command("HPERSIST", arity=-5, flags=_CHANGES, keys=FIRST, group="hash", since="7.4.0",
         summary="Removes the deadlines of fields.", complexity="O(N) in the number of fields",
         syntax="key FIELDS (numfields:integer field...)")
def hpersist(ctx: Context, key: bytes, *arguments: bytes) -> bytes:
    value = ctx.typed_for_write(key, HashValue)
    fields = named_fields(arguments)
    value = settled(ctx, key, value, fields)
    outcomes = [
        NO_FIELD if value is None or field not in value else DONE if value.clear_deadline(field) else _NO_DEADLINE
        for field in fields
    ]
    if value is not None and DONE in outcomes:
        ctx.db.note_fields(key, value)
        ctx.changed(key, HASH_PERSIST, outcomes.count(DONE))
    return replies.array(outcomes)


# -- telling -----------------------------------------------------------------------------------------------------


def _told(ctx: Context, key: bytes, arguments: tuple[bytes, ...], unit_ms: int, *, relative: bool) -> bytes:
    """The deadlines, or the time left, in the unit (rounded up); -1 without a deadline, -2 without the field."""
    value = ctx.typed(key, HashValue)
    fields = named_fields(arguments)
    if value is None:
        return replies.array([NO_FIELD] * len(fields))
    told: list[bytes] = []
    for field in fields:
        deadline = value.deadline(field)
        if field not in value:
            told.append(NO_FIELD)
        elif deadline is None:
            told.append(_NO_DEADLINE)
        else:
            told.append(replies.integer(-((ctx.now_ms * relative - deadline) // unit_ms)))
    return replies.array(told)


@command("HTTL", arity=-5, flags=_TELLS, keys=FIRST_READ, group="hash", since="7.4.0", tips=_VARIES,
         summary="Answers how many seconds fields have to live.", complexity="O(N) in the number of fields",
         syntax="key FIELDS (numfields:integer field...)")
def httl(ctx: Context, key: bytes, *arguments: bytes) -> bytes:
    return _told(ctx, key, arguments, SECOND_MS, relative=True)


@command("HPTTL", arity=-5, flags=_TELLS, keys=FIRST_READ, group="hash", since="7.4.0", tips=_VARIES,
         summary="Answers how many milliseconds fields have to live.", complexity="O(N) in the number of fields",
         syntax="key FIELDS (numfields:integer field...)")
def hpttl(ctx: Context, key: bytes, *arguments: bytes) -> bytes:
    return _told(ctx, key, arguments, 1, relative=True)


@command("HEXPIRETIME", arity=-5, flags=_TELLS, keys=FIRST_READ, group="hash", since="7.4.0",
         summary="Answers the deadlines of fields, in Unix seconds.", complexity="O(N) in the number of fields",
         syntax="key FIELDS (numfields:integer field...)")
def hexpiretime(ctx: Context, key: bytes, *arguments: bytes) -> bytes:
    return _told(ctx, key, arguments, SECOND_MS, relative=False)


@command("HPEXPIRETIME", arity=-5, flags=_TELLS, keys=FIRST_READ, group="hash", since="7.4.0",
         summary="Answers the deadlines of fields, in Unix milliseconds.", complexity="O(N) in the number of fields",
         syntax="key FIELDS (numfields:integer field...)")
def hpexpiretime(ctx: Context, key: bytes, *arguments: bytes) -> bytes:
    return _told(ctx, key, arguments, 1, relative=False)
