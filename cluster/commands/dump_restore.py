"""DUMP and RESTORE: a value as bytes that any server of the family understands."""

from __future__ import annotations

from cluster.commands.context import Context
from cluster.commands.keys import FIRST_READ, first_key
from cluster.commands.registry import ASKING, DENYOOM, READONLY, WRITE, command
from cluster.commands.sorted_sets import settle_zeros
from cluster.errors import CommandError, SyntaxFault
from cluster.keyspace.events import DEL, Event
from cluster.keyspace.numbers import parse_integer
from cluster.keyspace.sorted_set import SortedSetValue
from cluster.persistence.rdb_reader import RdbError, load_payload, payload_is_whole
from cluster.persistence.rdb_writer import dump_payload
from cluster.protocol import replies

RESTORED = Event("g", "restore")
_BUSY = "BUSYKEY Target key name already exists."
_LARGEST_FREQUENCY = 255


@command("DUMP", arity=2, flags={READONLY}, keys=FIRST_READ, group="generic", since="2.6.0",
         tips=("nondeterministic_output",), summary="Answers the value of a key in the form that RESTORE takes.",
         complexity="O(1) to find the key, and O(N*M) for N elements of M bytes each", syntax="key")
def dump(ctx: Context, key: bytes) -> bytes:
    value = ctx.find(key)
    return ctx.null if value is None else replies.bulk(dump_payload(value, ctx.config))


@command("RESTORE", arity=-4, flags={WRITE, DENYOOM}, keys=first_key("OW", "update"), group="generic", since="2.6.0",
         categories=("dangerous",), own_effects=True, summary="Makes a key from what DUMP answered.",
         complexity="O(1) to find the key, and O(N*M) for N elements of M bytes each; O(N*M*log(N)) for a sorted set",
         syntax="key ttl:integer serialized-value [REPLACE]@3.0.0 [ABSTTL]@5.0.0 [IDLETIME seconds:integer]@5.0.0 "
                "[FREQ frequency:integer]@5.0.0")
@command("RESTORE-ASKING", arity=-4, flags={WRITE, DENYOOM, ASKING}, keys=first_key("OW", "update"), group="server",
         since="3.0.0", categories=("dangerous", "keyspace"), own_effects=True,
         summary="RESTORE for a slot that is on its way here.",
         complexity="O(1) to find the key, and O(N*M) for N elements of M bytes each; O(N*M*log(N)) for a sorted set",
         syntax="key ttl:integer serialized-value [REPLACE]@3.0.0 [ABSTTL]@5.0.0 [IDLETIME seconds:integer]@5.0.0 "
                "[FREQ frequency:integer]@5.0.0")
def restore(ctx: Context, key: bytes, ttl: bytes, payload: bytes, *options: bytes) -> bytes:
    if not options:
        return _restore(ctx, key, ttl, payload)
    return _restore(ctx, key, ttl, payload, **_parsed(options))


def _parsed(options: tuple[bytes, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    rest = list(options)
    while rest:
        word = rest.pop(0).upper()
        if word in (b"REPLACE", b"ABSTTL"):
            found[word.lower().decode()] = 1
        elif word == b"IDLETIME" and rest and "freq" not in found:
            found["idle"] = parse_integer(rest.pop(0))
            if found["idle"] < 0:
                raise CommandError("ERR Invalid IDLETIME value, must be >= 0")
        elif word == b"FREQ" and rest and "idle" not in found:
            found["freq"] = parse_integer(rest.pop(0))
            if not 0 <= found["freq"] <= _LARGEST_FREQUENCY:
                raise CommandError("ERR Invalid FREQ value, must be >= 0 and <= 255")
        else:
            raise SyntaxFault
    return found


def _restore(
    ctx: Context, key: bytes, ttl: bytes, payload: bytes, *, replace: int = 0, absttl: int = 0,
    idle: int | None = None, freq: int | None = None,
) -> bytes:
    there = ctx.find_for_write(key) is not None
    if there and not replace:
        raise CommandError(_BUSY)
    expiry = parse_integer(ttl)
    if expiry < 0:
        raise CommandError("ERR Invalid TTL value, must be >= 0")
    if not payload_is_whole(payload):
        raise CommandError("ERR DUMP payload version or checksum are wrong")
    ctx.server.stats.payload_checks += 1
    try:
        value = load_payload(payload, ctx.server.field_names)
    except RdbError as error:
        ctx.server.log("warning", f"RESTORE of {key!r}: {error}")
        raise CommandError("ERR Bad data format") from None
    if isinstance(value, SortedSetValue):
        settle_zeros(ctx, value)
    deadline = (expiry if absttl else ctx.now_ms + expiry) if expiry else None
    ctx.clear(key)
    if deadline is not None and deadline <= ctx.now_ms and not ctx.obeys_primary:
        if there:
            ctx.changed(key, DEL)
            ctx.propagate(b"DEL", key)
        return replies.OK
    ctx.adopt(key, value, deadline)
    usage: tuple[bytes, ...] = ()
    if idle is not None:
        usage = (b"IDLETIME", b"%d" % idle)
    elif freq is not None:
        usage = (b"FREQ", b"%d" % freq)
    if usage:
        ctx.server.memory.restored(ctx.db, key, idle, freq)
    ctx.changed(key, RESTORED)
    ctx.propagate(b"RESTORE", key, b"%d" % (deadline or 0), payload, b"ABSTTL", b"REPLACE", *usage)
    return replies.OK
