"""The value types a key can hold, under one name each.

A string is `bytes`, or `bytearray` once a command changed it in place (Redis shows such a string as 'raw').
"""

from __future__ import annotations

from cluster.keyspace.expiring_hash import ExpiringHashValue
from cluster.keyspace.hash_value import HashValue
from cluster.keyspace.list_value import ListValue
from cluster.keyspace.set_value import SetValue
from cluster.keyspace.sorted_set import SortedSetValue
from cluster.keyspace.stream import StreamValue

__all__ = [
    "ExpiringHashValue", "HashValue", "ListValue", "SetValue", "SortedSetValue", "StreamValue", "StringValue", "Value",
    "type_name",
]

StringValue = bytes | bytearray
Value = StringValue | ListValue | HashValue | SetValue | SortedSetValue | StreamValue


def type_name(value: Value) -> str:
    """The name TYPE answers with."""
    return "string" if isinstance(value, (bytes, bytearray)) else value.type_name
