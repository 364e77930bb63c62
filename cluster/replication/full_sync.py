"""Sending replicas everything: a snapshot of one moment, while the clients go on writing.

A small dataset is serialised on the spot. A larger one by a forked child: into a pipe, from where it goes to the
replicas as it is made (repl-diskless-sync), or into a file that is sent when it is whole. It goes as fast as the
slowest of them takes it, and what is written meanwhile is held for each of them.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from cluster.keyspace.memory import value_bytes
from cluster.persistence.child import SnapshotChild
from cluster.replication.sending import AHEAD_BYTES, PIECE_BYTES, POLL_SECONDS, let_go_out, send_held

if TYPE_CHECKING:
    from cluster.replication.replicas import Replica
    from cluster.server import Server

SMALL_KEYS = 5_000
SMALL_BYTES = 4 << 20
"""Up to so many keys, of so many bytes altogether, are serialised without a child: some tens of milliseconds."""
SIGN_OF_LIFE_MS = 1_000
"""How often a replica that waits for its snapshot gets an empty line, lest it give us up."""


def is_small(server: Server) -> bool:
    """Whether a snapshot is made at once."""
    if sum(map(len, server.databases)) > SMALL_KEYS:
        return False
    left = SMALL_BYTES
    for db in server.databases:
        for space in filter(None, db.spaces):
            for value in space.values():
                left -= value_bytes(value)
                if left < 0:
                    return False
    return True


def send_at_once(server: Server, replica: Replica) -> None:
    """Serialise here and now."""
    databases = server.databases if replica.wants_keys else []
    data = b"".join(server.persistence.chunks(databases, with_functions=replica.wants_functions))
    replica.session.send(b"$%d\r\n" % len(data) + data)
    replica.go_online(server.ctx.now_ms)


class FullSync:
    """One snapshot for one or several replicas. `piped`: they get it as it is made, and know its end by a mark.
    `history`: the replication id and the offset at which it stands."""

    def __init__(self, server: Server, replicas: list[Replica], history: tuple[str, int], *, piped: bool) -> None:
        self._server = server
        self._replicas = replicas
        self.piped = piped
        self.history = history
        self.is_sending = False
        self._path = Path(server.config.dir) / f"temp-sync-{os.getpid()}-{replicas[0].session.id}.rdb"
        self._child: SnapshotChild | None = None
        self._child_is_gone = False
        self._pipe = -1
        self._progress = server.persistence.follow_child()
        self._turn = server.persistence.turns
        self._file = -1
        self._mark = b"%040x" % server.rng.getrandbits(160)

    @property
    def is_over(self) -> bool:
        return self._child is None

    def begin(self) -> bool:
        """Fork. False when that cannot be: the replicas are let go."""
        server = self._server
        started, written = time.monotonic(), -1
        try:
            if self.piped:
                self._pipe, written = os.pipe2(os.O_CLOEXEC)
                os.set_blocking(self._pipe, False)
                with suppress(OSError):  # A larger one only makes it faster.
                    fcntl.fcntl(written, fcntl.F_SETPIPE_SZ, AHEAD_BYTES)
            self._child = SnapshotChild(
                self._path, lambda: server.persistence.chunks_of_child(self._progress), server.log, pipe=written
            )
        except OSError as error:
            self._close_pipe()
            self._give_up(f"can't fork: {error.strerror}")
            return False
        finally:
            if written >= 0:
                os.close(written)
        server.persistence.sync_child_began(self._progress, started)
        return True

    def admit(self, replica: Replica) -> bool:
        """Let a replica that has come later have the same file; False when it is too late for that."""
        twin = next((one.held.copy() for one in self._live() if one.held is not None), None)
        if self.piped or self.is_sending or twin is None:
            return False
        replica.held = twin
        self._replicas.append(replica)
        return True

    def _live(self) -> list[Replica]:
        return [one for one in self._replicas if not one.session.closing]

    async def run(self) -> None:
        """Wait for the child, and send what it makes. Replicas that are gone need neither."""
        child = self._child
        assert child is not None
        try:
            if self.piped:
                await self._relay()
            await self._wait_for(child)
            self._end(child)
            self.is_sending = True
            if not self.piped and child.exit_code == 0:
                self._open_file()
            if child.exit_code != 0 and self._live():
                self._give_up("its writer failed")
            async with trio.open_nursery() as nursery:
                for replica in self._live():
                    nursery.start_soon(self._bring_online, replica)
        finally:
            self._end(child)
            self._child = None
            self._close_pipe()
            self._path.unlink(missing_ok=True)
            if self._file >= 0:
                os.close(self._file)

    def _end(self, child: SnapshotChild) -> None:
        """Make sure that it has ended."""
        child.stop()
        if not self._child_is_gone:
            self._child_is_gone = True
            self._server.persistence.child_is_gone(self._progress)

    def _open_file(self) -> None:
        """What is to be sent; it stays as our own snapshot where none came after it, as redis-server's does."""
        server = self._server
        self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        saved = server.persistence
        if saved.keeps_sync_files and saved.turns == self._turn and not saved.in_background:
            try:
                saved.adopt(self._path)
            except OSError as error:
                server.log("warning", f"The snapshot of a full sync could not be kept: {error.strerror}")

    def _close_pipe(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1

    async def _wait_for(self, child: SnapshotChild) -> None:
        """Until it has ended, or nobody wants its work; who waits for its file is told now and then that we live."""
        said_ms = self._server.clock_ms()
        while not child.poll() and self._live():
            await trio.sleep(POLL_SECONDS)
            if not self.piped and self._server.clock_ms() - said_ms >= SIGN_OF_LIFE_MS:
                said_ms = self._server.clock_ms()
                for replica in self._live():
                    replica.session.send(b"\n")

    def _give_up(self, why: str) -> None:
        for replica in self._live():
            self._server.log("warning", f"The snapshot for replica {replica.name} failed: {why}")
            self._server.kill(replica.session)

    async def _relay(self) -> None:
        """From the pipe to the replicas, at the pace of the slowest."""
        for replica in self._live():
            replica.session.send(b"$EOF:" + self._mark + b"\r\n")
        while self._live():
            try:
                data = os.read(self._pipe, PIECE_BYTES)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._pipe)
                continue
            if not data:
                return
            for replica in self._live():
                replica.session.send(data)
            await let_go_out(self._server, self._live())

    async def _bring_online(self, replica: Replica) -> None:
        server = self._server
        try:
            if self.piped:
                await self._finish_pipe(replica)
            else:
                await self._send_file(replica)
            await send_held(server, replica)
            if replica.session.closing:
                return
            replica.go_online(server.clock_ms())
        except OSError as error:
            server.log("warning", f"The snapshot for replica {replica.name} failed: {error.strerror}")
            server.kill(replica.session)
            return
        server.shell.end_batch()
        server.log("notice", f"Synchronization with replica {replica.name} succeeded")

    async def _finish_pipe(self, replica: Replica) -> None:
        """Send the mark, and wait for the first acknowledgement: the mark must be the last that the replica has read,
        or it does not see it."""
        replica.session.send(self._mark)
        await let_go_out(self._server, [replica])
        timeout_ms = self._server.config.repl_timeout * 1000
        while not (replica.has_snapshot or replica.rdb_only or replica.session.closing):
            await trio.sleep(POLL_SECONDS)
            if self._server.clock_ms() - replica.heard_ms > timeout_ms:
                self._server.log("warning", f"Disconnecting timedout replica (full sync): {replica.name}")
                self._server.kill(replica.session)

    async def _send_file(self, replica: Replica) -> None:
        session, sent = replica.session, 0
        session.send(b"$%d\r\n" % os.fstat(self._file).st_size)
        while not session.closing and (piece := os.pread(self._file, PIECE_BYTES, sent)):
            sent += len(piece)
            session.send(piece)
            await let_go_out(self._server, [replica])
