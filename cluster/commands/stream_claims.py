"""What is pending in a group: XPENDING looks at it, XCLAIM and XAUTOCLAIM give it to another consumer.

Every claim goes to replicas and logs as an XCLAIM of one entry with all that was decided, times and counts included. A
pending entry that the stream no longer has is dropped when a claim meets it, and so it is where that effect arrives.
"""

from __future__ import annotations

from cluster.commands.context import Context
from cluster.commands.keys import FIRST, FIRST_READ, first_key
from cluster.commands.registry import FAST, READONLY, WRITE, command
from cluster.commands.stream_groups import CONSUMER_CREATE, consumer_made, no_group, shown
from cluster.commands.streams import entry_reply, first_bound, last_bound
from cluster.errors import CommandError, NotAnInteger, SyntaxFault, WrongType
from cluster.keyspace.events import TOUCHED
from cluster.keyspace.numbers import parse_integer
from cluster.keyspace.stream_group import Consumer, ConsumerGroup, Pending
from cluster.keyspace.stream_id import MAX_ID, id_text, parse_id
from cluster.keyspace.values import StreamValue, Value
from cluster.protocol import replies

_VARIES = ("nondeterministic_output",)
_USUAL_COUNT = 100
_LOOKS_PER_CLAIM = 10
"""XAUTOCLAIM passes over so many entries that are not idle enough for each that it may claim."""
_MOST_COUNT = ((1 << 63) - 1) // 16


def claim_effect(ctx: Context, key: bytes, name: bytes, group: ConsumerGroup, entry_id: int, pending: Pending) -> None:
    """Propagate what is known of a pending entry now."""
    ctx.propagate(
        b"XCLAIM", key, name, pending.consumer.name, b"0", id_text(entry_id), b"TIME", b"%d" % pending.delivered_ms,
        b"RETRYCOUNT", b"%d" % pending.count, b"FORCE", b"JUSTID", b"LASTID", id_text(group.last_id),
    )


def group_id_effect(ctx: Context, key: bytes, name: bytes, group: ConsumerGroup) -> None:
    """Propagate how far a group has read."""
    read = -1 if group.entries_read is None else group.entries_read
    ctx.propagate(
        b"XGROUP", b"SETID", key, name, id_text(group.last_id), b"ENTRIESREAD", b"%d" % read
    )


# -- looking -----------------------------------------------------------------------------------------------------


@command("XPENDING", arity=-3, flags={READONLY}, keys=FIRST_READ, group="stream", since="5.0.0", tips=_VARIES,
         summary="Answers what is pending in a group: a summary, or entry by entry.",
         complexity="O(N) in the number of entries answered, or with IDLE of those looked at",
         syntax="key group [[IDLE min-idle-time:integer]@6.2.0 start end count:integer [consumer]]")
def xpending(ctx: Context, key: bytes, name: bytes, *options: bytes) -> bytes:
    if not options:
        return _pending_summary(ctx, _group(ctx, key, name)[1])
    if not 3 <= len(options) <= 6:
        raise SyntaxFault
    least_idle = 0
    if options[0].upper() == b"IDLE":
        least_idle = parse_integer(options[1])
        if len(options) < 5:
            raise SyntaxFault
        options = options[2:]
    count = max(0, parse_integer(options[2]))
    first, last = first_bound(options[0]), last_bound(options[1])
    _, group = _group(ctx, key, name)
    of_whom = group.pending
    if len(options) > 3:
        consumer = group.consumers.get(options[3])
        if consumer is None:
            return replies.EMPTY_ARRAY
        of_whom = consumer.pending
    found: list[bytes] = []
    for entry_id, pending in of_whom.between(first, last):
        if len(found) >= count:
            break
        idle = ctx.now_ms - pending.delivered_ms
        if not least_idle or idle >= least_idle:
            found.append(replies.array([
                replies.bulk(id_text(entry_id)), replies.bulk(pending.consumer.name), replies.integer(max(0, idle)),
                replies.integer(pending.count),
            ]))
    return replies.array(found)


def _pending_summary(ctx: Context, group: ConsumerGroup) -> bytes:
    pending = group.pending
    if not pending:
        return replies.array([replies.ZERO, ctx.null, ctx.null, ctx.null_array])
    holders = [consumer for _, consumer in sorted(group.consumers.items()) if consumer.pending]
    return replies.array([
        replies.integer(len(pending)), replies.bulk(id_text(pending.first_id)), replies.bulk(id_text(pending.last_id)),
        replies.array([replies.bulk_array((one.name, b"%d" % len(one.pending))) for one in holders]),
    ])


def _group(ctx: Context, key: bytes, name: bytes) -> tuple[StreamValue, ConsumerGroup]:
    return _group_in(ctx.find(key), key, name)


def _group_in(value: Value | None, key: bytes, name: bytes) -> tuple[StreamValue, ConsumerGroup]:
    if value is not None and not isinstance(value, StreamValue):
        raise WrongType
    group = None if value is None else value.groups.get(name)
    if value is None or group is None:
        raise no_group(key, name)
    return value, group


# -- claiming ----------------------------------------------------------------------------------------------------


class _Claim:
    """What XCLAIM's options ask for. `delivered_ms` and `count` are None where they are not given."""

    __slots__ = ("count", "delivered_ms", "forced", "just_ids", "last_id")

    def __init__(self) -> None:
        self.delivered_ms: int | None = None
        self.count: int | None = None
        self.last_id = 0
        self.forced = False
        self.just_ids = False


def _number(text: bytes, error: str) -> int:
    try:
        return parse_integer(text)
    except NotAnInteger:
        raise CommandError(f"ERR {error}") from None


def _claim_options(ctx: Context, options: tuple[bytes, ...]) -> _Claim:
    claim = _Claim()
    rest = iter(options)
    for option in rest:
        word = option.upper()
        if word == b"FORCE":
            claim.forced = True
            continue
        if word == b"JUSTID":
            claim.just_ids = True
            continue
        text = next(rest, None)
        if text is None or word not in (b"IDLE", b"TIME", b"RETRYCOUNT", b"LASTID"):
            raise CommandError(f"ERR Unrecognized XCLAIM option '{shown(option)}'")
        if word == b"LASTID":
            claim.last_id = parse_id(text)
            continue
        number = _number(text, f"Invalid {shown(word)} option argument for XCLAIM")
        if word == b"RETRYCOUNT":
            claim.count = None if number < 0 else number
        else:
            claim.delivered_ms = ctx.now_ms - number if word == b"IDLE" else number
    return claim


def _ids_and_options(arguments: tuple[bytes, ...]) -> tuple[list[int], tuple[bytes, ...]]:
    """The ids end at the first word that is none."""
    ids: list[int] = []
    for text in arguments:
        try:
            ids.append(parse_id(text))
        except CommandError:
            break
    return ids, arguments[len(ids) :]


@command("XCLAIM", arity=-6, flags={WRITE, FAST}, keys=FIRST, group="stream", since="5.0.0", tips=_VARIES,
         own_effects=True, summary="Gives pending entries to another consumer.",
         complexity="O(log N) in the number of entries pending",
         syntax="key group consumer min-idle-time id... [IDLE ms:integer] [TIME unix-time-milliseconds:unix-time] "
                "[RETRYCOUNT count:integer] [FORCE] [JUSTID] [LASTID id]")
def xclaim(ctx: Context, key: bytes, name: bytes, consumer_name: bytes, least: bytes, *arguments: bytes) -> bytes:
    value, group = _group(ctx, key, name)
    least_idle = _number(least, "Invalid min-idle-time argument for XCLAIM")
    ids, options = _ids_and_options(arguments)
    claim = _claim_options(ctx, options)
    moved_on = claim.last_id > group.last_id
    if moved_on:
        group.last_id = claim.last_id
    delivered = claim.delivered_ms
    if delivered is None or not 0 <= delivered <= ctx.now_ms:
        delivered = ctx.now_ms
    taker = _Taker(ctx, key, name, group, consumer_name)
    shown_entries: list[bytes] = []
    for entry_id in ids:
        pending = group.pending.get(entry_id)
        items = value.get(entry_id)
        if items is None:
            if pending is not None:
                taker.drop(entry_id, pending)
            continue
        if pending is None:
            if not claim.forced:
                continue
            pending = group.give(entry_id, taker.consumer, delivered)
        elif least_idle > 0 and ctx.now_ms - pending.delivered_ms < least_idle:
            continue
        count = claim.count if claim.count is not None else pending.count + (not claim.just_ids)
        taker.take(entry_id, delivered, count)
        shown_entries.append(replies.bulk(id_text(entry_id)) if claim.just_ids else entry_reply((entry_id, items)))
    if moved_on and not taker.effects:
        ctx.dirty += 1
        group_id_effect(ctx, key, name, group)
    taker.finish()
    return replies.array(shown_entries)


class _Taker:
    """The consumer that claims, and the effects of what it does."""

    def __init__(self, ctx: Context, key: bytes, name: bytes, group: ConsumerGroup, consumer_name: bytes) -> None:
        self._ctx, self._key, self._name, self._group = ctx, key, name, group
        self.consumer: Consumer
        self.consumer, self._is_new = group.consumer(consumer_name, ctx.now_ms)
        self.consumer.seen_ms = ctx.now_ms
        self.effects = 0
        self._has_taken = False

    def take(self, entry_id: int, delivered_ms: int, count: int) -> None:
        pending = self._group.give(entry_id, self.consumer, delivered_ms, count)
        self.consumer.active_ms = self._ctx.now_ms
        self._has_taken = True
        self._effect(entry_id, pending)

    def drop(self, entry_id: int, pending: Pending) -> None:
        """The stream has no such entry any more."""
        self._effect(entry_id, pending)
        self._group.acknowledge(entry_id)

    def _effect(self, entry_id: int, pending: Pending) -> None:
        self.effects += 1
        self._ctx.changed_aside(self._key, TOUCHED)
        claim_effect(self._ctx, self._key, self._name, self._group, entry_id, pending)

    def finish(self) -> None:
        if self._is_new:
            self._ctx.changed_aside(self._key, CONSUMER_CREATE)
            if not self._has_taken:
                consumer_made(self._ctx, self._key, self._name, self.consumer.name)


@command("XAUTOCLAIM", arity=-6, flags={WRITE, FAST}, keys=first_key("RW", "delete"), group="stream", since="6.2.0",
         tips=_VARIES, own_effects=True, summary="Gives pending entries that are idle to another consumer.",
         complexity="O(1) for a small COUNT",
         syntax="key group consumer min-idle-time start [COUNT count:integer] [JUSTID]")
def xautoclaim(
    ctx: Context, key: bytes, name: bytes, consumer_name: bytes, least: bytes, start: bytes, *options: bytes
) -> bytes:
    found_value = ctx.find(key)  # before anything is read: a key that is not there is missed in any case
    least_idle = _number(least, "Invalid min-idle-time argument for XAUTOCLAIM")
    first = first_bound(start)
    count, just_ids = _autoclaim_options(options)
    value, group = _group_in(found_value, key, name)
    taker = _Taker(ctx, key, name, group, consumer_name)
    claimed: list[bytes] = []
    dropped: list[tuple[int, Pending]] = []
    waiting = group.pending.between(first, MAX_ID)
    looks = count * _LOOKS_PER_CLAIM
    while looks and len(claimed) + len(dropped) < count and (found := next(waiting, None)) is not None:
        looks -= 1
        entry_id, pending = found
        items = value.get(entry_id)
        if items is None:
            dropped.append(found)
        elif ctx.now_ms - pending.delivered_ms >= least_idle or least_idle <= 0:
            taker.take(entry_id, ctx.now_ms, pending.count + (not just_ids))
            claimed.append(replies.bulk(id_text(entry_id)) if just_ids else entry_reply((entry_id, items)))
    following = next(waiting, None)
    for entry_id, pending in dropped:
        taker.drop(entry_id, pending)
    taker.finish()
    return replies.array([
        replies.bulk(id_text(0 if following is None else following[0])), replies.array(claimed),
        replies.bulk_array([id_text(entry_id) for entry_id, _ in dropped]),
    ])


def _autoclaim_options(options: tuple[bytes, ...]) -> tuple[int, bool]:
    """(COUNT, JUSTID)"""
    count, just_ids = _USUAL_COUNT, False
    rest = iter(options)
    for option in rest:
        word = option.upper()
        if word == b"JUSTID":
            just_ids = True
        elif word == b"COUNT" and (text := next(rest, None)) is not None:
            count = _number(text, "COUNT must be > 0")
            if not 1 <= count <= _MOST_COUNT:
                raise CommandError("ERR COUNT must be > 0")
        else:
            raise SyntaxFault
    return count, just_ids
