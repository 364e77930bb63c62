"""The nodes as processes: starting them, noticing that one died, finding and ending them again.

A node's directory holds `node.log`, all that it printed, and `node.pid`. A pid is believed only when that process
works in that very directory and its command line names the port, since a number may be somebody else's by now.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cluster.bringup.client import RespClient
from cluster.bringup.errors import BringUpError
from cluster.config.quoting import quote
from cluster.config.store import Configuration, Setting
from cluster.config.yaml_config import ClusterPlan, NodePlan, node_settings

PROGRAM = (sys.executable, "-m", "cluster")
STOP_DEADLINE_S = 10.0
"""What a node has between SIGTERM and SIGKILL."""

_POLL_S = 0.05
_LOG_FILE = "node.log"
_PID_FILE = "node.pid"


@dataclass(slots=True)
class NodeProcess:
    """A node of the plan, running or not."""

    plan: NodePlan
    settings: Sequence[Setting]
    config: Configuration
    popen: subprocess.Popen[bytes] | None = field(default=None)
    """There when this process started the node."""

    @property
    def directory(self) -> Path:
        return Path(self.plan.directory).resolve()

    @property
    def log_path(self) -> Path:
        return self.directory / (self.config.logfile or _LOG_FILE)

    @property
    def pid_path(self) -> Path:
        return self.directory / _PID_FILE

    @property
    def name(self) -> str:
        return f"node {self.plan.port}"

    @property
    def host(self) -> str:
        """Where the node can be reached from here."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.plan.host, self.plan.host)

    def connect(self, timeout_s: float = 5.0) -> RespClient:
        return RespClient(self.host, self.plan.port, password=self.config.requirepass, timeout_s=timeout_s)

    def start(self, program: Sequence[str] = PROGRAM) -> None:
        """Start it, in a session of its own so that a Ctrl-C for us does not reach it. Raises OSError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        # The directives go in by standard input: a command line, and with it a password, is for anyone to read.
        lines = "".join(f"{name} {' '.join(map(quote, words))}\n" for name, words, _, _ in self.settings)
        command = [*program, "--port", str(self.plan.port), "--dir", str(self.directory), "-"]
        with (self.directory / _LOG_FILE).open("ab") as log:
            self.popen = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, cwd=self.directory
            )
        self.pid_path.write_text(f"{self.popen.pid}\n")
        assert self.popen.stdin is not None
        try:
            self.popen.stdin.write(lines.encode("utf-8", "surrogateescape"))
            self.popen.stdin.close()
        except BrokenPipeError:
            pass  # It died before it read its directives: `died` will tell, with what it printed.

    def pid(self) -> int | None:
        """The pid of the running node, by whomever it was started."""
        if self.popen is not None:
            return self.popen.pid if self.popen.poll() is None else None
        try:
            pid = int(self.pid_path.read_text())
            here = Path(f"/proc/{pid}/cwd").readlink() == self.directory
            is_node = str(self.plan.port).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if here and is_node else None

    def died(self) -> str | None:
        """One line on how the node ended, with the last thing it said; None while it runs."""
        status = self.popen.poll() if self.popen is not None else None
        if status is None:
            return None
        if status < 0:
            return f"{self.name} was ended by {signal.Signals(-status).name} (its log is {self.log_path})"
        return f"{self.name} ended with status {status}: {self.last_words()}"

    def last_words(self) -> str:
        try:
            lines = [line for line in self.log_path.read_text(errors="replace").splitlines() if line.strip()]
        except OSError:
            lines = []
        return f"{lines[-1]} (more in {self.log_path})" if lines else f"it left nothing in {self.log_path}"


def plan_processes(plan: ClusterPlan) -> list[NodeProcess]:
    """The nodes of a plan, none of them looked for yet. Raises ConfigError for directives that do not go together."""
    processes = []
    for node in plan.nodes:
        settings = node_settings(plan, node)
        processes.append(NodeProcess(node, settings, Configuration(settings)))
    return processes


def require_free_ports(nodes: Iterable[NodeProcess]) -> None:
    """Raises BringUpError with a line for each port that somebody listens on."""
    refused = []
    for node in nodes:
        for port, use in ((node.plan.port, "port"), (node.plan.bus_port, "bus port")):
            if (why := _cannot_listen(node.plan.host, port)) is not None:
                refused.append(f"{node.name}: cannot listen on {use} {port} of {node.plan.host}: {why}")
                break
    if refused:
        raise BringUpError(*refused)


def _cannot_listen(host: str, port: int) -> str | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the nodes do: a port of which only closed connections linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            return error.strerror or str(error)
    return None


def wait_until(
    condition: Callable[[], bool], deadline_s: float, *, nodes: Sequence[NodeProcess] = (), otherwise: Callable[[], str]
) -> None:
    """Wait for `condition`; raises BringUpError when the time is over, or as soon as one of `nodes` dies."""
    end = time.monotonic() + deadline_s
    while True:
        dead = [line for node in nodes if (line := node.died()) is not None]
        if dead:
            raise BringUpError(*dead)
        if condition():
            return
        if time.monotonic() > end:
            raise BringUpError(f"after {deadline_s:.0f} s: {otherwise()}")
        time.sleep(_POLL_S)


def stop_all(nodes: Sequence[NodeProcess], deadline_s: float = STOP_DEADLINE_S) -> list[str]:
    """SIGTERM to every running node at once, SIGKILL to those that do not end; the names of the latter."""
    running = {node.name: (node, pid) for node in nodes if (pid := node.pid()) is not None}
    _signal_all(running.values(), signal.SIGTERM)
    _wait_ended(running, deadline_s)
    killed = list(running)
    _signal_all(running.values(), signal.SIGKILL)
    _wait_ended(running, deadline_s)
    for node in nodes:
        if node.pid() is None:
            node.pid_path.unlink(missing_ok=True)
    return killed


def _signal_all(running: Iterable[tuple[NodeProcess, int]], number: signal.Signals) -> None:
    for _, pid in running:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue  # It was quicker.


def _wait_ended(running: dict[str, tuple[NodeProcess, int]], deadline_s: float) -> None:
    """Wait, and take those that ended out of `running`."""
    end = time.monotonic() + deadline_s
    while running and time.monotonic() < end:
        for name, (node, pid) in list(running.items()):
            if node.pid() != pid:
                del running[name]
        if running:
            time.sleep(_POLL_S)
