r"""Redis's glob patterns: ``*``, ``?``, ``[abc]``, ``[^a-z]``, and ``\`` before a character to take literally.

A pattern becomes a regular expression, which C code then runs. Everything between two stars has a fixed length,
so the leftmost place where it fits is as good as any: those parts are atomic groups, which never back up. That
bounds the work by length of pattern × length of text, where naive back-tracking would be exponential.

The oddities are Redis's: an empty text matches only the empty pattern (not ``**``), an unclosed class ends with the
pattern, ``[]`` matches nothing, and a range may be written backwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_ANY = b"(?s:.)"
_NOTHING = b"(?!)"


class Glob:
    """A compiled pattern: `Glob(pattern).matches(text)`. `nocase`: letters of ASCII match in either case."""

    __slots__ = ("_search", "pattern")

    def __init__(self, pattern: bytes, *, nocase: bool = False) -> None:
        self.pattern = pattern
        self._search: Callable[[bytes], object] = re.compile(_expression(pattern, nocase)).match

    def matches(self, text: bytes) -> bool:
        if not text:
            return not self.pattern
        return self._search(text) is not None


def matches(pattern: bytes, text: bytes, *, nocase: bool = False) -> bool:
    """Whether `text` fits `pattern`; for many texts compile a `Glob` once."""
    return Glob(pattern, nocase=nocase).matches(text)


def _expression(pattern: bytes, nocase: bool) -> bytes:
    parts: list[list[bytes]] = [[]]
    at = 0
    while at < len(pattern):
        byte = pattern[at]
        if byte == 0x2A:  # *
            if parts[-1] or len(parts) == 1:
                parts.append([])
            at += 1
            continue
        if byte == 0x3F:  # ?
            parts[-1].append(_ANY)
        elif byte == 0x5B:  # [
            at, allowed = _char_class(pattern, at + 1, nocase)
            parts[-1].append(_one_of(allowed))
        else:
            if byte == 0x5C and at + 1 < len(pattern):
                at += 1
                byte = pattern[at]
            parts[-1].append(_one_of(_cases(byte) if nocase else {byte}))
        at += 1
    first, *rest = (b"".join(part) for part in parts)
    if not rest:
        return first + rb"\Z"
    middle = b"".join(b"(?>(?s:.*?)%b)" % part for part in rest[:-1])
    last = b"(?s:.*)%b\\Z" % rest[-1] if rest[-1] else b""
    return first + middle + last


def _char_class(pattern: bytes, at: int, nocase: bool) -> tuple[int, set[int]]:
    """(where the class that starts at `at` ends, the bytes it allows)."""
    negated = pattern[at : at + 1] == b"^"
    if negated:
        at += 1
    allowed: set[int] = set()
    while at < len(pattern):
        byte = pattern[at]
        left = len(pattern) - at
        if byte == 0x5C and left >= 2:
            at += 1
            allowed.add(pattern[at])
        elif byte == 0x5D:  # ]
            break
        elif left >= 3 and pattern[at + 1] == 0x2D:  # -
            low, high = sorted((byte, pattern[at + 2]))
            allowed |= _folded_range(low, high) if nocase else set(range(low, high + 1))
            at += 2
        else:
            allowed |= _cases(byte) if nocase else {byte}
        at += 1
    return at, set(range(256)) - allowed if negated else allowed


def _cases(byte: int) -> set[int]:
    one = bytes([byte])
    return {*one.lower(), *one.upper()}


def _folded_range(low: int, high: int) -> set[int]:
    """Bytes whose lower case lies between the lower cases of the ends."""
    bottom, top = _lower(low), _lower(high)
    return {byte for byte in range(256) if bottom <= _lower(byte) <= top}


def _lower(byte: int) -> int:
    return byte | 0x20 if 0x41 <= byte <= 0x5A else byte


def _one_of(allowed: set[int]) -> bytes:
    if len(allowed) == 1:
        return re.escape(bytes(allowed))
    if not allowed:
        return _NOTHING
    return b"[%b]" % b"".join(b"\\x%02x" % byte for byte in sorted(allowed))
