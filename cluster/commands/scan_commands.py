"""SCAN and KEYS, and the options and replies that SCAN shares with HSCAN, SSCAN and ZSCAN."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from cluster.commands.context import Context
from cluster.commands.registry import READONLY, command
from cluster.errors import CommandError, SyntaxFault
from cluster.keyspace.glob import Glob
from cluster.keyspace.numbers import parse_integer
from cluster.keyspace.scan import Members, parse_cursor, pattern_slot, scan_collection, scan_keys
from cluster.keyspace.values import ExpiringHashValue, HashValue, SetValue, SortedSetValue, type_name
from cluster.protocol import replies

_DEFAULT_COUNT = 10
_Collection = TypeVar("_Collection", HashValue, SetValue, SortedSetValue)


class ScanOptions(NamedTuple):
    """effort: about how many elements to look at (COUNT). glob: what their names must match, None for any. names_only:
    without their values (NOVALUES)."""

    effort: int = _DEFAULT_COUNT
    glob: Glob | None = None
    type: str | None = None
    names_only: bool = False


def scan_options(options: tuple[bytes, ...], *, with_type: bool = False, of_hash: bool = False) -> ScanOptions:
    """What stands behind the cursor. Only SCAN itself knows TYPE, and only HSCAN NOVALUES."""
    count, glob, wanted, names_only = _DEFAULT_COUNT, None, None, False
    rest = iter(options)
    for word in rest:
        name = word.upper()
        if name == b"NOVALUES":
            if not of_hash:
                raise CommandError("ERR NOVALUES option can only be used in HSCAN")
            names_only = True
            continue
        value = next(rest, None)
        if value is None:
            raise SyntaxFault
        if name == b"COUNT":
            count = parse_integer(value)
            if count < 1:
                raise SyntaxFault
        elif name == b"MATCH":
            glob = None if value == b"*" else Glob(value)
        elif name == b"TYPE" and with_type:
            wanted = value.decode("utf-8", "replace").lower()
        else:
            raise SyntaxFault
    return ScanOptions(count, glob, wanted, names_only)


def scan_reply(cursor: int, elements: list[bytes]) -> bytes:
    """The next cursor and the elements, which are raw bytes."""
    return replies.array([replies.bulk(b"%d" % cursor), replies.bulk_array(elements)])


def scan_members(
    ctx: Context,
    key: bytes,
    cursor: bytes,
    options: tuple[bytes, ...],
    *,
    kind: type[_Collection],
    members: Callable[[_Collection], Members],
    shown: Callable[[_Collection, bytes], tuple[bytes, ...]],
) -> bytes:
    """HSCAN, SSCAN and ZSCAN: `members` of the value under `key`, each as what `shown` makes of it."""
    at = parse_cursor(cursor)
    value = ctx.typed(key, kind)
    if value is None:
        return scan_reply(0, [])
    effort, glob, _, names_only = scan_options(options, of_hash=kind is HashValue)
    following, found = scan_collection(members(value), at, effort)
    if glob is not None:
        found = [member for member in found if glob.matches(member)]
    if isinstance(value, ExpiringHashValue):
        found = list(value.living(found))
    if names_only:
        return scan_reply(following, found)
    return scan_reply(following, [part for member in found for part in shown(value, member)])


@command("SCAN", arity=-2, flags={READONLY}, group="generic", since="2.8.0",
         tips=("nondeterministic_output", "request_policy:special"), summary="Goes through the keys, some at a time.",
         complexity="O(1) for each call, O(N) for all of them until the cursor is back at 0",
         syntax="cursor:integer [MATCH pattern:pattern] [COUNT count:integer] [TYPE type]@6.0.0")
def scan(ctx: Context, cursor: bytes, *options: bytes) -> bytes:
    at = parse_cursor(cursor)
    effort, glob, wanted, _ = scan_options(options, with_type=True)
    only = None if glob is None else pattern_slot(glob.pattern)
    following, keys = scan_keys(ctx.server.scan_cache, ctx.db.index, ctx.spaces, at, effort, only)
    if glob is not None:
        keys = [key for key in keys if glob.matches(key)]
    if wanted is not None:
        keys = [key for key in keys if (value := ctx.db.get(key)) is not None and type_name(value) == wanted]
    return scan_reply(following, [key for key in keys if ctx.exists(key)])


@command("KEYS", arity=2, flags={READONLY}, group="generic", since="1.0.0", categories=("dangerous",),
         tips=("request_policy:all_shards", "nondeterministic_output_order"),
         summary="Answers every key whose name matches a pattern.",
         complexity="O(N) in the number of keys of the database", syntax="pattern:pattern")
def keys_(ctx: Context, pattern: bytes) -> bytes:
    matches = (lambda key: True) if pattern == b"*" else Glob(pattern).matches
    found: list[bytes] = []
    only = pattern_slot(pattern)
    slots = slice(None) if only is None else slice(only, only + 1)
    for space, deadlines in zip(ctx.spaces[slots], ctx.deadlines[slots], strict=True):
        if not space:
            continue
        if deadlines:
            # Nothing may be deleted while we walk the dict, so an expired key is only passed over.
            now = ctx.now_ms
            found.extend(key for key in space if deadlines.get(key, now + 1) > now and matches(key))
        else:
            found.extend(key for key in space if matches(key))
    return replies.bulk_array(found)
