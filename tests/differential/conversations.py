"""Several clients of each server, and what each of them is sent, to the byte.

A step is one client's command. On the redis-server's side it is over when a connection that only pings has had two
answers: what was in the sockets before has been handled by then, and what that led to has been sent.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

from cluster.protocol.replies import request
from tests.commands.in_process import Client, InProcessNode
from tests.differential.oracle import Oracle

_PIECE = 1 << 20


class Conversation:
    """`count` connections to both servers, from 0 on."""

    def __init__(self, node: InProcessNode, oracle: Oracle, count: int) -> None:
        self.node = node
        self.oracle = oracle
        self.ours = [Client(node) for _ in range(count)]
        self.theirs = [socket.create_connection(("127.0.0.1", oracle.port)) for _ in range(count)]
        self._their_ids: list[int] = []
        for one in self.theirs:  # a command that got no reply must not hold up the next one
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def step(self, who: int, command: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
        """What each client has been sent then: ours, redis-server's. `@1` in a command is the id of client 1."""
        self.node.now_ms = time.time_ns() // 1_000_000
        self.theirs[who].sendall(request(_named(command, self._their_ids)))
        ours = [b""] * len(self.ours)
        ours[who] = self.ours[who].raw(*_named(command, [one.session.id for one in self.ours]))
        for index, client in enumerate(self.ours):
            ours[index] += client.received()
            if client.session.closing:  # as whoever holds the socket does after the batch
                self.node.server.disconnect(client.session)
        for _ in range(2):
            self.oracle(b"PING")
        return ours, [received(one) for one in self.theirs]

    def ask_ids(self) -> None:
        """To be called before steps in which `@1` is used."""
        for one in self.theirs:
            one.sendall(request([b"CLIENT", b"ID"]))
            self._their_ids.append(int(one.recv(_PIECE)[1:]))

    def close(self) -> None:
        for client in self.ours:
            self.node.server.disconnect(client.session)
        for connection in self.theirs:
            connection.close()


def _named(command: Sequence[bytes], ids: Sequence[int]) -> list[bytes]:
    return [b"%d" % ids[int(word[1:])] if word[:1] == b"@" and word[1:].isdigit() else word for word in command]


def received(connection: socket.socket) -> bytes:
    """What is there, without waiting for more."""
    found = b""
    while True:
        try:
            data = connection.recv(_PIECE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return found
        if not data:
            return found
        found += data
