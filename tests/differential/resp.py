"""A RESP decoder that keeps what client libraries throw away: the kind of each reply.

`Reply(kind, value)`: kind is the RESP type byte; value is bytes, a tuple of replies for arrays, sets and pushes, a
tuple of pairs for maps, or None for the nulls.
"""

from __future__ import annotations

from typing import NamedTuple


class Reply(NamedTuple):
    kind: str
    value: object

    def __repr__(self) -> str:
        return f"{self.kind}{self.value!r}"


class Incomplete(Exception):
    """More bytes are needed."""


def decode_all(data: bytes) -> list[Reply]:
    """Every reply of `data`, which ends with the last of them."""
    found: list[Reply] = []
    at = 0
    while at < len(data):
        reply, at = decode(data, at)
        found.append(reply)
    return found


def decode(data: bytes, at: int = 0) -> tuple[Reply, int]:
    """(the reply that starts at `at`, where it ends)."""
    end = data.find(b"\r\n", at)
    if end < 0:
        raise Incomplete
    kind, line, after = chr(data[at]), data[at + 1 : end], end + 2
    if kind in "$=!" and line != b"-1":
        length = int(line)
        if len(data) < after + length + 2:
            raise Incomplete
        return Reply(kind, data[after : after + length]), after + length + 2
    if kind in "*~>%" and line != b"-1":
        items = []
        for _ in range(int(line) * (2 if kind == "%" else 1)):
            item, after = decode(data, after)
            items.append(item)
        if kind == "%":
            return Reply(kind, tuple(zip(items[::2], items[1::2], strict=True))), after
        return Reply(kind, tuple(items)), after
    return Reply(kind, None if line == b"-1" and kind in "$*" else line), after
