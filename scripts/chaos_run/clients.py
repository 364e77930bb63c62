"""Clients that write and read, follow redirects, and record what they were answered."""

from __future__ import annotations

import binascii
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeAlias

from cluster.bringup.client import Argument, ReplyError, RespClient
from scripts.histories.operations import Action, Kind, Operation, Outcome, Value

TIMEOUT_S = 1.0
MOST_REDIRECTS = 8
KEYS_OF_A_KIND = 12
GENERATION_S = 4.0
"""After so long the clients go on with new keys, so that no key's history is long."""
WITHOUT_EFFECT = ("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "READONLY", "NOREPLICAS", "BUSY")
"""Errors that come before a command is carried out; of any other it is not known."""
_SLOT_MASK = 0x3FFF

Nodes: TypeAlias = Mapping[int, Callable[[float], RespClient]]
"""By the port of a node, how to connect to it within so many seconds."""


class Client:
    """One client, which does one thing at a time."""

    def __init__(self, number: int, nodes: Nodes) -> None:
        self._number = number
        self._nodes = nodes
        self._owners: dict[int, int] = {}
        self._connections: dict[int, RespClient] = {}
        self._rng = random.Random(number)

    def do(self, kind: Kind, key: str, argument: str | int | None) -> Operation:
        """Read where `argument` is None, else write."""
        begun = time.monotonic_ns()
        outcome, result, port = self._ask(key, _command(kind, key, argument))
        action = Action.READ if argument is None else Action.WRITE
        value = _value(kind, action, result) if outcome is Outcome.OK else None
        return Operation(
            self._number, kind, key, action, argument, outcome, value, begun, time.monotonic_ns(), str(port)
        )  # fmt: skip

    def _ask(self, key: str, command: tuple[Argument, ...]) -> tuple[Outcome, object, int]:
        slot = binascii.crc_hqx(key.encode(), 0) & _SLOT_MASK
        port, asking = self._owners.get(slot) or self._rng.choice(list(self._nodes)), False
        for _ in range(MOST_REDIRECTS):
            try:
                connection = self._connection(port)
            except OSError:
                self._owners.pop(slot, None)
                return Outcome.FAIL, None, port
            try:
                reply = connection.pipeline(*([("ASKING",), command] if asking else [command]))[-1]
            except OSError:
                self._forget(port)
                self._owners.pop(slot, None)
                return Outcome.UNKNOWN, None, port
            if not isinstance(reply, ReplyError):
                return Outcome.OK, reply, port
            word, _, rest = str(reply).partition(" ")
            if word not in WITHOUT_EFFECT:
                return Outcome.UNKNOWN, None, port
            if word in ("MOVED", "ASK"):
                port, asking = int(rest.rpartition(":")[2]), word == "ASK"
                if not asking:
                    self._owners[slot] = port
            elif word != "TRYAGAIN":
                self._owners.pop(slot, None)
                return Outcome.FAIL, None, port
        return Outcome.FAIL, None, port

    def _connection(self, port: int) -> RespClient:
        if port not in self._connections:
            self._connections[port] = self._nodes[port](TIMEOUT_S)
        return self._connections[port]

    def _forget(self, port: int) -> None:
        self._connections.pop(port).close()

    def close(self) -> None:
        for port in list(self._connections):
            with suppress(OSError):
                self._forget(port)


def _command(kind: Kind, key: str, argument: str | int | None) -> tuple[Argument, ...]:
    if argument is None:
        return ("LRANGE", key, 0, -1) if kind is Kind.LIST else ("GET", key)
    return ({Kind.LIST: "RPUSH", Kind.COUNTER: "INCRBY", Kind.REGISTER: "SET"}[kind], key, argument)


def _value(kind: Kind, action: Action, reply: object) -> Value:
    """A reply as the models know it."""
    if isinstance(reply, list):
        return tuple(map(str, reply))
    if kind is Kind.REGISTER:
        return None if action is Action.WRITE or reply is None else str(reply)
    return None if reply is None else int(str(reply))


class Load:
    """So many clients at once, `rate` operations a second all together, until `stop`."""

    def __init__(self, nodes: Nodes, clients: int, rate: float, seed: int) -> None:
        self._nodes = nodes
        self._pause_s = clients / rate
        self._over = threading.Event()
        self._begun = time.monotonic()
        self._recorded: list[list[Operation]] = [[] for _ in range(clients)]
        self._threads = [
            threading.Thread(target=self._work, args=(number, seed), daemon=True) for number in range(clients)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def recorded(self) -> list[Operation]:
        return [operation for own in self._recorded for operation in own]

    def count(self) -> int:
        return sum(map(len, self._recorded))

    def _work(self, number: int, seed: int) -> None:
        client, rng = Client(number, self._nodes), random.Random(seed * 1000 + number)
        written = 0
        try:
            while not self._over.wait(self._pause_s):
                kind = rng.choice(list(Kind))
                generation = int((time.monotonic() - self._begun) / GENERATION_S)
                key = f"{kind}:{generation}:{rng.randrange(KEYS_OF_A_KIND)}"
                argument: str | int | None = None
                if rng.random() < 0.5:
                    written += 1
                    argument = 1 if kind is Kind.COUNTER else f"{number}-{written}"
                self._recorded[number].append(client.do(kind, key, argument))
        finally:
            client.close()


def read_all(nodes: Nodes, recorded: Sequence[Operation]) -> list[Operation]:
    """A last read of every key. Raises RuntimeError where one is not answered."""
    client = Client(-1, nodes)
    try:
        last = [client.do(kind, key, None) for key, kind in {one.key: one.kind for one in recorded}.items()]
    finally:
        client.close()
    if unread := [one for one in last if one.outcome is not Outcome.OK]:
        raise RuntimeError(f"{len(unread)} keys cannot be read at the end, {unread[0].key} for one")
    return last
