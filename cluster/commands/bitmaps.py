"""Bitmaps: strings as rows of bits, the first bit being the highest of the first byte. BITFIELD is in bitfield.py.

Counting, combining and searching are left to C: integers and regular expressions over the bytes, a chunk at a time, as
a number of some hundred megabytes is four times as slow as the same in chunks that the processor's cache holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial, reduce
from operator import and_, or_, xor

from cluster.commands.context import Context
from cluster.commands.keys import FIRST_READ, KeySpec, first_key
from cluster.commands.registry import DENYOOM, FAST, READONLY, WRITE, command
from cluster.commands.strings import editable
from cluster.errors import CommandError, NotAnInteger, SyntaxFault
from cluster.keyspace.events import SET, Event
from cluster.keyspace.numbers import parse_integer
from cluster.keyspace.values import StringValue
from cluster.protocol import replies

SET_BIT = Event("$", "setbit")
_BAD_OFFSET = "ERR bit offset is not an integer or out of range"
_NOT_ZERO = re.compile(rb"[^\x00]")
_NOT_ONES = re.compile(rb"[^\xff]")
_CHUNK_BYTES = 16 * 1024
_UNIFORM = (b"\xff" * _CHUNK_BYTES, bytes(_CHUNK_BYTES))
"""Chunks that hold no bit of 0, and none of 1."""
_INVERTED = bytes(range(255, -1, -1))


def bit_offset(ctx: Context, text: bytes, scale: int = 1) -> int:
    """A position in bits (counted in units of `scale` bits); raises when no string may be that long."""
    try:
        offset = parse_integer(text) * scale
    except NotAnInteger:
        raise CommandError(_BAD_OFFSET) from None
    if offset < 0 or (offset >> 3 >= ctx.config.proto_max_bulk_len and not ctx.obeys_primary):
        raise CommandError(_BAD_OFFSET)
    return offset


@command("GETBIT", arity=3, flags={READONLY, FAST}, keys=FIRST_READ, group="bitmap", since="2.2.0",
         summary="Answers one bit of a string.", syntax="key offset:integer")
def getbit(ctx: Context, key: bytes, offset: bytes) -> bytes:
    at = bit_offset(ctx, offset)
    value = ctx.string(key)
    if value is None or at >> 3 >= len(value):
        return replies.ZERO
    return replies.ONE if value[at >> 3] >> (7 - (at & 7)) & 1 else replies.ZERO


@command("SETBIT", arity=4, flags={WRITE, DENYOOM}, keys=first_key("RW", "access", "update"), group="bitmap",
         since="2.2.0", summary="Sets or clears one bit of a string, and answers what it was.",
         syntax="key offset:integer value:integer")
def setbit(ctx: Context, key: bytes, offset: bytes, bit: bytes) -> bytes:
    at = bit_offset(ctx, offset)
    if bit not in (b"0", b"1"):
        raise CommandError("ERR bit is not an integer or out of range")
    value = ctx.string_for_write(key)
    edited = editable(ctx, key, value)
    index, mask = at >> 3, 128 >> (at & 7)
    grows = index >= len(edited)
    if grows:
        edited.extend(bytes(index + 1 - len(edited)))
    old = edited[index] & mask
    if bit == b"1":
        edited[index] |= mask
    else:
        edited[index] &= ~mask
    if grows or bool(old) != (bit == b"1"):
        ctx.changed(key, SET_BIT)
    return replies.ONE if old else replies.ZERO


# -- ranges ------------------------------------------------------------------------------------------------------


def _bounds(start: int, end: int, length: int) -> tuple[int, int]:
    """Redis's range over `length` units, negative from the end, as the half-open range of Python."""
    start = max(0, start + length) if start < 0 else start
    end = max(0, end + length) if end < 0 else end
    return start, min(end, length - 1) + 1


def _unit(words: tuple[bytes, ...]) -> bool:
    """Whether the range counts bits rather than bytes."""
    if not words:
        return False
    word = words[0].upper()
    if len(words) > 1 or word not in (b"BIT", b"BYTE"):
        raise SyntaxFault
    return word == b"BIT"


@command("BITCOUNT", arity=-2, flags={READONLY}, keys=FIRST_READ, group="bitmap", since="2.6.0",
         summary="Counts the bits that are set, in a string or a part of it.", complexity="O(N) in the number of bytes",
         syntax="key [start:integer end:integer [BYTE | BIT]@7.0.0]")
def bitcount(ctx: Context, key: bytes, *limits: bytes) -> bytes:
    if len(limits) == 1 or len(limits) > 3:
        raise SyntaxFault
    start, end = (parse_integer(limits[0]), parse_integer(limits[1])) if limits else (0, -1)
    counts_bits = _unit(limits[2:])
    value = ctx.string(key)
    if value is None or (start < 0 and end < 0 and start > end):
        # Before the ends are moved into the string: BITPOS, unlike this, finds the first byte then.
        return replies.ZERO
    if counts_bits:
        first, last = _bounds(start, end, len(value) * 8)
    else:
        first, last = (8 * bound for bound in _bounds(start, end, len(value)))
    return replies.integer(_count_bits(value, first, last))


def _count_bits(value: StringValue, start: int, end: int) -> int:
    """Set bits among the bits from `start` up to `end`."""
    if start >= end:
        return 0
    first, last = start >> 3, (end - 1) >> 3
    count = 0
    with memoryview(value) as view:
        for at in range(first, last + 1, _CHUNK_BYTES):
            count += int.from_bytes(view[at : min(at + _CHUNK_BYTES, last + 1)], "big").bit_count()
    before = value[first] >> (8 - (start & 7))
    behind = value[last] & ((1 << (-end & 7)) - 1)
    return count - before.bit_count() - behind.bit_count()


@command("BITPOS", arity=-3, flags={READONLY}, keys=FIRST_READ, group="bitmap", since="2.8.7",
         summary="Finds the first bit that is set, or clear, in a string or a part of it.",
         complexity="O(N) in the number of bytes",
         syntax="key bit:integer [start:integer [end:integer [BYTE | BIT]@7.0.0]]")
def bitpos(ctx: Context, key: bytes, bit: bytes, *limits: bytes) -> bytes:
    wanted = parse_integer(bit)
    if wanted not in (0, 1):
        raise CommandError("ERR The bit argument must be 1 or 0.")
    if len(limits) > 3:
        raise SyntaxFault
    start = parse_integer(limits[0]) if limits else 0
    counts_bits = _unit(limits[2:])
    end = parse_integer(limits[1]) if len(limits) > 1 else -1
    value = ctx.string(key)
    if value is None:
        return replies.MINUS_ONE if wanted else replies.ZERO
    if counts_bits:
        first, last = _bounds(start, end, len(value) * 8)
    else:
        first, last = (8 * bound for bound in _bounds(start, end, len(value)))
    if first >= last:
        return replies.MINUS_ONE
    found = _find_bit(value, wanted, first, last)
    if found < 0 and not wanted and len(limits) < 2:
        # Without an end the string counts as followed by zeros for ever.
        found = last
    return replies.integer(found)


def _find_bit(value: StringValue, wanted: int, start: int, end: int) -> int:
    """The first bit equal to `wanted` from `start` up to `end`, or -1."""
    at = start
    while at < end:
        if at & 7 == 0:
            at = 8 * _skip_uniform(value, wanted, at >> 3, end >> 3)
            found = (_NOT_ZERO if wanted else _NOT_ONES).search(value, at >> 3, (end + 7) >> 3)
            if found is None:
                return -1
            at = 8 * found.start()
            if at >= end:
                return -1
        if value[at >> 3] >> (7 - (at & 7)) & 1 == wanted:
            return at
        at += 1
    return -1


def _skip_uniform(value: StringValue, wanted: int, at: int, end: int) -> int:
    """Where to look for a bit equal to `wanted` from the byte `at`: behind the whole chunks that hold none."""
    chunk = _UNIFORM[wanted]
    while at + _CHUNK_BYTES <= end and value[at : at + _CHUNK_BYTES] == chunk:
        at += _CHUNK_BYTES
    return at


# -- several strings ---------------------------------------------------------------------------------------------


def _in_exactly_one(numbers: Iterable[int]) -> int:
    seen = repeated = 0
    for number in numbers:
        repeated |= seen & number
        seen |= number
    return seen & ~repeated


_OPERATIONS: dict[bytes, Callable[[list[int]], int]] = {
    b"AND": partial(reduce, and_),
    b"OR": partial(reduce, or_),
    b"XOR": partial(reduce, xor),
    b"DIFF": lambda numbers: numbers[0] & ~reduce(or_, numbers[1:]),
    b"DIFF1": lambda numbers: reduce(or_, numbers[1:]) & ~numbers[0],
    b"ANDOR": lambda numbers: numbers[0] & reduce(or_, numbers[1:]),
    b"ONE": _in_exactly_one,
}
_OF_SEVERAL = (b"DIFF", b"DIFF1", b"ANDOR")


@command("BITOP", arity=-4, flags={WRITE, DENYOOM}, group="bitmap", since="2.6.0",
         keys=(KeySpec(2, 2, 1, ("OW", "update")), KeySpec(3, -1, 1, ("RO", "access"))),
         summary="Combines strings bit by bit and stores the result.", complexity="O(N) in the number of bytes",
         syntax="(AND | OR | XOR | NOT | DIFF | DIFF1 | ANDOR | ONE) destkey:key key...")
def bitop(ctx: Context, operation: bytes, target: bytes, *sources: bytes) -> bytes:
    name = operation.upper()
    if name not in _OPERATIONS and name != b"NOT":
        raise SyntaxFault
    if name == b"NOT" and len(sources) != 1:
        raise CommandError("ERR BITOP NOT must be called with a single source key.")
    if name in _OF_SEVERAL and len(sources) == 1:
        raise CommandError(f"ERR BITOP {name.decode()} must be called with at least two source keys.")
    values: list[StringValue] = [ctx.string(key) or b"" for key in sources]
    length = max(map(len, values))
    if not length:
        if ctx.exists(target):
            ctx.remove(target)
        return replies.ZERO
    result = _inverted(values[0]) if name == b"NOT" else _combined(_OPERATIONS[name], values, length)
    ctx.put(target, result)
    ctx.changed(target, SET)
    return replies.integer(length)


def _inverted(value: StringValue) -> bytearray:
    result = bytearray()
    for at in range(0, len(value), _CHUNK_BYTES):
        result += value[at : at + _CHUNK_BYTES].translate(_INVERTED)
    return result


def _combined(operate: Callable[[list[int]], int], values: list[StringValue], length: int) -> bytearray:
    """The values, each as if zeros followed it up to `length`."""
    result = bytearray()
    for at in range(0, length, _CHUNK_BYTES):
        behind = min(at + _CHUNK_BYTES, length)
        numbers = [int.from_bytes(value[at:behind], "little") for value in values]
        result += operate(numbers).to_bytes(behind - at, "little")
    return result
