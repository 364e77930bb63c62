"""Replies: values → RESP bytes.

A command returns its reply as encoded bytes, so the common ones are constants or one formatting operation.
What differs between RESP2 and RESP3 takes the protocol version (`resp`, 2 or 3) as its last argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from cluster.protocol.doubles import format_double

OK = b"+OK\r\n"
PONG = b"+PONG\r\n"
QUEUED = b"+QUEUED\r\n"
ZERO = b":0\r\n"
ONE = b":1\r\n"
MINUS_ONE = b":-1\r\n"
MINUS_TWO = b":-2\r\n"
EMPTY_BULK = b"$0\r\n\r\n"
EMPTY_ARRAY = b"*0\r\n"
NULL_BULK = b"$-1\r\n"
NULL_ARRAY = b"*-1\r\n"
NULL3 = b"_\r\n"

HEADED_BYTES = 1024
"""Lengths below it have their header at hand in `HEADERS`."""
HEADERS = [b"\r\n$%d\r\n" % length for length in range(HEADED_BYTES)]
"""The header of a bulk string behind another element: a table, since formatting costs three times as much."""


def bulk(value: bytes | bytearray) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)  # type: ignore[str-format]  # a bytearray formats as well


def text(value: str) -> bytes:
    """A bulk string of UTF-8 text."""
    return bulk(value.encode("utf-8", "surrogateescape"))


def simple(value: str) -> bytes:
    return b"+%b\r\n" % value.encode()


def integer(value: int) -> bytes:
    return b":%d\r\n" % value


def null(resp: int) -> bytes:
    return NULL3 if resp == 3 else NULL_BULK


def null_array(resp: int) -> bytes:
    return NULL3 if resp == 3 else NULL_ARRAY


def array(encoded: list[bytes]) -> bytes:
    """An array of replies that are encoded already."""
    return b"*%d\r\n%b" % (len(encoded), b"".join(encoded))


def _bulks(marker: bytes, parts: Sequence[bytes | bytearray]) -> bytes:
    """`marker` on a line of its own, then each part as a bulk string."""
    headed: list[bytes | bytearray] = [b"\r\n"] * (2 * len(parts) + 2)
    headed[0] = marker
    try:
        headed[1:-1:2] = map(HEADERS.__getitem__, map(len, parts))
    except IndexError:
        headed[1:-1:2] = [b"\r\n$%d\r\n" % len(part) for part in parts]
    headed[2:-1:2] = parts
    return b"".join(headed)


def bulk_array(values: Iterable[bytes | bytearray]) -> bytes:
    parts = list(values)
    return _bulks(b"*%d" % len(parts), parts)


def bulk_set(members: Sequence[bytes], resp: int) -> bytes:
    return _bulks((b"~%d" if resp == 3 else b"*%d") % len(members), members)


def bulk_map(flat: Sequence[bytes], resp: int) -> bytes:
    """A map of bulk strings, which `flat` holds in the order key, value, key, value."""
    return _bulks(b"%%%d" % (len(flat) // 2) if resp == 3 else b"*%d" % len(flat), flat)


def bulk_or_null_array(values: Iterable[bytes | bytearray | None], resp: int) -> bytes:
    found = list(values)
    if None not in found:
        return bulk_array(cast("list[bytes | bytearray]", found))
    missing = null(resp)
    return array([missing if value is None else bulk(value) for value in found])


def map_reply(pairs: list[tuple[bytes, bytes]], resp: int) -> bytes:
    """A map of encoded keys and values: a map in RESP3, a flat array in RESP2."""
    body = b"".join([part for pair in pairs for part in pair])
    return (b"%%%d\r\n%b" % (len(pairs), body)) if resp == 3 else (b"*%d\r\n%b" % (2 * len(pairs), body))


def pairs(encoded: list[tuple[bytes, bytes]], resp: int) -> bytes:
    """Encoded pairs: an array of arrays in RESP3, one flat array in RESP2."""
    if resp == 3:
        return array([b"*2\r\n" + one + other for one, other in encoded])
    return array([part for pair in encoded for part in pair])


def set_reply(encoded: list[bytes], resp: int) -> bytes:
    return (b"~%d\r\n%b" % (len(encoded), b"".join(encoded))) if resp == 3 else array(encoded)


def push(encoded: list[bytes], resp: int) -> bytes:
    return (b">%d\r\n%b" % (len(encoded), b"".join(encoded))) if resp == 3 else array(encoded)


def boolean(value: bool, resp: int) -> bytes:
    if resp == 3:
        return b"#t\r\n" if value else b"#f\r\n"
    return ONE if value else ZERO


def double(value: float, resp: int) -> bytes:
    shown = format_double(value)
    return b",%b\r\n" % shown if resp == 3 else bulk(shown)


def verbatim(value: bytes, resp: int, kind: bytes = b"txt") -> bytes:
    if resp == 3:
        return b"=%d\r\n%b:%b\r\n" % (len(value) + 4, kind, value)
    return bulk(value)


def string_map(values: Mapping[str, bytes], resp: int) -> bytes:
    """A map with text keys and encoded values."""
    return map_reply([(text(key), value) for key, value in values.items()], resp)


def request(arguments: Iterable[bytes]) -> bytes:
    """A command as a client sends it, and as the journal's readers get it."""
    return bulk_array(arguments)


def help_text(command: str, subcommands: Iterable[tuple[str, str]]) -> bytes:
    """What HELP answers: a heading, then (usage, explanation) of each subcommand, an array of status lines."""
    lines = [f"{command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"]
    for usage, explanation in [*subcommands, ("HELP", "Show this help.")]:
        lines += [usage, f"    {explanation}"]
    return array([simple(line) for line in lines])
