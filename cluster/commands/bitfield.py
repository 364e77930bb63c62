"""BITFIELD: integers of any width at any bit of a string."""

from __future__ import annotations

from typing import NamedTuple

from cluster.commands.bitmaps import SET_BIT, bit_offset
from cluster.commands.context import Context
from cluster.commands.keys import FIRST_READ, first_key
from cluster.commands.registry import DENYOOM, FAST, READONLY, WRITE, command
from cluster.commands.strings import editable
from cluster.errors import CommandError, SyntaxFault
from cluster.keyspace.numbers import parse_integer
from cluster.keyspace.values import StringValue
from cluster.protocol import replies

_BAD_TYPE = (
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."
)


class Field(NamedTuple):
    """Where an integer lies and how it is read."""

    signed: bool
    bits: int
    offset: int

    @property
    def low(self) -> int:
        return -(1 << self.bits - 1) if self.signed else 0

    @property
    def high(self) -> int:
        return (1 << self.bits - self.signed) - 1

    @property
    def end_byte(self) -> int:
        """The first byte behind the field."""
        return (self.offset + self.bits + 7) >> 3

    def wrapped(self, number: int) -> int:
        """`number` modulo the width."""
        number &= (1 << self.bits) - 1
        return number - (1 << self.bits) if number > self.high else number

    def read(self, value: StringValue) -> int:
        """The integer; bits behind the end of `value` are zero."""
        first = self.offset >> 3
        window = bytes(value[first : self.end_byte]).ljust(self.end_byte - first, b"\0")
        return self.wrapped(int.from_bytes(window, "big") >> (-(self.offset + self.bits) & 7))

    def write(self, value: bytearray, number: int) -> None:
        """Store `number` in `value`, which is long enough."""
        first, shift = self.offset >> 3, -(self.offset + self.bits) & 7
        mask = (1 << self.bits) - 1
        window = int.from_bytes(value[first : self.end_byte], "big")
        window = window & ~(mask << shift) | (number & mask) << shift
        value[first : self.end_byte] = window.to_bytes(self.end_byte - first, "big")


class Operation(NamedTuple):
    """One GET, SET or INCRBY; `overflow` is how it ends when the field is too narrow."""

    name: bytes
    field: Field
    number: int
    overflow: bytes


def _field(ctx: Context, kind: bytes, offset: bytes) -> Field:
    signed = kind[:1] == b"i"
    bits = _width(kind[1:]) if kind[:1] in (b"i", b"u") else 0
    if not 1 <= bits <= (64 if signed else 63):
        raise CommandError(_BAD_TYPE)
    scaled = offset[:1] == b"#"
    return Field(signed, bits, bit_offset(ctx, offset[1:] if scaled else offset, bits if scaled else 1))


def _width(text: bytes) -> int:
    try:
        return parse_integer(text)
    except CommandError:
        return 0


def _operations(ctx: Context, arguments: tuple[bytes, ...]) -> list[Operation]:
    found: list[Operation] = []
    overflow = b"WRAP"
    at = 0
    while at < len(arguments):
        name = arguments[at].upper()
        left = len(arguments) - at - 1
        if name == b"OVERFLOW" and left >= 1:
            overflow = arguments[at + 1].upper()
            if overflow not in (b"WRAP", b"SAT", b"FAIL"):
                raise CommandError("ERR Invalid OVERFLOW type specified")
            at += 2
            continue
        width = {b"GET": 2, b"SET": 3, b"INCRBY": 3}.get(name, len(arguments))
        if left < width:
            raise SyntaxFault
        field = _field(ctx, arguments[at + 1], arguments[at + 2])
        found.append(Operation(name, field, parse_integer(arguments[at + 3]) if width == 3 else 0, overflow))
        at += width + 1
    return found


@command("BITFIELD", arity=-2, flags={WRITE, DENYOOM}, keys=first_key("RW", "access", "update", "variable_flags"),
         group="bitmap", since="3.2.0", summary="Reads and changes integers of any width in a string.",
         complexity="O(1) for each subcommand",
         syntax="key [(GET (encoding offset:integer) | [OVERFLOW (WRAP | SAT | FAIL)] (SET (encoding offset:integer "
                "value:integer) | INCRBY (encoding offset:integer increment:integer)))...]")
def bitfield(ctx: Context, key: bytes, *arguments: bytes) -> bytes:
    operations = _operations(ctx, arguments)
    writes = [one for one in operations if one.name != b"GET"]
    if not writes:
        return _read_all(ctx, key, operations)
    value = editable(ctx, key, ctx.string_for_write(key))
    length = max(one.field.end_byte for one in writes)
    grows = len(value) < length
    if grows:
        value.extend(bytes(length - len(value)))
    results: list[bytes] = []
    changes = 0
    for one in operations:
        old = one.field.read(value)
        if one.name == b"GET":
            results.append(replies.integer(old))
            continue
        wanted = one.number if one.name == b"SET" else old + one.number
        new = _fitted(one, wanted)
        if new is None:
            results.append(ctx.null)
            continue
        one.field.write(value, new)
        changes += grows or new != old
        results.append(replies.integer(old if one.name == b"SET" else new))
    if changes:
        ctx.changed(key, SET_BIT, changes)
    return replies.array(results)


def _fitted(operation: Operation, number: int) -> int | None:
    """`number` as the field can hold it, or None when it must fail."""
    field = operation.field
    if operation.name == b"SET" and not field.signed:
        # Redis reads the number of an unsigned SET as 64 unsigned bits.
        number &= (1 << 64) - 1
    if field.low <= number <= field.high:
        return number
    if operation.overflow == b"FAIL":
        return None
    if operation.overflow == b"SAT":
        return field.high if number > field.high else field.low
    return field.wrapped(number)


@command("BITFIELD_RO", arity=-2, flags={READONLY, FAST}, keys=FIRST_READ, group="bitmap", since="6.0.0",
         summary="Reads integers of any width in a string.", complexity="O(1) for each subcommand",
         syntax="key [GET (encoding offset:integer)]...")
def bitfield_ro(ctx: Context, key: bytes, *arguments: bytes) -> bytes:
    operations = _operations(ctx, arguments)
    if any(one.name != b"GET" for one in operations):
        raise CommandError("ERR BITFIELD_RO only supports the GET subcommand")
    return _read_all(ctx, key, operations)


def _read_all(ctx: Context, key: bytes, operations: list[Operation]) -> bytes:
    value = ctx.string(key) or b""
    return replies.array([replies.integer(one.field.read(value)) for one in operations])
