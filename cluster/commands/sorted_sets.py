"""Sorted sets: members and their scores one at a time. Ranges, pops and algebra have files of their own."""

from __future__ import annotations

import math

from cluster.commands.context import Context
from cluster.commands.keys import FIRST, FIRST_READ, first_key
from cluster.commands.random_elements import Companions, random_pairs
from cluster.commands.registry import DENYOOM, FAST, READONLY, WRITE, command
from cluster.commands.scan_commands import scan_members
from cluster.errors import CommandError, SyntaxFault, wrong_arity
from cluster.keyspace.encodings import impose, is_compact_sorted_set
from cluster.keyspace.events import DEL, Event
from cluster.keyspace.numbers import parse_float
from cluster.keyspace.values import SortedSetValue
from cluster.protocol import replies
from cluster.protocol.doubles import format_double

SCORE_ADD = Event("z", "zadd")
SCORE_INCREMENT = Event("z", "zincr")
SCORE_REMOVE = Event("z", "zrem")

_PRESENCE = first_key("RO")
_RANDOM = ("nondeterministic_output",)
_ADD_OPTIONS = {b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR"}


def _put(ctx: Context, value: SortedSetValue | None, key: bytes, member: bytes, score: float) -> SortedSetValue:
    if value is None:
        value = SortedSetValue()
        ctx.put(key, value)
    value.add(member, score)
    if not score:
        settle_zero(ctx, value, score)
    return value


def _move(ctx: Context, value: SortedSetValue, member: bytes, old: float, new: float) -> None:
    value.move(member, old, new)
    if not new:
        settle_zero(ctx, value, new)


def settle_zero(ctx: Context, value: SortedSetValue, score: float) -> None:
    """`score` is zero, and was set: should it be -0, see to it that it shows as in redis-server."""
    if math.copysign(1.0, score) < 0:
        settle_zeros(ctx, value)


def settle_zeros(ctx: Context, value: SortedSetValue) -> None:
    """In a listpack redis-server keeps a score of -0 as the integer 0; in a skiplist it stays what it is."""
    if is_compact_sorted_set(value, ctx.config):
        value.drop_zero_signs()


@command("ZADD", arity=-4, flags={WRITE, DENYOOM, FAST}, keys=FIRST, group="sorted-set", since="1.2.0",
         summary="Adds members with their scores, or changes scores.",
         complexity="O(log(N)) in the size of the sorted set",
         syntax="key [NX | XX]@3.0.2 [GT | LT]@6.2.0 [CH]@3.0.2 [INCR]@3.0.2 (score:double member)...")
def zadd(ctx: Context, key: bytes, *arguments: bytes) -> bytes:
    if len(arguments) == 2 and arguments[0].upper() not in _ADD_OPTIONS:
        score, member = parse_float(arguments[0]), arguments[1]
        value = ctx.typed_for_write(key, SortedSetValue)
        if value is None:
            value = SortedSetValue()
            ctx.put(key, value)
        old = value.add(member, score)
        if old is None:
            if not score:
                settle_zero(ctx, value, score)
            ctx.changed(key, SCORE_ADD)
            return replies.ONE
        if old != score:
            _move(ctx, value, member, old, score)
            ctx.changed(key, SCORE_ADD)
        return replies.ZERO
    return _add_with_options(ctx, key, arguments)


def _add_with_options(ctx: Context, key: bytes, arguments: tuple[bytes, ...]) -> bytes:
    words: set[bytes] = set()
    at = 0
    while at < len(arguments) and (word := arguments[at].upper()) in _ADD_OPTIONS:
        words.add(word)
        at += 1
    pairs = arguments[at:]
    if not pairs or len(pairs) & 1:
        raise SyntaxFault
    _check_options(words, len(pairs) // 2)
    scores = [parse_float(text) for text in pairs[::2]]
    members = pairs[1::2]
    if b"INCR" in words:
        return _increment(ctx, key, members[0], scores[0], words)
    value = ctx.typed_for_write(key, SortedSetValue)
    if len(members) > ctx.config.zset_max_listpack_entries and (value is not None or b"XX" not in words):
        if value is None:
            value = SortedSetValue()
            ctx.put(key, value)
        impose(value, "skiplist")
    added = updated = 0
    for member, score in zip(members, scores, strict=True):
        old = None if value is None else value.score(member)
        if value is None or old is None:
            if b"XX" not in words:
                value = _put(ctx, value, key, member, score)
                added += 1
        elif _may_change(words, old, score) and old != score:
            _move(ctx, value, member, old, score)
            updated += 1
    if added or updated:
        ctx.changed(key, SCORE_ADD, added + updated)
    return replies.integer(added + updated if b"CH" in words else added)


def _check_options(words: set[bytes], pair_count: int) -> None:
    if {b"NX", b"XX"} <= words:
        raise CommandError("ERR XX and NX options at the same time are not compatible")
    if len(words & {b"NX", b"GT", b"LT"}) > 1:
        raise CommandError("ERR GT, LT, and/or NX options at the same time are not compatible")
    if b"INCR" in words and pair_count > 1:
        raise CommandError("ERR INCR option supports a single increment-element pair")


def _may_change(words: set[bytes], old: float, new: float) -> bool:
    """Whether the options let a score that is there be changed."""
    return not (b"NX" in words or (b"GT" in words and new <= old) or (b"LT" in words and new >= old))


def _increment(ctx: Context, key: bytes, member: bytes, increment: float, words: set[bytes]) -> bytes:
    value = ctx.typed_for_write(key, SortedSetValue)
    old = None if value is None else value.score(member)
    if value is None or old is None:
        if b"XX" in words:
            return ctx.null
        _put(ctx, value, key, member, increment)
        ctx.changed(key, SCORE_INCREMENT)
        return replies.double(increment, ctx.resp)
    if b"NX" in words:
        return ctx.null
    score = old + increment
    if math.isnan(score):
        raise CommandError("ERR resulting score is not a number (NaN)")
    if not _may_change(words, old, score):
        return ctx.null
    if score != old:
        _move(ctx, value, member, old, score)
        ctx.changed(key, SCORE_INCREMENT)
    return replies.double(score, ctx.resp)


@command("ZINCRBY", arity=4, flags={WRITE, DENYOOM, FAST}, keys=first_key("RW", "access", "update"),
         group="sorted-set", since="1.2.0", summary="Adds to the score of a member.",
         complexity="O(log(N)) in the size of the sorted set", syntax="key increment:integer member")
def zincrby(ctx: Context, key: bytes, increment: bytes, member: bytes) -> bytes:
    return _increment(ctx, key, member, parse_float(increment), set())


@command("ZREM", arity=-3, flags={WRITE, FAST}, keys=first_key("RW", "delete"), group="sorted-set", since="1.2.0",
         summary="Removes members.",
         complexity="O(M*log(N)), where N is the size of the sorted set and M how many are removed",
         syntax="key member...")
def zrem(ctx: Context, key: bytes, *members: bytes) -> bytes:
    value = ctx.typed_for_write(key, SortedSetValue)
    if value is None:
        return replies.ZERO
    removed = sum(map(value.discard, members))
    if removed:
        ctx.changed(key, SCORE_REMOVE, removed)
        ctx.remove_if_empty(key, value)
    return replies.integer(removed)


def remove_stretch(
    ctx: Context, key: bytes, value: SortedSetValue, first: int, behind: int, event: Event
) -> None:
    """Remove the members at the positions first … behind - 1, and say so. A set that loses all is let go whole."""
    loses_all = behind - first == len(value)
    if not loses_all:
        value.remove_stretch(first, behind)
    ctx.changed(key, event, behind - first)
    if loses_all:
        ctx.remove(key, DEL, 0)


@command("ZCARD", arity=2, flags={READONLY, FAST}, keys=_PRESENCE, group="sorted-set", since="1.2.0",
         summary="Answers the number of members of a sorted set.", syntax="key")
def zcard(ctx: Context, key: bytes) -> bytes:
    value = ctx.typed(key, SortedSetValue)
    return replies.ZERO if value is None else replies.integer(len(value))


@command("ZSCORE", arity=3, flags={READONLY, FAST}, keys=FIRST_READ, group="sorted-set", since="1.2.0",
         summary="Answers the score of a member.", syntax="key member")
def zscore(ctx: Context, key: bytes, member: bytes) -> bytes:
    value = ctx.typed(key, SortedSetValue)
    score = None if value is None else value.score(member)
    return ctx.null if score is None else replies.double(score, ctx.resp)


@command("ZMSCORE", arity=-3, flags={READONLY, FAST}, keys=FIRST_READ, group="sorted-set", since="6.2.0",
         summary="Answers the scores of several members.", complexity="O(N) in the number of members asked for",
         syntax="key member...")
def zmscore(ctx: Context, key: bytes, *members: bytes) -> bytes:
    value = ctx.typed(key, SortedSetValue)
    found = [None] * len(members) if value is None else map(value.score, members)
    return replies.array([ctx.null if score is None else replies.double(score, ctx.resp) for score in found])


def _rank(ctx: Context, key: bytes, member: bytes, options: tuple[bytes, ...], *, descending: bool) -> bytes:
    if len(options) > 1:
        raise wrong_arity("zrevrank" if descending else "zrank")
    if options and options[0].upper() != b"WITHSCORE":
        raise SyntaxFault
    value = ctx.typed(key, SortedSetValue)
    rank = None if value is None else value.rank(member)
    if value is None or rank is None:
        return ctx.null_array if options else ctx.null
    shown = replies.integer(len(value) - 1 - rank if descending else rank)
    if not options:
        return shown
    score = value.score(member)
    assert score is not None
    return replies.array([shown, replies.double(score, ctx.resp)])


@command("ZRANK", arity=-3, flags={READONLY, FAST}, keys=FIRST_READ, group="sorted-set", since="2.0.0",
         summary="Answers the position of a member, lowest score first.",
         complexity="O(log(N)) in the size of the sorted set", syntax="key member [WITHSCORE]@7.2.0")
def zrank(ctx: Context, key: bytes, member: bytes, *options: bytes) -> bytes:
    return _rank(ctx, key, member, options, descending=False)


@command("ZREVRANK", arity=-3, flags={READONLY, FAST}, keys=FIRST_READ, group="sorted-set", since="2.0.0",
         summary="Answers the position of a member, highest score first.",
         complexity="O(log(N)) in the size of the sorted set", syntax="key member [WITHSCORE]@7.2.0")
def zrevrank(ctx: Context, key: bytes, member: bytes, *options: bytes) -> bytes:
    return _rank(ctx, key, member, options, descending=True)


def scored_reply(items: list[tuple[float, bytes]], resp: int, *, with_scores: bool) -> bytes:
    """(score, member) as a range command answers them."""
    if not with_scores:
        return replies.bulk_array([member for _, member in items])
    if resp == 2:
        return replies.bulk_array([part for score, member in items for part in (member, format_double(score))])
    return replies.array([
        b"*2\r\n$%d\r\n%b\r\n,%b\r\n" % (len(member), member, format_double(score)) for score, member in items
    ])


_SCORES: Companions[SortedSetValue, float] = Companions(
    of=lambda value, member: value.score(member) or 0.0, pairs=lambda value: list(value.items()),
    text=format_double, encoded=lambda score: replies.double(score, 3),
)


@command("ZRANDMEMBER", arity=-2, flags={READONLY}, keys=FIRST_READ, group="sorted-set", since="6.2.0", tips=_RANDOM,
         summary="Answers random members.", complexity="O(N) in the number of members answered",
         syntax="key [count:integer [WITHSCORES]]")
def zrandmember(ctx: Context, key: bytes, *options: bytes) -> bytes:
    return random_pairs(ctx, key, options, kind=SortedSetValue, word=b"WITHSCORES", companions=_SCORES)


@command("ZSCAN", arity=-3, flags={READONLY}, keys=FIRST_READ, group="sorted-set", since="2.8.0", tips=_RANDOM,
         summary="Goes through the members and scores, some at a time.",
         complexity="O(1) for each call, O(N) for all of them until the cursor is back at 0",
         syntax="key cursor:integer [MATCH pattern:pattern] [COUNT count:integer]")
def zscan(ctx: Context, key: bytes, cursor: bytes, *options: bytes) -> bytes:
    def with_score(value: SortedSetValue, member: bytes) -> tuple[bytes, ...]:
        score = value.score(member)
        if score is None:
            return ()
        # Scores in a skiplist are printed here as nowhere else.
        return member, format_double(score) if is_compact_sorted_set(value, ctx.config) else b"%.17g" % score

    return scan_members(
        ctx, key, cursor, options, kind=SortedSetValue, members=SortedSetValue.members, shown=with_score
    )
