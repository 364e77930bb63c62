"""A server driven in the test's own thread: requests in, decoded replies out, time moved by hand."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import hiredis

from bus.view import ClusterView, NodeInfo
from cluster.commands import all_commands
from cluster.config.store import Configuration, Setting
from cluster.journal import parsed
from cluster.keyspace.hashing import SLOT_COUNT
from cluster.keyspace.memory import MemoryAccount
from cluster.network.session import Session
from cluster.protocol.replies import request
from cluster.reconfigure import keep_encodings
from cluster.server import Server

START_MS = 1_700_000_000_000

FEW = ("databases", "4")
"""The sixteen that are usual take 25 ms to make."""

Argument = bytes | str | int | float


def as_bytes(argument: Argument) -> bytes:
    return argument if isinstance(argument, bytes) else str(argument).encode()


def view_of_one() -> ClusterView:
    """A cluster of one node that serves every slot."""
    me = NodeInfo("1" * 40, "127.0.0.1", 7000, 17000, "2" * 40, slots=((0, SLOT_COUNT - 1),))
    return ClusterView(
        1, me.node_id, {me.node_id: me}, [me.node_id] * SLOT_COUNT, state_ok=True, down_reason="", size=1
    )


class Client:
    """One session: `client("SET", "a", 1)` → the decoded reply (bytes, int, list, None, or a hiredis error)."""

    def __init__(self, node: InProcessNode) -> None:
        self.node = node
        self.session: Session = node.server.connect(address="127.0.0.1:50000")
        self.reader = hiredis.Reader()

    def raw(self, *arguments: Argument) -> bytes:
        """The reply as it would be sent; empty when the client is left waiting."""
        return self.chunk(arguments)

    def chunk(self, *commands: Sequence[Argument]) -> bytes:
        """The replies to commands that arrive in one piece."""
        server = self.node.server
        server.start_batch()
        self.session.receive(b"".join(request([as_bytes(one) for one in command]) for command in commands))
        self.node.end_batch()
        while self.session in server.unfinished:  # it took its time, and is asked whether there is more
            del server.unfinished[self.session]
            self.session.resume()
            self.node.end_batch()
        return self.received()

    def received(self) -> bytes:
        """What has been sent to this client since the last look."""
        data = b"".join(self.session.out)
        self.session.out.clear()
        return data

    def decoded(self, data: bytes) -> Any:
        if not data:
            return None
        self.reader.feed(data)
        return self.reader.gets()

    def __call__(self, *arguments: Argument) -> Any:
        return self.decoded(self.raw(*arguments))

    def error(self, *arguments: Argument) -> str:
        """The text of the error that the command must be answered with."""
        reply = self(*arguments)
        assert isinstance(reply, hiredis.ReplyError), f"{arguments} answered {reply!r}"
        return str(reply)


class JournaledServer(Server):
    """Keeps what replicas and logs would be told: in `effects`, and in `told` with the database of each."""

    effects: list[list[bytes]]
    told: list[tuple[int, list[bytes]]]

    def flush_journal(self) -> None:
        told = [(db, parsed(command)) for db, command in self.journal.entries]
        self.effects.extend(arguments for _, arguments in told)
        self.told.extend(told)
        super().flush_journal()


class InProcessNode:
    """Called like a client, it is its first client. `now_ms` is its clock."""

    def __init__(self, *directives: tuple[str, str], seed: int = 1) -> None:
        self.now_ms = START_MS
        given = (FEW, *directives)
        config = Configuration([Setting(name, tuple(value.split())) for name, value in given])
        self.logged: list[tuple[str, str]] = []
        self.server = JournaledServer(
            config, all_commands(), clock_ms=lambda: self.now_ms, rng=random.Random(seed),
            log=lambda level, text: self.logged.append((level, text)), run_id="0" * 40,
        )
        self.server.memory = MemoryAccount(self.server, lambda: 0)
        keep_encodings(self.server)
        if config.cluster_enabled:
            self.server.router.update(view_of_one())
        self.effects: list[list[bytes]] = []
        self.journal: list[tuple[int, list[bytes]]] = []
        self.server.effects, self.server.told = self.effects, self.journal
        self.client = Client(self)

    def end_batch(self) -> None:
        self.server.end_batch()

    def connect(self) -> Client:
        return Client(self)

    def advance(self, milliseconds: int) -> None:
        self.now_ms += milliseconds

    def __call__(self, *arguments: Argument) -> Any:
        return self.client(*arguments)

    def error(self, *arguments: Argument) -> str:
        return self.client.error(*arguments)

    def journaled(self, *arguments: Argument) -> list[list[bytes]]:
        """The effects a command leaves for replicas and logs."""
        self.effects.clear()
        self.client.raw(*arguments)
        return list(self.effects)
