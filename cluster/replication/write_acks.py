"""cluster-write-acks N: a client hears of a write only after N replicas have it.

The unit is the batch: what a batch wrote is one place in the stream, and until N replicas have acknowledged that place
nobody is told anything, neither that a write was done nor what a read saw of it. So whatever anybody has been told of
is on N replicas, and in an election the replica that has most goes first (bus/election.py). Each batch that writes asks
for the acknowledgement itself (REPLCONF GETACK), so that it takes a round trip and not the replica's next second.

This is the account; the replies themselves are held by cluster/network/unconfirmed.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cluster.errors import NOREPLICAS, CommandError

if TYPE_CHECKING:
    from cluster.server import Server

EVERYTHING = sys.maxsize

class WriteAcks:
    """`needed`: so many replicas; 0 turns it off. `confirmed`: so much of the stream they have."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.needed = 0
        self.confirmed = 0
        self._written = 0

    @property
    def outstanding(self) -> int:
        """The place in the stream up to which everything must be confirmed before anybody is told of it; 0: it is."""
        return self._written if self._written > self.confirmed else 0

    @property
    def lacks_replicas(self) -> bool:
        """Whether a write could not be confirmed, and is refused."""
        needed = self.needed
        return bool(needed) and not self._server.is_replica and self._online < needed

    @property
    def _online(self) -> int:
        return sum(one.online and not one.is_old for one in self._server.replication.replicas.values())

    def check(self) -> None:
        """Raise CommandError if a write could not be confirmed."""
        if self.lacks_replicas:
            raise CommandError(NOREPLICAS)

    def configure(self) -> None:
        """The directive, or the node's role, has changed: what was written so far is not asked for any more."""
        server = self._server
        self.needed = server.config.cluster_write_acks
        server.confirms_writes = self.needed > 0
        self._written = 0
        self.confirmed = 0 if self.needed else EVERYTHING
        self.acknowledged()
        server.refresh_road()

    def written(self, offset: int) -> None:
        """A batch's writes are in the stream, which now ends there."""
        self._written = offset
        self._server.replication.ask_for_acknowledgements()

    def acknowledged(self) -> None:
        """A replica has more than before."""
        offsets = sorted(one.acknowledged for one in self._server.replication.replicas.values() if one.online)
        if len(offsets) >= self.needed > 0:
            self.confirmed = max(self.confirmed, offsets[-self.needed])

    def tick(self) -> None:
        """Hang up on those who have waited in vain: whether their writes will last is not known."""
        server = self._server
        timeout_ms = server.config.cluster_node_timeout
        clients = server.shell.drop_unconfirmed(server.ctx.now_ms - timeout_ms)
        if clients:
            server.log(
                "warning", f"Closing {clients} clients: cluster-write-acks {self.needed} replicas have not confirmed "
                f"their writes within {timeout_ms} milliseconds."
            )
