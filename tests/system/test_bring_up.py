"""scripts/bring-up as a person uses it: first start, second start, status, stop, and everything that can be wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.bringup.client import RespClient
from cluster.bringup.look import PROBE_TIMEOUT_S
from tests.certificates import Certificates
from tests.system.harness import Harness, ServerKind
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 60.0


class Site:
    """A cluster.yaml with free ports in a directory of its own, and the bring-up run over it."""

    def __init__(self, directory: Path, ports: list[int], extra: str = "") -> None:
        self.directory = directory
        self.ports = ports
        self.file = directory / "cluster.yaml"
        self.front: list[subprocess.Popen[str]] = []
        nodes = "\n".join(f"  - port: {port}" for port in ports)
        self.file.write_text(f"cluster:\n  replicas: 1\n  node_timeout_ms: 2000\n{extra}nodes:\n{nodes}\n")

    def command(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "cluster.bringup", "--config", str(self.file), *options]

    def run(self, *options: str, status: int = 0) -> str:
        run = subprocess.run(self.command(*options), capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        output = run.stdout + run.stderr
        assert run.returncode == status, output
        return output

    def look(self) -> str:
        """What --status says, whatever that is."""
        return subprocess.run(
            self.command("--status"), capture_output=True, text=True, timeout=DEADLINE_S, check=False
        ).stdout

    def start_in_front(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self.command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self.front.append(process)
        return process

    def nobody_listens(self) -> bool:
        for port in self.ports:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return False
        return True

    def call(self, number: int, *arguments: str) -> object:
        with RespClient("127.0.0.1", self.ports[number]) as client:
            return client.call(*arguments)

    def close(self) -> None:
        for process in self.front:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=10)
        # Whatever the test left there: a broken file makes this fail, and then nothing was started.
        if (self.directory / "data").exists():
            subprocess.run(self.command("--stop"), capture_output=True, timeout=DEADLINE_S, check=False)


@pytest.fixture
def site(harness: Harness, server_kind: ServerKind, tmp_path: Path) -> Iterator[Site]:
    if server_kind != "ours":
        pytest.skip("the bring-up starts our nodes only")
    ports: list[int] = []
    while len(ports) < 6:
        port = harness.free_port()
        if port not in ports:
            ports.append(port)
    site = Site(tmp_path, ports)
    try:
        yield site
    finally:
        site.close()


def _table(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.strip().startswith("127.0.0.1:")]


def test_a_cluster_comes_up_goes_down_and_comes_back(site: Site) -> None:
    output = site.run("--detach")
    rows = _table(output)
    assert len(rows) == 6
    assert sum(" primary " in row for row in rows) == 3
    assert "0-5460" in rows[0]
    assert f"redis-cli -c -h 127.0.0.1 -p {site.ports[0]}" in output
    assert "The cluster is whole" in site.run("--status")
    assert "run already" in site.run(status=1)

    with RespClient("127.0.0.1", site.ports[0]) as client:
        first_id = client.text("CLUSTER", "MYID")
        client.call("SET", "{06S}key", "kept")
    site.run("--stop")
    assert site.nobody_listens()
    assert site.run("--status", status=1).count(" down") == 6
    assert "none of its nodes runs" in site.look()

    again = site.run("--detach")
    assert "Forming" not in again
    assert first_id in again
    with RespClient("127.0.0.1", site.ports[0]) as client:
        assert client.call("GET", "{06S}key") == "kept"
    site.run("--stop")

    fresh = site.run("--detach", "--fresh")
    assert "Forming" in fresh
    assert first_id not in fresh


def test_in_front_it_stays_until_ctrl_c_and_tells_of_deaths(site: Site) -> None:
    process = site.start_in_front()
    assert process.stdout is not None
    while "Ctrl-C" not in (line := process.stdout.readline()):
        assert line, "it ended before the cluster was up"
    victim = int((site.directory / "data" / str(site.ports[5]) / "node.pid").read_text())
    os.kill(victim, signal.SIGKILL)
    assert f"node {site.ports[5]} was ended by SIGKILL" in process.stdout.readline()
    assert site.call(0, "PING") == "PONG"
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert site.nobody_listens()


def test_a_port_in_use_is_named_and_nothing_is_left_running(site: Site) -> None:
    with socket.socket() as blocker:
        blocker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        blocker.bind(("127.0.0.1", site.ports[2]))
        blocker.listen(1)
        output = site.run(status=1)
    assert output.strip().splitlines() == [
        f"bring-up: node {site.ports[2]}: cannot listen on port {site.ports[2]} of 127.0.0.1: Address already in use"
    ]
    assert site.nobody_listens()


def test_a_node_that_dies_while_starting_is_named_with_its_last_words(site: Site) -> None:
    site = Site(site.directory, site.ports[:2])
    directory = site.directory / "data" / str(site.ports[1])
    site.run("--detach")
    site.run("--stop")
    (directory / "nodes.conf").write_text("this is no state of a cluster\n")
    output = site.run(status=1)
    assert f"bring-up: node {site.ports[1]} ended with status 1: " in output
    assert str(directory / "node.log") in output
    wait_until(site.nobody_listens, 10, "the other nodes are stopped")


def test_data_of_another_topology_is_not_touched(site: Site) -> None:
    site.run("--detach")
    site.run("--stop")
    for typed in ("--nodes 3 --replicas 0", "--nodes 2"):
        refused = site.run(*typed.split(), status=1)
        assert refused.startswith(f"bring-up: {typed}: {site.directory}/data holds a cluster of 6 nodes")
        assert "--fresh" not in refused
    assert site.nobody_listens()
    output = site.run("--nodes", "3", "--replicas", "0", "--fresh", "--detach")
    assert len(_table(output)) == 3
    assert len(_table(site.run("--status"))) == 3


def test_a_mistake_in_the_file_is_one_line_that_names_the_path(site: Site) -> None:
    site.file.write_text(site.file.read_text().replace("replicas: 1", "replica: 1"))
    output = site.run(status=1)
    assert len(output.strip().splitlines()) == 1
    assert "cluster.replica" in output
    assert "replicas" in output


def test_passwords_are_used_and_not_shown(harness: Harness, site: Site) -> None:
    protected = Site(site.directory, site.ports[:2], extra='  password: "open \\"sesame"\n')
    protected.run("--detach")
    with pytest.raises(Exception, match="NOAUTH"):
        protected.call(0, "GET", "x")
    pid = int((site.directory / "data" / str(site.ports[0]) / "node.pid").read_text())
    assert b"sesame" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    protected.run("--stop")


def test_config_rewrite_lasts_and_cluster_yaml_wins(site: Site) -> None:
    site = Site(site.directory, site.ports[:2])
    site.file.write_text(site.file.read_text().replace("  node_timeout_ms: 2000\n", "  directives: {timeout: 77}\n"))
    site.run("--detach")
    tool = ["redis-cli", "--cluster", "set-timeout", f"127.0.0.1:{site.ports[0]}", "3000"]
    said = subprocess.run(tool, capture_output=True, text=True, timeout=DEADLINE_S, check=False).stdout
    assert "2 OK, 0 ERR" in said
    site.call(0, "CONFIG", "SET", "timeout", "88", "maxmemory", "50mb")
    assert site.call(0, "CONFIG", "REWRITE") == "OK"
    conf = site.directory / "data" / str(site.ports[0]) / "redis.conf"
    assert conf.stat().st_mode & 0o077 == 0
    site.run("--stop")

    site.run("--detach")
    assert site.call(1, "CONFIG", "GET", "cluster-node-timeout") == ["cluster-node-timeout", "3000"]
    assert site.call(0, "CONFIG", "GET", "maxmemory") == ["maxmemory", str(50 << 20)]
    assert site.call(0, "CONFIG", "GET", "timeout") == ["timeout", "77"]
    site.run("--stop")

    conf.write_text(conf.read_text() + "nonsense yes\n")
    refused = site.run(status=1)
    assert refused.startswith(f"bring-up: {conf}:{len(conf.read_text().splitlines())}: 'nonsense yes': Bad directive")
    assert site.run("--status", status=1).count(" down") == 2
    site.run("--detach", "--fresh")
    assert site.call(0, "CONFIG", "GET", "maxmemory") == ["maxmemory", "0"]


def test_a_node_that_was_started_by_hand_is_one_of_the_cluster(site: Site) -> None:
    site.run("--detach")
    directory = site.directory / "data" / str(site.ports[0])
    os.kill(int((directory / "node.pid").read_text()), signal.SIGKILL)
    by_hand = [sys.executable, "-m", "cluster", str(directory / "redis.conf")]
    with (directory / "node.log").open("ab") as log:
        process = subprocess.Popen(by_hand, stdout=log, stderr=log)
    try:
        wait_until(lambda: "The cluster is whole" in site.look(), DEADLINE_S, "the node takes part again")
        site.run("--stop")
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def test_a_password_that_replicas_could_not_log_in_with_is_refused_at_once(site: Site) -> None:
    half = Site(site.directory, site.ports, extra='  directives: {requirepass: "x"}\n')
    output = half.run(status=1)
    assert output.startswith(f"bring-up: requirepass without masterauth in node {site.ports[0]}, ")
    assert "cluster.yaml sets both" in output


def test_daemons_with_files_of_their_own(site: Site) -> None:
    """daemonize, pidfile, logfile and a Unix socket in cluster.yaml; and one of the daemons is started by hand."""
    directives = 'daemonize: yes, pidfile: own.pid, logfile: own.log, unixsocket: node.sock, unixsocketperm: "700"'
    own = Site(site.directory, site.ports[:2], extra=f"  directives: {{{directives}}}\n")
    own.run("--detach")
    directory = own.directory / "data" / str(own.ports[0])
    assert (directory / "node.sock").stat().st_mode & 0o777 == 0o700
    assert "Ready to accept connections" in (directory / "own.log").read_text()
    os.kill(int((directory / "own.pid").read_text()), signal.SIGKILL)
    by_hand = [sys.executable, "-m", "cluster", str(directory / "redis.conf")]
    subprocess.run(by_hand, check=True, timeout=DEADLINE_S, stdin=subprocess.DEVNULL)
    wait_until(lambda: "The cluster is whole" in own.look(), DEADLINE_S, "the daemon takes part again")
    assert "Stopping 2 nodes" in own.run("--stop")
    assert own.nobody_listens()


def test_stopped_and_dead_nodes_are_told_in_words_and_at_once(site: Site) -> None:
    site.run("--detach")
    pids = [int((site.directory / "data" / str(port) / "node.pid").read_text()) for port in site.ports]
    for stopped in pids[1:5]:
        os.kill(stopped, signal.SIGSTOP)
    os.kill(pids[5], signal.SIGKILL)
    begun = time.monotonic()
    output = site.run("--status", status=1)
    assert time.monotonic() - begun < 4 * PROBE_TIMEOUT_S, "one after the other"
    assert [" up " in f"{row} " for row in _table(output)] == [True, False, False, False, False, False]
    assert f"node {site.ports[1]} runs, but does not answer" in output
    assert f"node {site.ports[5]} is down" in output
    assert "Errno" not in output
    assert "did not end in time" not in site.run("--stop")
    assert site.nobody_listens()


def test_what_the_nodes_agree_on_and_is_not_well_is_told(site: Site) -> None:
    site.run("--detach")
    first, second = (str(site.call(number, "CLUSTER", "MYID")) for number in (0, 1))
    site.call(1, "CLUSTER", "SETSLOT", "93", "IMPORTING", first)
    site.call(0, "CLUSTER", "SETSLOT", "93", "MIGRATING", second)
    output = " ".join(site.run("--status", status=1).split())
    where = f"migrating on 127.0.0.1:{site.ports[0]}, importing on 127.0.0.1:{site.ports[1]}"
    assert f"not whole: slot 93 is open ({where}): unless" in output
    assert f"redis-cli --cluster fix 127.0.0.1:{site.ports[0]}" in output
    for number in (0, 1):
        site.call(number, "CLUSTER", "SETSLOT", "93", "STABLE")
    assert "The cluster is whole" in site.run("--status")

    for number in range(6):
        site.call(number, "CONFIG", "SET", "cluster-allow-replica-migration", "no")
    site.call(3, "CLUSTER", "REPLICATE", second)
    wait_until(lambda: "has no replica" in site.look(), DEADLINE_S, "the primary that was left to be named")
    output = " ".join(site.run("--status", status=1).split())
    assert f"127.0.0.1:{site.ports[0]} has no replica, and 1 is asked for" in output
    assert f"CLUSTER REPLICATE {first}" in output


@pytest.mark.parametrize("other", ["--stop", "--status"])
def test_what_would_remove_nothing_is_refused(site: Site, other: str) -> None:
    assert f"--fresh: not allowed with argument {other}" in site.run("--fresh", other, status=2)


def test_a_node_of_something_else_is_no_part_of_the_cluster(site: Site, harness: Harness) -> None:
    server = harness.server()
    ours = Site(site.directory, [server.port, site.ports[0]])
    refused = ours.run(status=1)
    assert f"cannot listen on port {server.port}" in refused
    shown = ours.run("--status", status=1)
    assert f"port {server.port} is answered by a node of something else" in shown
    assert " up" not in shown
    assert "No node of this cluster is running" in ours.run("--stop")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("--nodes -1", "--nodes -1: there has to be at least 1"),
        ("--nodes 0", "--nodes 0: there has to be at least 1"),
        ("--nodes 1", "--nodes 1: a primary and its replicas are 2 nodes, and there are 1"),
        ("--replicas -2", "--replicas -2: it cannot be less than 0"),
        ("--replicas 9", "--replicas 9: a primary and its replicas are 10 nodes, and there are 6"),
        ("--nodes 99999", "--nodes 99999: the last would have port "),
    ],
)
def test_an_impossible_number_is_named(site: Site, typed: str, said: str) -> None:
    output = site.run(*typed.split(), status=1)
    assert output.startswith(f"bring-up: {said}")
    assert len(output.splitlines()) == 1


def test_a_cluster_that_speaks_nothing_but_tls(harness: Harness, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "certificates")
    lines = "".join(f"    {name}: {value}\n" for name, value in certificates.directives.items())
    site = Site(tmp_path, [harness.free_port() for _ in range(2)], f"  tls: yes\n  directives:\n{lines}")
    site.file.write_text(site.file.read_text().replace("replicas: 1", "replicas: 0"))
    try:
        site.run("--detach")
        assert "primary" in site.run("--status")
        with RespClient("127.0.0.1", site.ports[0], tls=certificates.client) as client:
            assert "cluster_state:ok" in client.text("CLUSTER", "INFO")
    finally:
        site.run("--stop")
