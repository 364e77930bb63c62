"""XREAD and XREADGROUP: what is new in streams, for those who wait too.

A client that waits is asked again, as a whole, whenever one of its streams changes: XREADGROUP's readers then find the
entries that nobody before them took, or learn that the stream or the group is gone. `$` is the last id at the time of
the command, not of each try.

What XREADGROUP does goes to replicas and logs as an XCLAIM for each entry and an XGROUP SETID.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

from cluster.commands.context import Context
from cluster.commands.keys import READ, Keyword
from cluster.commands.registry import BLOCKING, READONLY, WRITE, command
from cluster.commands.stream_claims import claim_effect, group_id_effect
from cluster.commands.stream_groups import CONSUMER_CREATE, consumer_made, no_group
from cluster.commands.streams import entries_reply, entry_reply
from cluster.errors import CommandError, NotAnInteger, SyntaxFault
from cluster.keyspace.events import TOUCHED
from cluster.keyspace.numbers import INT64_MAX, parse_integer
from cluster.keyspace.stream import Entry
from cluster.keyspace.stream_group import Consumer, ConsumerGroup
from cluster.keyspace.stream_id import MAX_ID, id_text, parse_id
from cluster.keyspace.values import StreamValue
from cluster.protocol import replies

_NEW = -1
"""In place of an id: `>`, the entries that no consumer of the group was given."""


class _Request:
    """A command's words. `start` is the id behind which reading begins, by stream; `wait_ms` is None where BLOCK is
    not given, and 0 for ever."""

    __slots__ = ("consumer", "count", "group", "keys", "no_ack", "start", "wait_ms")

    def __init__(self) -> None:
        self.group: bytes | None = None
        self.consumer = b""
        self.count: int | None = None
        self.wait_ms: int | None = None
        self.no_ack = False
        self.keys: Sequence[bytes] = ()
        self.start: list[int] = []


_Serve = Callable[[Context, _Request], bytes | None]


def _parse(ctx: Context, arguments: tuple[bytes, ...], *, name: str) -> tuple[_Request, tuple[bytes, ...]]:
    """(the request, the texts of the ids, which can be read once the streams are known)"""
    request = _Request()
    grouped = name == "xreadgroup"
    at, last = 0, len(arguments) - 1
    while at <= last:
        word = arguments[at].upper()
        if word == b"STREAMS" and at < last:
            return request, _split_streams(request, arguments[at + 1 :], name)
        if word == b"BLOCK" and at < last:
            at += 1
            request.wait_ms = _block_ms(ctx, arguments[at])
        elif word == b"COUNT" and at < last:
            at += 1
            count = parse_integer(arguments[at])
            request.count = count if count > 0 else None
        elif word == b"GROUP" and at + 1 < last:
            if not grouped:
                raise CommandError(
                    "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead."
                )
            request.group, request.consumer = arguments[at + 1], arguments[at + 2]
            at += 2
        elif word == b"NOACK":
            if not grouped:
                raise CommandError(
                    "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead."
                )
            request.no_ack = True
        else:
            break
        at += 1
    raise SyntaxFault


def _split_streams(request: _Request, words: tuple[bytes, ...], name: str) -> tuple[bytes, ...]:
    """Half of the words are keys, half ids."""
    grouped = name == "xreadgroup"
    if len(words) & 1:
        wanted = "an ID or '>'" if grouped else "an ID, '+', or '$'"
        raise CommandError(f"ERR Unbalanced '{name}' list of streams: for each stream key {wanted} must be specified.")
    if grouped and request.group is None:
        raise CommandError("ERR Missing GROUP option for XREADGROUP")
    half = len(words) // 2
    request.keys = words[:half]
    return words[half:]


def _block_ms(ctx: Context, text: bytes) -> int:
    try:
        wait_ms = parse_integer(text)
    except NotAnInteger:
        raise CommandError("ERR timeout is not an integer or out of range") from None
    if wait_ms < 0:
        raise CommandError("ERR timeout is negative")
    if wait_ms > INT64_MAX - ctx.now_ms:
        raise CommandError("ERR timeout is out of range")
    return wait_ms


def _serve_or_wait(ctx: Context, request: _Request, serve: _Serve) -> bytes | None:
    reply = serve(ctx, request)
    if reply is not None:
        return reply
    if request.wait_ms is None or not ctx.allows_blocking:
        return ctx.null_array
    # XREAD waits on where its stream is gone or replaced, until there is one again.
    kind = StreamValue if request.group is None else None
    ctx.server.block(
        list(request.keys), request.wait_ms, lambda ctx, _key: serve(ctx, request), ctx.null_array, kind
    )
    return None


def _streams_reply(ctx: Context, found: list[tuple[bytes, bytes]]) -> bytes | None:
    """(key, its entries encoded) of the streams that had some."""
    if not found:
        return None
    encoded = [(replies.bulk(key), entries) for key, entries in found]
    if ctx.resp == 3:
        return replies.map_reply(encoded, 3)
    return replies.array([b"*2\r\n" + key + entries for key, entries in encoded])


# -- XREAD -------------------------------------------------------------------------------------------------------


@command("XREAD", arity=-4, flags={READONLY, BLOCKING}, keys=(Keyword(b"STREAMS", 1, -1, 1, READ, limit=2),),
         group="stream", since="5.0.0", summary="Answers the entries behind given ids of streams, and waits for some.",
         complexity="O(N) in the number of entries answered",
         syntax="[COUNT count:integer] [BLOCK milliseconds:integer] STREAMS (key... id...)")
def xread(ctx: Context, *arguments: bytes) -> bytes | None:
    request, texts = _parse(ctx, arguments, name="xread")
    for key, text in zip(request.keys, texts, strict=True):
        value = ctx.typed(key, StreamValue)
        if text == b"$":
            request.start.append(0 if value is None else value.last_id)
        elif text == b"+":  # the last entry, or else the next one
            request.start.append(0 if value is None else value.top_id - 1 if value.length else value.last_id)
        elif text == b">":
            raise CommandError(
                "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option."
            )
        else:
            request.start.append(parse_id(text))
    return _serve_or_wait(ctx, request, _read)


def _read(ctx: Context, request: _Request) -> bytes | None:
    values = [ctx.typed(key, StreamValue) for key in request.keys]
    found = [
        (key, entries_reply(list(islice(value.between(start + 1), request.count))))
        for key, value, start in zip(request.keys, values, request.start, strict=True)
        if value is not None and value.top_id > start
    ]
    return _streams_reply(ctx, found)


# -- XREADGROUP --------------------------------------------------------------------------------------------------


@command("XREADGROUP", arity=-7, flags={WRITE, BLOCKING}, keys=(Keyword(b"STREAMS", 4, -1, 1, READ, limit=2),),
         group="stream", since="5.0.0", own_effects=True,
         summary="Gives a consumer of a group entries, new ones or those that are pending with it, and waits for some.",
         complexity="O(M) in the number of entries answered",
         syntax="GROUP (group consumer) [COUNT count:integer] [BLOCK milliseconds:integer] [NOACK] STREAMS (key... "
                "id...)")
def xreadgroup(ctx: Context, *arguments: bytes) -> bytes | None:
    request, texts = _parse(ctx, arguments, name="xreadgroup")
    for key, text in zip(request.keys, texts, strict=True):
        _stream_and_group(ctx, request, key)
        if text in (b"$", b"+"):
            word = text.decode()
            raise CommandError(
                f"ERR The {word} ID is meaningless in the context of XREADGROUP: you want to read the history of this "
                f"consumer by specifying a proper ID, or use the > ID to get new messages. The {word} ID would just "
                "return an empty result set."
            )
        request.start.append(_NEW if text == b">" else parse_id(text))
    return _serve_or_wait(ctx, request, _read_group)


def _stream_and_group(ctx: Context, request: _Request, key: bytes) -> tuple[StreamValue, ConsumerGroup]:
    value = ctx.typed(key, StreamValue)
    name = request.group
    assert name is not None
    group = None if value is None else value.groups.get(name)
    if value is None or group is None:
        raise no_group(key, name, " in XREADGROUP with GROUP option")
    return value, group


def _read_group(ctx: Context, request: _Request) -> bytes | None:
    streams = [_stream_and_group(ctx, request, key) for key in request.keys]
    found: list[tuple[bytes, bytes]] = []
    for key, start, (value, group) in zip(request.keys, request.start, streams, strict=True):
        consumer, is_new = group.consumer(request.consumer, ctx.now_ms)
        consumer.seen_ms = ctx.now_ms
        has_entries = start == _NEW and value.top_id > group.last_id
        if is_new:
            ctx.changed_aside(key, CONSUMER_CREATE)
            if request.no_ack or not has_entries:
                consumer_made(ctx, key, request.group or b"", consumer.name)
        if start != _NEW:
            found.append((key, _history(ctx, value, consumer, start, request.count)))
        elif has_entries:
            entries = list(islice(value.between(group.last_id + 1), request.count))
            _give(ctx, request, key, value, group, consumer, entries)
            found.append((key, entries_reply(entries)))
    return _streams_reply(ctx, found)


def _give(
    ctx: Context, request: _Request, key: bytes, value: StreamValue, group: ConsumerGroup, consumer: Consumer,
    entries: list[Entry],
) -> None:
    """New entries for a consumer: the group has read them, and unless NOACK is given they are pending."""
    name = request.group or b""
    for entry_id, _ in entries:
        if group.entries_read is not None and not value.has_tombstones(entry_id):
            group.entries_read += 1
        elif value.entries_added:
            group.entries_read = value.entries_up_to(entry_id)
        group.last_id = entry_id
        if not request.no_ack:
            claim_effect(ctx, key, name, group, entry_id, group.give(entry_id, consumer, ctx.now_ms))
    # XCLAIM carries the last id but not how many entries that were.
    group_id_effect(ctx, key, name, group)
    consumer.active_ms = ctx.now_ms
    ctx.changed_aside(key, TOUCHED)


def _history(ctx: Context, value: StreamValue, consumer: Consumer, start: int, count: int | None) -> bytes:
    """What is pending with a consumer behind an id. To have asked counts as a delivery; no replica hears of it."""
    shown: list[bytes] = []
    for entry_id, pending in islice(consumer.pending.between(start + 1, MAX_ID), count):
        items = value.get(entry_id)
        if items is None:
            shown.append(b"*2\r\n" + replies.bulk(id_text(entry_id)) + ctx.null_array)
            continue
        pending.delivered_ms = ctx.now_ms
        pending.count += 1
        shown.append(entry_reply((entry_id, items)))
    return replies.array(shown)
