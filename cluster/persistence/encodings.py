"""The compact encodings inside an RDB: listpack and intset (both ways), ziplist and zipmap (reading only).

Readers get untrusted bytes: every length is checked against what is there, and `ValueError` is raised at the first
that does not fit. Sources: the listpack specification, and the documented layouts of the older encodings.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from cluster.keyspace.numbers import is_integer

_LISTPACK_HEADER = struct.Struct("<IH")
_COUNT_UNKNOWN = 0xFFFF
_INTEGER_16, _INTEGER_32, _INTEGER_64 = struct.Struct("<BhB"), struct.Struct("<BiB"), struct.Struct("<BqB")
_INTSET_HEADER = struct.Struct("<II")
_INTSET_CODES = {2: "h", 4: "i", 8: "q"}


# -- listpack ----------------------------------------------------------------------------------------------------


def _back_length(size: int) -> bytes:
    """An entry's length, readable from behind: 7 bits a byte, all but the first marked."""
    if size < 128:
        return bytes((size,))
    parts = [size & 127 | 128]
    size >>= 7
    while size >= 128:
        parts.append(size & 127 | 128)
        size >>= 7
    parts.append(size)
    return bytes(reversed(parts))


_SMALL = [bytes((number, 1)) for number in range(128)]


def listpack_entry(item: bytes) -> bytes:
    """One element: as an integer where it is the canonical text of one."""
    size = len(item)
    # No integer begins above '9'; asking costs as much as the rest.
    if 0 < size <= 20 and item[0] <= 0x39 and is_integer(item):
        return integer_entry(int(item))
    if size < 64:
        return b"%c%b%c" % (0x80 | size, item, size + 1)
    if size < 4096:
        return bytes((0xE0 | size >> 8, size & 0xFF)) + item + _back_length(size + 2)
    return struct.pack("<BI", 0xF0, size) + item + _back_length(size + 5)


def integer_entry(number: int) -> bytes:
    """An integer of 64 bits as an element."""
    if 0 <= number < 128:
        return _SMALL[number]
    if -4096 <= number < 4096:
        number &= 0x1FFF
        return bytes((0xC0 | number >> 8, number & 0xFF, 2))
    if -32768 <= number < 32768:
        return _INTEGER_16.pack(0xF1, number, 3)
    if -8388608 <= number < 8388608:
        return b"\xf2" + (number & 0xFFFFFF).to_bytes(3, "little") + b"\x04"
    if -2147483648 <= number < 2147483648:
        return _INTEGER_32.pack(0xF3, number, 5)
    return _INTEGER_64.pack(0xF4, number, 9)


def listpack_of(entries: list[bytes]) -> bytes:
    """A listpack of entries made by `listpack_entry`."""
    body = b"".join(entries)
    return _LISTPACK_HEADER.pack(len(body) + 7, min(len(entries), _COUNT_UNKNOWN)) + body + b"\xff"


def encode_listpack(items: Iterable[bytes]) -> bytes:
    return listpack_of([listpack_entry(item) for item in items])


def decode_listpack(data: bytes) -> list[bytes]:
    """The elements as byte strings, integers as their text. Raises ValueError."""
    return [b"%d" % item if type(item) is int else item for item in decode_elements(data)]  # type: ignore[misc]


def decode_elements(data: bytes) -> list[bytes | int]:
    """The elements as they are stored, byte strings and integers. Raises ValueError."""
    if len(data) < 7:
        raise ValueError("a listpack shorter than its header")
    total, count = _LISTPACK_HEADER.unpack_from(data)
    if total != len(data) or data[-1] != 0xFF:
        raise ValueError("a listpack whose length does not fit")
    items: list[bytes | int] = []
    append = items.append
    at, end = 6, len(data) - 1
    while at < end:
        first = data[at]
        if first < 0x80:
            append(first)
            at += 2
        elif first < 0xC0:
            start = at + 1
            at = start + (first & 0x3F)
            append(data[start:at])
            at += 1
        else:
            item, size = _listpack_item(data, at, end)
            at += size + len(_back_length(size))
            append(item)
    if at > end:
        raise ValueError("a listpack entry beyond the end")
    if count not in (_COUNT_UNKNOWN, len(items)):
        raise ValueError("a listpack with another number of entries")
    return items


def _listpack_item(data: bytes, at: int, end: int) -> tuple[bytes | int, int]:
    """(element, bytes of the entry without its back length), of those that are not short."""
    first = data[at]
    if first < 0xE0:
        number = (first & 0x1F) << 8 | _slice(data, at + 1, 1, end)[0]
        return number - 0x2000 if number >= 0x1000 else number, 2
    if first < 0xF0:
        size = (first & 0x0F) << 8 | _slice(data, at + 1, 1, end)[0]
        return _slice(data, at + 2, size, end), 2 + size
    if first == 0xF0:
        size = int.from_bytes(_slice(data, at + 1, 4, end), "little")
        return _slice(data, at + 5, size, end), 5 + size
    width = {0xF1: 2, 0xF2: 3, 0xF3: 4, 0xF4: 8}.get(first)
    if width is None:
        raise ValueError(f"a listpack entry of unknown kind {first:#x}")
    return int.from_bytes(_slice(data, at + 1, width, end), "little", signed=True), 1 + width


def _slice(data: bytes, at: int, size: int, end: int) -> bytes:
    if at + size > end:
        raise ValueError("an element beyond the end")
    return data[at : at + size]


# -- intset ------------------------------------------------------------------------------------------------------


def encode_intset(numbers: list[int]) -> bytes:
    """`numbers` in ascending order."""
    low, high = (numbers[0], numbers[-1]) if numbers else (0, 0)
    width = 2 if low >= -(1 << 15) and high < 1 << 15 else 4 if low >= -(1 << 31) and high < 1 << 31 else 8
    return _INTSET_HEADER.pack(width, len(numbers)) + struct.pack(f"<{len(numbers)}{_INTSET_CODES[width]}", *numbers)


def decode_intset(data: bytes) -> list[bytes]:
    if len(data) < 8:
        raise ValueError("an intset shorter than its header")
    width, count = _INTSET_HEADER.unpack_from(data)
    if width not in _INTSET_CODES or len(data) != 8 + width * count:
        raise ValueError("an intset whose length does not fit")
    return [b"%d" % number for number in struct.unpack_from(f"<{count}{_INTSET_CODES[width]}", data, 8)]


# -- the older ones ----------------------------------------------------------------------------------------------


def decode_ziplist(data: bytes) -> list[bytes]:
    """Up to Redis 6.2. Header: bytes, offset of the last entry, count; each entry: previous length, encoding."""
    if len(data) < 11 or int.from_bytes(data[:4], "little") != len(data) or data[-1] != 0xFF:
        raise ValueError("a ziplist whose length does not fit")
    items: list[bytes] = []
    at, end = 10, len(data) - 1
    while at < end:
        at += 5 if data[at] == 0xFE else 1
        if at >= end:
            raise ValueError("a ziplist entry beyond the end")
        item, size = _ziplist_item(data, at, end)
        items.append(item)
        at += size
    return items


def _ziplist_item(data: bytes, at: int, end: int) -> tuple[bytes, int]:
    first = data[at]
    kind = first >> 6
    if kind == 0:
        return _slice(data, at + 1, first & 0x3F, end), 1 + (first & 0x3F)
    if kind == 1:
        size = (first & 0x3F) << 8 | _slice(data, at + 1, 1, end)[0]
        return _slice(data, at + 2, size, end), 2 + size
    if kind == 2:
        size = int.from_bytes(_slice(data, at + 1, 4, end), "big")
        return _slice(data, at + 5, size, end), 5 + size
    if 0xF1 <= first <= 0xFD:
        return b"%d" % (first - 0xF1), 1
    width = {0xC0: 2, 0xD0: 4, 0xE0: 8, 0xF0: 3, 0xFE: 1}.get(first)
    if width is None:
        raise ValueError(f"a ziplist entry of unknown kind {first:#x}")
    return b"%d" % int.from_bytes(_slice(data, at + 1, width, end), "little", signed=True), 1 + width


def decode_zipmap(data: bytes) -> list[bytes]:
    """Up to Redis 2.4: fields and values in turn."""
    if len(data) < 2 or data[-1] != 0xFF:
        raise ValueError("a zipmap without its end")
    items: list[bytes] = []
    at, end = 1, len(data) - 1
    while at < end:
        size, at = _zipmap_length(data, at, end)
        if len(items) % 2:
            free = _slice(data, at, 1, end)[0]
            items.append(_slice(data, at + 1, size, end))
            at += 1 + size + free
        else:
            items.append(_slice(data, at, size, end))
            at += size
    if len(items) % 2 or at != end:
        raise ValueError("a zipmap that ends within a pair")
    return items


def _zipmap_length(data: bytes, at: int, end: int) -> tuple[int, int]:
    if data[at] < 254:
        return data[at], at + 1
    return int.from_bytes(_slice(data, at + 1, 4, end), "little"), at + 5
