"""Values in the encodings of Redis before 7.0, made by hand, and what they hold. redis-server reads the same."""

from __future__ import annotations

import struct
from typing import NamedTuple

from cluster.persistence import rdb_format as rdb


class OldPayload(NamedTuple):
    name: str
    kind: int
    body: bytes
    command: tuple[str, ...]
    """What shows the content, `key` standing for the key …"""
    content: list[bytes]
    """… and the answer, sorted where order says nothing."""


def length(size: int) -> bytes:
    if size < 64:
        return bytes((size,))
    return bytes((0x40 | size >> 8, size & 0xFF)) if size < 1 << 14 else b"\x80" + size.to_bytes(4, "big")


def string(value: bytes) -> bytes:
    return length(len(value)) + value


def ziplist(*entries: bytes) -> bytes:
    """`entries` with their encoding, and without the length of the one before."""
    body, last, before = b"", 10, 0
    for entry in entries:
        last = 10 + len(body)
        head = bytes((before,)) if before < 254 else b"\xfe" + before.to_bytes(4, "little")
        body += head + entry
        before = len(head) + len(entry)
    return struct.pack("<IIH", 11 + len(body), last, len(entries)) + body + b"\xff"


def zipmap(pairs: list[tuple[bytes, bytes]], *, spare: int = 0) -> bytes:
    """`spare`: bytes that are free behind each value."""

    def size(value: bytes) -> bytes:
        return bytes((len(value),)) if len(value) < 254 else b"\xfe" + len(value).to_bytes(4, "little")

    body = b"".join(
        size(field) + field + size(value) + bytes((spare,)) + value + b"?" * spare for field, value in pairs
    )
    return bytes((min(len(pairs), 254),)) + body + b"\xff"


LONG, HUGE = b"l" * 300, b"h" * 20_000
EVERY_ENTRY = {
    b"\x05short": b"short", b"\x41\x2c" + LONG: LONG, b"\x80" + (20_000).to_bytes(4, "big") + HUGE: HUGE,
    b"\xf1": b"0", b"\xfd": b"12", b"\xfe\x9c": b"-100", b"\xc0\x18\xfc": b"-1000",
    b"\xf0\x00\x00\x80": b"-8388608", b"\xd0\x00\x00\x00\x80": b"-2147483648",
    b"\xe0" + (1 << 62).to_bytes(8, "little"): b"4611686018427387904",
}  # fmt: skip
"""Every encoding of an entry of a ziplist, and what it stands for."""
ITEMS = list(EVERY_ENTRY.values())
LRANGE, HGETALL, ZRANGE = ("LRANGE", "key", "0", "-1"), ("HGETALL", "key"), ("ZRANGE", "key", "0", "-1", "WITHSCORES")
PAYLOADS = [
    OldPayload("a list of strings", rdb.LIST, length(3) + string(b"a") + b"\xc0\x05" + string(LONG), LRANGE,
               [b"a", b"5", LONG]),
    OldPayload("a ziplist as a list", rdb.LIST_ZIPLIST, string(ziplist(*EVERY_ENTRY)), LRANGE, ITEMS),
    OldPayload("a quicklist of ziplists", rdb.LIST_QUICKLIST,
               length(2) + string(ziplist(*EVERY_ENTRY)) + string(ziplist(b"\x01z")), LRANGE, [*ITEMS, b"z"]),
    OldPayload("a set of strings", rdb.SET, length(2) + string(b"a") + string(LONG), ("SMEMBERS", "key"), [b"a", LONG]),
    OldPayload("an intset of 16 bits", rdb.SET_INTSET, string(struct.pack("<II2h", 2, 2, -300, 7)),
               ("SMEMBERS", "key"), [b"-300", b"7"]),
    OldPayload("an intset of 32 bits", rdb.SET_INTSET, string(struct.pack("<II2i", 4, 2, -70_000, 7)),
               ("SMEMBERS", "key"), [b"-70000", b"7"]),
    OldPayload("an intset of 64 bits", rdb.SET_INTSET, string(struct.pack("<II2q", 8, 2, -(1 << 40), 7)),
               ("SMEMBERS", "key"), [b"-1099511627776", b"7"]),
    OldPayload("a hash of strings", rdb.HASH, length(1) + string(b"field") + string(LONG), HGETALL, [b"field", LONG]),
    OldPayload("a zipmap", rdb.HASH_ZIPMAP, string(zipmap([(b"field", b"value"), (b"f" * 260, LONG)])), HGETALL,
               [b"field", b"value", b"f" * 260, LONG]),
    OldPayload("a zipmap with room to spare", rdb.HASH_ZIPMAP, string(zipmap([(b"a", b"1"), (b"b", b"2")], spare=3)),
               HGETALL, [b"a", b"1", b"b", b"2"]),
    OldPayload("a ziplist as a hash", rdb.HASH_ZIPLIST, string(ziplist(*EVERY_ENTRY)), HGETALL, ITEMS),
    OldPayload("a sorted set of texts", rdb.ZSET,
               length(4) + string(b"a") + b"\x033.5" + string(b"b") + b"\x05-1e10" + string(b"c") + b"\xfe"
               + string(b"d") + b"\xff", ZRANGE, [b"d", b"-inf", b"b", b"-10000000000", b"a", b"3.5", b"c", b"inf"]),
    OldPayload("a sorted set of doubles", rdb.ZSET_2,
               length(2) + string(b"a") + struct.pack("<d", 0.25) + string(b"b") + struct.pack("<d", 7), ZRANGE,
               [b"a", b"0.25", b"b", b"7"]),
    OldPayload("a ziplist as a sorted set", rdb.ZSET_ZIPLIST,
               string(ziplist(b"\x01a", b"\xc0\x18\xfc", b"\x01b", b"\x033.5", b"\xfe\x09", b"\xfd")), ZRANGE,
               [b"a", b"-1000", b"b", b"3.5", b"9", b"12"]),
]  # fmt: skip


def payload(old: OldPayload, version: int = 6) -> bytes:
    """As DUMP of such a server made it."""
    body = bytes((old.kind,)) + old.body + version.to_bytes(2, "little")
    return body + int(rdb.CRC.calc(body)).to_bytes(8, "little")


KEYS = [
    b"\xfe\x00",
    b"\xfc" + (4_000_000_000_123).to_bytes(8, "little") + b"\x00\x02ms\x01v",
    b"\xfd" + (2_000_000_000).to_bytes(4, "little") + b"\x00\x01s\x01v",
    b"\xfe\x03",
    b"\x00\x06number\xc2\x00\x00\x00\x80",
    b"\x00\x06packed\xc3\x09\x40\x64\x01aa\xe0\x57\x00\x01aa",
]
"""Of a file: its databases, both kinds of deadlines, a number, a compressed string."""


def old_file(version: int) -> bytes:
    """A whole file of the first versions, which end without a checksum."""
    assert version < 5
    return b"REDIS%04d" % version + b"".join(KEYS) + b"".join(
        bytes((old.kind,)) + string(old.name.encode()) + old.body for old in PAYLOADS
    ) + b"\xff"  # fmt: skip
