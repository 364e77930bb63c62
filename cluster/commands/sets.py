"""Sets: members one at a time. What combines whole sets is in set_algebra.py."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import filterfalse

from cluster.commands.context import Context
from cluster.commands.deadlines import deletion
from cluster.commands.keys import FIRST_READ, KeySpec, first_key
from cluster.commands.lists import positive_count
from cluster.commands.random_elements import parse_count, sample
from cluster.commands.registry import DENYOOM, FAST, READONLY, WRITE, command
from cluster.commands.scan_commands import scan_members
from cluster.errors import SyntaxFault, WrongType
from cluster.keyspace.encodings import expect_members, set_encoding
from cluster.keyspace.events import Event
from cluster.keyspace.values import SetValue
from cluster.protocol import replies

SET_ADD = Event("s", "sadd")
SET_REMOVE = Event("s", "srem")
SET_POP = Event("s", "spop")

_RANDOM = ("nondeterministic_output",)
_MOVED_SHARE = 5
"""SPOP takes so many times as many as it leaves: then those that stay are moved to a new set."""


def members_reply(members: list[bytes], resp: int) -> bytes:
    return replies.bulk_set(members, resp)


def is_intset(ctx: Context, value: SetValue) -> bool:
    """Whether redis-server would keep it as integers in their order."""
    return set_encoding(value, ctx.config) == "intset"


def shown(ctx: Context, value: SetValue) -> Iterable[bytes]:
    """The members in the order redis-server shows small sets in: integers by size, others as they came."""
    if is_intset(ctx, value):
        return sorted(value.members, key=int)
    return value.members


@command("SADD", arity=-3, flags={WRITE, DENYOOM, FAST}, keys=first_key("RW", "insert"), group="set", since="1.0.0",
         summary="Adds members to a set.", complexity="O(1) for each element", syntax="key member...")
def sadd(ctx: Context, key: bytes, *members: bytes) -> bytes:
    value = ctx.typed_for_write(key, SetValue)
    if value is None:
        value = SetValue()
        ctx.put(key, value)
    if len(members) == 1:
        added = int(value.add(members[0]))
    else:
        if len(members) > ctx.config.set_max_listpack_entries or len(members) > ctx.config.set_max_intset_entries:
            expect_members(value, members[0], len(members), ctx.config)
        added = sum(map(value.add, members))
    if added:
        ctx.changed(key, SET_ADD, added)
    return b":%d\r\n" % added


@command("SREM", arity=-3, flags={WRITE, FAST}, keys=first_key("RW", "delete"), group="set", since="1.0.0",
         summary="Removes members from a set.", complexity="O(N) in the number of members", syntax="key member...")
def srem(ctx: Context, key: bytes, *members: bytes) -> bytes:
    value = ctx.typed_for_write(key, SetValue)
    if value is None:
        return replies.ZERO
    removed = sum(map(value.discard, members))
    if removed:
        ctx.changed(key, SET_REMOVE, removed)
        ctx.remove_if_empty(key, value)
    return replies.integer(removed)


@command("SMOVE", arity=4, flags={WRITE, FAST}, group="set", since="1.0.0",
         keys=(KeySpec(1, 1, 1, ("RW", "access", "delete")), KeySpec(2, 2, 1, ("RW", "insert"))),
         summary="Moves a member from one set to another.", syntax="source:key destination:key member")
def smove(ctx: Context, source: bytes, destination: bytes, member: bytes) -> bytes:
    value = ctx.find_for_write(source)
    target = ctx.find_for_write(destination)
    if value is None:
        return replies.ZERO
    if not isinstance(value, SetValue) or not (target is None or isinstance(target, SetValue)):
        raise WrongType
    if value is target:
        return replies.ONE if member in value else replies.ZERO
    if not value.discard(member):
        return replies.ZERO
    ctx.changed(source, SET_REMOVE)
    ctx.remove_if_empty(source, value)
    if target is None:
        target = SetValue()
        ctx.put(destination, target)
    if target.add(member):
        ctx.changed(destination, SET_ADD)
    return replies.ONE


@command("SISMEMBER", arity=3, flags={READONLY, FAST}, keys=first_key("RO"), group="set", since="1.0.0",
         summary="Tells whether a set has a member.", syntax="key member")
def sismember(ctx: Context, key: bytes, member: bytes) -> bytes:
    value = ctx.typed(key, SetValue)
    return replies.ONE if value is not None and member in value.members else replies.ZERO


@command("SMISMEMBER", arity=-3, flags={READONLY, FAST}, keys=FIRST_READ, group="set", since="6.2.0",
         summary="Tells of several members whether a set has them.",
         complexity="O(N) in the number of members asked for", syntax="key member...")
def smismember(ctx: Context, key: bytes, *members: bytes) -> bytes:
    value = ctx.typed(key, SetValue)
    there = () if value is None else value.members
    return replies.array([replies.ONE if member in there else replies.ZERO for member in members])


@command("SCARD", arity=2, flags={READONLY, FAST}, keys=first_key("RO"), group="set", since="1.0.0",
         summary="Answers the number of members.", syntax="key")
def scard(ctx: Context, key: bytes) -> bytes:
    value = ctx.typed(key, SetValue)
    return replies.ZERO if value is None else replies.integer(len(value))


@command("SMEMBERS", arity=2, flags={READONLY}, keys=FIRST_READ, group="set", since="1.0.0",
         tips=("nondeterministic_output_order",), summary="Answers every member.",
         complexity="O(N) in the number of members", syntax="key")
def smembers(ctx: Context, key: bytes) -> bytes:
    value = ctx.typed(key, SetValue)
    return members_reply([] if value is None else list(shown(ctx, value)), ctx.resp)


@command("SPOP", arity=-2, flags={WRITE, FAST}, keys=first_key("RW", "access", "delete"), group="set", since="1.0.0",
         tips=_RANDOM, own_effects=True, summary="Takes random members from a set.",
         complexity="O(1) without a count, else O(N) in the count", syntax="key [count:integer]@3.2.0")
def spop(ctx: Context, key: bytes, *options: bytes) -> bytes:
    if len(options) > 1:
        raise SyntaxFault
    count = positive_count(options[0]) if options else 1
    value = ctx.typed_for_write(key, SetValue)
    if value is None:
        return members_reply([], ctx.resp) if options else ctx.null
    if not count:
        return members_reply([], ctx.resp)
    left = len(value) - count
    if 0 < left * _MOVED_SHARE <= count:
        return _pop_most(ctx, key, value, left)
    taken = sample(ctx.rng, value, count)
    ctx.changed(key, SET_POP, len(taken))
    if len(taken) == len(value):
        ctx.propagate(deletion(ctx) if ctx.config.lazyfree_lazy_server_del else b"DEL", key)
        value = SetValue()
        ctx.remove_if_empty(key, value)
    else:
        value.discard_all(taken)
        ctx.propagate(b"SREM", key, *taken)
    return members_reply(taken, ctx.resp) if options else replies.bulk(taken[0])


def _pop_most(ctx: Context, key: bytes, value: SetValue, left: int) -> bytes:
    """Take all but `left` members: those that stay are drawn, and make a new set, as in redis-server."""
    staying = sample(ctx.rng, value, left)
    taken = list(filterfalse(set(staying).__contains__, value))
    moved = SetValue(staying)
    moved.was_integers = is_intset(ctx, value)
    ctx.convert(key, moved)
    ctx.server.lazy_free.take(value, counted=False)
    ctx.changed(key, SET_POP, len(taken))
    ctx.propagate(b"SREM", key, *taken)
    return members_reply(taken, ctx.resp)


@command("SRANDMEMBER", arity=-2, flags={READONLY}, keys=FIRST_READ, group="set", since="1.0.0", tips=_RANDOM,
         summary="Answers random members of a set.", complexity="O(1) without a count, else O(N) in the count",
         syntax="key [count:integer]@2.6.0")
def srandmember(ctx: Context, key: bytes, *options: bytes) -> bytes:
    if len(options) > 1:
        raise SyntaxFault
    count = parse_count(options[0]) if options else 1
    value = ctx.typed(key, SetValue)
    if not options:
        return ctx.null if value is None else replies.bulk(value.random_element(ctx.rng))
    if value is None:
        return replies.EMPTY_ARRAY
    return replies.bulk_array(sample(ctx.rng, value, count))


@command("SSCAN", arity=-3, flags={READONLY}, keys=FIRST_READ, group="set", since="2.8.0", tips=_RANDOM,
         summary="Goes through the members of a set, some at a time.",
         complexity="O(1) for each call, O(N) for all of them until the cursor is back at 0",
         syntax="key cursor:integer [MATCH pattern:pattern] [COUNT count:integer]")
def sscan(ctx: Context, key: bytes, cursor: bytes, *options: bytes) -> bytes:
    return scan_members(
        ctx, key, cursor, options, kind=SetValue, members=lambda value: value.members,
        shown=lambda _, member: (member,),
    )
