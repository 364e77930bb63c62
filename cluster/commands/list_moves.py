"""Lists: what moves elements from one to another, pops from the first of several, and waits for elements."""

from __future__ import annotations

from cluster.commands.context import Context
from cluster.commands.keys import KeySpec, NumKeys
from cluster.commands.lists import LEFT_POP, LEFT_PUSH, RIGHT_POP, RIGHT_PUSH, popped
from cluster.commands.registry import BLOCKING, DENYOOM, MOVABLE_KEYS, WRITE, command
from cluster.commands.waiting import parse_pop, served, served_or_waiting, timeout_ms
from cluster.errors import SyntaxFault
from cluster.keyspace.values import ListValue
from cluster.protocol import replies

_POPPED = ("RW", "access", "delete")
_MOVE = (KeySpec(1, 1, 1, _POPPED), KeySpec(2, 2, 1, ("RW", "insert")))
_ALL_BUT_LAST = (KeySpec(1, -2, 1, _POPPED),)
_SIDES = {b"LEFT": True, b"RIGHT": False}


def _side(word: bytes) -> bool:
    """Whether a word names the left side."""
    left = _SIDES.get(word.upper())
    if left is None:
        raise SyntaxFault
    return left


def _moved(ctx: Context, source: bytes, destination: bytes, *, from_left: bool, to_left: bool) -> bytes | None:
    """Move one element; None when there is none."""
    value = ctx.typed_for_write(source, ListValue)
    if value is None:
        return None
    ctx.server.barrier.key(ctx.db, destination)  # of one that waited, no command names it now
    target = ctx.typed_for_write(destination, ListValue)
    element = value.items.popleft() if from_left else value.items.pop()
    if target is None:
        target = ListValue()
        ctx.put(destination, target)
    (target.items.appendleft if to_left else target.items.append)(element)
    if target is not value:
        target.grown(len(element))
    # Only now, so that a list does not vanish, with its deadline, when its only element goes to its own other end.
    ctx.changed(destination, LEFT_PUSH if to_left else RIGHT_PUSH)
    ctx.changed(source, LEFT_POP if from_left else RIGHT_POP)
    ctx.remove_if_empty(source, value)
    return element


@command("LMOVE", arity=5, flags={WRITE, DENYOOM}, keys=_MOVE, group="list", since="6.2.0",
         summary="Moves an element from an end of one list to an end of another.",
         syntax="source:key destination:key (LEFT | RIGHT) (LEFT | RIGHT)")
def lmove(ctx: Context, source: bytes, destination: bytes, whence: bytes, where: bytes) -> bytes:
    from_left, to_left = _side(whence), _side(where)
    element = _moved(ctx, source, destination, from_left=from_left, to_left=to_left)
    return ctx.null if element is None else replies.bulk(element)


@command("RPOPLPUSH", arity=3, flags={WRITE, DENYOOM}, keys=_MOVE, group="list", since="1.2.0",
         summary="Moves the last element of a list to the head of another.", syntax="source:key destination:key",
         deprecated=("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments"))
def rpoplpush(ctx: Context, source: bytes, destination: bytes) -> bytes:
    element = _moved(ctx, source, destination, from_left=False, to_left=True)
    return ctx.null if element is None else replies.bulk(element)


def _move_or_wait(
    ctx: Context, source: bytes, destination: bytes, *, from_left: bool, to_left: bool, timeout: int, name: bytes
) -> bytes | None:
    def serve(ctx: Context, key: bytes) -> bytes | None:
        element = _moved(ctx, key, destination, from_left=from_left, to_left=to_left)
        if element is None:
            return None
        words = () if name == b"RPOPLPUSH" else (b"LEFT" if from_left else b"RIGHT", b"LEFT" if to_left else b"RIGHT")
        ctx.propagate(name, key, destination, *words)
        return replies.bulk(element)

    reply = serve(ctx, source)
    if reply is not None:
        return reply
    if not ctx.allows_blocking:
        return ctx.null
    ctx.server.block([source], timeout, serve, ctx.null_array, ListValue)
    return None


@command("BLMOVE", arity=6, flags={WRITE, DENYOOM, BLOCKING}, keys=_MOVE, group="list", since="6.2.0",
         own_effects=True, summary="Moves an element from one list to another, and waits for one.",
         syntax="source:key destination:key (LEFT | RIGHT) (LEFT | RIGHT) timeout:double")
def blmove(
    ctx: Context, source: bytes, destination: bytes, whence: bytes, where: bytes, timeout: bytes
) -> bytes | None:
    from_left, to_left = _side(whence), _side(where)
    wait_ms = timeout_ms(ctx, timeout)
    return _move_or_wait(
        ctx, source, destination, from_left=from_left, to_left=to_left, timeout=wait_ms, name=b"LMOVE"
    )


@command("BRPOPLPUSH", arity=4, flags={WRITE, DENYOOM, BLOCKING}, keys=_MOVE, group="list", since="2.2.0",
         own_effects=True, summary="Moves the last element of a list to the head of another, and waits for one.",
         syntax="source:key destination:key timeout:double",
         deprecated=("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments"))
def brpoplpush(ctx: Context, source: bytes, destination: bytes, timeout: bytes) -> bytes | None:
    wait_ms = timeout_ms(ctx, timeout)
    return _move_or_wait(
        ctx, source, destination, from_left=False, to_left=True, timeout=wait_ms, name=b"RPOPLPUSH"
    )


# -- the first list of several -----------------------------------------------------------------------------------


def _blocking_pop(ctx: Context, arguments: tuple[bytes, ...], *, left: bool) -> bytes | None:
    def serve(ctx: Context, key: bytes) -> bytes | None:
        value = ctx.typed_for_write(key, ListValue)
        if value is None:
            return None
        [element] = popped(ctx, key, value, 1, left=left)
        ctx.propagate(b"LPOP" if left else b"RPOP", key)
        return replies.bulk_array((key, element))

    *keys, timeout = arguments
    return served_or_waiting(ctx, keys, timeout_ms(ctx, timeout), serve, ListValue)


@command("BLPOP", arity=-3, flags={WRITE, BLOCKING}, keys=_ALL_BUT_LAST, group="list", since="2.0.0",
         own_effects=True, summary="Takes the head of the first list that has one, and waits for one.",
         complexity="O(N) in the number of keys",
         syntax="key... timeout:double")
def blpop(ctx: Context, *arguments: bytes) -> bytes | None:
    return _blocking_pop(ctx, arguments, left=True)


@command("BRPOP", arity=-3, flags={WRITE, BLOCKING}, keys=_ALL_BUT_LAST, group="list", since="2.0.0",
         own_effects=True, summary="Takes the tail of the first list that has one, and waits for one.",
         complexity="O(N) in the number of keys",
         syntax="key... timeout:double")
def brpop(ctx: Context, *arguments: bytes) -> bytes | None:
    return _blocking_pop(ctx, arguments, left=False)


def _pop_many(ctx: Context, key: bytes, count: int, *, left: bool) -> bytes | None:
    value = ctx.typed_for_write(key, ListValue)
    if value is None:
        return None
    elements = popped(ctx, key, value, count, left=left)
    ctx.propagate(b"LPOP" if left else b"RPOP", key, b"%d" % len(elements))
    return replies.array([replies.bulk(key), replies.bulk_array(elements)])


@command("LMPOP", arity=-4, flags={WRITE, MOVABLE_KEYS}, keys=(NumKeys(1, _POPPED),), group="list", since="7.0.0",
         own_effects=True, summary="Takes elements from the first list that has some.",
         complexity="O(N+M), where N is the number of keys and M that of the elements answered",
         syntax="numkeys:integer key... (LEFT | RIGHT) [COUNT count:integer]")
def lmpop(ctx: Context, numkeys: bytes, *rest: bytes) -> bytes:
    keys, left, count = parse_pop(numkeys, rest, _SIDES)
    return served(ctx, keys, lambda ctx, key: _pop_many(ctx, key, count, left=left)) or ctx.null_array


@command("BLMPOP", arity=-5, flags={WRITE, BLOCKING, MOVABLE_KEYS}, keys=(NumKeys(2, _POPPED),), group="list",
         since="7.0.0", own_effects=True, summary="Takes elements from the first list that has some, and waits.",
         complexity="O(N+M), where N is the number of keys and M that of the elements answered",
         syntax="timeout:double numkeys:integer key... (LEFT | RIGHT) [COUNT count:integer]")
def blmpop(ctx: Context, timeout: bytes, numkeys: bytes, *rest: bytes) -> bytes | None:
    keys, left, count = parse_pop(numkeys, rest, _SIDES)
    wait_ms = timeout_ms(ctx, timeout)
    return served_or_waiting(ctx, keys, wait_ms, lambda ctx, key: _pop_many(ctx, key, count, left=left), ListValue)
