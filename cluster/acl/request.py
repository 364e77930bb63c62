"""A command line as access control looks at it: which command, which keys and what for, which channels."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from cluster.commands.keys import flags_in
from cluster.commands.registry import NO_AUTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.commands.registry import Command

COMMAND = "command"
KEY = "key"
CHANNEL = "channel"
AUTH = "auth"
"""Reasons, as ACL LOG names them."""
READ = 1
WRITE = 2
_NEEDED = {"access": READ, "insert": WRITE, "delete": WRITE, "update": WRITE}
_RANK = {COMMAND: 1, KEY: 2, CHANNEL: 4}
_ONE_CHANNEL = frozenset({"publish", "spublish"})
_CHANNELS = frozenset({"subscribe", "ssubscribe", "psubscribe"})


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

    def __init__(self, command: Command, arguments: Sequence[bytes]) -> None:
        self.command = command
        self.name = command.full_name
        self.arguments = arguments

    @property
    def is_free(self) -> bool:
        """Anybody may run it, who has not even logged in."""
        return NO_AUTH in self.command.flags

    @cached_property
    def keys(self) -> list[tuple[int, int]]:
        """(position, READ and WRITE as needed) of each key."""
        return [
            (position, needed_for(flags_in(self.command.name, self.arguments, spec.flags)))
            for spec in self.command.keys
            if "not_key" not in spec.flags
            for position in spec.positions(self.arguments)
        ]

    @property
    def channels(self) -> range:
        """Positions of the channels that are listened to or published on."""
        if self.name in _ONE_CHANNEL:
            return range(1, 2)
        return range(1, len(self.arguments) if self.name in _CHANNELS else 0)

    @property
    def names_patterns(self) -> bool:
        return self.name == "psubscribe"


def needed_for(flags: tuple[str, ...]) -> int:
    """The permissions that a key needs of which the command does what `flags` say."""
    needed = 0
    for flag in flags:
        needed |= _NEEDED.get(flag, 0)
    return needed
