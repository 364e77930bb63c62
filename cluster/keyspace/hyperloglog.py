"""HyperLogLog: how many different elements were added, within about 0.81 %, in at most 12 KB.

A value is a string of Redis's format: a header of 16 bytes (`HYLL`, the representation, the cached cardinality) and
16384 registers of 6 bits, either packed (dense) or as runs (sparse: hyperloglog_sparse.py). A register is in place
found and changed in a bytearray. What needs all of them (counting, merging) takes them apart with operations on big
integers, since a loop over 16384 of them would cost a millisecond.

Sources: Flajolet and others, "HyperLogLog" (2007); the estimator is Ertl's, "New cardinality estimation algorithms
for HyperLogLog sketches" (2017, arXiv:1702.01284); the hash is Appleby's MurmurHash64A.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from cluster.keyspace.hyperloglog_sparse import (
    EMPTY,
    HEADER_BYTES,
    REGISTERS,
    SparseEditor,
    registers,
)

MAGIC: Final = b"HYLL"
DENSE, SPARSE = 0, 1
DENSE_BYTES: Final = HEADER_BYTES + REGISTERS * 6 // 8
_ENCODING_AT: Final = 4
_CACHE_AT: Final = 8
_STALE: Final = 0x80
"""The highest bit of the cached cardinality: it is not that of the registers any more."""

_INDEX_BITS: Final = 14
_RANK_BITS: Final = 64 - _INDEX_BITS
_MAX_RANK: Final = _RANK_BITS + 1
_INFINITELY_MANY: Final = -(1 << 63)
"""What C makes of an infinite estimate: all registers are at a value that no hash leads to."""
_ALPHA: Final = 0.721347520444481703680
_SEED: Final = 0xADC83B19
_MIX: Final = 0xC6A4A7935BD1E995
_SHIFT: Final = 47
_MASK: Final = (1 << 64) - 1

_HIGH_BITS: Final = int.from_bytes(b"\x80" * REGISTERS, "little")
# What a byte of the packed registers gives to which of the four registers in each three bytes.
_LOW_SIX: Final = bytes(byte & 63 for byte in range(256))
_HIGH_TWO: Final = bytes(byte >> 6 for byte in range(256))
_LOW_FOUR: Final = bytes((byte & 15) << 2 for byte in range(256))
_HIGH_FOUR: Final = bytes(byte >> 4 for byte in range(256))
_LOW_TWO: Final = bytes((byte & 3) << 4 for byte in range(256))
_HIGH_SIX: Final = bytes(byte >> 2 for byte in range(256))


def murmur_hash(data: bytes, seed: int = _SEED) -> int:
    """MurmurHash64A, on little-endian words of 8 bytes. O(bytes)."""
    mixed = seed ^ (len(data) * _MIX & _MASK)
    whole = len(data) & ~7
    for at in range(0, whole, 8):
        word = int.from_bytes(data[at : at + 8], "little") * _MIX & _MASK
        word = (word ^ word >> _SHIFT) * _MIX & _MASK
        mixed = (mixed ^ word) * _MIX & _MASK
    if whole < len(data):
        mixed = (mixed ^ int.from_bytes(data[whole:], "little")) * _MIX & _MASK
    mixed = (mixed ^ mixed >> _SHIFT) * _MIX & _MASK
    return mixed ^ mixed >> _SHIFT


def register_of(element: bytes) -> tuple[int, int]:
    """(which register an element concerns, the value it raises it to)."""
    hashed = murmur_hash(element)
    rest = hashed >> _INDEX_BITS | 1 << _RANK_BITS
    return hashed & REGISTERS - 1, (rest & -rest).bit_length()


# -- the header --------------------------------------------------------------------------------------------------


def new() -> bytearray:
    """An empty, sparse HyperLogLog; its cached cardinality, 0, is good."""
    return bytearray(MAGIC + bytes((SPARSE,)) + bytes(HEADER_BYTES - len(MAGIC) - 1) + EMPTY)


def is_hyperloglog(value: bytes | bytearray) -> bool:
    """Whether the header, and the length of a dense one, are right; the runs of a sparse one are not looked at."""
    if len(value) < HEADER_BYTES or value[: len(MAGIC)] != MAGIC or value[_ENCODING_AT] > SPARSE:
        return False
    return value[_ENCODING_AT] == SPARSE or len(value) == DENSE_BYTES


def is_sparse(value: bytes | bytearray) -> bool:
    return value[_ENCODING_AT] == SPARSE


def cached_count(value: bytes | bytearray) -> int | None:
    """The cardinality in the header, or None when it is out of date."""
    if value[HEADER_BYTES - 1] & _STALE:
        return None
    return int.from_bytes(value[_CACHE_AT:HEADER_BYTES], "little")


def cache_count(value: bytearray, count: int) -> None:
    value[_CACHE_AT:HEADER_BYTES] = count.to_bytes(HEADER_BYTES - _CACHE_AT, "little", signed=True)


def forget_count(value: bytearray) -> None:
    value[HEADER_BYTES - 1] |= _STALE


# -- registers ---------------------------------------------------------------------------------------------------


def raise_dense(value: bytearray, index: int, rank: int) -> bool:
    """Raise one register of a dense value to `rank`: whether it was lower. O(1)."""
    at, shift = HEADER_BYTES + index * 6 // 8, index * 6 & 7
    window = value[at] | (value[at + 1] << 8 if shift > 2 else 0)
    if window >> shift & 63 >= rank:
        return False
    window = window & ~(63 << shift) | rank << shift
    value[at] = window & 255
    if shift > 2:
        value[at + 1] = window >> 8
    return True


def to_dense(value: bytearray) -> None:
    """Change a sparse value to the dense representation, in place; raises INVALIDOBJ."""
    value[HEADER_BYTES:] = _packed(registers(value))
    value[_ENCODING_AT] = DENSE


def add(value: bytearray, elements: Iterable[bytes], max_sparse_bytes: int) -> int:
    """Add elements; how many of them raised a register. Raises INVALIDOBJ.

    O(1) for each where the value is dense, O(bytes) where it is sparse; dense from where sparse does not suffice.
    """
    raised = 0
    editor = SparseEditor(value, max_sparse_bytes) if is_sparse(value) else None
    for element in elements:
        index, rank = register_of(element)
        changed = None if editor is None else editor.set(index, rank)
        if changed is None:
            if editor is not None:
                to_dense(value)
                editor = None
            changed = raise_dense(value, index, rank)
        raised += changed
    return raised


def merge(value: bytearray, union: Union, max_sparse_bytes: int) -> None:
    """Raise the registers of `value` to those of `union`, which it is part of. Sparse if all parts were, and if it
    then is small enough."""
    highest = union.registers
    if not union.has_dense and is_sparse(value):
        editor = SparseEditor(value, max_sparse_bytes)
        if all(editor.set(index, rank) is not None for index, rank in enumerate(highest) if rank):
            return
    value[HEADER_BYTES:] = _packed(highest)
    value[_ENCODING_AT] = DENSE


def unpacked(value: bytes | bytearray) -> bytes:
    """The registers of a dense or a sparse value, one a byte; raises INVALIDOBJ."""
    return registers(value) if is_sparse(value) else _unpacked(value)


def _packed(one_a_byte: bytes) -> bytes:
    first, second, third, fourth = (int.from_bytes(one_a_byte[start::4], "little") for start in range(4))
    # Three bytes of packed registers, each in a byte of its own integer; nothing crosses from one byte to the next.
    size = REGISTERS // 4
    low = int.from_bytes(b"\x03" * size, "little")
    middle = int.from_bytes(b"\x0f" * size, "little")
    packed = bytearray(3 * size)
    packed[0::3] = (first | (second & low) << 6).to_bytes(size, "little")
    packed[1::3] = (second >> 2 & middle | (third & middle) << 4).to_bytes(size, "little")
    packed[2::3] = (third >> 4 & low | fourth << 2).to_bytes(size, "little")
    return bytes(packed)


def _unpacked(value: bytes | bytearray) -> bytes:
    one, two, three = (bytes(value[start::3]) for start in range(HEADER_BYTES, HEADER_BYTES + 3))
    found = bytearray(REGISTERS)
    found[0::4] = one.translate(_LOW_SIX)
    found[1::4] = _either(one.translate(_HIGH_TWO), two.translate(_LOW_FOUR))
    found[2::4] = _either(two.translate(_HIGH_FOUR), three.translate(_LOW_TWO))
    found[3::4] = three.translate(_HIGH_SIX)
    return bytes(found)


def _either(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "little") | int.from_bytes(other, "little")).to_bytes(len(one), "little")


class Union:
    """The highest value of each register over several values. Adding one costs some operations on 16 KB."""

    def __init__(self) -> None:
        self._highest = 0
        self.has_dense = False

    def add(self, value: bytes | bytearray) -> None:
        """Raises INVALIDOBJ."""
        sparse = is_sparse(value)
        self.has_dense = self.has_dense or not sparse
        other = int.from_bytes(registers(value) if sparse else _unpacked(value), "little")
        # The high bit of a byte stays where ours is not lower; from it a mask of that byte's other bits is made.
        ours = (self._highest | _HIGH_BITS) - other & _HIGH_BITS
        mask = ours - (ours >> 7)
        self._highest = self._highest & mask | other & ~mask

    @property
    def registers(self) -> bytes:
        return self._highest.to_bytes(REGISTERS, "little")


# -- the estimate ------------------------------------------------------------------------------------------------


def count(value: bytes | bytearray) -> int:
    """The estimated cardinality of a value, from its registers; raises INVALIDOBJ."""
    return estimate(unpacked(value))


def estimate(one_a_byte: bytes) -> int:
    """The cardinality that 16384 registers stand for."""
    counts: list[int] = []
    left = REGISTERS
    for rank in range(_MAX_RANK + 1):
        found = one_a_byte.count(rank) if left else 0
        counts.append(found)
        left -= found
    total = REGISTERS * _tau((REGISTERS - counts[_MAX_RANK]) / REGISTERS)
    for rank in range(_RANK_BITS, 0, -1):
        total = (total + counts[rank]) * 0.5
    total += REGISTERS * _sigma(counts[0] / REGISTERS)
    return _rounded(_ALPHA * REGISTERS * REGISTERS / total) if total else _INFINITELY_MANY


def _rounded(number: float) -> int:
    """To the nearest integer, a half upwards."""
    whole = math.floor(number)
    return whole + (number - whole >= 0.5)


def _sigma(share: float) -> float:
    """What registers still at 0 add."""
    if share == 1.0:
        return math.inf
    weight, total, before = 1.0, share, -1.0
    while total != before:
        share *= share
        before = total
        total += share * weight
        weight += weight
    return total


def _tau(share: float) -> float:
    """What registers at the highest value add."""
    if share in (0.0, 1.0):
        return 0.0
    weight, total, before = 1.0, 1 - share, -1.0
    while total != before:
        share = math.sqrt(share)
        before = total
        weight *= 0.5
        total -= (1 - share) ** 2 * weight
    return total / 3
