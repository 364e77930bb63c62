"""Workers as processes of their own: started with a log, watched, and ended with the test that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import ROOT
from tests.system.harness import tied_to_us

_END_DEADLINE_S = 15.0


class Worker:
    """`python ARGUMENTS`, with the checkout on its path and its output in a log."""

    def __init__(self, log_path: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.log_path = log_path
        self._name = " ".join(arguments)
        self._log = log_path.open("ab")
        self._process = subprocess.Popen(
            [*tied_to_us(), sys.executable, *arguments],
            cwd=log_path.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def says(self, text: str) -> bool:
        """Whether its log holds a text. Fails when it has ended."""
        assert self._process.poll() is None, f"{self._name} ended with {self._process.returncode}\n{self.log()}"
        return text in self.log()

    def stop(self) -> int:
        """SIGTERM, as a supervisor ends a worker, and its exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self.wait_end()

    def wait_end(self) -> int:
        """Wait until it has ended by itself; its exit status."""
        try:
            return self._process.wait(_END_DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self._name} did not end\n{self.log()}") from None

    def end(self) -> None:
        """Make sure that it is gone, and all that it started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(_END_DEADLINE_S)
        self._log.close()


@contextmanager
def running(log_path: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Worker]:
    """A worker while a test, or the tests of a file, need it."""
    worker = Worker(log_path, arguments, environment or {})
    try:
        yield worker
    finally:
        worker.end()
