"""Requests: bytes from a client → argument lists.

Two parsers stand behind one class. The fast one hands whole chunks to hiredis, which parses in C but knows no
limits, no inline commands, and takes any RESP type where a request may hold bulk strings only. The careful one
is ours, byte by byte, and knows all of Redis's rules and error texts. Whatever looks unusual (a count of five
digits, an inline command, a client that has not authenticated yet, an element that is no bulk string) is parsed
carefully *from the last known boundary between two commands*, so a hostile header is refused before anything is
allocated for it, and ordinary traffic never pays for that.

Source: the Redis serialization protocol specification; limits as redis-server has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import hiredis

from cluster.errors import ProtocolError

INLINE_LIMIT_BYTES = 64 * 1024
"""Longest inline command, and longest line with a count; as redis-server's."""
MULTIBULK_LIMIT = 2**31 - 1
UNAUTHENTICATED_MULTIBULK_LIMIT = 10
UNAUTHENTICATED_BULK_LIMIT_BYTES = 16384
CARRY_LIMIT_BYTES = 256 * 1024
"""A command that is still incomplete at this size is gathered by the careful parser, which copies nothing twice."""

_LARGE_COUNT = re.compile(rb"\*\d{5}")
_LARGE_BULK = re.compile(rb"\$\d{7}")
_OTHER_ARGUMENT = re.compile(rb"\n[+=(]")
"""What hiredis would take for an argument, and what is none."""
_OTHER_COMMAND = re.compile(rb"\n[~>%|]")
"""What it would take for a command, behind another one."""
_BULK_HEADER = re.compile(rb"\$(0|[1-9]\d{0,9})\r\n")
_LOOKBACK_BYTES = 16

ARGUMENT_BYTES = 56
"""What an argument takes beside its bytes: an object of Python's, and a place in a list."""

Arguments = list[bytes]


class RequestParser:
    """One client's request stream.

    `feed(data)` gives the commands that became complete; an empty command (`*0`, a blank line) is skipped. The
    result must be consumed before the next `feed`. It is a tuple where the chunk is one whole command and nothing else,
    spelled as `replies.request` would. Iterating raises ProtocolError at the point where the stream breaks, after the
    good commands before it. `authenticated` and `bulk_limit_bytes` may change while iterating.
    """

    __slots__ = ("_careful", "_carry", "_reader", "authenticated", "bulk_limit_bytes")

    def __init__(self, *, authenticated: bool = True, bulk_limit_bytes: int = 512 * 1024 * 1024) -> None:
        self.authenticated = authenticated
        self.bulk_limit_bytes = bulk_limit_bytes
        self._reader: hiredis.Reader | None = None
        self._carry = b""  # what came of a command that is not complete yet; the reader has taken it in
        self._careful: _CarefulParser | None = None

    @property
    def pending_bytes(self) -> int:
        """Bytes received that are not yet part of a complete command."""
        if self._careful is not None:
            return self._careful.pending_bytes
        return len(self._carry)

    @property
    def held_bytes(self) -> int:
        """What they take in memory, which is more where they are very many arguments: the query buffer limit's."""
        if self._careful is not None:
            return self._careful.pending_bytes + self._careful.argument_count * ARGUMENT_BYTES
        return len(self._carry)

    @property
    def is_between_commands(self) -> bool:
        """Whether nothing of a further command has come yet. (No pending bytes do not say so: a header that was read
        may be all there is of it.)"""
        return not self._carry if self._careful is None else self._careful.is_between_commands

    def forget(self) -> None:
        """The client is gone, and with it what it has sent of its next command."""
        self._careful = None
        self._carry = b""
        self._reader = None

    def memory(self) -> tuple[int, int, int]:
        """(bytes not parsed yet, bytes of buffer free for more, bytes of the arguments of a command half there)."""
        if self._careful is not None:
            return self._careful.memory()
        return len(self._carry), 0, 0

    def feed(self, data: bytes, *, again: bool = False) -> Iterable[Arguments]:
        """`again`: the chunk has been in the careful parser's hands already, and is not to come back a second time."""
        if self._careful is not None:
            return self._continue_careful(data)
        carry = self._carry
        seam = data
        if not carry:
            if data[0] != 42 or not self.authenticated:
                return self._turn_careful(data, again)
            # With one '*' and a one-digit count there is no large count to look for.
            if (len(data) < 4 or data[2] != 13 or 42 in data[1:]) and _LARGE_COUNT.search(data) is not None:
                return self._turn_careful(data, again)
        else:
            seam = carry[-_LOOKBACK_BYTES:] + data
            if _LARGE_COUNT.search(seam) is not None or len(carry) > CARRY_LIMIT_BYTES:
                return self._turn_careful(data, again)
        # Seldom is one of these bytes there at all, which is quickly asked.
        if (43 in data or 61 in data or 40 in data) and _OTHER_ARGUMENT.search(seam) is not None:
            return self._turn_careful(data, again)
        reader = self._reader
        if reader is None:
            reader = self._reader = hiredis.Reader()
        try:
            reader.feed(data)
            first = reader.gets()
            if first and not carry and not reader.has_data():  # by far the most frequent: one whole command
                b"".join(first)  # raises TypeError unless all is bulk strings
                return (first,)
            commands, whole = _commands(reader, first)
            b"".join(chain.from_iterable(commands))
        except (hiredis.ProtocolError, TypeError, ValueError):
            return self._turn_careful(data, again)
        if (62 in data or 37 in data or 124 in data or 126 in data) and _OTHER_COMMAND.search(seam) is not None:
            return self._turn_careful(data, again)
        given = commands if all(commands) else [command for command in commands if command]
        if whole:
            self._carry = b""
            return given
        self._carry = (carry + data)[_sent_size(commands) :]
        if _LARGE_BULK.search(self._carry[-(len(data) + _LOOKBACK_BYTES) :]) is not None:
            # A value of a megabyte or more is on its way: gathering it is the careful parser's work.
            return chain(given, self._turn_careful(b"", again))
        return given

    def _turn_careful(self, data: bytes, again: bool) -> Iterator[Arguments]:
        parser = _CarefulParser(self)
        self._careful = parser
        parser.append(self._carry)
        parser.append(data)
        self._carry = b""
        self._reader = None
        return self._drain(parser, may_return=not again)

    def _continue_careful(self, data: bytes) -> Iterator[Arguments]:
        assert self._careful is not None
        self._careful.append(data)
        return self._drain(self._careful, may_return=True)

    def _drain(self, parser: _CarefulParser, *, may_return: bool) -> Iterator[Arguments]:
        while (command := parser.next_command()) is not None:
            yield command
            if may_return and self.authenticated and parser.is_at_a_multibulk:
                self._careful = None
                yield from self.feed(parser.rest(), again=True)
                return
        if parser.is_between_commands and self.authenticated:
            self._careful = None


def _commands(reader: hiredis.Reader, first: Any) -> tuple[list[Arguments], bool]:
    """(`first` and all commands behind it, whether the chunk ends between two commands)"""
    commands: list[Arguments] = []
    append, gets = commands.append, reader.gets
    while first is not False:
        append(first)
        # Asked before the next try: a header that hiredis has taken in already counts as no data.
        if not reader.has_data():
            return commands, True
        first = gets()
    return commands, False


def _sent_size(commands: list[Arguments]) -> int:
    """How many bytes these were: hiredis takes a number in one spelling only, as we do."""
    lengths = list(map(len, chain.from_iterable(commands)))
    counts = "".join(map(str, map(len, commands)))
    return sum(lengths) + len("".join(map(str, lengths))) + 5 * len(lengths) + len(counts) + 3 * len(commands)


class _CarefulParser:
    """Redis's own rules, one command at a time, over a buffer that is consumed from the front."""

    __slots__ = ("_argument_bytes", "_arguments", "_buffer", "_bulk_length", "_owner", "_position", "_remaining")

    def __init__(self, owner: RequestParser) -> None:
        self._owner = owner
        self._buffer = bytearray()
        self._position = 0
        self._remaining = 0  # bulk strings still to come of the command at hand
        self._bulk_length = -1  # length of the bulk string at hand, -1 before its header
        self._arguments: Arguments = []
        self._argument_bytes = 0  # theirs, reckoned as they come: there may be millions

    @property
    def pending_bytes(self) -> int:
        held = self._argument_bytes if self._remaining else 0
        return len(self._buffer) - self._position + held

    @property
    def argument_count(self) -> int:
        """How many have come of a command that is not complete."""
        return len(self._arguments) if self._remaining else 0

    @property
    def is_between_commands(self) -> bool:
        return self._remaining == 0 and self._position == len(self._buffer)

    @property
    def is_at_a_multibulk(self) -> bool:
        """Whether the next command has begun, and as the fast parser wants it."""
        return self._remaining == 0 and self._buffer[self._position : self._position + 1] == b"*"

    def rest(self) -> bytes:
        return bytes(self._buffer[self._position :])

    def memory(self) -> tuple[int, int, int]:
        unparsed = len(self._buffer) - self._position
        return unparsed, self._buffer.__alloc__() - unparsed, self.pending_bytes - unparsed

    def append(self, data: bytes) -> None:
        if self._position:
            del self._buffer[: self._position]
            self._position = 0
        self._buffer += data

    def next_command(self) -> Arguments | None:
        """The next complete command, or None when bytes are missing."""
        while True:
            if self._remaining == 0:
                if self._position >= len(self._buffer):
                    return None
                if self._buffer[self._position] != 42:
                    inline = self._next_inline()
                    if inline is None or inline:
                        return inline
                    continue
                if not self._read_multibulk_header():
                    return None
                if self._remaining == 0:
                    continue
            if not self._read_arguments():
                return None
            command = self._arguments
            self._arguments = []
            return command

    def _line(self, too_long: str) -> bytes | None:
        end = self._buffer.find(b"\r\n", self._position)
        if end < 0:
            if len(self._buffer) - self._position > INLINE_LIMIT_BYTES:
                raise ProtocolError(too_long)
            return None
        line = bytes(self._buffer[self._position : end])
        self._position = end + 2
        return line

    def _next_inline(self) -> Arguments | None:
        end = self._buffer.find(b"\n", self._position)
        # To redis-server a NUL ends the text before any line break behind it: the line never becomes complete.
        if end < 0 or self._buffer.find(b"\0", self._position, end) >= 0:
            if len(self._buffer) - self._position > INLINE_LIMIT_BYTES:
                raise ProtocolError("too big inline request")
            return None
        line = bytes(self._buffer[self._position : end])
        self._position = end + 1
        arguments = split_arguments(line.removesuffix(b"\r"))
        if arguments is None:
            raise ProtocolError("unbalanced quotes in request")
        return arguments

    def _read_multibulk_header(self) -> bool:
        line = self._line("too big mbulk count string")
        if line is None:
            return False
        count = _number(line[1:])
        if count is None or count > MULTIBULK_LIMIT:
            raise ProtocolError("invalid multibulk length")
        if count > UNAUTHENTICATED_MULTIBULK_LIMIT and not self._owner.authenticated:
            raise ProtocolError("unauthenticated multibulk length")
        self._remaining = max(count, 0)
        self._arguments = []
        self._argument_bytes = 0
        return True

    def _read_arguments(self) -> bool:
        buffer, append = self._buffer, self._arguments.append
        match, size = _BULK_HEADER.match, len(self._buffer)
        while self._remaining:
            length = self._bulk_length
            if length < 0:
                found = match(buffer, self._position)
                if found is not None:
                    length = self._checked_length(int(found[1]))
                    self._position = found.end()
                elif not self._read_unusual_header():
                    return False
                else:
                    length = self._bulk_length
            end = self._position + length
            if size < end + 2:
                self._bulk_length = length
                return False
            append(bytes(buffer[self._position : end]))
            self._position = end + 2
            self._argument_bytes += length
            self._bulk_length = -1
            self._remaining -= 1
        return True

    def _read_unusual_header(self) -> bool:
        """A header that is not complete, which is False, or not as it should be."""
        if self._position >= len(self._buffer):
            return False
        line = self._line("too big bulk count string")
        if line is None:
            return False
        if line[:1] != b"$":
            got = (line[:1] or b"\r").decode("utf-8", "surrogateescape")
            raise ProtocolError(f"expected '$', got '{got}'")
        self._bulk_length = self._checked_length(_number(line[1:]))
        return True

    def _checked_length(self, length: int | None) -> int:
        if length is None or length < 0 or length > self._owner.bulk_limit_bytes:
            raise ProtocolError("invalid bulk length")
        if length > UNAUTHENTICATED_BULK_LIMIT_BYTES and not self._owner.authenticated:
            raise ProtocolError("unauthenticated bulk length")
        return length


def _number(text: bytes) -> int | None:
    """An integer as redis-server reads one: an optional minus, digits, no blanks, no leading zeros."""
    if re.fullmatch(rb"-?[1-9]\d{0,18}|0", text) is None:
        return None
    return int(text)


_ESCAPES = {ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("b"): 8, ord("a"): 7}
_BLANKS = b" \n\r\t\v\f"


def split_arguments(line: bytes) -> Arguments | None:
    """Split an inline command the way a shell would: blanks, "double" with escapes, 'single'. None: unbalanced."""
    arguments: Arguments = []
    position = 0
    size = len(line)
    while True:
        while position < size and line[position] in _BLANKS:
            position += 1
        if position >= size:
            return arguments
        word = bytearray()
        while position < size and line[position] not in _BLANKS:
            quote = line[position]
            if quote in b"\"'":
                end = _quoted(line, position + 1, quote, word)
                if end is None or (end < size and line[end] not in _BLANKS):
                    return None
                position = end
                break
            word.append(quote)
            position += 1
        arguments.append(bytes(word))


def _quoted(line: bytes, position: int, quote: int, word: bytearray) -> int | None:
    """Read up to the closing `quote` into `word`; the position behind it, or None without one."""
    while position < len(line):
        byte = line[position]
        if byte == quote:
            return position + 1
        if byte == 92 and position + 1 < len(line):
            following = line[position + 1]
            if quote == 39:
                if following == 39:
                    word.append(39)
                    position += 2
                    continue
            elif following == 120 and re.match(rb"[0-9a-fA-F]{2}", line[position + 2 : position + 4]):
                word.append(int(line[position + 2 : position + 4], 16))
                position += 4
                continue
            else:
                word.append(_ESCAPES.get(following, following))
                position += 2
                continue
        word.append(byte)
        position += 1
    return None
