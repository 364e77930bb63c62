"""The bytes of an append-only file → commands, in pieces of any size.

Chunks that look ordinary are parsed by hiredis, in C. Whatever does not (a comment, a large count, anything that is no
command) is parsed by `scan`, which is exact: it names the offset at which the file stops being one, and takes a length
for true only as far as there are bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

import hiredis

Arguments = list[bytes]

_LARGE_COUNT = re.compile(rb"\*\d{5}")
_OTHER_TYPE = re.compile(rb"\n[+=(~>%|]")
"""What hiredis would take for an argument or a command, and what is none (or, harmless, a value that begins so)."""
_LONGEST_HEADER = 24
_COMMENT = 35
_STAR = 42
_DOLLAR = 36


class AofFormatError(Exception):
    """The bytes at `offset` are no append-only file."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"at offset {offset}")
        self.offset = offset


class AofReader:
    """`feed` gives the commands that became complete; `offset` is the end of the last of them (or of a comment behind
    it), counted from the beginning of the file; `pending` are the bytes behind it."""

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        self.pending = b""

    @property
    def wanted_bytes(self) -> int:
        """How much to feed next, at least: so that a long command is not looked at again and again."""
        return len(self.pending)

    def feed(self, data: bytes) -> list[Arguments]:
        """Raises AofFormatError when there is no whole command before the fault; else it comes with the next call."""
        buffer = self.pending + data if self.pending else data
        commands, used = _in_c(buffer)
        if not used:
            commands, used = self._exactly(buffer)
        self.offset += used
        self.pending = buffer[used:]
        return commands

    def _exactly(self, buffer: bytes) -> tuple[list[Arguments], int]:
        commands: list[Arguments] = []
        used = 0
        try:
            for end, arguments in scan(buffer, self.offset):
                used = end - self.offset
                if arguments:
                    commands.append(arguments)
        except AofFormatError:
            if not commands:
                raise
        return commands, used


def _in_c(buffer: bytes) -> tuple[list[Arguments], int]:
    """(commands, the bytes they took), or no bytes where the exact way is to be gone."""
    if not buffer or buffer[0] != _STAR or _LARGE_COUNT.search(buffer) is not None:
        return [], 0
    if _OTHER_TYPE.search(buffer) is not None:
        return [], 0
    reader = hiredis.Reader()
    commands: list[Arguments] = []
    try:
        reader.feed(buffer)
        append, gets = commands.append, reader.gets
        while (command := gets()) is not False:
            append(command)
        arguments = list(chain.from_iterable(commands))
        lengths = list(map(len, arguments))
        b"".join(arguments)  # raises TypeError unless all is bulk strings
    except (hiredis.ProtocolError, TypeError, ValueError):
        return [], 0
    if not all(commands):
        return [], 0
    counts = "".join(map(str, map(len, commands)))
    return commands, sum(lengths) + len("".join(map(str, lengths))) + 5 * len(lengths) + len(counts) + 3 * len(commands)


def scan(buffer: bytes, offset: int = 0) -> Iterator[tuple[int, Arguments]]:
    """(where it ends, the command) one by one, an empty one for a comment; `buffer` begins at `offset`. It stops before
    what is not complete, and raises AofFormatError at what never will be a command."""
    at = 0
    while at < len(buffer):
        if buffer[at] == _COMMENT:
            end = buffer.find(b"\n", at)
            if end < 0:
                return
            at = end + 1
            yield offset + at, []
            continue
        found = _command(buffer, at, offset)
        if found is None:
            return
        arguments, at = found
        yield offset + at, arguments


def _command(buffer: bytes, at: int, offset: int) -> tuple[Arguments, int] | None:
    """(the command at `at`, where it ends); None when it is not complete."""
    header = _number(buffer, at, _STAR, offset)
    if header is None:
        return None
    count, at = header
    if count < 1:
        raise AofFormatError(offset + at)
    arguments: Arguments = []
    for _ in range(count):
        header = _number(buffer, at, _DOLLAR, offset)
        if header is None:
            return None
        length, start = header
        at = start + length + 2  # what ends an argument is not looked at, here as by hiredis and redis-server
        if at > len(buffer):
            return None
        arguments.append(buffer[start : at - 2])
    return arguments, at


def _number(buffer: bytes, at: int, mark: int, offset: int) -> tuple[int, int] | None:
    """(the number behind `mark`, where its line ends); None when the line is not complete."""
    if at >= len(buffer):
        return None
    end = buffer.find(b"\n", at, at + _LONGEST_HEADER)
    line = buffer[at + 1 : end if end >= 0 else at + _LONGEST_HEADER].removesuffix(b"\r")
    if buffer[at] != mark or (line and not line.isdigit()):
        raise AofFormatError(offset + at)
    if end < 0:
        if at + _LONGEST_HEADER <= len(buffer):
            raise AofFormatError(offset + at)
        return None
    if not line:
        raise AofFormatError(offset + at)
    return int(line), end + 1
