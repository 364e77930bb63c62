"""redis-cli's looking tools, bulk loading and remote dumps, and redis-benchmark, against one cluster."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import termios
from pathlib import Path

import pytest

from tests.system.clusters import Cluster, redis_cli
from tests.system.harness import Server
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

TAG = "{tools}"
KEY_COUNT = 300


@pytest.fixture(scope="module")
def full(shared_cluster: Cluster) -> Server:
    """The server that holds the keys of these tests, all in one slot."""
    server = shared_cluster.owner(TAG)
    with server.client() as client:
        client.pipeline(*[("SET", f"{TAG}:{number}", "x" * (number % 7)) for number in range(KEY_COUNT)])
        client.call("SET", f"{TAG}:big", "b" * 20_000)
        client.call("RPUSH", f"{TAG}:list", *map(str, range(50)))
        client.call("SADD", f"{TAG}:set", "a", "b", "c")
        client.call("HSET", f"{TAG}:hash", "field", "value")
        client.call("ZADD", f"{TAG}:zset", 1, "one")
    return server


def test_scan_finds_every_key(full: Server) -> None:
    keys = redis_cli("-p", full.port, "--scan", "--pattern", f"{TAG}:[0-9]*").split()
    assert sorted(keys) == sorted(f"{TAG}:{number}" for number in range(KEY_COUNT))


def test_bigkeys_names_the_biggest_of_each_type(full: Server) -> None:
    report = redis_cli("-p", full.port, "--bigkeys").replace("'", "")
    assert f'Biggest string found "{TAG}:big" has 20000 bytes' in report
    for kind, size in (("list", "50 items"), ("set", "3 members"), ("hash", "1 fields"), ("zset", "1 members")):
        assert f'"{TAG}:{kind}" has {size}' in report


def test_memkeys_measures_every_key(full: Server) -> None:
    report = redis_cli("-p", full.port, "--memkeys").replace("'", "")
    assert f'Biggest string found "{TAG}:big" has' in report
    assert f"Sampled {KEY_COUNT + 5} keys in the keyspace" in report


def test_pipe_loads_many_commands(full: Server) -> None:
    commands = b"".join(
        b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$1\r\nv\r\n" % (len(key), key)
        for key in (f"{TAG}piped:{number}".encode() for number in range(2000))
    )
    run = subprocess.run(
        ["redis-cli", "-p", str(full.port), "--pipe"], input=commands, capture_output=True, timeout=30, check=True
    )
    assert b"errors: 0, replies: 2000" in run.stdout
    with full.client() as client:
        assert client.call("EXISTS", f"{TAG}piped:0", f"{TAG}piped:1999") == 2
        client.call("UNLINK", *[f"{TAG}piped:{number}" for number in range(2000)])


def test_rdb_fetches_a_file_that_passes_the_check(full: Server, tmp_path: Path) -> None:
    dump = tmp_path / "fetched.rdb"
    redis_cli("-p", full.port, "--rdb", str(dump))
    run = subprocess.run(["redis-check-rdb", str(dump)], capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{KEY_COUNT + 5} keys read" in run.stdout


def test_latency_samples(full: Server) -> None:
    with subprocess.Popen(
        ["redis-cli", "-p", str(full.port), "--latency", "--raw", "-i", "1"], stdout=subprocess.PIPE, text=True
    ) as run:
        output, _ = run.communicate(timeout=20)
    low, high, average, count = output.split()[:4]
    assert 0 <= float(low) <= float(average) <= float(high)
    assert int(count) > 10


def test_stat_prints_a_line_a_second(full: Server) -> None:
    run = subprocess.Popen(
        ["stdbuf", "-oL", "redis-cli", "-p", str(full.port), "--stat", "-i", "0.1"], stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    try:
        lines = [run.stdout.readline() for _ in range(5)]
    finally:
        run.terminate()
        run.communicate(timeout=10)
    figures = lines[-1].split()
    assert int(figures[0]) == full.call("DBSIZE"), lines


def test_benchmark_knows_the_cluster(shared_cluster: Cluster, full: Server) -> None:
    run = subprocess.run(
        ["redis-benchmark", "--cluster", "-p", str(full.port), "-t", "set,get,incr", "-n", "6000", "-c", "12", "-q"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Cluster has 3 master nodes" in run.stdout
    for name in ("SET", "GET", "INCR"):
        assert f"{name}: " in run.stdout
    assert "rror" not in run.stdout + run.stderr


def test_an_interactive_start_hints_at_arguments(full: Server) -> None:
    """What redis-cli shows behind the cursor comes from COMMAND DOCS."""
    terminal, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    command = ["redis-cli", "-h", "127.0.0.1", "-p", str(full.port)]
    shown = b""

    def shows(text: bytes) -> bool:
        nonlocal shown
        while select.select([terminal], [], [], 0)[0]:
            shown += os.read(terminal, 1 << 16)
        return text in shown

    with subprocess.Popen(command, stdin=theirs, stdout=theirs, env=os.environ | {"TERM": "xterm"}) as run:
        try:
            wait_until(lambda: shows(b"> "), 10, "redis-cli to be ready")
            os.write(terminal, b"zadd ")
            wait_until(lambda: shows(b"key [NX|XX] [GT|LT] [CH] [INCR]"), 10, lambda: f"the hint, in {shown!r}")
        finally:
            run.terminate()
    os.close(theirs)
    os.close(terminal)


def test_monitor_shows_what_is_called(full: Server) -> None:
    with full.client() as watcher, full.client() as client:
        assert watcher.call("MONITOR") == "OK"
        client.call("GET", f"{TAG}:1")
        while '"GET"' not in (seen := str(watcher.receive())):
            assert " [0 127.0.0.1:" in seen
        assert f'"GET" "{TAG}:1"' in seen
