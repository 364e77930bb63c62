"""A command line as access control looks at it: which command, which keys and what for, which channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cluster.commands.keys import does, flags_in
from cluster.commands.registry import NO_AUTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.commands.registry import Command

COMMAND = "command"
KEY = "key"
CHANNEL = "channel"
AUTH = "auth"
"""Reasons, as ACL LOG names them."""
_RANK = {COMMAND: 1, KEY: 2, CHANNEL: 4}
_ONE_CHANNEL = frozenset({"publish", "spublish"})
_CHANNELS = frozenset({"subscribe", "ssubscribe", "psubscribe"})
ABOUT_CHANNELS = _ONE_CHANNEL | _CHANNELS
"""What asks for rights to channels."""


class Denied(NamedTuple):
    """Why a command may not be run, and which of its arguments shows it (0: the command itself)."""

    reason: str
    position: int

    @property
    def rank(self) -> tuple[int, int]:
        """Of what several selectors say, the greatest is told: who got furthest."""
        return _RANK[self.reason], self.position


class Request:
    """One command line; what the selectors ask about it is worked out once."""

    __slots__ = ("_keys", "arguments", "command", "name")

    def __init__(self, command: Command, arguments: Sequence[bytes]) -> None:
        self._keys: list[tuple[int, int]] | None = None
        self.command = command
        self.name = command.full_name
        self.arguments = arguments

    @property
    def is_free(self) -> bool:
        """Anybody may run it, who has not even logged in."""
        return NO_AUTH in self.command.flags

    @property
    def keys(self) -> list[tuple[int, int]]:
        """(position, READS and WRITES, as `does` has them) of each key."""
        found = self._keys
        if found is None:
            arguments = self.arguments
            found = self._keys = []
            for spec, use in self.command.key_uses:
                needed = use if use >= 0 else does(flags_in(self.name, arguments, spec.flags))
                found += [(position, needed) for position in spec.positions(arguments)]
        return found

    @property
    def channels(self) -> range:
        """Positions of the channels that are listened to or published on."""
        if self.name in _ONE_CHANNEL:
            return range(1, 2)
        return range(1, len(self.arguments) if self.name in _CHANNELS else 0)

    @property
    def names_patterns(self) -> bool:
        return self.name == "psubscribe"
