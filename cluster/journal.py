"""The journal: every effect of a write, once, in order.

Commands append their effects as argument lists. Once a batch the node takes what has gathered and, only if an
append-only file or a replica is there to read it, has it encoded (`encode`). Effects that belong together (a
transaction, a command with several effects) are wrapped in MULTI and EXEC, so that a reader never stops between
them.
"""

from __future__ import annotations

import hiredis

from cluster.protocol.replies import HEADED_BYTES, HEADERS, request

Entry = tuple[int, list[bytes] | bytes]
"""(database, the command's arguments, or its RESP where a client sent just that)"""

_MULTI = [b"MULTI"]
_EXEC = [b"EXEC"]
_END = b"\r\n"


class ForFile(list[bytes]):
    """A command that only the append-only file is to have, as a script has asked for (redis.set_repl)."""


class ForReplicas(list[bytes]):
    """A command that only the replicas are to have."""


class Divided(list[Entry]):
    """Entries of which some are for one reader only."""

    def of(self, reader: type[ForFile | ForReplicas]) -> list[Entry]:
        """Those for `reader`, without transactions of which it has nothing."""
        other = ForReplicas if reader is ForFile else ForFile
        found: list[Entry] = []
        for entry in self:
            if entry[1] is _EXEC and found and found[-1][1] is _MULTI:
                found.pop()
            elif not isinstance(entry[1], other):
                found.append(entry)
        return found


class Journal:
    """`entries` is what the batch at hand has written so far: one list for good, the session appends to it directly."""

    __slots__ = ("entries", "is_divided", "messages", "selected")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.messages = 0  # how many of them change nothing
        self.is_divided = False  # some of them are for one reader only
        self.selected = -1  # the database the readers' stream stands in; -1: they must be told anew

    def append(self, db: int, arguments: list[bytes]) -> None:
        self.entries.append((db, arguments))

    def tell(self, db: int, arguments: list[bytes]) -> None:
        """Append what only replicas are to hear of, and no file: a published message."""
        self.entries.append((db, arguments))
        self.messages += 1

    def wrap(self, start: int) -> None:
        """Make what was appended since `start` (an earlier length of `entries`) one transaction."""
        entries = self.entries
        if len(entries) > start:
            entries.insert(start, (entries[start][0], _MULTI))
            entries.append((entries[-1][0], _EXEC))

    def address(self, start: int, reader: type[ForFile | ForReplicas]) -> None:
        """What was appended since `start` is for one reader only."""
        for at in range(start, len(self.entries)):
            db, command = self.entries[at]
            assert not isinstance(command, bytes)  # as only what a client sends may be
            self.entries[at] = db, reader(command)
        self.is_divided = True

    def take(self) -> list[Entry]:
        taken = self.entries[:]
        if self.is_divided:
            taken = Divided(taken)
            self.is_divided = False
        self.entries.clear()
        self.messages = 0
        return taken

    def encode(self, entries: list[Entry]) -> bytes:
        """`entries` as the replicas get them."""
        data, self.selected = encode(entries, self.selected)
        return data


def encode(entries: list[Entry], selected: int) -> tuple[bytes, int]:
    """(RESP of `entries`, a SELECT before each change of the database; the database in which it ends), where the stream
    stands in the database `selected` so far."""
    parts: list[bytes] = []
    for db, command in entries:
        if db != selected:
            selected = db
            parts.append(request([b"SELECT", b"%d" % db]))
        if isinstance(command, bytes):
            parts.append(command)
            continue
        count = len(command)
        if count == 3:  # most writes; the general form costs four times as much
            name, key, value = command
            if len(key) < HEADED_BYTES and len(value) < HEADED_BYTES:
                parts += (b"*3", HEADERS[len(name)], name, HEADERS[len(key)], key, HEADERS[len(value)], value, _END)
                continue
        elif count == 2:
            name, key = command
            if len(key) < HEADED_BYTES:
                parts += (b"*2", HEADERS[len(name)], name, HEADERS[len(key)], key, _END)
                continue
        elif count == 4:
            name, key, field, value = command
            if len(key) < HEADED_BYTES and len(field) < HEADED_BYTES and len(value) < HEADED_BYTES:
                parts += (
                    b"*4", HEADERS[len(name)], name, HEADERS[len(key)], key, HEADERS[len(field)], field,
                    HEADERS[len(value)], value, _END,
                )  # fmt: skip
                continue
        parts.append(request(command))
    return b"".join(parts), selected


def parsed(command: list[bytes] | bytes) -> list[bytes]:
    """An entry's command as arguments."""
    if isinstance(command, list):
        return command
    reader = hiredis.Reader()
    reader.feed(command)
    arguments: list[bytes] = reader.gets()
    return arguments
