"""Strings: get, set, and change whole values or parts of them. Counters are in string_counters.py.

A value stays `bytes` until a command changes it in place; then it becomes a `bytearray`, so that many small APPENDs
cost what they add and not what is there.
"""

from __future__ import annotations

from cluster.commands.context import Context
from cluster.commands.deadlines import SECOND_MS, UNITS, deletion, is_past, positive_deadline
from cluster.commands.keys import FIRST_READ, PAIRS, KeySpec, first_key
from cluster.commands.registry import DENYOOM, FAST, READONLY, WRITE, command
from cluster.errors import CommandError, SyntaxFault, WrongType, wrong_arity
from cluster.keyspace.events import DEL, EXPIRE, PERSIST, SET, Event
from cluster.keyspace.hashing import key_slot
from cluster.keyspace.numbers import parse_integer
from cluster.protocol import replies

APPEND = Event("$", "append")
SET_RANGE = Event("$", "setrange")
_PLAIN = frozenset({bytes, type(None)})
"""What a key held that may be let go of at once."""

_READ_WRITE = first_key("RW", "access", "update")
_OVERWRITE = first_key("OW", "update")
_INSERT = first_key("OW", "insert")


@command("GET", arity=2, flags={READONLY, FAST}, keys=FIRST_READ, group="string", since="1.0.0",
         summary="Answers the string value of a key.", syntax="key")
def get(ctx: Context, key: bytes) -> bytes:
    value = ctx.find(key)
    if type(value) is bytes:
        return b"$%d\r\n%b\r\n" % (len(value), value)
    if value is None:
        return ctx.null
    if type(value) is bytearray:
        return replies.bulk(value)
    raise WrongType


def _get_string(ctx: Context, key: bytes) -> bytes:
    value = ctx.string(key)
    return ctx.null if value is None else replies.bulk(value)


# -- SET and its kin ---------------------------------------------------------------------------------------------


@command("SET", arity=-3, flags={WRITE, DENYOOM}, keys=first_key("RW", "access", "update", "variable_flags"),
         group="string", since="1.0.0", summary="Sets a key to a string, whatever it held, and may give it a deadline.",
         syntax="key value [NX | XX]@2.6.12 [GET]@6.2.0 [EX seconds:integer@2.6.12 | PX milliseconds:integer@2.6.12 | "
                "EXAT unix-time-seconds:unix-time@6.2.0 | PXAT unix-time-milliseconds:unix-time@6.2.0 | "
                "KEEPTTL@6.0.0]")
def set_(ctx: Context, key: bytes, value: bytes, *options: bytes) -> bytes:
    if not options:
        ctx.put(key, value)
        ctx.changed(key, SET)
        return replies.OK
    return _set_with_options(ctx, key, value, options)


def _set_with_options(ctx: Context, key: bytes, value: bytes, options: tuple[bytes, ...]) -> bytes:
    words, unit, time = _set_options(options)
    deadline = None if unit is None else positive_deadline(ctx, time, *UNITS[unit], "set")
    old_reply = _get_string(ctx, key) if b"GET" in words else None
    if words & {b"NX", b"XX", b"KEEPTTL"}:
        # The look lets a key die whose time is up, and its deadline with it. It is use of the key once: `put` counts
        # it where the value does not stay in its place.
        exists = ctx.exists(key) if words & {b"XX", b"KEEPTTL"} == {b"XX"} else ctx.find_for_write(key) is not None
        if exists if b"NX" in words else b"XX" in words and not exists:
            return ctx.null if old_reply is None else old_reply
    if deadline is not None:
        _set_until(ctx, key, value, deadline)
    elif old_reply is not None:
        # The old value is nothing to a replica.
        keep = b"KEEPTTL" in words
        ctx.put(key, value, keep_deadline=keep)
        ctx.propagate(b"SET", key, value, *([b"KEEPTTL"] if keep else []))
        ctx.changed(key, SET, 0)
    else:
        ctx.put(key, value, keep_deadline=b"KEEPTTL" in words)
        ctx.changed(key, SET)
    return replies.OK if old_reply is None else old_reply


def _set_options(options: tuple[bytes, ...]) -> tuple[set[bytes], bytes | None, bytes]:
    """(the words NX, XX, GET, KEEPTTL that are there; the unit of the deadline, or None; its number)."""
    words: set[bytes] = set()
    unit: bytes | None = None
    time = b""
    rest = iter(options)
    for option in rest:
        word = option.upper()
        if (
            (word == b"NX" and b"XX" not in words)
            or (word == b"XX" and b"NX" not in words)
            or word == b"GET"
            or (word == b"KEEPTTL" and unit is None)
        ):
            words.add(word)
        elif word in UNITS and unit in (None, word) and b"KEEPTTL" not in words:
            unit = word
            number = next(rest, None)
            if number is None:
                raise SyntaxFault
            time = number
        else:
            raise SyntaxFault
    return words, unit, time


def _set_until(ctx: Context, key: bytes, value: bytes, deadline_ms: int) -> None:
    """Set a value that has a deadline; the effect names the moment, however the client said it."""
    ctx.put(key, value)
    ctx.set_deadline(key, deadline_ms)
    ctx.propagate(b"SET", key, value, b"PXAT", b"%d" % deadline_ms)
    ctx.changed(key, SET, 0)
    ctx.notify(key, EXPIRE)


@command("SETEX", arity=4, flags={WRITE, DENYOOM}, keys=_OVERWRITE, group="string", since="2.0.0", own_effects=True,
         summary="Sets a key to a string that lives for some seconds.",
         syntax="key seconds:integer value", deprecated=("2.6.12", "`SET` with the `EX` argument"))
def setex(ctx: Context, key: bytes, seconds: bytes, value: bytes) -> bytes:
    _set_until(ctx, key, value, positive_deadline(ctx, seconds, SECOND_MS, True, "setex"))
    return replies.OK


@command("PSETEX", arity=4, flags={WRITE, DENYOOM}, keys=_OVERWRITE, group="string", since="2.6.0", own_effects=True,
         summary="Sets a key to a string that lives for some milliseconds.",
         syntax="key milliseconds:integer value", deprecated=("2.6.12", "`SET` with the `PX` argument"))
def psetex(ctx: Context, key: bytes, milliseconds: bytes, value: bytes) -> bytes:
    _set_until(ctx, key, value, positive_deadline(ctx, milliseconds, 1, True, "psetex"))
    return replies.OK


@command("SETNX", arity=3, flags={WRITE, DENYOOM, FAST}, keys=_INSERT, group="string", since="1.0.0",
         summary="Sets a key to a string unless it exists.", syntax="key value",
         deprecated=("2.6.12", "`SET` with the `NX` argument"))
def setnx(ctx: Context, key: bytes, value: bytes) -> bytes:
    if ctx.find_for_write(key) is not None:
        return replies.ZERO
    ctx.put(key, value)
    ctx.changed(key, SET)
    return replies.ONE


@command("GETSET", arity=3, flags={WRITE, DENYOOM, FAST}, keys=_READ_WRITE, group="string", since="1.0.0",
         own_effects=True, summary="Sets a key to a string and answers the old one.", syntax="key value",
         deprecated=("6.2.0", "`SET` with the `!GET` argument"))
def getset(ctx: Context, key: bytes, value: bytes) -> bytes:
    old = _get_string(ctx, key)
    ctx.put(key, value)
    ctx.propagate(b"SET", key, value)
    ctx.changed(key, SET)
    return old


@command("GETDEL", arity=2, flags={WRITE, FAST}, keys=first_key("RW", "access", "delete"), group="string",
         since="6.2.0", own_effects=True, summary="Answers the string value of a key and deletes the key.",
         syntax="key")
def getdel(ctx: Context, key: bytes) -> bytes:
    old = ctx.string(key)
    if old is None:
        return ctx.null
    ctx.remove(key, DEL)
    ctx.propagate(b"DEL", key)
    return replies.bulk(old)


@command("GETEX", arity=-2, flags={WRITE, FAST}, keys=_READ_WRITE, group="string", since="6.2.0", own_effects=True,
         summary="Answers the string value of a key, and changes or removes its deadline.",
         syntax="key [EX seconds:integer | PX milliseconds:integer | EXAT unix-time-seconds:unix-time | PXAT "
                "unix-time-milliseconds:unix-time | PERSIST]")
def getex(ctx: Context, key: bytes, *options: bytes) -> bytes:
    unit, time = _getex_option(options)
    value = ctx.string(key)
    if value is None:
        return ctx.null
    if unit == b"PERSIST":
        if ctx.deadline(key) is not None:
            ctx.set_deadline(key, None)
            ctx.propagate(b"PERSIST", key)
            ctx.changed(key, PERSIST)
    elif unit is not None:
        unit_ms, relative = UNITS[unit]
        deadline = positive_deadline(ctx, time, unit_ms, relative, "getex")
        if not relative and is_past(ctx, deadline):
            ctx.remove(key, DEL)
            ctx.propagate(deletion(ctx), key)
        else:
            ctx.set_deadline(key, deadline)
            ctx.propagate(b"PEXPIREAT", key, b"%d" % deadline)
            ctx.changed(key, EXPIRE)
    return replies.bulk(value)


def _getex_option(options: tuple[bytes, ...]) -> tuple[bytes | None, bytes]:
    """(EX, PX, EXAT, PXAT, PERSIST or None; the number behind it). The same unit twice: the last one counts."""
    unit: bytes | None = None
    time = b""
    rest = iter(options)
    for option in rest:
        word = option.upper()
        if unit not in (None, word):
            raise SyntaxFault
        if word in UNITS:
            number = next(rest, None)
            if number is None:
                raise SyntaxFault
            time = number
        elif word != b"PERSIST":
            raise SyntaxFault
        unit = word
    return unit, time


# -- several keys ------------------------------------------------------------------------------------------------


@command("MGET", arity=-2, flags={READONLY, FAST}, keys=(KeySpec(1, -1, 1, ("RO", "access")),), group="string",
         since="1.0.0", tips=("request_policy:multi_shard",), summary="Answers the string values of several keys.",
         complexity="O(N) in the number of keys", syntax="key...")
def mget(ctx: Context, *keys: bytes) -> bytes:
    found = [ctx.find(key) for key in keys]
    return replies.array([
        replies.bulk(value) if type(value) is bytes or type(value) is bytearray else ctx.null for value in found
    ])


@command("MSET", arity=-3, flags={WRITE, DENYOOM}, keys=PAIRS, group="string", since="1.0.1",
         tips=("request_policy:multi_shard", "response_policy:all_succeeded"), summary="Sets several keys to strings.",
         complexity="O(N) in the number of keys", syntax="(key value)...")
def mset(ctx: Context, *pairs: bytes) -> bytes:
    if len(pairs) & 1:
        raise wrong_arity("mset")
    rest = iter(pairs)
    both = zip(rest, rest, strict=True)
    if ctx.observed or ctx.tracks_access or ctx.no_touch or ctx.field_deadlines or ctx.server.blocked_keys:
        for key, value in both:
            ctx.put(key, value)
            ctx.changed(key, SET)
        return replies.OK
    # What `put` and `changed` come to when nobody has to hear of it, without a call for each key.
    spaces, deadlines, used_ms, now_ms = ctx.spaces, ctx.deadlines, ctx.used_ms, ctx.now_ms
    if ctx.one_slot and not deadlines[ctx.slot]:
        space = spaces[ctx.slot]
        used_ms[ctx.slot] = now_ms
        for key, value in both:
            if type(space.get(key)) in _PLAIN:
                space[key] = value
            else:
                ctx.put(key, value)
    else:
        for key, value in both:
            slot = key_slot(key)
            if type(spaces[slot].get(key)) in _PLAIN:
                spaces[slot][key] = value
                used_ms[slot] = now_ms
                if deadlines[slot]:
                    deadlines[slot].pop(key, None)
            else:
                ctx.put(key, value)
    ctx.dirty += len(pairs) // 2
    return replies.OK


@command("MSETNX", arity=-3, flags={WRITE, DENYOOM}, keys=(KeySpec(1, -1, 2, ("OW", "insert")),), group="string",
         since="1.0.1", tips=("request_policy:multi_shard", "response_policy:agg_min"),
         summary="Sets several keys to strings if none of them exists.", complexity="O(N) in the number of keys",
         syntax="(key value)...")
def msetnx(ctx: Context, *pairs: bytes) -> bytes:
    if len(pairs) & 1:
        raise wrong_arity("msetnx")
    if any(ctx.find_for_write(key) is not None for key in pairs[::2]):
        return replies.ZERO
    mset(ctx, *pairs)
    return replies.ONE


# -- parts of a string -------------------------------------------------------------------------------------------


@command("STRLEN", arity=2, flags={READONLY, FAST}, keys=first_key("RO"), group="string", since="2.2.0",
         summary="Answers the length of a string in bytes.", syntax="key")
def strlen(ctx: Context, key: bytes) -> bytes:
    value = ctx.string(key)
    return replies.ZERO if value is None else replies.integer(len(value))


@command("APPEND", arity=3, flags={WRITE, DENYOOM, FAST}, keys=first_key("RW", "insert"), group="string",
         since="2.0.0", summary="Adds bytes to the end of a string, which is created if need be.",
         complexity="O(1) for each byte appended", syntax="key value")
def append(ctx: Context, key: bytes, tail: bytes) -> bytes:
    value = ctx.string_for_write(key)
    if value is None:
        ctx.put(key, tail)
        length = len(tail)
    else:
        length = len(value) + len(tail)
        check_length(ctx, length)
        editable(ctx, key, value).extend(tail)
    ctx.changed(key, APPEND)
    return replies.integer(length)


def check_length(ctx: Context, length: int) -> None:
    """Refuse to let a string grow past what a client could send."""
    if length > ctx.config.proto_max_bulk_len and not ctx.obeys_primary:
        raise CommandError("ERR string exceeds maximum allowed size (proto-max-bulk-len)")


def editable(ctx: Context, key: bytes, value: bytes | bytearray | None) -> bytearray:
    """The stored value of `key` (at hand as `value`) in a form to change in place; the deadline stays."""
    if isinstance(value, bytearray):
        return value
    edited = bytearray(value or b"")
    ctx.put(key, edited, keep_deadline=True)
    return edited


@command("SETRANGE", arity=4, flags={WRITE, DENYOOM}, keys=first_key("RW", "update"), group="string", since="2.2.0",
         summary="Overwrites a part of a string, padding it with zero bytes as far as needed.",
         complexity="O(1) for short values, else O(M) in the length of the value", syntax="key offset:integer value")
def setrange(ctx: Context, key: bytes, offset: bytes, part: bytes) -> bytes:
    start = parse_integer(offset)
    if start < 0:
        raise CommandError("ERR offset is out of range")
    value = ctx.string_for_write(key)
    if not part:
        return replies.integer(len(value or b""))
    end = start + len(part)
    check_length(ctx, end)
    edited = editable(ctx, key, value)
    if len(edited) < start:
        edited.extend(bytes(start - len(edited)))
    edited[start:end] = part
    ctx.changed(key, SET_RANGE)
    return replies.integer(len(edited))


@command("GETRANGE", arity=4, flags={READONLY}, keys=FIRST_READ, group="string", since="2.4.0",
         summary="Answers a part of a string.", complexity="O(N) in the number of bytes answered",
         syntax="key start:integer end:integer")
@command("SUBSTR", arity=4, flags={READONLY}, keys=FIRST_READ, group="string", since="1.0.0",
         summary="The old name of GETRANGE.", complexity="O(N) in the number of bytes answered",
         syntax="key start:integer end:integer", deprecated=("2.0.0", "`GETRANGE`"))
def getrange(ctx: Context, key: bytes, start: bytes, end: bytes) -> bytes:
    first, last = parse_integer(start), parse_integer(end)
    value = ctx.string(key)
    if value is None or (first < 0 and last < 0 and first > last):
        return replies.EMPTY_BULK
    length = len(value)
    first = max(0, first + length) if first < 0 else first
    last = max(0, last + length) if last < 0 else last
    return replies.bulk(value[first : last + 1])


