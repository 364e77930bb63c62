"""Ports for servers: free ones, which no other test of this checkout takes meanwhile.

Tests run side by side in several processes. Between the look whether a port is free and the server that listens on it
another process could choose the same, so a port is held by a file of its name until its harness is closed.
"""

from __future__ import annotations

import os
import random
import socket
from contextlib import suppress
from pathlib import Path

from tests.conftest import ROOT

BUS_OFFSET = 10000
_PORTS = range(11000, 22000)
"""Below the ports that the system gives to clients, and so are these plus 10000, where the bus listens."""
_HELD = ROOT / ".pytest_tmp" / "ports"


class Ports:
    def __init__(self) -> None:
        self._rng = random.Random(os.getpid())  # only so that not all processes try the same ones
        self._held: list[Path] = []

    def take(self) -> int:
        """A port that is free and whose bus port is; ours until `release`."""
        while True:
            port = self._rng.choice(_PORTS)
            if self._hold(port) and _is_free(port) and _is_free(port + BUS_OFFSET):
                return port

    def _hold(self, port: int) -> bool:
        _HELD.mkdir(parents=True, exist_ok=True)
        # One file stands for all ports with the same last four digits: a bus port may be another's client port.
        path = _HELD / str(port % BUS_OFFSET)
        for _ in range(2):
            try:
                with path.open("x") as file:
                    file.write(str(os.getpid()))
            except FileExistsError:
                if _is_held(path):
                    return False
                path.unlink(missing_ok=True)  # by a test run that died
            else:
                self._held.append(path)
                return True
        return False

    def release(self) -> None:
        for path in self._held:
            path.unlink(missing_ok=True)
        self._held.clear()


def _is_held(path: Path) -> bool:
    with suppress(FileNotFoundError):
        pid = path.read_text()
        return not pid or Path(f"/proc/{pid}").exists()
    return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
