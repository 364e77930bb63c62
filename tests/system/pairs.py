"""A primary and its replica, outside a cluster: joined, in step, compared."""

from __future__ import annotations

from cluster.bringup.client import Argument, ReplyError, RespClient
from tests.system.harness import Server, ServerKind
from tests.system.waiting import wait_until

DEADLINE_S = 20.0
ALONE = {"cluster-enabled": "no", "repl-ping-replica-period": "1"}
PAIRS: list[tuple[ServerKind, ServerKind]] = [("ours", "redis"), ("redis", "ours"), ("ours", "ours")]
"""Who is whose replica; redis-server with itself would prove nothing of ours."""


class Pair:
    """A primary and its replica."""

    def __init__(self, primary: Server, replica: Server) -> None:
        self.primary = primary
        self.replica = replica

    def join(self, port: int = 0) -> None:
        """`port`: that of a proxy before the primary."""
        assert self.replica.call("REPLICAOF", self.primary.host, port or self.primary.port) == "OK"
        self.wait_up()

    def wait_up(self) -> None:
        def up() -> bool:
            return self.replica.info("replication")["master_link_status"] == "up"

        wait_until(up, DEADLINE_S, lambda: f"the link is up\n{self.replica.log_tail()}\n{self.primary.log_tail()}")

    def catch_up(self) -> None:
        """Until the replica has executed all that the primary has said."""

        def in_step() -> bool:
            self.wait_up()
            ours, theirs = self.replica.info("replication"), self.primary.info("replication")
            return ours["master_repl_offset"] == theirs["master_repl_offset"]

        wait_until(in_step, DEADLINE_S, lambda: f"in step\n{self.replica.log_tail()}\n{self.primary.log_tail()}")

    def synced(self, name: str) -> int:
        """The primary's count of sync_full, sync_partial_ok or sync_partial_err."""
        return int(self.primary.info("stats")[name])

    def wait_synced(self, name: str, count: int) -> None:
        """Until the primary has counted so many."""
        wait_until(lambda: self.synced(name) >= count, DEADLINE_S, f"{name} is {count}")

    def turned(self) -> Pair:
        """The same two, in each other's role."""
        return Pair(self.replica, self.primary)

    def digests(self) -> tuple[object, object]:
        self.catch_up()
        return self.primary.call("DEBUG", "DIGEST"), self.replica.call("DEBUG", "DIGEST")


def run(client: RespClient, *commands: tuple[Argument, ...]) -> None:
    """A pipeline in which nothing may fail."""
    failures = [answer for answer in client.pipeline(*commands) if isinstance(answer, ReplyError)]
    assert not failures
