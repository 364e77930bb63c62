"""Deadlines in arguments: from seconds or milliseconds, relative or absolute, to milliseconds since the epoch.

Effects always carry the absolute time, so that a replica or a log replayed later means the same moment.
"""

from __future__ import annotations

from collections.abc import Collection

from cluster.commands.context import Context
from cluster.errors import CommandError
from cluster.keyspace.numbers import INT64_MAX, INT64_MIN, parse_integer

SECOND_MS = 1000
UNITS = {b"EX": (SECOND_MS, True), b"PX": (1, True), b"EXAT": (SECOND_MS, False), b"PXAT": (1, False)}
"""The options of SET and GETEX: (milliseconds in the unit, whether it counts from now)."""


def invalid_expire_time(command: str) -> CommandError:
    return CommandError(f"ERR invalid expire time in '{command}' command")


def positive_deadline(ctx: Context, text: bytes, unit_ms: int, relative: bool, command: str) -> int:
    """The deadline of SET's options, SETEX and their kin, which refuse zero and less."""
    number = parse_integer(text)
    deadline = number * unit_ms + (ctx.now_ms if relative else 0)
    if number <= 0 or deadline > INT64_MAX:
        raise invalid_expire_time(command)
    return deadline


def any_deadline(ctx: Context, text: bytes, unit_ms: int, relative: bool, command: str) -> int:
    """The deadline of EXPIRE and its kin, which may lie in the past."""
    scaled = parse_integer(text) * unit_ms
    deadline = scaled + (ctx.now_ms if relative else 0)
    if scaled < INT64_MIN or deadline > INT64_MAX:
        raise invalid_expire_time(command)
    return deadline


def allows(conditions: Collection[bytes], current: int | None, deadline_ms: int) -> bool:
    """Whether NX, XX, GT and LT, those that are there, allow to go from `current` to `deadline_ms`. No deadline counts
    as an endless one."""
    if b"NX" in conditions:
        return current is None
    if b"XX" in conditions and current is None:
        return False
    if b"GT" in conditions:
        return current is not None and deadline_ms > current
    return b"LT" not in conditions or current is None or deadline_ms < current


def is_past(ctx: Context, deadline_ms: int) -> bool:
    """Whether a key given this deadline is to be deleted at once. Data being loaded and replicas wait to be told."""
    return deadline_ms <= ctx.now_ms and not (ctx.obeys_primary or ctx.server.is_replica or ctx.server.loading)


def deletion(ctx: Context) -> bytes:
    """The command that tells replicas of a key deleted because its time was up."""
    return b"UNLINK" if ctx.config.lazyfree_lazy_expire else b"DEL"
