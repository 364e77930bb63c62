"""What is kept or said of single commands: the slow log, and the lines of MONITOR. Neither holds a password."""

from __future__ import annotations

from typing import NamedTuple

from cluster.stats import abridged

ATTACK_LOG_MS = 60_000
"""At most one line in this time tells of clients that speak HTTP: a browser tries many times."""
_REDACTED = b"(redacted)"
_SECRET_DIRECTIVES = {b"requirepass", b"masterauth", b"masteruser"}
_ABOUT_USERS = {b"setuser", b"getuser", b"deluser"}
_NAMED = {7: b"\\a", 8: b"\\b", 9: b"\\t", 10: b"\\n", 13: b"\\r", 34: b'\\"', 92: b"\\\\"}


class SlowCommand(NamedTuple):
    number: int
    seconds: int
    """When it ran, since the epoch."""
    elapsed_us: int
    arguments: list[bytes]
    address: str
    client_name: bytes


class SlowLog:
    """SLOWLOG's entries, the newest first. A number never comes again."""

    def __init__(self) -> None:
        self.entries: list[SlowCommand] = []
        self._next_number = 0

    def note(
        self, arguments: list[bytes], address: str, name: bytes, *, now_ms: int, elapsed_ns: int, limit: int
    ) -> None:
        """Add a command, and keep `limit` entries at most."""
        self.entries.insert(0, SlowCommand(
            self._next_number, now_ms // 1000, elapsed_ns // 1000, abridged(redacted(arguments)), address, name,
        ))  # fmt: skip
        self._next_number += 1
        self.limit(limit)

    def limit(self, length: int) -> None:
        del self.entries[length:]


class Attacks:
    """How often clients that speak HTTP are worth a line of the log."""

    def __init__(self) -> None:
        self._noted_ms = 0

    def line(self, address: str, now_ms: int) -> str:
        """The log's line; '' where there was one a moment ago. Tools look for its first words."""
        if now_ms - self._noted_ms < ATTACK_LOG_MS:
            return ""
        self._noted_ms = now_ms
        return _attack_line(address)


def _attack_line(address: str) -> str:
    return (
        f"Possible SECURITY ATTACK detected. {address} sent POST or Host: for a command, as a browser does that "
        "somebody's page tricks into talking to this port (cross-protocol scripting). Connection closed."
    )


def monitor_line(now_us: int, db: int, address: str, arguments: list[bytes]) -> bytes:
    """`time [db address] "arg" …`, as a status reply."""
    quoted = b" ".join(_quoted(argument) for argument in redacted(arguments))
    origin = f"{db} {address}".encode()
    return b"+%d.%06d [%b] %b\r\n" % (now_us // 1_000_000, now_us % 1_000_000, origin, quoted)


def redacted(arguments: list[bytes]) -> list[bytes]:
    """A command without the user names and passwords that it gives; most are returned as they are."""
    name = arguments[0].lower()
    if name == b"auth":
        secret = set(range(1, len(arguments)))
    elif name == b"hello":
        secret = _after_options(arguments, 2, len(arguments), {b"auth": 2})
    elif name == b"migrate":
        keys = next((at for at, word in enumerate(arguments) if at > 5 and word.lower() == b"keys"), len(arguments))
        secret = _after_options(arguments, 6, keys, {b"auth": 1, b"auth2": 2})
    elif name == b"acl" and len(arguments) > 1 and arguments[1].lower() in _ABOUT_USERS:
        secret = set(range(2, len(arguments)))
    elif name == b"config" and len(arguments) > 3 and arguments[1].lower() == b"set":
        secret = {at + 1 for at in range(2, len(arguments), 2) if arguments[at].lower() in _SECRET_DIRECTIVES}
    else:
        return arguments
    return [_REDACTED if at in secret else word for at, word in enumerate(arguments)]


def _after_options(arguments: list[bytes], first: int, end: int, options: dict[bytes, int]) -> set[int]:
    """The places of the words that belong to one of `options`, looked for from `first` to before `end`."""
    found: set[int] = set()
    for at in range(first, end):
        if at not in found:
            count = options.get(arguments[at].lower(), 0)
            found.update(range(at + 1, at + 1 + count))
    return found


def _quoted(argument: bytes) -> bytes:
    """`argument` in double quotes, as MONITOR and redis-cli show it."""
    shown = (_NAMED.get(byte) or (bytes([byte]) if 32 <= byte < 127 else b"\\x%02x" % byte) for byte in argument)
    return b'"' + b"".join(shown) + b'"'
