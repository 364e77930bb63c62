"""FAILOVER outside a cluster: a primary hands over to one of its replicas, without a lost write.

It holds writes until a replica has everything, then follows that one, and asks it by `PSYNC … FAILOVER` to be the
primary; the answer ends the failover. In between the writes of clients wait; afterwards they are refused (READONLY).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.errors import CommandError

if TYPE_CHECKING:
    from cluster.replication.replicas import Replica
    from cluster.replication.role import Replication
    from cluster.server import Server

NONE = "no-failover"
WAITING = "waiting-for-sync"
IN_PROGRESS = "failover-in-progress"
_PAUSE = "failover"
_FOR_EVER_MS = 1 << 62

Address = tuple[str, int]


class Failover:
    """`state` is what INFO shows as master_failover_state."""

    def __init__(self, server: Server, replication: Replication) -> None:
        self._server = server
        self._replication = replication
        self.state = NONE
        self._target: Address | None = None
        self._deadline_ms: int | None = None
        self._forced = False

    @property
    def active(self) -> bool:
        return self.state != NONE

    @property
    def is_in_progress(self) -> bool:
        """The target is to take over with our next PSYNC."""
        return self.state == IN_PROGRESS

    def start(self, target: Address | None, timeout_ms: int, *, forced: bool) -> None:
        """Begin. `target` None: whichever replica is in step first. `forced`: when `timeout_ms` are over, the target
        takes over although it has not got everything. Raises CommandError."""
        server, replication = self._server, self._replication
        self._check(target, timeout_ms, forced)
        self._target, self._forced = target, forced
        self._deadline_ms = server.ctx.now_ms + timeout_ms if timeout_ms else None
        self.state = WAITING
        server.log("notice", f"FAILOVER requested to {self._target_name}.")
        server.pause.start(_PAUSE, _FOR_EVER_MS, writes_only=True)
        server.flush_journal()
        if self._replica_in_step() is None:
            replication.ask_for_acknowledgements()

    def _check(self, target: Address | None, timeout_ms: int, forced: bool) -> None:
        replication = self._replication
        if self.active:
            raise CommandError("ERR FAILOVER already in progress.")
        if replication.link is not None:
            raise CommandError("ERR FAILOVER is not valid when server is a replica.")
        if not replication.replicas:
            raise CommandError("ERR FAILOVER requires connected replicas.")
        if forced and (target is None or not timeout_ms):
            raise CommandError("ERR FAILOVER with force option requires both a timeout and target HOST and IP.")
        if target is not None:
            replica = self._replica_at(target)
            if replica is None:
                raise CommandError("ERR FAILOVER target HOST and PORT is not a replica.")
            if not replica.online:
                raise CommandError("ERR FAILOVER target replica is not online.")

    @property
    def _target_name(self) -> str:
        return "any replica" if self._target is None else f"{self._target[0]}:{self._target[1]}"

    def _replica_at(self, address: Address) -> Replica | None:
        return next((one for one in self._replication.replicas.values() if (one.ip, one.port) == address), None)

    def _replica_in_step(self) -> Replica | None:
        """A replica that may take over: it has said that it has every byte."""
        for replica in self._replication.replicas.values():
            if replica.online and replica.acknowledged == self._replication.offset:
                if self._target is None or (replica.ip, replica.port) == self._target:
                    return replica
        return None

    def look(self, now_ms: int) -> None:
        """Time has passed, or a replica has acknowledged something."""
        if self.state != WAITING:
            return
        log = self._server.log
        replica = self._replica_in_step()
        if replica is not None:
            log("notice", f"Failover target {replica.name} is synced, failing over.")
            self._hand_over((replica.ip, replica.port))
        elif self._deadline_ms is not None and now_ms >= self._deadline_ms:
            if self._forced and self._target is not None:
                log("notice", f"FAILOVER to {self._target_name} time out exceeded, failing over.")
                self._hand_over(self._target)
            else:
                self._end("Replica never caught up before timeout")

    def _hand_over(self, target: Address) -> None:
        self._target = target
        self.state = IN_PROGRESS
        self._replication.become_replica_of(*target, keep_id=True)

    def answered(self, *, accepted: bool) -> None:
        """The target's word on our PSYNC."""
        if self.is_in_progress:
            if accepted:
                self._clear()
            else:
                self._end("Failover target rejected psync request")

    def abort(self) -> None:
        """FAILOVER ABORT. Raises CommandError."""
        if not self.active:
            raise CommandError("ERR No failover in progress.")
        self._end("Failover manually aborted")

    def _end(self, why: str) -> None:
        self._server.log("notice", f"FAILOVER to {self._target_name} aborted: {why}")
        if self.is_in_progress:
            self._replication.become_independent()
        self._clear()

    def _clear(self) -> None:
        self.state = NONE
        self._target = self._deadline_ms = None
        self._forced = False
        self._server.pause.stop(_PAUSE)
