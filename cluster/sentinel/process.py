"""A sentinel as a process: the core, its connections, its file, its clients, its scripts, in one nursery."""

from __future__ import annotations

import os
import random
import secrets
import signal
import ssl
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from traceback import format_exc

import trio

from cluster.acl.users import BadUsersFile
from cluster.commands.registry import CommandTable
from cluster.config.errors import ConfigError
from cluster.config.files import read_text, write_text
from cluster.config.rewrite import rewrite as rewrite_directives
from cluster.config.store import Configuration
from cluster.errors import CommandError
from cluster.keyspace.memory import MemoryAccount
from cluster.log import SENTINEL, Log
from cluster.network.listeners import ListenError, open_listeners
from cluster.network.reactor import Reactor
from cluster.pause import HeldCommands
from cluster.process import resident_bytes
from cluster.reconfigure import provide_files
from cluster.sentinel import conf
from cluster.sentinel.core import SentinelCore
from cluster.sentinel.events import (
    Close,
    Connect,
    Crash,
    Effect,
    Event,
    NamesFound,
    Note,
    NoteDelay,
    NotSaved,
    Persist,
    Publish,
    RunScript,
    Saved,
    Send,
    Tick,
)
from cluster.sentinel.links import Outgoing
from cluster.sentinel.names import Names
from cluster.sentinel.replies import Unfinished
from cluster.sentinel.scripts import Job, ScriptQueue
from cluster.sentinel.server import SentinelServer
from cluster.sentinel.state import Settings
from cluster.tls import TlsError
from cluster.version import VERSION

CRASH_STATUS = 99
"""What a simulated crash ends with."""
COMPLAINT_PERIOD_MS = 3_600_000
COMPLAINTS_LIMIT = 1_000
"""Texts remembered for that purpose."""
_NOT_FOUND, _NOT_STARTED = 2, 99
"""How a script that could not be started is reported to have ended."""


def now_ms() -> int:
    """A clock that nobody sets, and that does not stand still while the machine sleeps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class Sentinel:
    """Raises ConfigError for lines of its file that make no sense."""

    def __init__(self, config: Configuration, commands: CommandTable, log: Log) -> None:
        self.config = config
        self.log = log
        log.role = lambda: SENTINEL
        self.clock_ms = now_ms
        self._rng = random.Random(secrets.randbits(64))
        self.names = Names(self._name_answered)
        settings = Settings(port=config.announced_to_primary, requirepass=config.requirepass)
        self.core = SentinelCore(
            secrets.token_hex(20), settings, self._rng, self.names.resolve, now_ms(), is_executable
        )
        self.names.enabled = any(line.words[:2] == ("resolve-hostnames", "yes") for line in config.lines("sentinel"))
        conf.read(self.core.state, config.lines("sentinel"))
        self.scripts = ScriptQueue(self.core.state.periods)
        self._links: dict[int, Outgoing] = {}
        self._unfinished = Unfinished()
        self._complaints: dict[str, int] = {}
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._nursery: trio.Nursery
        self._stop = trio.Event()
        self.server = SentinelServer(
            config, commands, clock_ms=lambda: time.time_ns() // 1_000_000, rng=self._rng, log=log,
            run_id=secrets.token_hex(20),
        )
        self.server.host = self
        self.waiting_for_names = HeldCommands(self.server)
        self.server.memory = MemoryAccount(self.server, resident_bytes)
        self.reactor = Reactor(self.server)
        shell = self.server.shell
        shell.request_shutdown = lambda _how: self._stop.set()
        shell.process_id = os.getpid()
        provide_files(self.server)

    # -- effects ---------------------------------------------------------------------------------------------

    def handle(self, event: Event) -> None:
        """Let the core take an event, and do what it asks for."""
        self.carry_out(self.core.step(now_ms(), event))

    def _hear(self, event: Event) -> None:
        """The same of what others sent: nothing they say may end the sentinel."""
        try:
            self.handle(event)
        except Exception:  # noqa: BLE001  (whatever it is, it is about that one message)
            self.log("warning", f"=== BUG: {event} was not understood: {format_exc()}")

    def _name_answered(self, found: bool) -> None:
        if found:
            self.handle(NamesFound())
        self.waiting_for_names.release()

    def _complain(self, text: str) -> None:
        """The same is told once in a while: whoever is at fault is connected to again, once a second."""
        now = now_ms()
        if now < self._complaints.get(text, 0):
            return
        if len(self._complaints) >= COMPLAINTS_LIMIT:
            self._complaints.clear()
        self._complaints[text] = now + COMPLAINT_PERIOD_MS
        self.log("warning", text)

    def carry_out(self, effects: Sequence[Effect]) -> bool:
        """False when something could not be written to disk."""
        saved = True
        afterwards: Sequence[Effect] = ()
        for effect in effects:
            match effect:
                case Persist():
                    saved = self._save()
                    afterwards = self.core.step(now_ms(), Saved() if saved else NotSaved())
                case Send():
                    self._links[effect.connection].send(effect.arguments)
                case Connect():
                    self._connect(effect)
                case Close():
                    self._links.pop(effect.connection).close()
                case Publish():
                    self.publish(effect.level, effect.channel, effect.text)
                case Note():
                    self.log(effect.level, effect.text)
                case NoteDelay():
                    self._note_delay(effect.until_ms)
                case RunScript():
                    self.scripts.add(effect.path, effect.arguments)
                case Crash():
                    self.log("warning", "Sentinel CRASH because of SENTINEL simulate-failure")
                    os._exit(CRASH_STATUS)
        self.names.enabled = self.core.state.settings.resolve_hostnames
        return (not afterwards or self.carry_out(afterwards)) and saved

    def publish(self, level: str, channel: str, text: str) -> None:
        self.log(level, f"{channel} {text}")
        if level != "debug":
            name, message = (one.encode("utf-8", "surrogateescape") for one in (channel, text))
            self.server.pubsub.deliver(name, message)

    def _note_delay(self, until_ms: int) -> None:
        at = time.localtime(time.time() + (until_ms - now_ms()) / 1000)
        shown = time.strftime("%a %b %d %H:%M:%S %Y", at)
        self.log("warning", f"Next failover delay: I will not start a failover before {shown}")

    def _connect(self, effect: Connect) -> None:
        link = self._links[effect.connection] = Outgoing(
            effect.connection, self._hear, self._complain, self._unfinished, source=self.config.bind_source_addr,
            secured_by=self._tls(),
        )  # fmt: skip
        self._nursery.start_soon(self._run_link, link, effect.ip, effect.port)

    def _tls(self) -> ssl.SSLContext | None:
        """What connections are made by, to servers as to other sentinels."""
        return self.server.tls.contexts.outgoing if self.config.tls_replication else None

    async def _run_link(self, link: Outgoing, ip: str, port: int) -> None:
        await link.run(ip, port)
        self._links.pop(link.number, None)

    def _save(self) -> bool:
        path = self.config.file_path
        try:
            text = rewrite_directives(_text_of(path), self.config, self._other_lines())
            write_text(path, conf.rewrite(text, list(conf.lines(self.core.state))))
        except OSError as error:
            self.log(
                "warning", "WARNING: Sentinel was not able to save the new configuration on disk!!!: "
                f"{error.strerror}"
            )  # fmt: skip
            return False
        self.log("notice", "Sentinel new configuration saved on disk")
        return True

    def _other_lines(self) -> dict[str, Sequence[str]]:
        """Lines that follow no directive's value: users, if there are any; nothing is ever saved here."""
        users = self.server.access.lines_to_rewrite()
        return {"save": []} if users is None else {"save": [], "user": users}

    # -- the process -----------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Serve until told to stop; the process's exit status."""
        log = self.log
        log("warning", "oO0OoO0OoO0Oo cluster-node is starting oO0OoO0OoO0Oo")
        log("warning", f"cluster-node version={VERSION}, bits=64, pid={os.getpid()}, just started")
        log("notice", f"Running mode=sentinel, port={self.config.port}.")
        log("notice", f"PID: {os.getpid()}.")
        fault = _unusable(self.config.file_path)
        if fault:
            log("warning", fault)
            return 1
        try:
            self.server.tls.load()
            for listener in open_listeners(self.config):
                self.reactor.listen(listener)
            self.server.access.start()
        except TlsError as error:
            log("warning", f"Failed to configure TLS: {error}")
            return 1
        except (ListenError, CommandError, ConfigError, BadUsersFile) as error:
            log("warning", str(error))
            return 1
        if not self.carry_out([Persist()]):
            return 1
        log("warning", f"Sentinel ID is {self.core.state.my_id}")
        self._write_pid_file()
        try:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self.reactor.run)
                self._nursery.start_soon(self._watch_signals)
                self._nursery.start_soon(self.names.run)
                self._nursery.start_soon(self._run_clock)
                log("notice", "Ready to accept connections tcp")
                await self._stop.wait()
                log("warning", "User requested shutdown...")
                self.reactor.unlisten()
                self.reactor.drain_outputs()
                self._nursery.cancel_scope.cancel()
        finally:
            self._remove_files()
        log("warning", "cluster-node is now ready to exit, bye bye...")
        return 0

    def _write_pid_file(self) -> None:
        try:
            if self.config.pidfile:
                Path(self.config.pidfile).write_text(f"{os.getpid()}\n")
        except OSError as error:
            self.log("warning", f"Failed to write PID file: {error.strerror}")

    def _remove_files(self) -> None:
        for file in (self.config.pidfile, self.config.unixsocket):
            if file:
                Path(file).unlink(missing_ok=True)

    async def _watch_signals(self) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                self.log("warning", f"Received {signal.Signals(number).name} scheduling shutdown...")
                self._stop.set()

    async def _run_clock(self) -> None:
        self.carry_out(self.core.start())
        commands = self.server.table.every()
        while True:
            self.handle(Tick())
            self._run_scripts()
            now, stats = self.server.clock_ms(), self.server.stats
            stats.commands_rate.sample(now, sum([one.calls for one in commands]))
            stats.input_rate.sample(now, stats.input_bytes)
            stats.output_rate.sample(now, stats.output_bytes)
            self.reactor.check_limits()
            await trio.sleep(self.core.next_tick_ms() / 1000)

    # -- scripts ---------------------------------------------------------------------------------------------

    def _run_scripts(self) -> None:
        for job in self.scripts.due(now_ms()):
            try:
                process = subprocess.Popen([job.path, *job.arguments], stdin=subprocess.DEVNULL)
            except (OSError, ValueError) as error:  # an argument with a NUL
                missing = isinstance(error, FileNotFoundError | PermissionError)
                self._script_ended(job, _NOT_FOUND if missing else _NOT_STARTED, 0)
                continue
            job.pid = process.pid
            self._running[process.pid] = process
            self.publish("debug", "+script-child", str(process.pid))
            self._nursery.start_soon(self._wait_for, job, process)
        for job in self.scripts.overdue(now_ms()):
            if job.pid is not None:
                self.publish("warning", "-script-timeout", f"{job.path} {job.pid}")
                self._running[job.pid].kill()  # which looks first whether it has ended meanwhile

    async def _wait_for(self, job: Job, process: subprocess.Popen[bytes]) -> None:
        status = await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)
        del self._running[process.pid]
        self.publish("debug", "-script-child", f"{process.pid} {max(status, 0)} {max(-status, 0)}")
        self._script_ended(job, max(status, 0), max(-status, 0))

    def _script_ended(self, job: Job, status: int, by_signal: int) -> None:
        over = self.scripts.ended(job, now_ms(), status, by_signal)
        if over and (status or by_signal):
            self.publish("warning", "-script-error", f"{job.path} {by_signal} {status}")


def _text_of(path: str) -> str:
    """Raises OSError; a file that somebody has removed is written anew."""
    try:
        return read_text(path)
    except FileNotFoundError:
        return ""


def is_executable(path: str) -> bool:
    return os.access(path, os.X_OK)


def _unusable(path: str) -> str:
    """Why a sentinel cannot keep its state there; '' when it can."""
    if not path:
        return "Sentinel needs config file on disk to save state. Exiting..."
    if not os.access(path, os.W_OK):
        return f"Sentinel config file {path} is not writable: {os.strerror(13)}. Exiting..."
    return ""
