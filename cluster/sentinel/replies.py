"""Replies of others, read within bounds: whatever a server sends, it takes no more memory than is set here.

hiredis knows no bounds: it makes a list as long as its head says, and waits for a string of any length. What a sentinel
reads is little, so this reader, which counts what it holds, is fast enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cluster.sentinel.events import ErrorReply, Reply

MAX_REPLY_BYTES = 32 << 20
"""One reply, as it is held here. The longest is INFO of a primary: some 100 bytes a replica."""
MAX_UNFINISHED_BYTES = 256 << 20
"""Replies of all connections that are not complete; beyond that only short ones are waited for."""
SHORT_BYTES = 64 << 10
MAX_ELEMENTS = 1_000
"""What we ask for is answered with lists of five at most."""
_MAX_DEPTH = 8
MAX_LINE_BYTES = 64 << 10
_OBJECT_BYTES = 64
"""What Python needs for each thing in a list, however few bytes it is sent as."""
_NUMBER = re.compile(rb"-?\d{1,19}")
_INCOMPLETE, _HEAD_OF_LIST = object(), object()


class BadReply(Exception):
    """str() says what is wrong with it."""


class ReplyTooLong(BadReply):
    """It is one, but for its length."""


class Unfinished:
    """What the replies of all connections hold that are not complete."""

    def __init__(self) -> None:
        self.size = 0


class ReplyReader:
    """The replies of one connection; `unfinished` is the account of all of them."""

    def __init__(self, unfinished: Unfinished) -> None:
        self._unfinished = unfinished
        self._size = 0
        self._buffer = bytearray()
        self._at = 0
        self._lists: list[tuple[list[Reply], int]] = []
        """Those that are not complete, the outermost first, and how long each will be."""
        self._listed_bytes = 0

    def feed(self, data: bytes) -> Iterator[Reply]:
        """The replies that are complete now. Raises BadReply."""
        self._buffer += data
        while (reply := self._next()) is not _INCOMPLETE:
            self._listed_bytes = 0
            yield reply  # type: ignore[misc]
        del self._buffer[: self._at]
        self._at = 0
        self._hold(len(self._buffer) + self._listed_bytes)
        if self._size > MAX_REPLY_BYTES:
            raise ReplyTooLong(f"a reply of more than {MAX_REPLY_BYTES} bytes")
        if self._size > SHORT_BYTES and self._unfinished.size > MAX_UNFINISHED_BYTES:
            raise ReplyTooLong(f"replies of more than {MAX_UNFINISHED_BYTES} bytes on all connections together")

    def close(self) -> None:
        """No more comes."""
        self._hold(0)

    def _hold(self, size: int) -> None:
        self._unfinished.size += size - self._size
        self._size = size

    def _next(self) -> Reply | object:
        """The next reply, or _INCOMPLETE."""
        while (value := self._element()) is not _INCOMPLETE:
            if value is _HEAD_OF_LIST:
                continue
            while self._lists:
                elements, length = self._lists[-1]
                elements.append(value)  # type: ignore[arg-type]
                if len(elements) < length:
                    break
                value = elements
                self._lists.pop()
            else:
                return value
        return _INCOMPLETE

    def _element(self) -> Reply | object:
        """The next thing that is no list, or is an empty one; the head of another stays in `_lists`."""
        begin, buffer = self._at, self._buffer
        end = buffer.find(b"\r\n", begin, begin + MAX_LINE_BYTES)
        if end < 0:
            if len(buffer) - begin >= MAX_LINE_BYTES:
                raise ReplyTooLong(f"a line of more than {MAX_LINE_BYTES} bytes")
            return _INCOMPLETE
        kind, line, after = buffer[begin : begin + 1], bytes(buffer[begin + 1 : end]), end + 2
        value: Reply | object
        if kind == b"$":
            length, value = _number(line), None
            if length > MAX_REPLY_BYTES:
                raise ReplyTooLong(f"a reply of {length} bytes")
            if length >= 0:
                begin_of_value, after = after, after + length + 2
                if len(buffer) < after:
                    return _INCOMPLETE
                value = bytes(buffer[begin_of_value : after - 2])
        elif kind == b"*":
            value = self._list(_number(line))
        elif kind == b"+":
            value = line
        elif kind == b"-":
            value = ErrorReply(line.decode("utf-8", "surrogateescape"))
        elif kind == b":":
            value = _number(line)
        else:
            raise BadReply(f"Protocol error, got {bytes(kind)!r} as reply type byte")
        if self._lists:
            self._listed_bytes += _OBJECT_BYTES + after - begin
        self._at = after
        return value

    def _list(self, length: int) -> Reply | object:
        if length <= 0:
            return [] if length == 0 else None
        if length > MAX_ELEMENTS or len(self._lists) == _MAX_DEPTH:
            raise ReplyTooLong(f"a list of {length} elements within {len(self._lists)} others")
        self._lists.append(([], length))
        return _HEAD_OF_LIST


def _number(line: bytes) -> int:
    if _NUMBER.fullmatch(line) is None:
        raise BadReply(f"Protocol error, {line[:20]!r} is no number")
    return int(line)
