"""The sparse representation of a HyperLogLog: runs of registers as opcodes of one or two bytes.

    00llllll            ZERO    1 … 64 registers that are 0
    01llllll llllllll   XZERO   1 … 16384 registers that are 0
    1vvvvvll            VAL     1 … 4 registers that are 1 … 32

Setting a register splits the run it lies in and joins what has become equal, exactly in redis-server's order: how a
value is cut into runs is visible to whoever reads the key, and decides when it becomes dense. Finding the register
is left to C where it can be: a stretch of opcodes of one byte is translated to their lengths, and summed.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate
from typing import Final, NamedTuple

from cluster.errors import CommandError

REGISTERS: Final = 16384
HEADER_BYTES: Final = 16
MAX_SPARSE_VALUE: Final = 32
EMPTY: Final = b"\x7f\xff"
"""All registers, each 0."""
_MAX_ZERO: Final = 64
_MAX_VALUE_RUN: Final = 4
_XZERO: Final = 0x40
_VAL: Final = 0x80
_JOINED_OPCODES: Final = 5
"""How many opcodes behind a change redis-server looks at for something to join."""
_MAX_BYTES: Final = HEADER_BYTES + 2 * REGISTERS
"""No valid value is longer."""

_OPCODES = re.compile(rb"[\x40-\x7f][\s\S]?|[^\x40-\x7f]+")
_ONE_BYTE_OPCODES = re.compile(rb"[^\x40-\x7f]{1,64}")
_LENGTHS: Final = bytes((opcode & 3) + 1 if opcode & _VAL else (opcode & 63) + 1 for opcode in range(256))
_RUNS: Final = tuple(
    bytes(((opcode >> 2 & 31) + 1 if opcode & _VAL else 0,)) * length for opcode, length in enumerate(_LENGTHS)
)
"""The registers that an opcode of one byte stands for."""


def corrupted() -> CommandError:
    return CommandError("INVALIDOBJ Corrupted HLL object detected")


class Run(NamedTuple):
    """An opcode at `at`, for `length` registers with `value`, written in `size` bytes."""

    at: int
    size: int
    length: int
    value: int


class Place(NamedTuple):
    """Where an opcode starts, and the first register that it stands for."""

    at: int
    register: int


START: Final = Place(HEADER_BYTES, 0)


def run_at(data: bytes | bytearray, at: int) -> Run:
    opcode = data[at]
    if opcode & _VAL:
        return Run(at, 1, (opcode & 3) + 1, (opcode >> 2 & 31) + 1)
    if opcode & _XZERO:
        return Run(at, 2, _long_zero(data[at : at + 2]), 0)
    return Run(at, 1, opcode + 1, 0)


def _long_zero(opcode: bytes | bytearray) -> int:
    """The length of an XZERO; one that is cut off counts as followed by a zero byte, which C's strings end with."""
    return ((opcode[0] & 63) << 8 | (opcode[1] if len(opcode) > 1 else 0)) + 1


def described(data: bytes | bytearray) -> bytes:
    """The opcodes for a person, as PFDEBUG DECODE shows them. O(bytes)."""
    shown = []
    at = HEADER_BYTES
    while at < len(data):
        run = run_at(data, at)
        at += run.size
        if run.value:
            shown.append(b"v:%d,%d" % (run.value, run.length))
        else:
            shown.append((b"Z:%d" if run.size > 1 else b"z:%d") % run.length)
    return b" ".join(shown)


def registers(data: bytes | bytearray) -> bytes:
    """The registers, one a byte; raises INVALIDOBJ when the runs are not of 16384 registers. O(bytes)."""
    pieces: list[bytes] = []
    for opcodes in _OPCODES.findall(data[:_MAX_BYTES], HEADER_BYTES):
        if _XZERO <= opcodes[0] < _VAL:
            pieces.append(bytes(_long_zero(opcodes)))
        else:
            pieces.extend(map(_RUNS.__getitem__, opcodes))
    found = b"".join(pieces)
    if len(found) != REGISTERS or len(data) > _MAX_BYTES:
        raise corrupted()
    return found


class SparseEditor:
    """Sets registers of `data`, a sparse HyperLogLog, in place. For many of them, go upwards: the search goes on where
    the one before it ended."""

    def __init__(self, data: bytearray, max_bytes: int) -> None:
        self.data = data
        self.max_bytes = max_bytes
        self._from = START
        """An opcode that no change since has moved, and that lies two or more before the one looked for."""

    def set(self, index: int, value: int) -> bool | None:
        """Raise the register to `value`: whether it was lower. None: that does not fit, the value must become dense
        (and is unchanged). Raises INVALIDOBJ."""
        if value > MAX_SPARSE_VALUE:
            return None
        previous, first, run = self._find(index)
        if run.value >= value:
            return False
        if run.length == 1 and run.size == 1:
            self.data[run.at] = _val(value, 1)
        else:
            split = _split(run, index - first, value)
            length = len(self.data) + len(split) - run.size
            if length > max(self.max_bytes, len(self.data)):
                return None
            self.data[run.at : run.at + run.size] = split
            del self.data[length:]  # something is there if the run was an XZERO of one byte
        self._join(previous)
        return True

    def _find(self, index: int) -> tuple[int, int, Run]:
        """(where the opcode before it starts, the first register of the run, the run that holds `index`)."""
        before_last, before, place = self._walk(self._from if self._from.register <= index else START, index)
        if before is None and place.at > HEADER_BYTES:  # it is where the search began
            before_last, before, place = self._walk(START, index)
        if place.at >= len(self.data):
            raise corrupted()
        self._from = before_last or START
        return (HEADER_BYTES if before is None else before.at), place.register, run_at(self.data, place.at)

    def _walk(self, start: Place, index: int) -> tuple[Place | None, Place | None, Place]:
        """From the opcode at `start` on: the two before the one that holds `index`, and that one."""
        data = self.data
        end = len(data)
        at, first = start
        # Of the last two opcodes passed, where they start; tuples only at the end, for this is the busiest loop.
        at_1 = at_2 = first_1 = first_2 = -1
        while at < end:
            opcode = data[at]
            if _XZERO <= opcode < _VAL:
                length = ((opcode & 63) << 8 | (data[at + 1] if at + 1 < end else 0)) + 1
                if index < first + length:
                    break
                at_2, first_2, at_1, first_1 = at_1, first_1, at, first
                at += 2
                first += length
                continue
            stretch = _ONE_BYTE_OPCODES.match(data, at)
            assert stretch is not None
            lengths = stretch[0].translate(_LENGTHS)
            total = sum(lengths)
            if index >= first + total:
                count = len(lengths)
                at += count
                first += total
                at_2, first_2 = at_1, first_1
                at_1, first_1 = at - 1, first - lengths[-1]
                if count > 1:
                    at_2, first_2 = at - 2, first_1 - lengths[-2]
                continue
            starts = list(accumulate(lengths, initial=first))
            passed = bisect_right(starts, index) - 1
            if passed:
                at_2, first_2 = (at_1, first_1) if passed == 1 else (at + passed - 2, starts[passed - 2])
                at_1, first_1 = at + passed - 1, starts[passed - 1]
            at += passed
            first = starts[passed]
            break
        return (
            Place(at_2, first_2) if at_2 >= 0 else None, Place(at_1, first_1) if at_1 >= 0 else None, Place(at, first)
        )

    def _join(self, at: int) -> None:
        """From the opcode at `at` on, make one of neighbours with the same value, as far as one can stand for both."""
        data = self.data
        for _ in range(_JOINED_OPCODES):
            if at >= len(data):
                return
            opcode = data[at]
            if not opcode & _VAL:
                at += 2 if opcode & _XZERO else 1
                continue
            if at + 1 < len(data) and data[at + 1] & _VAL and (opcode ^ data[at + 1]) < _MAX_VALUE_RUN:
                length = (opcode & 3) + 1 + (data[at + 1] & 3) + 1
                if length <= _MAX_VALUE_RUN:
                    data[at : at + 2] = bytes((opcode & ~3 | length - 1,))
                    continue
            at += 1


def _val(value: int, length: int) -> int:
    return _VAL | (value - 1) << 2 | length - 1


def _split(run: Run, offset: int, value: int) -> bytes:
    """The opcodes of `run` when the register at `offset` in it has another value."""
    parts = (_same(offset, run.value), bytes((_val(value, 1),)), _same(run.length - 1 - offset, run.value))
    return b"".join(parts)


def _same(length: int, value: int) -> bytes:
    """So many registers of one value, none of them included."""
    if not length:
        return b""
    if value:
        return bytes((_val(value, length),))
    if length > _MAX_ZERO:
        return bytes((_XZERO | length - 1 >> 8, length - 1 & 255))
    return bytes((length - 1,))
