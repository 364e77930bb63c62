"""A redis-server and a whole node beside each other, as single nodes of a cluster or outside of one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from tests.commands.whole import WholeNode
from tests.differential.oracle import START_SECONDS, Oracle, free_port
from tests.differential.resp import Reply, decode, decode_all
from tests.scripting.patient import PatientClient
from tests.system.waiting import wait_until


class ServerPair:
    """`both` sends a command to both. In cluster mode each serves every slot."""

    def __init__(self, directory: Path, *, cluster: bool, program: str | None = None) -> None:
        ours, theirs = directory / "ours", directory / "theirs"
        ours.mkdir()
        theirs.mkdir()
        self.cluster = cluster
        self.node = WholeNode(ours, *([("cluster-enabled", "yes")] if cluster else []))
        self.node.client = PatientClient(self.node)
        options = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())] if cluster else []
        self.oracle = Oracle(theirs, *options, program=program)
        if cluster:
            self.node.serve_all()
            self.oracle(b"CLUSTER", b"ADDSLOTSRANGE", b"0", b"16383")
            wait_until(self._oracle_serves, START_SECONDS, "redis-server to serve its slots")

    def _oracle_serves(self) -> bool:
        shown = self.oracle(b"CLUSTER", b"INFO").value
        return isinstance(shown, bytes) and b"cluster_state:ok" in shown

    def begin(self, resp: int) -> None:
        """A new connection's state, in that version of the protocol."""
        self.both([b"RESET"])
        self.both([b"HELLO", b"%d" % resp])

    def both(self, command: Sequence[bytes]) -> tuple[Reply, Reply]:
        self.node.now_ms = time.time_ns() // 1_000_000
        ours, _ = decode(self.node.client.raw(*command))
        return ours, self.oracle(*command)

    def both_at_once(self, commands: Sequence[Sequence[bytes]]) -> tuple[list[Reply], list[Reply]]:
        """As `both`, all commands in one piece."""
        self.node.now_ms = time.time_ns() // 1_000_000
        return decode_all(self.node.client.chunk(*commands)), self.oracle.chunk(*commands)

    def close(self) -> None:
        self.oracle.close()
