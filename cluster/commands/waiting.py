"""What the blocking commands have in common: the timeout, and trying now or waiting for a key."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cluster.blocking import Retry
from cluster.commands.context import Context
from cluster.errors import CommandError, NotAFloat
from cluster.keyspace.numbers import INT64_MAX, parse_float


def timeout_ms(ctx: Context, text: bytes) -> int:
    """A timeout in seconds, fractions included, as milliseconds; 0 is for ever."""
    try:
        seconds = parse_float(text)
    except NotAFloat:
        raise CommandError("ERR timeout is not a float or out of range") from None
    if seconds < 0:
        raise CommandError("ERR timeout is negative")
    if math.isinf(seconds) or seconds * 1000 + ctx.now_ms > INT64_MAX:
        raise CommandError("ERR timeout is out of range")
    return math.ceil(seconds * 1000)


def served_or_waiting(ctx: Context, keys: Sequence[bytes], timeout: int, serve: Retry) -> bytes | None:
    """The reply by the first of `keys` that can serve; else the client waits for one, unless in a transaction."""
    for key in keys:
        reply = serve(ctx, key)
        if reply is not None:
            return reply
    if not ctx.allows_blocking:
        return ctx.null_array
    ctx.server.block(ctx.client, list(keys), timeout, woken(serve), ctx.null_array)
    return None


def woken(serve: Retry) -> Retry:
    """`serve` for a client that waits: a key of another type does not end its wait."""

    def retry(ctx: Context, key: bytes) -> bytes | None:
        try:
            return serve(ctx, key)
        except CommandError as error:
            if error.message.startswith("WRONGTYPE"):
                return None
            raise

    return retry


def parse_numkeys(text: bytes, rest: tuple[bytes, ...]) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """(keys, what stands behind them) of LMPOP and ZMPOP, by the count in `text`."""
    from_text = _at_least_one(text, "numkeys")
    return rest[:from_text], rest[from_text:]


def parse_pop_count(options: tuple[bytes, ...]) -> int:
    """COUNT at the end of LMPOP and ZMPOP, 1 when not given."""
    if not options:
        return 1
    if len(options) != 2 or options[0].upper() != b"COUNT":
        raise CommandError("ERR syntax error")
    return _at_least_one(options[1], "count")


def _at_least_one(text: bytes, name: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1 or b"%d" % number != text or number > INT64_MAX:
        raise CommandError(f"ERR {name} should be greater than 0")
    return number
