"""The commands as rules speak of them: by full name (``client|kill``) and by category."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

CATEGORIES = (
    "keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo",
    "stream", "pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting",
)  # fmt: skip
"""In ACL CAT's order."""


class Catalogue:
    """`described`: (full name, categories) of every command and subcommand, whatever they have been renamed to.

    `opens_channels`: acl-pubsub-default, whether a new selector allows all channels.
    """

    def __init__(self, described: Iterable[tuple[str, Iterable[str]]], *, opens_channels: bool = False) -> None:
        self.opens_channels = opens_channels
        self._categories = {name: frozenset(categories) for name, categories in described}
        self.every = frozenset(self._categories)
        subcommands: dict[str, list[str]] = {}
        for name in self._categories:
            if "|" in name:
                subcommands.setdefault(name.partition("|")[0], []).append(name)
        self._subcommands: Mapping[str, list[str]] = subcommands

    def has_subcommands(self, name: str) -> bool:
        return name in self._subcommands

    def whole(self, name: str) -> frozenset[str]:
        """A command with its subcommands, if it has any."""
        return frozenset((name, *self._subcommands.get(name, ())))

    def members(self, category: str) -> list[str]:
        """The commands of a category, subcommands among them, sorted."""
        return sorted(name for name, found in self._categories.items() if category in found)

    def reached(self, category: str) -> frozenset[str]:
        """What a rule about a category is about: its members, and with a container all that it contains."""
        return frozenset(one for name in self.members(category) for one in self.whole(name))
