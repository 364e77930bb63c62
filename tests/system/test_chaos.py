"""scripts/chaos, shortly: it disturbs a real cluster, comes to a verdict, and leaves nothing behind, Ctrl-C or not."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.system.harness import Harness, tied_to_us
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

NODES = 6


def _first_port(harness: Harness) -> int:
    """The first of as many ports in a row as there are nodes."""
    while True:
        first = harness.free_port()
        if not any(_listens(first + number) or _listens(first + number + 10_000) for number in range(NODES)):
            return first


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _start(port: int, *words: str) -> subprocess.Popen[str]:
    command = [*tied_to_us(), sys.executable, "-m", "scripts.chaos_run", "--port", str(port), *words]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored here, which is inherited
    try:
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_short_run_comes_to_a_verdict(harness: Harness) -> None:
    port = _first_port(harness)
    chaos = _start(port, "--minutes", "0.15", "--seed", "3", "--set", "maxmemory-policy=allkeys-lru")
    output, _ = chaos.communicate(timeout=100)
    assert chaos.returncode == 0, output
    assert "kill -9 of primary" in output
    assert "verdict: all is well" in output
    assert not any(_listens(port + number) for number in range(NODES))


def test_an_interrupted_run_leaves_nothing_running(harness: Harness) -> None:
    port = _first_port(harness)
    chaos = _start(port)
    wait_until(lambda: _listens(port + NODES - 1), 30, "the nodes are started")
    chaos.send_signal(signal.SIGINT)
    output, _ = chaos.communicate(timeout=60)
    assert chaos.returncode == 130, output
    assert not any(_listens(port + number) for number in range(NODES))
