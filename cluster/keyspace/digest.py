"""DEBUG DIGEST: one hash over a whole dataset, the same in every server that holds the same data.

Redis's scheme: SHA-1 of parts, combined in order where the order matters (`mix`) and by XOR where it does not. Of a
stream, the entries count; its groups do not.
"""

from __future__ import annotations

import struct
from functools import reduce
from hashlib import sha1
from operator import xor

from cluster.keyspace.database import Database
from cluster.keyspace.expiring_hash import ExpiringHashValue
from cluster.keyspace.hash_value import HashValue
from cluster.keyspace.list_value import ListValue
from cluster.keyspace.set_value import SetValue
from cluster.keyspace.sorted_set import SortedSetValue
from cluster.keyspace.stream_id import PART_BITS, PART_MAX
from cluster.keyspace.values import Value

EMPTY = bytes(20)


def _hash(data: bytes) -> int:
    return int.from_bytes(sha1(data, usedforsecurity=False).digest(), "big")


_DEADLINE_MARK = _hash(b"!!hexpire!!")


def _mix(digest: int, data: bytes) -> int:
    return _hash((digest ^ _hash(data)).to_bytes(20, "big"))


def value_digest(value: Value, deadline_ms: int | None) -> bytes:
    """The 20-byte digest of a value."""
    return _value_digest(value, deadline_ms, 0).to_bytes(20, "big")


def _value_digest(value: Value, deadline_ms: int | None, digest: int) -> int:
    """The digest of a value, started from `digest`."""
    if isinstance(value, (bytes, bytearray)):
        digest = _mix(_mix(digest, struct.pack(">I", 0)), bytes(value))
    elif isinstance(value, ListValue):
        digest = _mix(digest, struct.pack(">I", 1))
        for item in value:
            digest = _mix(digest, item)
    elif isinstance(value, SetValue):
        digest = reduce(xor, map(_hash, value), _mix(digest, struct.pack(">I", 2)))
    elif isinstance(value, HashValue):
        digest = _mix(digest, struct.pack(">I", 4))
        deadlines = value.deadlines() if isinstance(value, ExpiringHashValue) else {}
        for field, content in value.fields.items():
            digest ^= _pair_digest(field, content, _DEADLINE_MARK if field in deadlines else 0)
    elif isinstance(value, SortedSetValue):
        digest = _mix(digest, struct.pack(">I", 3))
        for member, score in value.items():
            digest ^= _pair_digest(member, b"%.17g" % score)
    else:
        digest = _mix(digest, struct.pack(">I", 6))
        for entry_id, items in value.between():
            digest = _mix(digest, b"%d.%d" % (entry_id >> PART_BITS, entry_id & PART_MAX))
            for item in items:
                digest = _mix(digest, item)
    return digest if deadline_ms is None else digest ^ _hash(b"!!expire!!")


def _pair_digest(one: bytes, other: bytes, mark: int = 0) -> int:
    return _hash((_mix(_mix(0, one), other) ^ mark).to_bytes(20, "big"))


def dataset_digest(databases: list[Database]) -> bytes:
    """The 20-byte digest of all databases; zeros when they are empty."""
    final = 0
    for db in databases:
        if not any(db.spaces):
            continue
        final = _mix(final, struct.pack(">I", db.index))
        for key, value, deadline in db.items():
            final ^= _hash(_value_digest(value, deadline, _mix(0, key)).to_bytes(20, "big"))
    return final.to_bytes(20, "big")
