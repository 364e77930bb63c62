"""SORT: the elements of a list, set or sorted set, ordered by themselves or by other keys' values."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from cluster.commands.context import Context
from cluster.commands.keys import READS, KeySpec, Keyword
from cluster.commands.registry import DENYOOM, READONLY, WRITE, command
from cluster.commands.sets import shown
from cluster.errors import CommandError, NotAFloat, SyntaxFault, WrongType
from cluster.keyspace.encodings import impose
from cluster.keyspace.events import Event
from cluster.keyspace.expiring_hash import ExpiringHashValue
from cluster.keyspace.hash_value import HashValue
from cluster.keyspace.hashing import key_slot
from cluster.keyspace.list_value import ListValue
from cluster.keyspace.numbers import parse_float, parse_integer
from cluster.keyspace.set_value import SetValue
from cluster.keyspace.sorted_set import SortedSetValue
from cluster.protocol import replies

SORT_STORE = Event("l", "sortstore")
_CATEGORIES = ("set", "sortedset", "list", "dangerous")
_SORTED = KeySpec(1, 1, 1, ("RO", "access"))
_STORED = Keyword(b"STORE", 2, flags=("OW", "update"), pick_last=True)
_UNKNOWN = Keyword(b"", 1 << 30, flags=("RO", "access"), pick_last=True)
"""BY and GET: their keys come from the data, so nobody can tell them beforehand."""

_USUAL_CHARACTERS = b"0123456789.+-"
_USUAL_LENGTH = 300
"""Numbers of these characters and no longer mean the same to Python and to Redis, and do not overflow."""

Collection = ListValue | SetValue | SortedSetValue


class SortOptions(NamedTuple):
    """unsorted: there was a BY without '*', which means to leave them as they come, even if another BY follows."""

    descending: bool = False
    alphabetic: bool = False
    limit: tuple[int, int] = (0, -1)
    by: bytes | None = None
    gets: tuple[bytes, ...] = ()
    store: bytes | None = None
    unsorted: bool = False


def sort_options(ctx: Context, key: bytes, arguments: tuple[bytes, ...], *, may_store: bool) -> SortOptions:
    options = SortOptions()
    restricted = ctx.client.restricted and ctx.command is not None and not ctx.server.access.allows_any_key(
        ctx.client, ctx.command, [b"SORT", key, *arguments], READS
    )
    gets: list[bytes] = []
    rest = list(reversed(arguments))
    while rest:
        word = rest.pop().upper()
        if word in (b"ASC", b"DESC"):
            options = options._replace(descending=word == b"DESC")
        elif word == b"ALPHA":
            options = options._replace(alphabetic=True)
        elif word == b"LIMIT" and len(rest) >= 2:
            options = options._replace(limit=(parse_integer(rest.pop()), parse_integer(rest.pop())))
        elif word == b"STORE" and rest and may_store:
            options = options._replace(store=rest.pop())
        elif word == b"BY" and rest:
            by = rest.pop()
            options = options._replace(by=by, unsorted=options.unsorted or b"*" not in by)
            if b"*" in by:
                _check_slot(ctx, "BY", by, key)
                _check_rights("BY", restricted)
        elif word == b"GET" and rest:
            gets.append(rest.pop())
            if gets[-1] != b"#":
                _check_slot(ctx, "GET", gets[-1], key)
            _check_rights("GET", restricted)
        else:
            raise SyntaxFault
    return options._replace(gets=tuple(gets))


def _check_slot(ctx: Context, option: str, pattern: bytes, key: bytes) -> None:
    """In a cluster, what a pattern finds must lie with the key for certain: by a hash tag before the '*'."""
    if not ctx.config.cluster_enabled:
        return
    head, star, _ = pattern.partition(b"*")
    tagged = b"}" in head.partition(b"{")[2][1:]
    if (star and not tagged) or key_slot(head) != key_slot(key):
        raise CommandError(
            f"ERR {option} option of SORT denied in Cluster mode when keys formed by the pattern may be in different "
            "slots."
        )


def _check_rights(option: str, restricted: bool) -> None:
    if restricted:
        raise CommandError(f"ERR {option} option of SORT denied due to insufficient ACL permissions.")


@command("SORT", arity=-2, flags={WRITE, DENYOOM}, keys=(_SORTED, _UNKNOWN, _STORED), group="generic", since="1.0.0",
         categories=_CATEGORIES, summary="Sorts a list, set or sorted set, and answers or stores the result.",
         complexity="O(N+M*log(M)), where N is the number of elements and M how many are answered; O(N) when they are "
                    "not sorted",
         syntax="key [BY pattern:pattern#1] [LIMIT (offset:integer count:integer)] [GET pattern:pattern#1]... [ASC | "
                "DESC] [ALPHA] [STORE destination:key#2]")
def sort(ctx: Context, key: bytes, *arguments: bytes) -> bytes:
    options = sort_options(ctx, key, arguments, may_store=True)
    rows = _sorted_rows(ctx, key, options)
    return _answer(ctx, rows) if options.store is None else _store(ctx, options.store, rows)


@command("SORT_RO", arity=-2, flags={READONLY}, keys=(_SORTED, _UNKNOWN), group="generic", since="7.0.0",
         categories=_CATEGORIES, summary="Sorts a list, set or sorted set, and answers the result.",
         complexity="O(N+M*log(M)), where N is the number of elements and M how many are answered; O(N) when they are "
                    "not sorted",
         syntax="key [BY pattern:pattern#1] [LIMIT (offset:integer count:integer)] [GET pattern:pattern#1]... [ASC | "
                "DESC] [ALPHA]")
def sort_ro(ctx: Context, key: bytes, *arguments: bytes) -> bytes:
    return _answer(ctx, _sorted_rows(ctx, key, sort_options(ctx, key, arguments, may_store=False)))


def _answer(ctx: Context, rows: list[bytes | None]) -> bytes:
    return replies.bulk_or_null_array(rows, ctx.resp)


def _store(ctx: Context, target: bytes, rows: list[bytes | None]) -> bytes:
    if rows:
        ctx.put(target, ListValue(row or b"" for row in rows))
        ctx.changed(target, SORT_STORE, len(rows))
    elif ctx.exists(target):
        ctx.remove(target)
    return replies.integer(len(rows))


def _sorted_rows(ctx: Context, key: bytes, options: SortOptions) -> list[bytes | None]:
    """What each chosen element gives: itself, or what the GET patterns find."""
    value = ctx.find(key)
    if value is not None and not isinstance(value, Collection):
        raise WrongType
    if isinstance(value, SortedSetValue):
        impose(value, "skiplist")  # redis-server makes it one to go through it
    elements = [] if value is None else _elements(ctx, value, options)
    start, end = _window(options.limit, len(elements))
    elements = elements[start:end]
    if not options.gets:
        return list(elements)
    return [_lookup(ctx, pattern, element) for element in elements for pattern in options.gets]


def _window(limit: tuple[int, int], length: int) -> tuple[int, int]:
    start, count = limit
    start = min(max(start, 0), length)
    return start, length if count < 0 else min(length, start + count)


def _elements(ctx: Context, value: Collection, options: SortOptions) -> list[bytes]:
    """All elements in the order asked for."""
    elements = list(shown(ctx, value)) if isinstance(value, SetValue) else list(value)
    if options.unsorted:
        if isinstance(value, SetValue):
            # A set has no order of its own, and what is stored must be the same on every replica.
            return sorted(elements, reverse=options.descending) if options.store is not None else elements
        return elements[::-1] if options.descending else elements
    if options.alphabetic and options.by is None:
        return sorted(elements, reverse=options.descending)
    if options.by is None:
        _sort_by_number(elements, descending=options.descending)
        return elements
    weights = [_lookup(ctx, options.by, element) for element in elements]
    pairs: list[tuple[tuple[float, bytes], bytes]]
    if options.alphabetic:
        pairs = [((weight is not None, weight or b""), one) for weight, one in zip(weights, elements, strict=True)]
    else:
        pairs = [((_score(weight), one), one) for weight, one in zip(weights, elements, strict=True)]
    pairs.sort(key=lambda pair: pair[0], reverse=options.descending)
    return [element for _, element in pairs]


def _sort_by_number(elements: list[bytes], *, descending: bool) -> None:
    """By their numbers, and by their texts where those are equal.

    In two steps, since Python compares numbers, and texts, several times as fast as pairs of both.
    """
    elements.sort(reverse=descending)
    usual = not b"".join(elements).translate(None, _USUAL_CHARACTERS)
    if usual and max(map(len, elements), default=0) <= _USUAL_LENGTH:
        with suppress(ValueError):
            elements.sort(key=float, reverse=descending)
            return
    elements.sort(key=_score, reverse=descending)


def _score(weight: bytes | None) -> float:
    """A weight as a number; a missing or empty one is zero, and leading blanks do not matter."""
    text = (weight or b"").lstrip(b" \t\n\v\f\r")
    if not text:
        return 0.0
    try:
        return parse_float(text)
    except NotAFloat:
        raise CommandError("ERR One or more scores can't be converted into double") from None


def _lookup(ctx: Context, pattern: bytes, element: bytes) -> bytes | None:
    """The string that `pattern` finds for an element: `#` is the element, `key_*` a key, `key_*->field` a field."""
    if pattern == b"#":
        return element
    prefix, star, rest = pattern.partition(b"*")
    if not star:
        return None
    suffix, arrow, field = rest.partition(b"->")
    if not field:
        suffix, arrow = rest, b""
    key = prefix + element + suffix
    value = ctx.find(key)
    if isinstance(value, ExpiringHashValue):
        value = ctx.as_of_now(key, value)
    if arrow:
        return value.get(field) if isinstance(value, HashValue) else None
    return bytes(value) if isinstance(value, (bytes, bytearray)) else None
