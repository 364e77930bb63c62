"""What the blocking commands have in common: the timeout, and trying now or waiting for a key."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from cluster.blocking import Retry
from cluster.commands.context import Context
from cluster.errors import CommandError, NotAFloat, SyntaxFault
from cluster.keyspace.numbers import INT64_MAX, parse_float
from cluster.keyspace.values import Value


def timeout_ms(ctx: Context, text: bytes) -> int:
    """A timeout in seconds, fractions included, as milliseconds; 0 is for ever."""
    try:
        seconds = parse_float(text)
    except NotAFloat:
        raise CommandError("ERR timeout is not a float or out of range") from None
    if seconds * 1000 + ctx.now_ms > INT64_MAX:
        raise CommandError("ERR timeout is out of range")
    if seconds * 1000 <= -1:  # what is less than a millisecond is rounded up to nothing, which is for ever
        raise CommandError("ERR timeout is negative")
    return math.ceil(seconds * 1000)


def served(ctx: Context, keys: Sequence[bytes], serve: Retry) -> bytes | None:
    """The reply by the first of `keys` that can serve."""
    for key in keys:
        reply = serve(ctx, key)
        if reply is not None:
            return reply
    return None


def served_or_waiting(
    ctx: Context, keys: Sequence[bytes], timeout: int, serve: Retry, kind: type[Value]
) -> bytes | None:
    """As `served`; when none can, the client waits for one to become a value of `kind`, unless in a transaction."""
    reply = served(ctx, keys, serve)
    if reply is not None:
        return reply
    if not ctx.allows_blocking:
        return ctx.null_array
    ctx.server.block(list(keys), timeout, serve, ctx.null_array, kind)
    return None


def parse_numkeys(text: bytes, rest: tuple[bytes, ...]) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """(keys, what stands behind them), by the count in `text`."""
    number = _at_least_one(text, "numkeys")
    return rest[:number], rest[number:]


def parse_pop(
    numkeys: bytes, rest: tuple[bytes, ...], ends: Mapping[bytes, bool]
) -> tuple[tuple[bytes, ...], bool, int]:
    """What LMPOP and ZMPOP are given: (keys, what `ends` says of the word behind them, COUNT or 1)"""
    keys, options = parse_numkeys(numkeys, rest)
    end = ends.get(options[0].upper()) if options else None
    if end is None:
        raise SyntaxFault
    if len(options) == 1:
        return keys, end, 1
    if len(options) < 3 or options[1].upper() != b"COUNT":
        raise SyntaxFault
    count = _at_least_one(options[2], "count")
    if len(options) > 3:
        raise SyntaxFault
    return keys, end, count


def _at_least_one(text: bytes, name: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1 or b"%d" % number != text or number > INT64_MAX:
        raise CommandError(f"ERR {name} should be greater than 0")
    return number
