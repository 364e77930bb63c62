"""Servers that start in a moment: forked off a process that has loaded the program, instead of loading it again.

To start a Python program takes half a second, most of it for reading modules. A test that kills a server hundreds of
times takes one of these. It is the same program, with the same command line, in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.system.harness import USUAL, Harness, Server, tied_to_us
from tests.system.waiting import wait_until

_FORKER = """
import ctypes, os, signal, sys
from cluster.__main__ import run
prctl = ctypes.CDLL(None).prctl
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    conf, log = line.rstrip("\\n").split("\\t")
    pid = os.fork()
    if pid == 0:
        prctl(1, signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for old, new in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(old, new)
        status = 1
        try:
            status = run(["cluster-node", conf])
        finally:
            os._exit(status)
    print(pid, flush=True)
"""


class ForkedServer(Server):
    """`parent` is the process that forks it."""

    def __init__(self, parent: subprocess.Popen[str], directory: Path, port: int, directives: dict[str, str]) -> None:
        super().__init__("ours", directory, port, directives)
        self._parent = parent

    def start(self, *, wait: bool = True) -> None:
        conf = self.write_configuration()
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(f"{conf}\t{self.log_path}\n")
        self._parent.stdin.flush()
        self._process = _Forked(int(self._parent.stdout.readline()))  # type: ignore[assignment]
        if wait:
            self.wait_answering()


class _Forked:
    """As much of subprocess.Popen as a server needs of a process that is another's child."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        return None if self._state() else -1

    def _state(self) -> str:
        """Of the process, by its letter; '' when it is gone."""
        with suppress(OSError):
            letter = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
            return "" if letter in "XZ" else letter
        return ""

    def send_signal(self, number: int) -> None:
        if self._state():
            os.kill(self.pid, number)

    def wait(self, timeout: float) -> int:
        wait_until(lambda: not self._state(), timeout, f"process {self.pid} has ended")
        return -1


@contextmanager
def forker() -> Iterator[subprocess.Popen[str]]:
    """The process that forks them; they end with it."""
    command = [*tied_to_us(), sys.executable, "-c", _FORKER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def forked(harness: Harness, parent: subprocess.Popen[str], directives: dict[str, str]) -> ForkedServer:
    """A server of the harness, started."""
    port = harness.free_port()
    server = ForkedServer(parent, harness.directory / str(port), port, {**USUAL, **directives})
    harness.adopt(server)
    server.start()
    return server
