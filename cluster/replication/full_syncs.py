"""Which replicas are sent a snapshot, together with which others, and when.

A snapshot through a pipe waits a while for more replicas (repl-diskless-sync-delay), since nobody can join it once it
has begun; one that goes into a file is joined by whoever comes before it is whole. A small dataset waits for nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.replication.full_sync import SIGN_OF_LIFE_MS, FullSync, is_small, send_at_once
from cluster.replication.vain_syncs import VainSyncs

if TYPE_CHECKING:
    from cluster.replication.replicas import Replica
    from cluster.replication.role import Replication
    from cluster.server import Server


class FullSyncs:
    def __init__(self, server: Server, replication: Replication) -> None:
        self._server = server
        self._replication = replication
        self._waiting: list[Replica] = []
        self._due_ms = 0
        self._running: list[FullSync] = []
        self._begun: list[FullSync] = []
        self._said_ms = 0
        self._paused: list[tuple[int, Replica]] = []
        self.vain = VainSyncs()

    def join(self, replica: Replica) -> None:
        """A replica needs everything."""
        pause_ms = self.vain.pause_ms(replica.name)
        if not pause_ms or replica.is_old or replica.rdb_only:
            self._join(replica)
            return
        self._server.log(
            "warning", f"Replica {replica.name} has ended the connection {self.vain.of(replica.name)} times in a row "
            "without acknowledging the snapshot that it was sent: it may not be able to load it (deadlines of hash "
            f"fields need a server of version 7.4), its own log says why. The next is sent in {pause_ms // 1000} s"
        )
        self._paused.append((self._server.ctx.now_ms + pause_ms, replica))

    def _join(self, replica: Replica) -> None:
        server = self._server
        config = server.config
        if not replica.wants_keys or is_small(server):
            self._announce(replica)
            send_at_once(server, replica)
        elif config.repl_diskless_sync and "eof" in replica.capabilities:
            if not self._waiting:
                self._due_ms = server.ctx.now_ms + config.repl_diskless_sync_delay * 1000
            self._waiting.append(replica)
            self._look(server.ctx.now_ms)
        else:
            self._through_file(replica)

    def _announce(self, replica: Replica, begun: FullSync | None = None) -> None:
        """Tell it where its snapshot stands, and hold the stream for it from there on."""
        replid, offset = begun.history if begun is not None else self._history
        if not replica.is_old:
            replica.session.send(f"+FULLRESYNC {replid} {offset}\r\n".encode())
        replica.snapshot_offset = offset
        if replica.held is None:
            replica.hold()
        self._server.journal.selected = -1

    @property
    def _history(self) -> tuple[str, int]:
        return self._replication.replid, self._replication.offset

    def _through_file(self, replica: Replica) -> None:
        for running in self._running:
            if running.history[0] == self._replication.replid and running.admit(replica):
                self._announce(replica, running)
                self._server.log("notice", f"Replica {replica.name} gets the snapshot that is being written already")
                return
        self._begin([replica], piped=False)

    def _begin(self, replicas: list[Replica], *, piped: bool) -> None:
        self._server.flush_journal()
        for replica in replicas:
            self._announce(replica)
        sync = FullSync(self._server, replicas, self._history, piped=piped)
        if sync.begin():
            self._running.append(sync)
            self._begun.append(sync)
            self._replication.hurry()

    def take_begun(self) -> list[FullSync]:
        """Those that want to be run."""
        begun, self._begun = self._begun, []
        return begun

    def tick(self, now_ms: int) -> None:
        self._running = [one for one in self._running if not one.is_over]
        self._waiting = [one for one in self._waiting if not one.session.closing]
        due = [replica for due_ms, replica in self._paused if due_ms <= now_ms]
        self._paused = [one for one in self._paused if one[0] > now_ms and not one[1].session.closing]
        for replica in due:
            if not replica.session.closing:
                self._join(replica)
        if self._waiting or self._paused:
            if now_ms - self._said_ms >= SIGN_OF_LIFE_MS:
                self._said_ms = now_ms
                for replica in (*self._waiting, *(one for _, one in self._paused)):
                    replica.session.send(b"\n")
        if self._waiting:
            self._look(now_ms)

    def _look(self, now_ms: int) -> None:
        """Begin with those that wait, when it is time."""
        config = self._server.config
        most = config.repl_diskless_sync_max_replicas
        if now_ms < self._due_ms and not (most and len(self._waiting) >= most):
            return
        if any(one.piped and not one.is_over for one in self._running):
            return  # one child at a time: the next begins when it is done
        waiting, self._waiting = self._waiting, []
        link = self._replication.link
        if link is not None and not link.up:
            for replica in waiting:
                self._server.kill(replica.session)
        else:
            self._begin(waiting, piped=True)
