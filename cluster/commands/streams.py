"""Streams: adding entries, looking at them. Deletions, readers that wait, and groups have files of their own."""

from __future__ import annotations

from itertools import islice

from cluster.commands.context import Context
from cluster.commands.keys import FIRST, FIRST_READ, first_key
from cluster.commands.registry import DENYOOM, FAST, READONLY, WRITE, command
from cluster.commands.stream_trimming import STREAM_TRIM, Trimming, parse_trimming
from cluster.errors import CommandError, NoSuchKey, SyntaxFault, wrong_arity
from cluster.keyspace.events import Event
from cluster.keyspace.numbers import parse_integer
from cluster.keyspace.stream import Entry
from cluster.keyspace.stream_id import (
    MAX_ID,
    PART_BITS,
    PART_MAX,
    id_text,
    make_id,
    parse_bound,
    parse_id,
    parse_new_id,
)
from cluster.keyspace.values import StreamValue
from cluster.protocol import replies

STREAM_ADD = Event("t", "xadd")
STREAM_SET_ID = Event("t", "xsetid")

_VARIES = ("nondeterministic_output",)
_TOO_SMALL = "ERR The ID specified in XADD is equal or smaller than the target stream top item"
_EXHAUSTED = "ERR The stream has exhausted the last possible ID, unable to add more items"


def entry_reply(entry: Entry) -> bytes:
    entry_id, items = entry
    text = id_text(entry_id)
    headers = replies.HEADERS
    try:
        body = b"".join([part for item in items for part in (headers[len(item)], item)])
    except IndexError:  # a long one
        return b"*2\r\n%b%b" % (replies.bulk(text), replies.bulk_array(items))
    return b"*2\r\n$%d\r\n%b\r\n*%d%b\r\n" % (len(text), text, len(items), body)


def entries_reply(entries: list[Entry]) -> bytes:
    """Entries as XRANGE answers them, in either protocol."""
    return replies.array(list(map(entry_reply, entries)))


# -- adding ------------------------------------------------------------------------------------------------------


@command("XADD", arity=-5, flags={WRITE, DENYOOM, FAST}, keys=FIRST, group="stream", since="5.0.0", tips=_VARIES,
         own_effects=True, summary="Adds an entry to a stream, and makes the stream where there is none.",
         complexity="O(1) for each entry, and O(N) in the number of those trimmed",
         syntax="key [NOMKSTREAM]@6.2.0 [KEEPREF | DELREF | ACKED] [(MAXLEN | MINID@6.2.0) ['=' | '~'] threshold "
                "[LIMIT count:integer]@6.2.0] ('*' | id) (field value)...")
def xadd(ctx: Context, key: bytes, *arguments: bytes) -> bytes:
    trimming: Trimming | None = None
    at = 0
    wanted: int | None = None
    has_seq = True
    if arguments[0] != b"*":
        trimming = parse_trimming(arguments, adding=True)
        at = trimming.behind
        if at < len(arguments) and arguments[at] != b"*":
            wanted, has_seq = parse_new_id(arguments[at])
        trimming.settle(ctx, adding=True)
    items = arguments[at + 1 :]
    if not items or len(items) & 1:
        raise wrong_arity("xadd")
    if wanted == 0 and has_seq:
        raise CommandError("ERR The ID specified in XADD must be greater than 0-0")
    value = ctx.typed_for_write(key, StreamValue)
    if value is None:
        if trimming is not None and trimming.only_existing:
            return ctx.null
        value = StreamValue()
        entry_id = _next_id(ctx, value, wanted, has_seq=has_seq)
        ctx.put(key, value)
    else:
        entry_id = _next_id(ctx, value, wanted, has_seq=has_seq)
        if ctx.server.blocked_keys:
            ctx.server.key_ready(ctx.db, key)
    config = ctx.config
    value.append(entry_id, items, config.stream_node_max_bytes, config.stream_node_max_entries)
    ctx.changed(key, STREAM_ADD)
    text = id_text(entry_id)
    options = arguments[:at]
    if trimming is not None and trimming.strategy:
        if trimming.apply(value):
            ctx.notify(key, STREAM_TRIM)
        options = trimming.exact(options, value)
    ctx.propagate(b"XADD", key, *options, text, *items)
    return replies.bulk(text)


def _next_id(ctx: Context, value: StreamValue, wanted: int | None, *, has_seq: bool) -> int:
    """The id of a new entry: `wanted`, which may leave its sequence open, or by the clock."""
    last = value.last_id
    if last == MAX_ID:
        raise CommandError(_EXHAUSTED)
    if wanted is None:
        return max(make_id(ctx.now_ms, 0), last + 1)
    if not has_seq and wanted >> PART_BITS == last >> PART_BITS:
        if last & PART_MAX == PART_MAX:
            raise CommandError(_TOO_SMALL)
        return last + 1
    if wanted <= last:
        raise CommandError(_TOO_SMALL)
    return wanted


@command("XSETID", arity=-3, flags={WRITE, DENYOOM, FAST}, keys=FIRST, group="stream", since="5.0.0",
         summary="Sets what a stream knows of its past: for replicas, and for those who copy a stream.",
         syntax="key last-id [ENTRIESADDED entries_added:integer]@7.0.0 [MAXDELETEDID max_deleted_entry_id]@7.0.0")
def xsetid(ctx: Context, key: bytes, last_id: bytes, *options: bytes) -> bytes:
    last = parse_id(last_id)
    added: int | None = None
    deleted = 0
    rest = iter(options)
    for option in rest:
        word, text = option.upper(), next(rest, None)
        if text is None or word not in (b"ENTRIESADDED", b"MAXDELETEDID"):
            raise SyntaxFault
        if word == b"ENTRIESADDED":
            added = parse_integer(text)
            if added < 0:
                raise CommandError("ERR entries_added must be positive")
        else:
            deleted = parse_id(text)
            if last < deleted:
                raise CommandError(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id"
                )
    value = ctx.typed_for_write(key, StreamValue)
    if value is None:
        raise NoSuchKey
    if last < value.max_deleted_id:
        raise CommandError("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id")
    if value.length:
        if last < value.top_id:
            raise CommandError("ERR The ID specified in XSETID is smaller than the target stream top item")
        if added is not None and added < value.length:
            raise CommandError("ERR The entries_added specified in XSETID is smaller than the target stream length")
    value.last_id = last
    if added is not None:
        value.entries_added = added
    if deleted:
        value.max_deleted_id = deleted
    ctx.changed_aside(key, STREAM_SET_ID)
    return replies.OK


# -- looking -----------------------------------------------------------------------------------------------------


@command("XLEN", arity=2, flags={READONLY, FAST}, keys=first_key("RO"), group="stream", since="5.0.0",
         summary="Answers the number of entries of a stream.", syntax="key")
def xlen(ctx: Context, key: bytes) -> bytes:
    value = ctx.typed(key, StreamValue)
    return replies.ZERO if value is None else replies.integer(value.length)


def first_bound(text: bytes) -> int:
    """The lowest id that a range takes in."""
    if not _is_exclusive(text):
        return parse_bound(text)
    first = parse_id(text[1:]) + 1
    if first > MAX_ID:
        raise CommandError("ERR invalid start ID for the interval")
    return first


def last_bound(text: bytes) -> int:
    """The highest id that a range takes in."""
    if not _is_exclusive(text):
        return parse_bound(text, PART_MAX)
    last = parse_id(text[1:], PART_MAX) - 1
    if last < 0:
        raise CommandError("ERR invalid end ID for the interval")
    return last


def _is_exclusive(text: bytes) -> bool:
    return len(text) > 1 and text[0] == 0x28


def _range(ctx: Context, key: bytes, start: bytes, end: bytes, options: tuple[bytes, ...], *, reverse: bool) -> bytes:
    first, last = first_bound(start), last_bound(end)
    count: int | None = None
    rest = iter(options)
    for option in rest:
        text = next(rest, None)
        if text is None or option.upper() != b"COUNT":
            raise SyntaxFault
        count = max(0, parse_integer(text))
    value = ctx.typed(key, StreamValue)
    if value is None:
        return replies.EMPTY_ARRAY
    if count == 0:
        return ctx.null_array
    entries = value.between_reversed(first, last) if reverse else value.between(first, last)
    return entries_reply(list(islice(entries, count)))


@command("XRANGE", arity=-4, flags={READONLY}, keys=FIRST_READ, group="stream", since="5.0.0",
         summary="Answers the entries with ids between two, lowest first.",
         complexity="O(N) in the number of elements answered", syntax="key start end [COUNT count:integer]")
def xrange(ctx: Context, key: bytes, start: bytes, end: bytes, *options: bytes) -> bytes:
    return _range(ctx, key, start, end, options, reverse=False)


@command("XREVRANGE", arity=-4, flags={READONLY}, keys=FIRST_READ, group="stream", since="5.0.0",
         summary="Answers the entries with ids between two, highest first.",
         complexity="O(N) in the number of elements answered", syntax="key end start [COUNT count:integer]")
def xrevrange(ctx: Context, key: bytes, end: bytes, start: bytes, *options: bytes) -> bytes:
    return _range(ctx, key, start, end, options, reverse=True)
