"""How many bytes an element takes in a listpack: what bounds the nodes of a stream, without making any."""

from __future__ import annotations

from cluster.keyspace.numbers import is_integer

HEADER_BYTES = 7
"""Total size, count, and the end mark."""
_INTEGER_DIGITS = 20


def integer_bytes(number: int) -> int:
    """A signed 64-bit integer, its back length included."""
    if 0 <= number < 1 << 7:
        return 2
    if -(1 << 12) <= number < 1 << 12:
        return 3
    if -(1 << 15) <= number < 1 << 15:
        return 4
    if -(1 << 23) <= number < 1 << 23:
        return 5
    return 6 if -(1 << 31) <= number < 1 << 31 else 10


def element_bytes(item: bytes) -> int:
    """A string, which is stored as an integer where it is the text of one."""
    size = len(item)
    # No integer begins above '9'; asking costs more than the rest.
    if 0 < size <= _INTEGER_DIGITS and item[0] <= 0x39 and is_integer(item):
        return integer_bytes(int(item))
    if size < 64:
        return size + 2
    size += 2 if size < 4096 else 5
    return size + (1 if size < 1 << 7 else 2 if size < 1 << 14 else 3 if size < 1 << 21 else 4 if size < 1 << 28 else 5)
