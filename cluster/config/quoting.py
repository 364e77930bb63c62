"""The quoting of redis.conf, of inline commands and of CONFIG REWRITE: words, split and put into quotes.

Words are str in which a byte that is no UTF-8 is a lone surrogate (surrogateescape), so that a password with any
bytes survives the way in and out.
"""

from __future__ import annotations

import re

_HEX = re.compile(r"\\x([0-9a-fA-F]{2})")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}
_SHOWN = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\a": "\\a", "\\": "\\\\", '"': '\\"'}
_BLANK = " \t\n\r\v\f\0"


def split_words(line: str) -> list[str] | None:
    """The words of a line; None if quotes are unbalanced or something stands right after a closing quote.

    Double quotes know \\n \\r \\t \\b \\a, \\xHH and a backslash before any character; single quotes only \\'.
    """
    words: list[str] = []
    at = 0
    while True:
        while at < len(line) and line[at] in _BLANK:
            at += 1
        if at == len(line):
            return words
        found = _one_word(line, at)
        if found is None:
            return None
        word, at = found
        words.append(word)


def _one_word(line: str, at: int) -> tuple[str, int] | None:
    parts: list[bytes] = []
    while at < len(line) and line[at] not in _BLANK:
        if line[at] in "\"'":
            quoted = _quoted(line, at + 1) if line[at] == '"' else _single_quoted(line, at + 1)
            if quoted is None:
                return None
            part, at = quoted
            parts.append(part)
            if at < len(line) and line[at] not in _BLANK:
                return None
        else:
            parts.append(_encode(line[at]))
            at += 1
    return b"".join(parts).decode("utf-8", "surrogateescape"), at


def _quoted(line: str, at: int) -> tuple[bytes, int] | None:
    parts: list[bytes] = []
    while at < len(line):
        char = line[at]
        if char == '"':
            return b"".join(parts), at + 1
        if char == "\\" and at + 1 < len(line):
            found = _HEX.match(line, at)
            if found:
                parts.append(bytes([int(found[1], 16)]))
                at = found.end()
            else:
                parts.append(_encode(_ESCAPES.get(line[at + 1], line[at + 1])))
                at += 2
        else:
            parts.append(_encode(char))
            at += 1
    return None


def _single_quoted(line: str, at: int) -> tuple[bytes, int] | None:
    parts: list[bytes] = []
    while at < len(line):
        if line[at] == "'":
            return b"".join(parts), at + 1
        if line.startswith("\\'", at):
            at += 1
        parts.append(_encode(line[at]))
        at += 1
    return None


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def quote(text: str) -> str:
    """`text` in double quotes, bytes that do not print as \\xHH: what `split_words` reads back as one word."""
    shown = []
    for byte in _encode(text):
        char = chr(byte)
        shown.append(_SHOWN.get(char) or (char if 32 <= byte < 127 else f"\\x{byte:02x}"))
    return '"' + "".join(shown) + '"'


def quote_if_needed(text: str) -> str:
    """`text` as it is where it is one plain word, else in quotes."""
    plain = text and all(33 <= byte < 127 for byte in _encode(text)) and not set(text) & set("\"'\\#")
    return text if plain else quote(text)
