"""OBJECT: what redis-server would tell of how a value is kept.

Our values have no such encodings; the names follow from the values and the thresholds, as clients and tools expect
them.
"""

from __future__ import annotations

from cluster.commands.context import Context
from cluster.commands.generic import look
from cluster.commands.keys import KeySpec
from cluster.commands.registry import LOADING, READONLY, STALE, command, container
from cluster.commands.sorted_sets import is_listpack
from cluster.errors import CommandError
from cluster.keyspace.expiring_hash import ExpiringHashValue
from cluster.keyspace.hash_value import HashValue
from cluster.keyspace.list_value import ListValue
from cluster.keyspace.numbers import is_integer
from cluster.keyspace.set_value import SetValue
from cluster.keyspace.values import StreamValue, StringValue, Value
from cluster.protocol import replies

_KEY = (KeySpec(2, 2, 1, ("RO",)),)
_VARIES = ("nondeterministic_output",)
_EMBEDDED_LIMIT = 44
_SHARED_INTEGERS = 10_000
_SHARED_REFERENCES = 2_147_483_647
_LISTPACK_BYTES = {-1: 4096, -2: 8192, -3: 16384, -4: 32768, -5: 65536}
_SAFE_LISTPACK_BYTES = 8192
"""A list bounded by elements is bounded by this size too."""
_LISTPACK_OVERHEAD = 7
_ENTRY_OVERHEAD = 2
_SWITCHING = (
    "Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."
)
_NOT_LFU = f"ERR An LFU maxmemory policy is not selected, access frequency not tracked. {_SWITCHING}"
_IS_LFU = f"ERR An LFU maxmemory policy is selected, idle time not tracked. {_SWITCHING}"

OBJECT = container("OBJECT", group="generic", since="2.2.3", summary="Holds the commands about how values are kept.")


def encoding(ctx: Context, value: Value) -> str:
    """The name of the encoding redis-server would have for `value`."""
    if isinstance(value, (bytes, bytearray)):
        return _string_encoding(value)
    config = ctx.config
    if isinstance(value, ListValue):
        return _list_encoding(value, config.list_max_listpack_size)
    if isinstance(value, HashValue):
        small = (
            value.peak_count <= config.hash_max_listpack_entries and value.peak_bytes <= config.hash_max_listpack_value
        )
        if not small:
            return "hashtable"
        return "listpackex" if isinstance(value, ExpiringHashValue) else "listpack"
    if isinstance(value, SetValue):
        if value.was_integers and value.peak_count <= config.set_max_intset_entries:
            return "intset"
        small = (
            value.peak_count <= config.set_max_listpack_entries and value.peak_bytes <= config.set_max_listpack_value
        )
        return "listpack" if small else "hashtable"
    if isinstance(value, StreamValue):
        return "stream"
    return "listpack" if is_listpack(ctx, value) else "skiplist"


def _string_encoding(value: StringValue) -> str:
    if isinstance(value, bytearray):
        return "raw"
    if is_integer(value):
        return "int"
    return "embstr" if len(value) <= _EMBEDDED_LIMIT else "raw"


def _list_encoding(value: ListValue, limit: int) -> str:
    """A list is a listpack for as long as it fits into one node of a quicklist."""
    if len(value) * _ENTRY_OVERHEAD > _LISTPACK_BYTES[-5]:
        return "quicklist"
    size = _LISTPACK_OVERHEAD + sum(map(len, value.items)) + _ENTRY_OVERHEAD * len(value.items)
    if limit >= 0:
        fits = value.peak_count <= limit and size <= _SAFE_LISTPACK_BYTES
    else:
        fits = size <= _LISTPACK_BYTES.get(limit, _LISTPACK_BYTES[-5])
    return "listpack" if fits else "quicklist"


@command("OBJECT ENCODING", arity=3, flags={READONLY}, keys=_KEY, group="generic", since="2.2.3", tips=_VARIES,
         summary="Names the encoding of a value.", syntax="key")
def object_encoding(ctx: Context, key: bytes) -> bytes:
    value = look(ctx, key, silently=True)
    return ctx.null if value is None else replies.text(encoding(ctx, value))


@command("OBJECT REFCOUNT", arity=3, flags={READONLY}, keys=_KEY, group="generic", since="2.2.3", tips=_VARIES,
         summary="Answers how many references a value has: many for a shared small integer, otherwise one.",
         syntax="key")
def object_refcount(ctx: Context, key: bytes) -> bytes:
    value = look(ctx, key, silently=True)
    if value is None:
        return ctx.null
    shared = type(value) is bytes and is_integer(value) and 0 <= int(value) < _SHARED_INTEGERS
    if shared and not (ctx.config.maxmemory and ctx.config.maxmemory_policy.endswith(("lru", "lfu"))):
        return replies.integer(_SHARED_REFERENCES)
    return replies.ONE


@command("OBJECT IDLETIME", arity=3, flags={READONLY}, keys=_KEY, group="generic", since="2.2.3", tips=_VARIES,
         summary="Answers how many seconds ago a key was used last.", syntax="key")
def object_idletime(ctx: Context, key: bytes) -> bytes:
    if look(ctx, key, silently=True) is None:
        return ctx.null
    if ctx.config.maxmemory_policy.endswith("lfu"):
        raise CommandError(_IS_LFU)
    return replies.integer(ctx.server.memory.idle_seconds(ctx.db, key))


@command("OBJECT FREQ", arity=3, flags={READONLY}, keys=_KEY, group="generic", since="4.0.0", tips=_VARIES,
         summary="Answers how often a key is used, on a logarithmic scale.", syntax="key")
def object_freq(ctx: Context, key: bytes) -> bytes:
    if look(ctx, key, silently=True) is None:
        return ctx.null
    if not ctx.config.maxmemory_policy.endswith("lfu"):
        raise CommandError(_NOT_LFU)
    return replies.integer(ctx.server.memory.frequency(ctx.db, key))


@command("OBJECT HELP", arity=2, flags={LOADING, STALE}, group="generic", since="6.2.0",
         summary="Lists the subcommands.")
def object_help(_ctx: Context) -> bytes:
    return replies.help_text("OBJECT", [
        ("ENCODING <key>", "The encoding of the value."),
        ("FREQ <key>", "How often the key is used; needs an LFU maxmemory-policy."),
        ("IDLETIME <key>", "Seconds since the key was used last."),
        ("REFCOUNT <key>", "References to the value."),
    ])
