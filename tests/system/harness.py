"""Servers as processes: ours or redis-server, each in a directory of its own, every one ended when its test ends.

`Harness` starts them; `Server` is one, with what an operator can do to it: kill it, freeze it, start it again. A
server dies with the test process, whatever becomes of that one.
"""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from cluster.bringup.client import Argument, ReplyError, RespClient, info_fields
from tests.newer_server import newer_server
from tests.system.ports import BUS_OFFSET, Ports
from tests.system.waiting import wait_until

ServerKind = Literal["ours", "redis", "newer"]
"""Ours, Debian's redis-server, or redis-server 8.2, for what the former lacks."""

_PROGRAMS: Mapping[ServerKind, Sequence[str]] = {
    "ours": (sys.executable, "-m", "cluster"),
    "redis": ("redis-server",),
    "newer": (),
}
_START_DEADLINE_S = 20.0
_STOP_DEADLINE_S = 15.0
_KILL_DEADLINE_S = 60.0
"""A process that waits for a disk ends when that has answered."""
_LOG_TAIL_LINES = 40
EMPTY = '""'

USUAL: Mapping[str, str] = {
    "bind": "127.0.0.1",
    "cluster-enabled": "yes",
    "cluster-node-timeout": "2000",
    "enable-debug-command": "yes",
    "save": "",
    "repl-diskless-sync-delay": "0",
}
"""The directives of a server that a test says nothing about."""


class Server:
    """One process. `directives` as in redis.conf; `prefix` runs before the program, as `ip netns exec X` does.
    `cluster_host` is where its peers reach it."""

    switches: Sequence[str] = ()
    """What stands on the command line behind the file."""
    tls: ssl.SSLContext | None = None
    """What its clients connect by, when its port is one for TLS."""

    def __init__(
        self,
        kind: ServerKind,
        directory: Path,
        port: int,
        directives: Mapping[str, str],
        *,
        host: str = "127.0.0.1",
        prefix: Sequence[str] = (),
    ) -> None:
        self.kind = kind
        self.directory = directory
        self.host = host
        self.cluster_host = host
        self.port = port
        self.directives = dict(directives)
        self.log_path = directory / "node.log"
        self._prefix = prefix
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<{self.kind} {self.address}>"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def bus_port(self) -> int:
        return int(self.directives.get("cluster-port", self.port + BUS_OFFSET))

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self} was never started"
        return self._process.pid

    def start(self, *, wait: bool = True) -> None:
        """Start it, again or for the first time, over the data in its directory."""
        conf = self.write_configuration()
        program = _PROGRAMS[self.kind] or (newer_server(),)
        command = [*tied_to_us(), *self._prefix, *program, str(conf), *self.switches]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if wait:
            self.wait_answering()

    def write_configuration(self) -> Path:
        """Its file, written at the first start."""
        self.directory.mkdir(parents=True, exist_ok=True)
        conf = self.directory / "node.conf"
        if not conf.exists():  # Else CONFIG REWRITE may have changed it.
            ports = {"port": str(self.port)} if self.tls is None else {"port": "0", "tls-port": str(self.port)}
            given = {**ports, "dir": str(self.directory), **self.directives}
            conf.write_text("".join(f"{name} {value or EMPTY}\n" for name, value in given.items()))
        return conf

    def wait_answering(self) -> None:
        wait_until(
            self._answers,
            _START_DEADLINE_S,
            lambda: f"{self} answers PING\n{self.log_tail()}",
            moving=self._signs_of_life,
        )

    def _answers(self) -> bool:
        assert self._process is not None
        status = self._process.poll()
        assert status is None, f"{self} ended with {status} while starting\n{self.log_tail()}"
        try:
            return self.call("PING") == "PONG"
        except ReplyError as error:
            if str(error).startswith(("LOADING", "MASTERDOWN")):
                return False
            raise

    def _signs_of_life(self) -> object:
        """What changes while it gets on: the size of its log, and the time that it had a processor."""
        log_bytes = self.log_path.stat().st_size if self.log_path.exists() else 0
        try:
            return log_bytes, Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]
        except FileNotFoundError:
            return log_bytes, "0"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """kill -9, as a crash is seen from outside."""
        self.signal(signal.SIGKILL)
        self.wait_end(_KILL_DEADLINE_S)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open, and nobody answers."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def terminate(self) -> int:
        """SIGTERM, and its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait_end()

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait_end(self, deadline_s: float = _STOP_DEADLINE_S) -> int:
        """Wait until it has ended by itself; its exit status."""
        assert self._process is not None
        try:
            return self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self} did not end\n{self.log_tail()}") from None

    def end(self) -> None:
        """Make sure that it is gone."""
        if self.running:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.wait_end()

    def client(self, timeout_s: float = 10.0) -> RespClient:
        password = self.directives.get("requirepass", "")
        return RespClient(self.host, self.port, password=password, timeout_s=timeout_s, tls=self.tls)

    def call(self, *arguments: Argument) -> object:
        """One command over a connection of its own; an error reply is raised as ReplyError."""
        with self.client() as client:
            return client.call(*arguments)

    def text(self, *arguments: Argument) -> str:
        with self.client() as client:
            return client.text(*arguments)

    def info(self, section: str = "everything") -> dict[str, str]:
        return info_fields(self.text("INFO", section))

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, count: int = _LOG_TAIL_LINES) -> str:
        lines = self.log().splitlines()[-count:]
        return "\n".join([f"--- the end of {self.log_path}", *lines])


def tied_to_us() -> Sequence[str]:
    """A prefix under which a process dies when we do, even by SIGKILL."""
    return ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()


class Harness:
    """Starts servers under one directory, and ends them all."""

    def __init__(self, kind: ServerKind, directory: Path) -> None:
        self.kind = kind
        self.directory = directory
        self.servers: list[Server] = []
        self._ports = Ports()

    def server(
        self, directives: Mapping[str, str] | None = None, *, start: bool = True, kind: ServerKind | None = None
    ) -> Server:
        """A server with the usual directives of a test, over which `directives` stand."""
        port = self.free_port()
        server = Server(kind or self.kind, self.directory / str(port), port, {**USUAL, **(directives or {})})
        self.servers.append(server)
        if start:
            server.start()
        return server

    def adopt(self, server: Server) -> Server:
        """Have a server that was made elsewhere ended with the others."""
        self.servers.append(server)
        return server

    def free_port(self) -> int:
        """A port that is free and whose bus port is."""
        return self._ports.take()

    def close(self) -> None:
        for server in self.servers:
            server.end()
        self._ports.release()

    def complaints(self) -> list[str]:
        """What no server's log may hold: the trace of an error that nobody foresaw."""
        return [
            f"{server}: an unforeseen error in its log\n{server.log_tail()}"
            for server in self.servers
            if "Traceback (most recent call last)" in server.log() or "REDIS BUG REPORT" in server.log()
        ]
