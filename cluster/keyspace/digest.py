"""DEBUG DIGEST: one hash over a whole dataset, the same in every server that holds the same data.

Redis's scheme: SHA-1 of parts, combined in order where the order matters (`mix`) and by XOR where it does not. Of a
stream, the entries count; its groups do not.
"""

from __future__ import annotations

import struct
from hashlib import sha1

from cluster.keyspace.database import Database
from cluster.keyspace.expiring_hash import ExpiringHashValue
from cluster.keyspace.hash_value import HashValue
from cluster.keyspace.list_value import ListValue
from cluster.keyspace.set_value import SetValue
from cluster.keyspace.sorted_set import SortedSetValue
from cluster.keyspace.stream_id import PART_BITS, PART_MAX
from cluster.keyspace.values import Value

EMPTY = bytes(20)


def _xor(digest: bytes, data: bytes) -> bytes:
    other = sha1(data, usedforsecurity=False).digest()
    return (int.from_bytes(digest, "big") ^ int.from_bytes(other, "big")).to_bytes(20, "big")


def _mix(digest: bytes, data: bytes) -> bytes:
    return sha1(_xor(digest, data), usedforsecurity=False).digest()


def value_digest(value: Value, deadline_ms: int | None, digest: bytes = EMPTY) -> bytes:
    """The 20-byte digest of a value, started from `digest`."""
    if isinstance(value, (bytes, bytearray)):
        digest = _mix(_mix(digest, struct.pack(">I", 0)), bytes(value))
    elif isinstance(value, ListValue):
        digest = _mix(digest, struct.pack(">I", 1))
        for item in value:
            digest = _mix(digest, item)
    elif isinstance(value, SetValue):
        digest = _mix(digest, struct.pack(">I", 2))
        for member in value:
            digest = _xor(digest, member)
    elif isinstance(value, HashValue):
        digest = _mix(digest, struct.pack(">I", 4))
        deadlines = value.deadlines() if isinstance(value, ExpiringHashValue) else {}
        for field, content in value.fields.items():
            pair = _mix(_mix(EMPTY, field), content)
            digest = _xor(digest, _xor(pair, b"!!hexpire!!") if field in deadlines else pair)
    elif isinstance(value, SortedSetValue):
        digest = _mix(digest, struct.pack(">I", 3))
        for member, score in value.items():
            digest = _xor(digest, _mix(_mix(EMPTY, member), b"%.17g" % score))
    else:
        digest = _mix(digest, struct.pack(">I", 6))
        for entry_id, items in value.between():
            digest = _mix(digest, b"%d.%d" % (entry_id >> PART_BITS, entry_id & PART_MAX))
            for item in items:
                digest = _mix(digest, item)
    return digest if deadline_ms is None else _xor(digest, b"!!expire!!")


def dataset_digest(databases: list[Database]) -> bytes:
    """The 20-byte digest of all databases; zeros when they are empty."""
    final = EMPTY
    for db in databases:
        if not any(db.spaces):
            continue
        final = _mix(final, struct.pack(">I", db.index))
        for key, value, deadline in db.items():
            final = _xor(final, value_digest(value, deadline, _mix(EMPTY, key)))
    return final
