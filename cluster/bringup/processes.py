"""The nodes as processes: starting them, noticing that one died, finding and ending them again.

A node's directory holds `redis.conf`, which it is started from, `node.log`, all that it printed, and `node.pid`. A pid
is believed only when that process works in that very directory and is a node by its command line, since a number may
be somebody else's by now.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cluster.bringup.client import RespClient
from cluster.bringup.errors import BringUpError
from cluster.bringup.node_conf import NODE_CONF, node_conf
from cluster.config.errors import ConfigError
from cluster.config.files import expand, read_text
from cluster.config.redis_conf import follow_includes, parse_text
from cluster.config.store import Configuration
from cluster.config.yaml_config import ClusterPlan, NodePlan, named_settings, usual_settings
from cluster.safe_file import write_safely
from cluster.tls import TlsError, client_context

PROGRAM = (sys.executable, "-m", "cluster")
STOP_DEADLINE_S = 120.0
"""What a node has between SIGTERM and SIGKILL: it lets its replicas catch up and saves its data, and a primary and its
replica that were both killed in the middle of that would have lost all since the last snapshot."""

_POLL_S = 0.05
_LOG_FILE = "node.log"
_PID_FILE = "node.pid"
_PROGRAM_NAMES = (b"cluster", b"cluster-node")
_PROGRAM_WORDS = 3
"""The words of a command line among which the program is named, interpreter and -m being the others."""


@dataclass(slots=True)
class NodeProcess:
    """A node of the plan, running or not. `conf` is the text of its redis.conf, `config` what that says."""

    plan: NodePlan
    conf: str
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
    def conf_path(self) -> Path:
        return self.directory / NODE_CONF

    @property
    def name(self) -> str:
        return f"node {self.plan.port}"

    @property
    def host(self) -> str:
        """Where the node can be reached from here."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.plan.host, self.plan.host)

    def connect(self, timeout_s: float = 5.0) -> RespClient:
        """Raises OSError; BringUpError where its certificates cannot be used."""
        config = self.config
        try:
            tls = None if config.port else client_context(config, self.directory)
        except TlsError as error:
            raise BringUpError(f"{self.name}: {error}") from None
        return RespClient(self.host, self.plan.port, password=config.requirepass, timeout_s=timeout_s, tls=tls)

    def start(self, program: Sequence[str] = PROGRAM) -> None:
        """Start it, in a session of its own so that a Ctrl-C for us does not reach it. Raises OSError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        # A password may stand there, so it is for nobody else to read; a command line would be.
        write_safely(self.conf_path, [self.conf.encode("utf-8", "surrogateescape")], mode=0o600)
        # A node that went into the background would be lost to us, who want to know when it ends.
        command = [*program, str(self.conf_path), "--daemonize", "no"]
        with (self.directory / _LOG_FILE).open("ab") as log:
            self.popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.directory
            )
        self.pid_path.write_text(f"{self.popen.pid}\n")

    def pid(self) -> int | None:
        """The pid of the running node, by whomever it was started."""
        if self.popen is not None and self.popen.poll() is None:
            return self.popen.pid
        found = (self._believed(path) for path in (self.pid_path, self.directory / self.config.pidfile))
        return next((pid for pid in found if pid is not None), None)

    def _believed(self, pid_path: Path) -> int | None:
        try:
            pid = int(pid_path.read_text())
            here = Path(f"/proc/{pid}/cwd").readlink() == self.directory
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        is_node = any(word.rpartition(b"/")[2] in _PROGRAM_NAMES for word in words[:_PROGRAM_WORDS])
        return pid if here and is_node else None

    @property
    def state_path(self) -> Path:
        return self.directory / self.config.cluster_config_file

    def is_own_id(self, node_id: str) -> bool:
        """Whether a node of this id is the one whose state lies in the directory. True where nobody may look."""
        try:
            lines = self.state_path.read_text().splitlines()
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return any(line.startswith(f"{node_id} ") and "myself" in line.split(" ")[2] for line in lines)

    def died(self) -> str | None:
        """One line on how the node ended, with the last thing it said; None while it runs."""
        status = self.popen.poll() if self.popen is not None else None
        if status is None:
            return None
        if status < 0:
            return f"{self.name} was ended by {signal.Signals(-status).name} (its log is {self.log_path})"
        return f"{self.name} ended with status {status}: {self.last_words()}"

    def last_words(self) -> str:
        # What it says before it has read its directives does not go to a logfile.
        paths = [path for path in {self.log_path, self.directory / _LOG_FILE} if path.is_file() and path.stat().st_size]
        if not paths:
            return f"it left nothing in {self.log_path}"
        latest = max(paths, key=lambda path: path.stat().st_mtime_ns)
        lines = [line for line in latest.read_text(errors="replace").splitlines() if line.strip()]
        return f"{lines[-1] if lines else ''} (more in {latest})"


def plan_processes(plan: ClusterPlan, *, lenient: bool = False) -> list[NodeProcess]:
    """The nodes of a plan with their files as they are to be, none of them looked for yet.

    Raises ConfigError for a redis.conf of a node that cannot be used; `lenient`: does without it.
    """
    return [_plan_process(plan, node, lenient=lenient) for node in plan.nodes]


def _plan_process(plan: ClusterPlan, node: NodePlan, *, lenient: bool) -> NodeProcess:
    directory = Path(node.directory).resolve()
    path = directory / NODE_CONF
    before = ""
    try:
        before = read_text(str(path)) if path.exists() else ""
        _read_conf(before, path)
    except (OSError, ConfigError) as error:
        if isinstance(error, OSError) and not lenient:
            raise BringUpError(f"cannot read {path}: {error.strerror}") from None
        if not lenient:
            raise
        before = ""
    text = node_conf(before, named_settings(plan, replace(node, directory=str(directory))), usual_settings())
    return NodeProcess(node, text, _read_conf(text, path))


def _read_conf(text: str, path: Path) -> Configuration:
    """What a file of that text says; what it includes is where the node would look for it. Raises ConfigError."""

    def included(pattern: str) -> list[str]:
        return expand(str(path.parent / pattern))

    return Configuration(follow_includes(parse_text(text, str(path)), read_text, included))


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
    _signal_all(running.values(), signal.SIGCONT)  # One that somebody stopped would not hear of it.
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
