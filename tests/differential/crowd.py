"""Several clients at once, each with a connection to a redis-server and a session of a node in this process.

What one of them sends may be answered later, or by another's doing. So after each step all are looked at, when both
servers have done all they were asked for.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

from cluster.protocol.replies import request
from tests.commands.in_process import Client
from tests.differential.oracle import START_SECONDS, Oracle
from tests.differential.resp import Incomplete, Reply, decode, decode_all
from tests.differential.server_pair import ServerPair
from tests.system.waiting import wait_until

Command = Sequence[bytes]
Heard = tuple[list[Reply], list[Reply]]
"""(from the node, from redis-server)"""
State = dict[bytes, bytes]
SETTLING_SECONDS = 2.0
"""How long redis-server may take on a busy machine, once the node has answered; then the comparison fails."""
_STATE = (b"flags", b"db", b"multi", b"cmd", b"resp")
"""What CLIENT LIST says of a client that both servers must say alike."""


class _Connection:
    """One client's connection to the redis-server."""

    def __init__(self, oracle: Oracle) -> None:
        self._socket = socket.create_connection(("127.0.0.1", oracle.port), timeout=START_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""
        self._socket.setblocking(False)

    def send(self, commands: Sequence[Command]) -> None:
        self._socket.sendall(b"".join(map(request, commands)))

    def received(self) -> list[Reply]:
        """What has come since the last look."""
        try:
            while received := self._socket.recv(1 << 16):
                self._data += received
        except (BlockingIOError, ConnectionError):
            pass
        found: list[Reply] = []
        while self._data:
            try:
                reply, end = decode(self._data)
            except Incomplete:
                break
            found.append(reply)
            self._data = self._data[end:]
        return found

    def close(self) -> None:
        self._socket.close()


class Member:
    """One client of both servers, and its id on each."""

    def __init__(self, pair: ServerPair) -> None:
        self.ours: Client = pair.node.connect()
        self.theirs = _Connection(pair.oracle)
        self.ours_id = b"%d" % self.ours("CLIENT", "ID")
        self.theirs.send([[b"CLIENT", b"ID"]])
        replies: list[Reply] = []

        def answered() -> bool:
            replies.extend(self.theirs.received())
            return bool(replies)

        wait_until(answered, START_SECONDS, "redis-server tells a client's id")
        assert isinstance(replies[0].value, bytes)
        self.theirs_id = replies[0].value


class Crowd:
    """`say` lets a member send, and gives what each of them has heard since."""

    def __init__(self, pair: ServerPair, size: int) -> None:
        self.node = pair.node
        self.oracle = pair.oracle
        self._pair = pair
        self.members = [Member(pair) for _ in range(size)]

    def say(self, speaker: int, *commands: Command) -> list[Heard]:
        """In the commands the members' ids stand as `@0`, `@1`, …"""
        return self.heard(speaker, self._send(speaker, commands))

    def _send(self, speaker: int, commands: Sequence[Command]) -> bytes:
        """The replies that the speaker has from the node at once."""
        member = self.members[speaker]
        self.node.now_ms = time.time_ns() // 1_000_000
        member.theirs.send([[self._named(word, ours=False) for word in command] for command in commands])
        return member.ours.chunk(*([self._named(word, ours=True) for word in command] for command in commands))

    def _named(self, word: bytes, *, ours: bool) -> bytes:
        if word[:1] != b"@":
            return word
        member = self.members[int(word[1:])]
        return member.ours_id if ours else member.theirs_id

    def heard(self, speaker: int = -1, unread: bytes = b"") -> list[Heard]:
        while unfinished := self.node.server.take_unfinished():
            for session in unfinished:
                session.resume()
            self.node.end_batch()
        ours = [
            decode_all((unread if number == speaker else b"") + member.ours.received())
            for number, member in enumerate(self.members)
        ]
        theirs: list[list[Reply]] = [[] for _ in self.members]
        until = time.monotonic() + SETTLING_SECONDS
        while True:
            self.sync()
            for replies, member in zip(theirs, self.members, strict=True):
                replies += member.theirs.received()
            if time.monotonic() > until or (
                all(len(one) >= len(other) for one, other in zip(theirs, ours, strict=True))
                and all(one == other for one, other in self.states())
            ):
                return list(zip(ours, theirs, strict=True))

    def sync(self) -> None:
        """Until redis-server has most likely done all that was asked: what has arrived there before the first of two
        commands is done when the second is."""
        self.oracle(b"PING")
        self.oracle(b"PING")

    def say_and_let_run_out(self, speaker: int, command: Command) -> list[Heard]:
        """As `say`, of a command that waits for a short time only, and let that pass."""
        unread = self._send(speaker, [command])

        def over() -> bool:
            shown = self.oracle(b"INFO", b"clients").value
            return isinstance(shown, bytes) and b"clients_in_timeout_table:0" in shown

        self.sync()
        wait_until(over, START_SECONDS, "the time of all waits to run out")
        server = self.node.server
        while (end_ms := server.waiting.next_deadline_ms()) is not None:
            self.node.now_ms = end_ms
            server.start_batch()
            server.waiting.time_out(end_ms)
            self.node.end_batch()
        return self.heard(speaker, unread)

    def states(self) -> list[tuple[State, State]]:
        """What CLIENT LIST tells of each member."""
        listed = self.oracle(b"CLIENT", b"LIST").value
        assert isinstance(listed, bytes)
        ours, theirs = _by_id(self.node.client("CLIENT", "LIST")), _by_id(listed)
        return [(ours[one.ours_id], theirs.get(one.theirs_id, {})) for one in self.members]

    def leave(self, number: int) -> None:
        """A member hangs up, and another takes its place."""
        self._hang_up(self.members[number])
        self.sync()
        self.members[number] = Member(self._pair)

    def _hang_up(self, member: Member) -> None:
        self.node.server.disconnect(member.ours.session)
        member.theirs.close()

    def close(self) -> None:
        for member in self.members:
            self._hang_up(member)
        self.sync()


def _by_id(listed: bytes) -> dict[bytes, State]:
    found = {}
    for line in listed.splitlines():
        fields = dict(field.split(b"=", 1) for field in line.split())
        found[fields[b"id"]] = {name: fields[name] for name in _STATE}
    return found
