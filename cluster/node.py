"""A node: the parts put together in one nursery. The only file that knows them all.

Order of the start: the configuration, the lock on nodes.conf, the data from disk, the listening sockets, the bus,
and only then 'Ready to accept connections'. Order of the stop: no new clients, the paused writes reach the
replicas, the last save, the sockets.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import sys
import time
from pathlib import Path

import trio

from bus.transport import BusTransport
from cluster.bus_bridge import BusBridge
from cluster.commands import all_commands
from cluster.config.store import Configuration
from cluster.cron import Cron
from cluster.keyspace.memory import MemoryAccount
from cluster.log import Log
from cluster.network.listeners import ListenError, open_listeners
from cluster.network.migrator import Migrator
from cluster.network.reactor import Reactor
from cluster.persistence.snapshot import Persistence
from cluster.process import resident_bytes
from cluster.replication.role import Replication
from cluster.server import Server
from cluster.version import VERSION

FAILOVER_DRAIN_SECONDS = 10
"""How long a stopping primary waits for its replicas to have everything (shutdown-timeout's default)."""


class Node:
    def __init__(self, config: Configuration, log: Log) -> None:
        self.config = config
        self.log = log
        rng = random.Random(secrets.randbits(64))
        self.server = Server(
            config, all_commands(), clock_ms=lambda: time.time_ns() // 1_000_000, rng=rng, log=log,
            run_id=secrets.token_hex(20),
        )
        server = self.server
        server.memory = MemoryAccount(server, resident_bytes)
        server.replication = Replication(server)
        server.persistence = Persistence(server)
        server.migrator = Migrator(server)
        server.on_shutdown = self._request_shutdown
        self.reactor = Reactor(server)
        self.cron = Cron(server, self.reactor)
        self.bridge = BusBridge(server, rng) if config.cluster_enabled else None
        self._stop = trio.Event()
        self._how = ""

    def _request_shutdown(self, how: str) -> None:
        self._how = how
        self._stop.set()

    async def run(self) -> int:
        """Serve until told to stop; the process's exit status."""
        log = self.log
        log("warning", "oO0OoO0OoO0Oo cluster-node is starting oO0OoO0OoO0Oo")
        log("warning", f"cluster-node version={VERSION}, bits=64, pid={os.getpid()}, just started")
        log("notice", f"PID: {os.getpid()}.")
        try:
            if self.bridge is not None:
                self.bridge.load()
            self.server.persistence.load()
            for listener in open_listeners(self.config):
                self.reactor.listen(listener)
        except (ListenError, OSError, ValueError) as error:
            log("warning", str(error))
            return 1
        status = await self._serve()
        log("warning", "cluster-node is now ready to exit, bye bye...")
        return status

    async def _serve(self) -> int:
        self._write_pid_file()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_signals)
                if self.bridge is not None:
                    await nursery.start(self.bridge.run)
                nursery.start_soon(self.reactor.run)
                nursery.start_soon(self.cron.run)
                nursery.start_soon(self.server.replication.run)
                nursery.start_soon(self.server.migrator.run)
                self._announce_ready()
                await self._stop.wait()
                status = await self._shut_down()
                nursery.cancel_scope.cancel()
        finally:
            self._remove_pid_file()
        return status

    def _announce_ready(self) -> None:
        self.log("notice", "Ready to accept connections tcp")

    async def _watch_signals(self) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                if self._stop.is_set():
                    self.log("warning", "You insist... exiting now.")
                    sys.stdout.flush()
                    os._exit(1)
                name = signal.Signals(number).name
                self.log("warning", f"Received {name} scheduling shutdown...")
                self._request_shutdown("")

    async def _shut_down(self) -> int:
        self.log("warning", "User requested shutdown...")
        self.reactor.unlisten()
        server = self.server
        status = 0
        if not server.is_replica and server.replication.replica_count:
            server.start_pause("shutdown", server.clock_ms() + FAILOVER_DRAIN_SECONDS * 1000, writes_only=True)
            with trio.move_on_after(min(FAILOVER_DRAIN_SECONDS, self.config.shutdown_timeout)):
                await server.replication.wait_caught_up()
        wants_save = self._how == "save" or (self._how != "nosave" and bool(self.config.save))
        if wants_save and not server.persistence.save():
            self.log("warning", "Error trying to save the DB, can't exit.")
            status = 1
        if self.bridge is not None:
            self.bridge.close()
        self.reactor.drain_outputs()
        if self.config.unixsocket:
            Path(self.config.unixsocket).unlink(missing_ok=True)
        return status

    def _write_pid_file(self) -> None:
        if self.config.pidfile:
            Path(self.config.pidfile).write_text(f"{os.getpid()}\n")

    def _remove_pid_file(self) -> None:
        if self.config.pidfile:
            Path(self.config.pidfile).unlink(missing_ok=True)


__all__ = ["BusTransport", "Node"]
