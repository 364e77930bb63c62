"""Consumer groups of streams: XGROUP, which makes and removes them, and XACK."""

from __future__ import annotations

from cluster.commands.context import Context
from cluster.commands.keys import FIRST, KeySpec
from cluster.commands.registry import DENYOOM, FAST, LOADING, STALE, WRITE, command, container
from cluster.errors import CommandError, wrong_subcommand
from cluster.keyspace.events import TOUCHED, Event
from cluster.keyspace.numbers import parse_integer
from cluster.keyspace.stream_group import ConsumerGroup
from cluster.keyspace.stream_id import parse_bound, parse_id
from cluster.keyspace.values import StreamValue
from cluster.protocol import replies

GROUP_CREATE = Event("t", "xgroup-create")
GROUP_SET_ID = Event("t", "xgroup-setid")
GROUP_DESTROY = Event("t", "xgroup-destroy")
CONSUMER_CREATE = Event("t", "xgroup-createconsumer")
CONSUMER_DELETE = Event("t", "xgroup-delconsumer")

_INSERT = (KeySpec(2, 2, 1, ("RW", "insert")),)
_UPDATE = (KeySpec(2, 2, 1, ("RW", "update")),)
_DELETE = (KeySpec(2, 2, 1, ("RW", "delete")),)
_MOST_CREATE_WORDS = 8
_NO_STREAM = (
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option "
    "to create an empty stream automatically."
)

XGROUP = container("XGROUP", group="stream", since="5.0.0", summary="Holds the commands about groups of consumers.")


def shown(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def no_group(key: bytes, group: bytes, where: str = "") -> CommandError:
    return CommandError(f"NOGROUP No such key '{shown(key)}' or consumer group '{shown(group)}'{where}")


def no_group_of(key: bytes, group: bytes) -> CommandError:
    """Where the key is known to be there."""
    return CommandError(f"NOGROUP No such consumer group '{shown(group)}' for key name '{shown(key)}'")


def consumer_made(ctx: Context, key: bytes, group: bytes, consumer: bytes) -> None:
    """Tell of a consumer that was made by being named, and that nothing else will make on a replica."""
    ctx.propagate(b"XGROUP", b"CREATECONSUMER", key, group, consumer)


def _options(options: tuple[bytes, ...], *, creates: bool) -> tuple[bool, int | None]:
    """(MKSTREAM, ENTRIESREAD or None)"""
    makes, read = False, None
    rest = iter(options)
    for option in rest:
        word = option.upper()
        if creates and word == b"MKSTREAM":
            makes = True
        elif word == b"ENTRIESREAD" and (text := next(rest, None)) is not None:
            number = parse_integer(text)
            if number < -1:
                raise CommandError("ERR value for ENTRIESREAD must be positive or -1")
            read = None if number == -1 else number
        else:
            raise wrong_subcommand("xgroup")
    return makes, read


def _stream(ctx: Context, key: bytes) -> StreamValue:
    value = ctx.typed_for_write(key, StreamValue)
    if value is None:
        raise CommandError(_NO_STREAM)
    return value


def _group(ctx: Context, key: bytes, name: bytes) -> tuple[StreamValue, ConsumerGroup]:
    value = _stream(ctx, key)
    group = value.groups.get(name)
    if group is None:
        raise no_group_of(key, name)
    return value, group


@command("XGROUP CREATE", arity=-5, flags={WRITE, DENYOOM}, keys=_INSERT, group="stream", since="5.0.0",
         summary="Makes a group of consumers.",
         syntax="key groupname (id | '$') [MKSTREAM] [ENTRIESREAD entries_read:integer]")
def xgroup_create(ctx: Context, key: bytes, name: bytes, last_id: bytes, *options: bytes) -> bytes:
    makes, read = _options(options, creates=True)
    value = ctx.typed_for_write(key, StreamValue)
    if value is None and not makes:
        raise CommandError(_NO_STREAM)
    if len(options) > _MOST_CREATE_WORDS - 5:
        raise wrong_subcommand("xgroup")
    if last_id == b"$":
        last = 0 if value is None else value.last_id
    else:
        last = parse_id(last_id)
    if value is None:
        value = StreamValue()
        ctx.put(key, value)
        ctx.changed(key, GROUP_CREATE)
    elif name in value.groups:
        raise CommandError("BUSYGROUP Consumer Group name already exists")
    else:
        ctx.changed_aside(key, GROUP_CREATE)
    value.groups[name] = ConsumerGroup(last, read)
    return replies.OK


@command("XGROUP SETID", arity=-5, flags={WRITE}, keys=_UPDATE, group="stream", since="5.0.0",
         summary="Sets which entry a group was given last.",
         syntax="key groupname (id | '$') [ENTRIESREAD entries_read:integer]")
def xgroup_setid(ctx: Context, key: bytes, name: bytes, last_id: bytes, *options: bytes) -> bytes:
    _, read = _options(options, creates=False)
    value, group = _group(ctx, key, name)
    if len(options) > 2:
        raise wrong_subcommand("xgroup")
    group.last_id = value.last_id if last_id == b"$" else parse_bound(last_id)
    group.entries_read = read
    ctx.changed_aside(key, GROUP_SET_ID)
    return replies.OK


@command("XGROUP DESTROY", arity=4, flags={WRITE}, keys=_DELETE, group="stream", since="5.0.0",
         summary="Removes a group of consumers.", complexity="O(N) in the number of entries pending in the group",
         syntax="key groupname")
def xgroup_destroy(ctx: Context, key: bytes, name: bytes) -> bytes:
    value = _stream(ctx, key)
    if value.groups.pop(name, None) is None:
        return replies.ZERO
    ctx.changed_aside(key, GROUP_DESTROY)
    if ctx.server.blocked_keys:  # those who wait as consumers of the group are told
        ctx.server.key_ready(ctx.db, key)
    return replies.ONE


@command("XGROUP CREATECONSUMER", arity=5, flags={WRITE, DENYOOM}, keys=_INSERT, group="stream", since="6.2.0",
         summary="Makes a consumer of a group.", syntax="key groupname consumername")
def xgroup_createconsumer(ctx: Context, key: bytes, name: bytes, consumer: bytes) -> bytes:
    _, group = _group(ctx, key, name)
    _, is_new = group.consumer(consumer, ctx.now_ms)
    if not is_new:
        return replies.ZERO
    ctx.changed_aside(key, CONSUMER_CREATE)
    return replies.ONE


@command("XGROUP DELCONSUMER", arity=5, flags={WRITE}, keys=_DELETE, group="stream", since="5.0.0",
         summary="Removes a consumer of a group, and forgets what is pending with it.",
         syntax="key groupname consumername")
def xgroup_delconsumer(ctx: Context, key: bytes, name: bytes, consumer: bytes) -> bytes:
    _, group = _group(ctx, key, name)
    pending = group.remove_consumer(consumer)
    if pending is None:
        return replies.ZERO
    ctx.changed_aside(key, CONSUMER_DELETE)
    return replies.integer(pending)


@command("XGROUP HELP", arity=2, flags={LOADING, STALE}, group="stream", since="5.0.0",
         summary="Lists the subcommands.")
def xgroup_help(_ctx: Context) -> bytes:
    return replies.help_text("XGROUP", [
        ("CREATE <key> <groupname> <id|$> [MKSTREAM] [ENTRIESREAD <entries_read>]", "Make a group."),
        ("CREATECONSUMER <key> <groupname> <consumer>", "Make a consumer."),
        ("DELCONSUMER <key> <groupname> <consumer>", "Remove a consumer."),
        ("DESTROY <key> <groupname>", "Remove a group."),
        ("SETID <key> <groupname> <id|$> [ENTRIESREAD <entries_read>]", "Set what a group was given last."),
    ])


@command("XACK", arity=-4, flags={WRITE, FAST}, keys=FIRST, group="stream", since="5.0.0",
         summary="Acknowledges entries, which are pending no more.", complexity="O(1) for each entry",
         syntax="key group id...")
def xack(ctx: Context, key: bytes, name: bytes, *ids: bytes) -> bytes:
    value = ctx.typed(key, StreamValue)
    group = None if value is None else value.groups.get(name)
    if group is None:
        return replies.ZERO
    acknowledged = sum(map(group.acknowledge, [parse_id(text) for text in ids]))
    if acknowledged:
        ctx.changed_aside(key, TOUCHED, acknowledged)
    return replies.integer(acknowledged)
