"""The ids of stream entries: <milliseconds>-<sequence>, both of 64 bits.

Inside, an id is one integer, milliseconds << 64 | sequence: it compares as ids do, and takes a third of the memory of a
pair. What clients type is read as redis-server reads it, with C's strtoull and so with blanks, signs and leading zeros.
"""

from __future__ import annotations

import re
from typing import Final

from cluster.errors import CommandError

PART_BITS: Final = 64
PART_MAX: Final = (1 << PART_BITS) - 1
MAX_ID: Final = (1 << 2 * PART_BITS) - 1
_TEXT_LIMIT = 127
_NUMBER = re.compile(rb"[ \t-\r]*([+-]?)(\d+)")
_PLAIN = re.compile(rb"-?[1-9]\d*|0")
"""What redis-server takes for an integer before it asks strtoull; a negative one is refused then and there."""
_INT64_MIN = -(1 << 63)


class InvalidId(CommandError):
    def __init__(self) -> None:
        super().__init__("ERR Invalid stream ID specified as stream command argument")


def make_id(ms: int, seq: int) -> int:
    return ms << PART_BITS | seq


def id_text(entry_id: int) -> bytes:
    """An id as clients see it."""
    return b"%d-%d" % (entry_id >> PART_BITS, entry_id & PART_MAX)


def parse_id(text: bytes, missing_seq: int = 0) -> int:
    """An id in full, or its milliseconds alone, which `missing_seq` completes. Raises InvalidId."""
    ms, dash, seq = text.partition(b"-")
    if len(text) <= _TEXT_LIMIT and ms.isdigit() and (seq.isdigit() or not dash):
        first, second = int(ms), int(seq) if dash else missing_seq
        if first <= PART_MAX and second <= PART_MAX:
            return first << PART_BITS | second
        raise InvalidId
    return _parse_odd(text, missing_seq)


def parse_bound(text: bytes, missing_seq: int = 0) -> int:
    """As `parse_id`; `-` and `+` are the lowest and the highest id."""
    if text == b"-":
        return 0
    return MAX_ID if text == b"+" else parse_id(text, missing_seq)


def parse_new_id(text: bytes) -> tuple[int, bool]:
    """(id, whether its sequence is given): as `parse_id`, but `<ms>-*` leaves the sequence to the stream."""
    if text.endswith(b"-*") and text.count(b"-") == 1 and len(text) <= _TEXT_LIMIT:
        return parse_id(text[:-2]), False
    return parse_id(text), True


def _parse_odd(text: bytes, missing_seq: int) -> int:
    if len(text) > _TEXT_LIMIT:
        raise InvalidId
    ms, dash, seq = text.partition(b"\0")[0].partition(b"-")
    return _part(ms) << PART_BITS | (_part(seq) if dash else missing_seq)


def _part(text: bytes) -> int:
    found = _NUMBER.fullmatch(text)
    if found is None or int(found[2]) > PART_MAX:
        raise InvalidId
    if found[1] != b"-":
        return int(found[2])
    if _PLAIN.fullmatch(text) and int(text) >= _INT64_MIN:
        raise InvalidId
    return -int(found[2]) & PART_MAX
