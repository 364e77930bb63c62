"""A node: the parts put together in one nursery. The only file that knows them all.

Order of the start: the configuration, the lock on nodes.conf, the listening sockets, the bus, the data from disk
(clients hear LOADING meanwhile), and only then 'Ready to accept connections'. Order of the stop: no new clients, the
paused writes reach the replicas, the last save, the sockets.
"""

from __future__ import annotations

import gc
import os
import random
import secrets
import signal
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import trio

from bus.storage import StorageError
from bus.transport import BusListenError, StateNotSaved
from cluster.acl.users import BadUsersFile
from cluster.bus_bridge import BusBridge
from cluster.commands.client_memory import buffers
from cluster.commands.registry import CommandTable
from cluster.config.store import Configuration
from cluster.cron import Cron
from cluster.keyspace.memory import MemoryAccount
from cluster.log import PRIMARY, REPLICA, Log
from cluster.network.listeners import ListenError, open_listeners
from cluster.network.migrator import Migrator
from cluster.network.reactor import Reactor
from cluster.pause import FOR_EVER_MS
from cluster.persistence.aof_directory import AofError
from cluster.persistence.rdb_reader import RdbError
from cluster.persistence.snapshot import Persistence
from cluster.process import resident_bytes
from cluster.reconfigure import (
    follow_configuration,
    keep_encodings,
)
from cluster.replication.role import Replication
from cluster.server import Server
from cluster.tls import TlsError
from cluster.version import VERSION


def _collect() -> None:
    gc.collect()


def _dice() -> random.Random:
    return random.Random(secrets.randbits(64))


def _first_cause(error: BaseException) -> str:
    """The text of what nurseries wrapped into groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)


class Node:
    def __init__(self, config: Configuration, commands: CommandTable, log: Log) -> None:
        self.config = config
        self.log = log
        self.server = Server(
            config, commands, clock_ms=lambda: time.time_ns() // 1_000_000, rng=_dice(), log=log,
            run_id=secrets.token_hex(20),
        )
        server = self.server
        server.replication = Replication(server)
        server.persistence = Persistence(server)
        server.memory = MemoryAccount(server, resident_bytes, partial(buffers, server))
        server.migrator = Migrator(server)
        self.reactor = Reactor(server)
        self.cron = Cron(server, self.reactor)
        self.bridge = BusBridge(server, _dice()) if config.cluster_enabled else None
        follow_configuration(server, self.reactor, log)
        keep_encodings(server)
        os.register_at_fork(after_in_parent=self._count_fork)
        self._how: frozenset[str] = frozenset()
        self._stop = trio.Event()
        self._draining: trio.CancelScope | None = None
        shell = server.shell
        shell.request_shutdown = self._request_shutdown
        shell.abort_shutdown = self._abort_shutdown
        shell.crash = lambda: os.kill(os.getpid(), signal.SIGKILL)
        shell.exit = os._exit
        shell.stall = time.sleep if self.bridge is None else self.bridge.stall
        shell.process_id = os.getpid()
        log.role = lambda: REPLICA if server.is_replica else PRIMARY
        shell.purge_memory = _collect

    def _count_fork(self) -> None:
        self.server.stats.forks += 1

    def _request_shutdown(self, how: frozenset[str]) -> None:
        self._how = how
        self._stop.set()

    def _abort_shutdown(self) -> bool:
        if self._draining is None:
            return False
        self._draining.cancel()
        return True

    async def run(self) -> int:
        """Serve until told to stop; the process's exit status."""
        log = self.log
        log("warning", "oO0OoO0OoO0Oo cluster-node is starting oO0OoO0OoO0Oo")
        log("warning", f"cluster-node version={VERSION}, bits=64, pid={os.getpid()}, just started")
        mode = "cluster" if self.config.cluster_enabled else "standalone"
        log("notice", f"Running mode={mode}, port={self.config.port}.")
        log("notice", f"PID: {os.getpid()}.")
        try:
            self.server.access.start()
            self.server.tls.load()
            if self.bridge is not None:
                self.bridge.load()
            for listener in open_listeners(self.config):
                self.reactor.listen(listener)
            if self.bridge is not None:
                await self.bridge.listen()
            self._take_role()
        except TlsError as error:
            log("warning", f"Failed to configure TLS: {error}")
            return 1
        except (ListenError, BusListenError, StorageError, BadUsersFile, OSError) as error:
            log("warning", str(error))
            return 1
        try:
            status = await self._serve()
        except* StateNotSaved as unsaved:
            # What it promised the others would be forgotten by the next start: it must not go on.
            log("warning", _first_cause(unsaved))
            status = 1
        log("warning", "cluster-node is now ready to exit, bye bye...")
        return status

    def _take_role(self) -> None:
        """Outside cluster mode the directive replicaof says whom to follow."""
        primary = self.config.replicaof
        if primary is not None:
            self.server.is_replica = True
            self.server.replication.follow(*primary)
            self.server.refresh_road()

    async def _serve(self) -> int:
        self._write_pid_file()
        status: int | None = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_signals)
                self._let_clients_in(False)
                nursery.start_soon(self.reactor.run)
                if self.bridge is not None:
                    await nursery.start(self.bridge.run)
                status = await self._load()
                if status is not None:
                    nursery.cancel_scope.cancel()
                    return status
                if self.bridge is not None:
                    self.bridge.loaded()
                    self.bridge.take_loaded_keys()
                self._let_clients_in(True)
                nursery.start_soon(self.cron.run)
                nursery.start_soon(self.server.replication.run)
                nursery.start_soon(self.server.migrator.run)
                self.log("notice", "Ready to accept connections tcp")
                while status is None:
                    await self._stop.wait()
                    self._stop = trio.Event()
                    status = await self._shut_down()
                nursery.cancel_scope.cancel()
        finally:
            self.server.pace.abandon()
            self.server.persistence.stop_background_save()
            self.server.persistence.aof.close()
            self._remove_files()
        return status

    def _let_clients_in(self, allowed: bool) -> None:
        """Until the data are there nobody may hear anything of them, or of the slots they are in."""
        self.server.loading = not allowed
        self.server.refresh_road()

    async def _load(self) -> int | None:
        """The data from disk, while clients are told to wait. The process's exit status if it has to end."""
        try:
            for _ in self.server.persistence.load_in_slices():
                await trio.lowlevel.checkpoint()
                if self._stop.is_set():
                    self.log("warning", "User requested shutdown...")
                    return 0
        except AofError as error:
            self.log("warning", str(error))
            return 1
        except (RdbError, OSError) as error:
            self.log("warning", f"Fatal error loading the DB from {self.config.dbfilename}: {error}. Exiting.")
            return 1
        return None

    async def _watch_signals(self) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                if self._draining is not None:
                    self.log("warning", "You insist... exiting now.")
                    os._exit(1)
                self.log("warning", f"Received {signal.Signals(number).name} scheduling shutdown...")
                config = self.config
                words = config.shutdown_on_sigint if number == signal.SIGINT else config.shutdown_on_sigterm
                self._request_shutdown(frozenset(words))

    async def _shut_down(self) -> int | None:
        """Bring everything to rest; the exit status, or None when the shutdown was called off."""
        server, how = self.server, self._how
        self.log("warning", "User requested shutdown...")
        if server.persistence.aof.refuses_shutdown(forced="force" in how):
            return None
        if not await self._let_script_end():
            self.log("notice", "Shutdown was aborted by a client.")
            return None
        if self.bridge is not None:
            self.bridge.leave(True)
        if not await self._let_replicas_catch_up():
            self.log("notice", "Shutdown was aborted by a client.")
            self._stay()
            return None
        server.pause.start("shutdown", FOR_EVER_MS, writes_only=True)  # nothing is written behind the last snapshot
        if server.pace.abandon():
            self.log("warning", "A script was ended that had written: the data are not saved, as they are not whole.")
            how = how - {"save"} | {"nosave"}  # what it was about to write is not whole
        view = server.router.view
        if view is not None and not view.settled:
            how = how - {"save"} | {"nosave"}  # a replica may hold newer data, and a new file would look newer still
        if "save" in how or ("nosave" not in how and self.config.save):
            self.log("notice", "Saving the final RDB snapshot before exiting.")
            if not self._save() and "force" not in how:
                self.log("warning", "Error trying to save the DB, can't exit.")
                self._stay()
                return None
        self.reactor.unlisten()
        if self.bridge is not None:
            self.bridge.close()
        self.reactor.drain_outputs()
        return 0

    def _save(self) -> bool:
        """While this node saves its data a last time it does not serve: the others must not wait for it."""
        with nullcontext() if self.bridge is None else self.bridge.held():
            return self.server.persistence.save()

    def _stay(self) -> None:
        """The shutdown was called off: all goes on as before."""
        self.server.pause.stop("shutdown")
        if self.bridge is not None:
            self.bridge.leave(False)

    async def _let_script_end(self) -> bool:
        """Give a script that has written the time of shutdown-timeout: the data are not whole before it is over. One
        that has not is ended. False: the shutdown was called off."""
        pace = self.server.pace
        if not pace.has_written or self._how & {"now", "nosave"}:
            return True
        self.log("notice", "Waiting for a script that has written to be over before shutting down.")
        with trio.move_on_after(self.config.shutdown_timeout), trio.CancelScope() as self._draining:
            await pace.is_over()
        called_off = self._draining.cancelled_caught
        self._draining = None
        return not called_off

    async def _let_replicas_catch_up(self) -> bool:
        """Hold writes until every replica has everything, or shutdown-timeout is over. False: called off."""
        server = self.server
        if server.is_replica or not server.replication.replica_count or "now" in self._how:
            return True
        seconds = self.config.shutdown_timeout
        server.pause.start("shutdown", server.clock_ms() + seconds * 1000, writes_only=True)
        with trio.move_on_after(seconds), trio.CancelScope() as self._draining:
            await server.replication.wait_caught_up()
        called_off = self._draining.cancelled_caught
        self._draining = None
        return not called_off

    def _write_pid_file(self) -> None:
        if not self.config.pidfile:
            return
        try:
            Path(self.config.pidfile).write_text(f"{os.getpid()}\n")
        except OSError as error:
            self.log("warning", f"Failed to write PID file: {error.strerror}")

    def _remove_files(self) -> None:
        for path in (self.config.pidfile, self.config.unixsocket):
            if path:
                Path(path).unlink(missing_ok=True)
