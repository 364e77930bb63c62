"""Between Redis and Lua: what a command is given by a script, and what the script is given back.

A reply that is one value crosses as it is. A flat list crosses as many values at once, from which Lua makes a table.
Whatever is more than that crosses as RESP, and is read by `lua/replies.lua`, which knows all the rules.
"""

from __future__ import annotations

from typing import Any

import hiredis

from cluster.protocol.doubles import format_double

# How the values behind it are to be taken (`shaped` in lua/redis.lua).
STATUS, COUNTED_ERROR, LIST, RESP, ERROR, NO_MEMORY = 1, 2, 3, 4, 5, 9
LIST_ITEMS = 200
"""Lists up to this length cross value by value."""
FLAT_BYTES = 32 * 1024
INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1
_BULK, _INTEGER, _SIMPLE, _ERROR, _ARRAY, _NULL = b"$:+-*_"


def argument(value: bytes | float) -> bytes:
    """A string or number of a script as an argument of a command."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, int) and INT64_MIN < value < INT64_MAX:
        return b"%d" % value
    if value != value:
        return b"-nan"  # as the sign of 0/0 is on the machines that there are
    return format_double(float(value))


def integer(value: float) -> int:
    """A number that a script returns, cut to an integer as C cuts it."""
    if value != value or not -9.223372036854775808e18 <= value < 9.223372036854775808e18:
        return INT64_MIN
    return int(value)


def for_lua(reply: bytes) -> Any:
    """A command's reply as the values that Lua is handed."""
    kind = reply[0]
    if kind == _BULK:
        return False if reply[1] == 45 else reply[reply.index(b"\n") + 1 : -2]
    if kind == _INTEGER:
        return int(reply[1:-2])
    if kind == _SIMPLE:
        return None, STATUS, reply[1:-2]
    if kind == _ERROR:
        return None, COUNTED_ERROR, reply[1:-2]
    if kind == _NULL:
        return None
    if kind == _ARRAY and reply[1] == 45:
        return False
    if kind == _ARRAY and len(reply) < FLAT_BYTES:
        flat = _flat(reply)
        if flat is not None:
            return None, LIST, *flat
    return None, RESP, reply


def _flat(reply: bytes) -> list[Any] | None:
    """The items of a short list of strings, integers and nulls; None for any other."""
    if b"\n+" in reply or b"\n-" in reply or b"\n_" in reply or b"\n," in reply or b"\n#" in reply:
        return None  # statuses, or perhaps not: a parser would not tell them from strings
    reader = hiredis.Reader()
    reader.feed(reply)
    items = reader.gets()
    if not isinstance(items, list) or len(items) > LIST_ITEMS:
        return None
    for at, item in enumerate(items):
        if type(item) is not bytes:
            if item is None:
                items[at] = False
            elif type(item) is not int:
                return None
    return items
