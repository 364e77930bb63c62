"""The numbers of the RDB format, and the one error its readers raise. Source: Redis's RDB file format, version 12."""

from __future__ import annotations

from anycrc import Model

VERSION = 10
"""What we write: redis-server 7.0 loads it."""
VERSION_OF_DEADLINES = 12
"""What we write where fields of a hash have deadlines: Redis 7.4's, the first that has such hashes."""
NEWEST_READABLE = 12
MAGIC = b"REDIS"

STRING, LIST, SET, ZSET, HASH, ZSET_2, MODULE, MODULE_2 = range(8)
HASH_ZIPMAP, LIST_ZIPLIST, SET_INTSET, ZSET_ZIPLIST, HASH_ZIPLIST, LIST_QUICKLIST, STREAM_LISTPACKS = range(9, 16)
HASH_LISTPACK, ZSET_LISTPACK, LIST_QUICKLIST_2, STREAM_LISTPACKS_2, SET_LISTPACK, STREAM_LISTPACKS_3 = range(16, 22)
HASH_DEADLINES_EARLY, HASH_LISTPACK_DEADLINES_EARLY, HASH_DEADLINES, HASH_LISTPACK_DEADLINES = range(22, 26)
MODULE_TYPES = frozenset((MODULE, MODULE_2))
_MODULE_NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

SLOT_INFO, FUNCTION_2, FUNCTION_EARLY, MODULE_AUX, IDLE, FREQ, AUX, RESIZE_DB, EXPIRE_MS, EXPIRE_S, SELECT_DB, EOF = (
    range(244, 256)
)

FIRST_OPCODE = SLOT_INFO
"""What is below it is the type of a value."""

LENGTH_6, LENGTH_14, LENGTH_LARGE, LENGTH_ENCODED = range(4)
LENGTH_32, LENGTH_64 = 0x80, 0x81
MOST_64 = (1 << 64) - 1
ENCODED_INT8, ENCODED_INT16, ENCODED_INT32, ENCODED_LZF = range(4)

NODE_PLAIN, NODE_PACKED = 1, 2

CRC = Model("CRC64-REDIS")


def module_name(type_id: int) -> str:
    """The nine characters of a module's type, in the upper 54 bits of its id; below them is a version."""
    return "".join(_MODULE_NAMES[type_id >> shift & 0x3F] for shift in range(58, 9, -6))


class RdbError(Exception):
    """Bytes that are no RDB; the message names the offset."""
