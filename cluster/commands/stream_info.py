"""XINFO: what is known of a stream, of its groups, and of their consumers."""

from __future__ import annotations

from itertools import islice, pairwise

from cluster.commands.context import Context
from cluster.commands.keys import KeySpec
from cluster.commands.registry import LOADING, READONLY, STALE, command, container
from cluster.commands.stream_groups import no_group_of
from cluster.commands.streams import entries_reply, entry_reply
from cluster.errors import NoSuchKey, wrong_subcommand
from cluster.keyspace.numbers import parse_integer
from cluster.keyspace.stream_group import Consumer, ConsumerGroup
from cluster.keyspace.stream_id import id_text
from cluster.keyspace.values import StreamValue
from cluster.protocol import replies

_KEY = (KeySpec(2, 2, 1, ("RO", "access")),)
_VARIES = ("nondeterministic_output",)
_USUAL_COUNT = 10
_ID_BYTES = 16

XINFO = container("XINFO", group="stream", since="5.0.0", summary="Holds the commands that describe streams.")


def _stream(ctx: Context, key: bytes) -> StreamValue:
    value = ctx.typed(key, StreamValue)
    if value is None:
        raise NoSuchKey
    return value


def _id(entry_id: int) -> bytes:
    return replies.bulk(id_text(entry_id))


def _number(ctx: Context, number: int | None) -> bytes:
    return ctx.null if number is None else replies.integer(number)


def index_nodes(starts: list[int]) -> int:
    """How many nodes redis-server's radix tree has for blocks that begin with these ids, in ascending order.

    Each id ends in a node, each branch is one, and so is each run of bytes between them. O(n).
    """
    nodes = max(1, len(starts))
    open_branches: list[int] = []  # the depths of the branches on the way to the id at hand

    def below(parent: int, depth: int) -> bool:
        """Whether a run of bytes leads from one branch to what is at `depth`."""
        return depth - parent > 1

    for one, other in pairwise(starts):
        depth = _ID_BYTES - ((one ^ other).bit_length() + 7) // 8
        child = _ID_BYTES
        while open_branches and open_branches[-1] > depth:
            nodes += below(open_branches[-1], child)
            child = open_branches.pop()
        nodes += below(depth, child)
        if not open_branches or open_branches[-1] < depth:
            open_branches.append(depth)
            nodes += 1
    child = _ID_BYTES
    while open_branches:
        nodes += below(open_branches[-1], child)
        child = open_branches.pop()
    return nodes + (bool(starts) and below(-1, child))


def _basics(value: StreamValue) -> dict[str, bytes]:
    return {
        "length": replies.integer(value.length),
        "radix-tree-keys": replies.integer(len(value.blocks)),
        "radix-tree-nodes": replies.integer(index_nodes(value.starts)),
        "last-generated-id": _id(value.last_id),
        "max-deleted-entry-id": _id(value.max_deleted_id),
        "entries-added": replies.integer(value.entries_added),
        "recorded-first-entry-id": _id(value.first_id),
    }


@command("XINFO STREAM", arity=-3, flags={READONLY}, keys=_KEY, group="stream", since="5.0.0",
         summary="Describes a stream, with FULL all that is in it.", syntax="key [FULL [COUNT count:integer]]")
def xinfo_stream(ctx: Context, key: bytes, *options: bytes) -> bytes:
    value = _stream(ctx, key)
    if options:
        return _full(ctx, value, _full_count(options))
    first, last = next(value.between(), None), next(value.between_reversed(), None)
    return replies.string_map({
        **_basics(value),
        "groups": replies.integer(len(value.groups)),
        "first-entry": ctx.null if first is None else entry_reply(first),
        "last-entry": ctx.null if last is None else entry_reply(last),
    }, ctx.resp)


def _full_count(options: tuple[bytes, ...]) -> int | None:
    """How many entries and pending entries FULL shows, None for all."""
    if len(options) not in (1, 3) or options[0].upper() != b"FULL":
        raise wrong_subcommand("xinfo")
    if len(options) == 1:
        return _USUAL_COUNT
    if options[1].upper() != b"COUNT":
        raise wrong_subcommand("xinfo")
    count = parse_integer(options[2])
    return (count or None) if count >= 0 else _USUAL_COUNT


def _full(ctx: Context, value: StreamValue, count: int | None) -> bytes:
    return replies.string_map({
        **_basics(value),
        "entries": entries_reply(list(islice(value.between(), count))),
        "groups": replies.array([
            _full_group(ctx, value, name, group, count) for name, group in sorted(value.groups.items())
        ]),
    }, ctx.resp)


def _full_group(ctx: Context, value: StreamValue, name: bytes, group: ConsumerGroup, count: int | None) -> bytes:
    pending = [
        replies.array([
            _id(entry_id), replies.bulk(one.consumer.name), replies.integer(one.delivered_ms),
            replies.integer(one.count),
        ])
        for entry_id, one in islice(group.pending.between(), count)
    ]
    return replies.string_map({
        "name": replies.bulk(name),
        "last-delivered-id": _id(group.last_id),
        "entries-read": _number(ctx, group.entries_read),
        "lag": _number(ctx, value.lag(group)),
        "pel-count": replies.integer(len(group.pending)),
        "pending": replies.array(pending),
        "consumers": replies.array([
            _full_consumer(ctx, consumer, count) for _, consumer in sorted(group.consumers.items())
        ]),
    }, ctx.resp)


def _full_consumer(ctx: Context, consumer: Consumer, count: int | None) -> bytes:
    pending = [
        replies.array([_id(entry_id), replies.integer(one.delivered_ms), replies.integer(one.count)])
        for entry_id, one in islice(consumer.pending.between(), count)
    ]
    return replies.string_map({
        "name": replies.bulk(consumer.name),
        "seen-time": replies.integer(consumer.seen_ms),
        "active-time": replies.integer(-1 if consumer.active_ms is None else consumer.active_ms),
        "pel-count": replies.integer(len(consumer.pending)),
        "pending": replies.array(pending),
    }, ctx.resp)


@command("XINFO GROUPS", arity=3, flags={READONLY}, keys=_KEY, group="stream", since="5.0.0",
         summary="Describes the groups of a stream.", syntax="key")
def xinfo_groups(ctx: Context, key: bytes) -> bytes:
    value = _stream(ctx, key)
    return replies.array([
        replies.string_map({
            "name": replies.bulk(name),
            "consumers": replies.integer(len(group.consumers)),
            "pending": replies.integer(len(group.pending)),
            "last-delivered-id": _id(group.last_id),
            "entries-read": _number(ctx, group.entries_read),
            "lag": _number(ctx, value.lag(group)),
        }, ctx.resp)
        for name, group in sorted(value.groups.items())
    ])


@command("XINFO CONSUMERS", arity=4, flags={READONLY}, keys=_KEY, group="stream", since="5.0.0", tips=_VARIES,
         summary="Describes the consumers of a group.", syntax="key groupname")
def xinfo_consumers(ctx: Context, key: bytes, name: bytes) -> bytes:
    group = _stream(ctx, key).groups.get(name)
    if group is None:
        raise no_group_of(key, name)
    now = ctx.now_ms
    return replies.array([
        replies.string_map({
            "name": replies.bulk(consumer.name),
            "pending": replies.integer(len(consumer.pending)),
            "idle": replies.integer(max(0, now - consumer.seen_ms)),
            "inactive": replies.integer(-1 if consumer.active_ms is None else max(0, now - consumer.active_ms)),
        }, ctx.resp)
        for _, consumer in sorted(group.consumers.items())
    ])


@command("XINFO HELP", arity=2, flags={LOADING, STALE}, group="stream", since="5.0.0",
         summary="Lists the subcommands.")
def xinfo_help(_ctx: Context) -> bytes:
    return replies.help_text("XINFO", [
        ("CONSUMERS <key> <groupname>", "The consumers of a group."),
        ("GROUPS <key>", "The groups of a stream."),
        ("STREAM <key> [FULL [COUNT <count>]]", "The stream; with FULL all that is in it."),
    ])
