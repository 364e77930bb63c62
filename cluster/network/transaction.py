"""A transaction being queued: what MULTI opened and EXEC will run."""

from __future__ import annotations

from cluster.commands.registry import DENYOOM, NO_MANDATORY_KEYS, PUBSUB, WRITE, Command
from cluster.protocol.requests import ARGUMENT_BYTES

_GIVES_UP = frozenset({"discard", "quit", "reset"})


class Transaction:
    """`failed` after an error while queueing: EXEC answers EXECABORT. `held_bytes`: what the queue takes in memory."""

    __slots__ = ("commands", "failed", "grows", "held_bytes", "scripts", "sharded", "writes")

    def __init__(self) -> None:
        self.commands: list[tuple[Command, list[bytes]]] = []
        self.failed = False
        self.held_bytes = 0
        self.writes = False
        self.grows = False
        self.scripts = False  # it runs one, which may take long
        self.sharded = False  # it holds a command about shard channels

    def keys(self) -> list[bytes]:
        """Of all commands: in cluster mode they go together as those of one command would."""
        return [
            arguments[position]
            for command, arguments in self.commands
            for position in command.key_positions(arguments)
        ]

    def takes_memory(self, command: Command) -> bool:
        """What is queued does, whatever it is; EXEC if anything that was queued does; what gives up never."""
        return self.grows if command.name == "exec" else command.name not in _GIVES_UP

    def queue(self, command: Command, arguments: list[bytes], flags: frozenset[str]) -> None:
        self.commands.append((command, arguments))
        self.held_bytes += sum(map(len, arguments)) + ARGUMENT_BYTES * len(arguments)
        self.writes = self.writes or WRITE in flags
        self.grows = self.grows or DENYOOM in flags
        self.scripts = self.scripts or NO_MANDATORY_KEYS in command.flags
        self.sharded = self.sharded or (PUBSUB in command.flags and bool(command.keys))
