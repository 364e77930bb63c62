"""Lists: pushing, popping, looking and editing. What moves elements between lists, or waits, is in list_moves.py."""

from __future__ import annotations

from collections import deque

from cluster.commands.context import Context
from cluster.commands.keys import FIRST_READ, first_key
from cluster.commands.registry import DENYOOM, FAST, READONLY, WRITE, command
from cluster.errors import CommandError, NoSuchKey, OutOfRange, SyntaxFault, wrong_arity
from cluster.keyspace.events import DEL, Event
from cluster.keyspace.long_list import LongList
from cluster.keyspace.numbers import parse_integer
from cluster.keyspace.values import ListValue
from cluster.protocol import replies

LEFT_PUSH = Event("l", "lpush")
RIGHT_PUSH = Event("l", "rpush")
LEFT_POP = Event("l", "lpop")
RIGHT_POP = Event("l", "rpop")
LIST_INSERT = Event("l", "linsert")
LIST_SET = Event("l", "lset")
LIST_TRIM = Event("l", "ltrim")
LIST_REMOVE = Event("l", "lrem")

_PUSH = first_key("RW", "insert")
_POP = first_key("RW", "access", "delete")
_PRESENCE = first_key("RO")


def push(ctx: Context, key: bytes, elements: tuple[bytes, ...], *, left: bool, only_existing: bool = False) -> bytes:
    value = ctx.typed_for_write(key, ListValue)
    if value is None:
        if only_existing:
            return replies.ZERO
        value = ListValue()
        ctx.put(key, value)
    items = value.items
    if len(elements) == 1:
        element = elements[0]
        if left:
            items.appendleft(element)
        else:
            items.append(element)
        count = value.grown(len(element))
    else:
        (items.extendleft if left else items.extend)(elements)
        count = value.grown(max(map(len, elements)))
    ctx.changed(key, LEFT_PUSH if left else RIGHT_PUSH, len(elements))
    return b":%d\r\n" % count


@command("LPUSH", arity=-3, flags={WRITE, DENYOOM, FAST}, keys=_PUSH, group="list", since="1.0.0",
         summary="Puts elements at the head of a list.", complexity="O(1) for each element", syntax="key element...")
def lpush(ctx: Context, key: bytes, *elements: bytes) -> bytes:
    return push(ctx, key, elements, left=True)


@command("RPUSH", arity=-3, flags={WRITE, DENYOOM, FAST}, keys=_PUSH, group="list", since="1.0.0",
         summary="Puts elements at the tail of a list.", complexity="O(1) for each element", syntax="key element...")
def rpush(ctx: Context, key: bytes, *elements: bytes) -> bytes:
    return push(ctx, key, elements, left=False)


@command("LPUSHX", arity=-3, flags={WRITE, DENYOOM, FAST}, keys=_PUSH, group="list", since="2.2.0",
         summary="Puts elements at the head of a list that exists.", complexity="O(1) for each element",
         syntax="key element...")
def lpushx(ctx: Context, key: bytes, *elements: bytes) -> bytes:
    return push(ctx, key, elements, left=True, only_existing=True)


@command("RPUSHX", arity=-3, flags={WRITE, DENYOOM, FAST}, keys=_PUSH, group="list", since="2.2.0",
         summary="Puts elements at the tail of a list that exists.", complexity="O(1) for each element",
         syntax="key element...")
def rpushx(ctx: Context, key: bytes, *elements: bytes) -> bytes:
    return push(ctx, key, elements, left=False, only_existing=True)


def _take(items: deque[bytes] | LongList, count: int, *, left: bool) -> list[bytes]:
    """Remove `count` elements from one end, which are there, and give them in the order they come off."""
    if isinstance(items, LongList):
        return items.take(count, left=left)
    pop = items.popleft if left else items.pop
    return [pop() for _ in range(count)]


def popped(ctx: Context, key: bytes, value: ListValue, count: int, *, left: bool) -> list[bytes]:
    """Take up to `count` elements from one end, in the order they come off."""
    found = _take(value.items, min(count, len(value)), left=left)
    ctx.changed(key, LEFT_POP if left else RIGHT_POP, len(found))
    ctx.remove_if_empty(key, value)
    return found


def _pop(ctx: Context, key: bytes, options: tuple[bytes, ...], *, left: bool) -> bytes:
    if len(options) > 1:
        raise wrong_arity("lpop" if left else "rpop")
    count = positive_count(options[0]) if options else 1
    value = ctx.typed_for_write(key, ListValue)
    if value is None:
        return ctx.null_array if options else ctx.null
    if not options:
        items = value.items
        element = items.popleft() if left else items.pop()
        ctx.changed(key, LEFT_POP if left else RIGHT_POP)
        if not items:
            ctx.remove(key, DEL, 0)
        return b"$%d\r\n%b\r\n" % (len(element), element)
    return replies.bulk_array(popped(ctx, key, value, count, left=left)) if count else replies.EMPTY_ARRAY


def positive_count(text: bytes) -> int:
    try:
        count = parse_integer(text)
    except CommandError:
        count = -1
    if count < 0:
        raise CommandError("ERR value is out of range, must be positive")
    return count


@command("LPOP", arity=-2, flags={WRITE, FAST}, keys=_POP, group="list", since="1.0.0",
         summary="Takes elements from the head of a list.", complexity="O(N) in the number of elements answered",
         syntax="key [count:integer]@6.2.0")
def lpop(ctx: Context, key: bytes, *count: bytes) -> bytes:
    return _pop(ctx, key, count, left=True)


@command("RPOP", arity=-2, flags={WRITE, FAST}, keys=_POP, group="list", since="1.0.0",
         summary="Takes elements from the tail of a list.", complexity="O(N) in the number of elements answered",
         syntax="key [count:integer]@6.2.0")
def rpop(ctx: Context, key: bytes, *count: bytes) -> bytes:
    return _pop(ctx, key, count, left=False)


@command("LLEN", arity=2, flags={READONLY, FAST}, keys=_PRESENCE, group="list", since="1.0.0",
         summary="Answers the length of a list.", syntax="key")
def llen(ctx: Context, key: bytes) -> bytes:
    value = ctx.typed(key, ListValue)
    return replies.ZERO if value is None else replies.integer(len(value))


@command("LINDEX", arity=3, flags={READONLY}, keys=FIRST_READ, group="list", since="1.0.0",
         summary="Answers the element at a position.", complexity="O(N) in the distance to the nearer end",
         syntax="key index:integer")
def lindex(ctx: Context, key: bytes, index: bytes) -> bytes:
    value = ctx.typed(key, ListValue)
    if value is None:
        return ctx.null
    at = parse_integer(index)
    if not -len(value) <= at < len(value):
        return ctx.null
    return replies.bulk(value.items[at])


@command("LSET", arity=4, flags={WRITE, DENYOOM}, keys=first_key("RW", "update"), group="list", since="1.0.0",
         summary="Replaces the element at a position.", complexity="O(N) in the distance to the nearer end",
         syntax="key index:integer element")
def lset(ctx: Context, key: bytes, index: bytes, element: bytes) -> bytes:
    value = ctx.typed_for_write(key, ListValue)
    if value is None:
        raise NoSuchKey
    at = parse_integer(index)
    if not -len(value) <= at < len(value):
        raise OutOfRange
    value.items[at] = element
    value.grown(len(element))
    ctx.changed(key, LIST_SET)
    return replies.OK


def window(start: int, end: int, length: int) -> tuple[int, int]:
    """(first, behind the last) of the positions a range names, negative ones counted from the end."""
    first = max(0, start + length) if start < 0 else start
    last = end + length if end < 0 else min(end, length - 1)
    return (first, last + 1) if first <= last and first < length else (0, 0)


@command("LRANGE", arity=4, flags={READONLY}, keys=FIRST_READ, group="list", since="1.0.0",
         summary="Answers the elements of a range of positions.",
         complexity="O(S+N), where S is the distance from the nearer end to the start and N the number of elements "
                    "answered", syntax="key start:integer stop:integer")
def lrange(ctx: Context, key: bytes, start: bytes, end: bytes) -> bytes:
    first, last = parse_integer(start), parse_integer(end)
    value = ctx.typed(key, ListValue)
    if value is None:
        return replies.EMPTY_ARRAY
    return replies.bulk_array(value.stretch(*window(first, last, len(value))))


@command("LTRIM", arity=4, flags={WRITE}, keys=first_key("RW", "delete"), group="list", since="1.0.0",
         summary="Keeps only the elements of a range of positions.",
         complexity="O(N) in the number of elements removed", syntax="key start:integer stop:integer")
def ltrim(ctx: Context, key: bytes, start: bytes, end: bytes) -> bytes:
    first, last = parse_integer(start), parse_integer(end)
    value = ctx.typed_for_write(key, ListValue)
    if value is None:
        return replies.OK
    items = value.items
    before = len(items)
    first, behind = window(first, last, before)
    if behind - first < (before >> 1):
        ctx.server.lazy_free.take(value.replace(value.stretch(first, behind)), counted=False)
    else:
        _take(items, before - behind, left=False)
        _take(items, first, left=True)
    ctx.changed(key, LIST_TRIM, max(1, before - len(value)))
    ctx.remove_if_empty(key, value)
    return replies.OK


@command("LINSERT", arity=5, flags={WRITE, DENYOOM}, keys=_PUSH, group="list", since="2.2.0",
         summary="Puts an element before or after another.", complexity="O(N) in the distance to the nearer end",
         syntax="key (BEFORE | AFTER) pivot element")
def linsert(ctx: Context, key: bytes, where: bytes, pivot: bytes, element: bytes) -> bytes:
    side = where.upper()
    if side not in (b"BEFORE", b"AFTER"):
        raise SyntaxFault
    value = ctx.typed_for_write(key, ListValue)
    if value is None:
        return replies.ZERO
    try:
        at = value.items.index(pivot)
    except ValueError:
        return replies.MINUS_ONE
    value.items.insert(at + (side == b"AFTER"), element)
    value.grown(len(element))
    ctx.changed(key, LIST_INSERT)
    return replies.integer(len(value))


@command("LREM", arity=4, flags={WRITE}, keys=first_key("RW", "delete"), group="list", since="1.0.0",
         summary="Removes elements that equal a value.",
         complexity="O(N+M), where N is the length and M how many are removed", syntax="key count:integer element")
def lrem(ctx: Context, key: bytes, count: bytes, element: bytes) -> bytes:
    wanted = parse_integer(count)
    value = ctx.typed_for_write(key, ListValue)
    if value is None:
        return replies.ZERO
    left = abs(wanted) or len(value)
    kept: list[bytes] = []
    for item in reversed(value.items) if wanted < 0 else value.items:
        if left and item == element:
            left -= 1
        else:
            kept.append(item)
    removed = len(value) - len(kept)
    if removed:
        value.replace(reversed(kept) if wanted < 0 else kept)
        ctx.changed(key, LIST_REMOVE, removed)
        ctx.remove_if_empty(key, value)
    return replies.integer(removed)


@command("LPOS", arity=-3, flags={READONLY}, keys=FIRST_READ, group="list", since="6.0.6",
         summary="Answers the positions of elements that equal a value.",
         complexity="O(N) in the number of elements looked at",
         syntax="key element [RANK rank:integer] [COUNT num-matches:integer] [MAXLEN len:integer]")
def lpos(ctx: Context, key: bytes, element: bytes, *options: bytes) -> bytes:
    rank, count, most = _position_options(options)
    value = ctx.typed(key, ListValue)
    if value is None:
        return ctx.null if count is None else replies.EMPTY_ARRAY
    length = len(value)
    found: list[int] = []
    to_skip = abs(rank) - 1
    wanted = 1 if count is None else count or length
    for seen, item in enumerate(reversed(value.items) if rank < 0 else value.items):
        if (most and seen >= most) or len(found) >= wanted:
            break
        if item != element:
            continue
        if to_skip:
            to_skip -= 1
        else:
            found.append(length - 1 - seen if rank < 0 else seen)
    if count is None:
        return replies.integer(found[0]) if found else ctx.null
    return replies.array([replies.integer(at) for at in found])


def _position_options(options: tuple[bytes, ...]) -> tuple[int, int | None, int]:
    """(rank, count or None, the most comparisons or 0)"""
    rank, count, most = 1, None, 0
    rest = iter(options)
    for option in rest:
        word = option.upper()
        text = next(rest, None)
        if text is None or word not in (b"RANK", b"COUNT", b"MAXLEN"):
            raise SyntaxFault
        if word == b"RANK":
            rank = parse_integer(text)
            if rank == -(1 << 63):
                raise CommandError("ERR value is out of range, value must between -9223372036854775807 and "
                                   "9223372036854775807")
            if not rank:
                raise CommandError(
                    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use "
                    "negative to start from the end of the list"
                )
        elif word == b"COUNT":
            count = _not_negative(text, "COUNT")
        else:
            most = _not_negative(text, "MAXLEN")
    return rank, count, most


def _not_negative(text: bytes, name: str) -> int:
    try:
        number = parse_integer(text)
    except CommandError:
        number = -1
    if number < 0:
        raise CommandError(f"ERR {name} can't be negative")
    return number
