"""The commands of a sentinel: its own, and those of a node that are about the connection."""

from __future__ import annotations

from cluster.commands import all_commands
from cluster.commands.registry import CommandTable, described_in
from cluster.sentinel import commands

SHARED = (
    "acl", "auth", "client", "command", "hello", "ping", "psubscribe", "punsubscribe", "quit", "subscribe",
    "unsubscribe",
)  # fmt: skip


def sentinel_commands() -> CommandTable:
    """A fresh table."""
    own = described_in(commands)
    shared = [entry for entry in all_commands().every() if entry.full_name.partition("|")[0] in SHARED]
    return CommandTable([*own, *shared])
