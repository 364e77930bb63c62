"""Sending a replica everything: a snapshot of one moment, while the clients go on writing.

A small dataset is serialised on the spot. A larger one by a forked child into a file, which is then sent in pieces, as
fast as the replica takes them; what is written meanwhile waits in `Replica.held`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from cluster.persistence.child import SnapshotChild

if TYPE_CHECKING:
    from cluster.replication.replicas import Replica
    from cluster.server import Server

SMALL_KEYS = 5_000
"""Up to this many keys are serialised without a child: some tens of milliseconds."""
PIECE_BYTES = 256 * 1024
AHEAD_BYTES = 1 << 20
"""How much may wait in the connection before the next piece is read."""
POLL_SECONDS = 0.005


class FullSync:
    def __init__(self, server: Server, replica: Replica) -> None:
        self._server = server
        self._replica = replica
        self._path = Path(server.config.dir) / f"temp-sync-{os.getpid()}-{replica.session.id}.rdb"
        self._child: SnapshotChild | None = None

    def run_at_once(self) -> bool:
        """Serialise here and now if that is quick; otherwise fork, and leave the rest to `run`."""
        server, session = self._server, self._replica.session
        if sum(map(len, server.databases)) <= SMALL_KEYS:
            data = b"".join(server.persistence.chunks(server.databases))
            session.send(b"$%d\r\n" % len(data) + data)
            self._replica.synced(server.ctx.now_ms)
            return True
        try:
            self._child = SnapshotChild(self._path, lambda: server.persistence.chunks(server.databases), server.log)
        except OSError as error:
            server.log("warning", f"Can't fork for a full synchronization: {error.strerror}")
            server.kill(session)
            return True
        return False

    async def run(self) -> None:
        """Wait for the child, then send its file. A replica that is gone needs neither."""
        child, session = self._child, self._replica.session
        assert child is not None
        try:
            while not child.poll() and not session.closing:  # noqa: ASYNC110  (a full sync only)
                await trio.sleep(POLL_SECONDS)
            if session.closing:
                return
            if child.exit_code == 0:
                await self._send_file()
            else:
                self._give_up("its writer failed")
        except OSError as error:
            self._give_up(error.strerror or str(error))
        finally:
            child.stop()
            self._path.unlink(missing_ok=True)

    def _give_up(self, why: str) -> None:
        self._server.log("warning", f"The snapshot for replica {self._replica.name} failed: {why}")
        self._server.kill(self._replica.session)

    async def _send_file(self) -> None:
        session = self._replica.session
        with self._path.open("rb") as file:
            session.send(b"$%d\r\n" % os.fstat(file.fileno()).st_size)
            while piece := file.read(PIECE_BYTES):
                session.send(piece)
                self._server.shell.end_batch()
                while session.out_bytes > AHEAD_BYTES and not session.closing:  # noqa: ASYNC110  (a full sync only)
                    await trio.sleep(POLL_SECONDS)
                if session.closing:
                    return
                await trio.lowlevel.checkpoint()
        self._replica.synced(self._server.clock_ms())
        self._server.shell.end_batch()
        self._server.log("notice", f"Synchronization with replica {self._replica.name} succeeded")
