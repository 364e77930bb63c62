"""The bytes of an RDB, taken one field after the other: lengths, strings, doubles. Nothing of it is trusted."""

from __future__ import annotations

import math
import os
import struct
from typing import BinaryIO

import lzf

from cluster.persistence import rdb_format as rdb
from cluster.persistence.rdb_format import RdbError

AHEAD_BYTES = 1 << 16
PIECE_BYTES = 1 << 20
"""Long strings are read in pieces, so that a wrong length costs no more than that."""
LZF_MOST_EXPANSION = 100
"""LZF cannot make more than about 88 bytes of one."""
SHORT_STRING = 64
"""Lengths below it are one byte."""
_DOUBLE = struct.Struct("<d")


class Fields:
    """Takes bytes from `source`, ahead of need; counts the offset and the checksum. Most fields of an RDB are a few
    bytes long: to ask the file for each takes longer than all the rest."""

    def __init__(self, source: BinaryIO, *, checks: bool = False) -> None:
        self._source = source
        self._checks = checks
        self._buffer = b""
        self._at = 0  # what is before it has been taken
        self._size = 0
        self._before = 0  # the buffer's offset in the source
        self._checked = 0  # bytes of the buffer that are in the checksum
        self._checksum = 0

    @property
    def offset(self) -> int:
        return self._before + self._at

    @property
    def checksum(self) -> int:
        """Of all that was taken, where that is wanted."""
        if self._checks and self._checked < self._at:
            self._checksum = rdb.CRC.calc(self._buffer[self._checked : self._at], self._checksum)
            self._checked = self._at
        return self._checksum

    def fail(self, cause: str) -> RdbError:
        return RdbError(f"{cause} (at offset {self.offset})")

    def close(self) -> None:
        """Leave the source at the first byte that was not taken."""
        ahead = self._size - self._at
        if ahead:
            self._source.seek(-ahead, os.SEEK_CUR)
            self._size = self._at

    def _provide(self, count: int) -> None:
        """Have `count` bytes in the buffer, from its beginning on."""
        _ = self.checksum
        pieces = [self._buffer[self._at :]]
        left = count - len(pieces[0])
        while left > 0:
            piece = self._source.read(min(max(left, AHEAD_BYTES), PIECE_BYTES))
            if not piece:
                raise self.fail("Unexpected end of the data")
            pieces.append(piece)
            left -= len(piece)
        self._before += self._at
        self._buffer = b"".join(pieces)
        self._at = self._checked = 0
        self._size = len(self._buffer)

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > self._size:
            self._provide(count)
            end = count
        data = self._buffer[self._at : end]
        self._at = end
        return data

    def byte(self) -> int:
        if self._at >= self._size:
            self._provide(1)
        byte = self._buffer[self._at]
        self._at += 1
        return byte

    def length(self) -> int:
        count, encoded = self._length()
        if encoded:
            raise self.fail("A special encoding where a length is expected")
        return count

    def _length(self) -> tuple[int, bool]:
        """(length, False) or (kind of encoding, True)"""
        first = self.byte()
        kind = first >> 6
        if kind == rdb.LENGTH_6:
            return first & 0x3F, False
        if kind == rdb.LENGTH_14:
            return (first & 0x3F) << 8 | self.byte(), False
        if kind == rdb.LENGTH_ENCODED:
            return first & 0x3F, True
        if first == rdb.LENGTH_32:
            return int.from_bytes(self.take(4), "big"), False
        if first == rdb.LENGTH_64:
            return int.from_bytes(self.take(8), "big"), False
        raise self.fail(f"Unknown length encoding {first:#x}")

    def string(self) -> bytes:
        at = self._at
        if at < self._size and (size := self._buffer[at]) < SHORT_STRING and at + size < self._size:
            self._at = end = at + size + 1  # most of them; all of it is there, and its length is one byte
            return self._buffer[at + 1 : end]
        return self._longer_string()

    def _longer_string(self) -> bytes:
        size, encoded = self._length()
        if not encoded:
            return self.take(size)
        if size in (rdb.ENCODED_INT8, rdb.ENCODED_INT16, rdb.ENCODED_INT32):
            return b"%d" % int.from_bytes(self.take(1 << size), "little", signed=True)
        if size != rdb.ENCODED_LZF:
            raise self.fail(f"Unknown string encoding {size}")
        sizes = self._buffer[self._at : self._at + 2]
        if len(sizes) == 2 and sizes[0] < SHORT_STRING and sizes[1] < SHORT_STRING:
            packed_size, full_size = sizes
            self._at += 2
        else:
            packed_size, full_size = self.length(), self.length()
        if full_size > packed_size * LZF_MOST_EXPANSION:
            raise self.fail("A compressed string with an impossible length")
        packed = self.take(packed_size)
        try:
            value = lzf.decompress(packed, full_size)
        except ValueError:
            value = None
        if value is None or len(value) != full_size:
            raise self.fail("A compressed string that cannot be read")
        return bytes(value)

    def double(self) -> float:
        """A binary double."""
        value: float = _DOUBLE.unpack(self.take(8))[0]
        return value

    def old_double(self) -> float:
        """A double as text, its length before it; three lengths mean nan, inf and -inf."""
        size = self.byte()
        special = {253: math.nan, 254: math.inf, 255: -math.inf}.get(size)
        if special is not None:
            return special
        try:
            return float(self.take(size))
        except ValueError:
            raise self.fail("A score that is no number") from None
