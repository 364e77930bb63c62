"""Floods of connections, on the port for clients and on the bus's: who is there is served, the cluster stays whole."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cluster.bringup.client import RespClient
from cluster.bringup.topology import parse_nodes
from tests.system.clusters import Cluster
from tests.system.harness import Harness, Server, ServerKind
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

CLIENTS = 300
FLOOD = 400
MORE_MEMORY_KB = 100 << 10
HALF_A_REQUEST = b"*3\r\n$3\r\nSET\r\n$6\r\nstolen\r\n$100000\r\n" + b"x" * 50_000
TOO_MANY = "Too many cluster links"
DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def cluster(shared_harness: Harness, server_kind: ServerKind) -> Cluster:
    if server_kind != "ours":
        pytest.skip("the bus of redis-server has no secret")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4096:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    return Cluster.create(shared_harness, 3, 0, {"maxclients": str(CLIENTS), "cluster-secret": "s"})


@pytest.fixture
def flood() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(flood: ExitStack, server: Server, port: int, data: bytes) -> socket.socket:
    sock = flood.enter_context(socket.create_connection((server.host, port), timeout=DEADLINE_S))
    sock.sendall(data)
    return sock


def memory_kb(server: Server) -> int:
    status = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmRSS")).split()[1])


def is_whole(*clients: RespClient) -> bool:
    views = [parse_nodes(client.text("CLUSTER", "NODES")) for client in clients]
    return all(
        "cluster_state:ok" in client.text("CLUSTER", "INFO") for client in clients
    ) and all(member.connected and not member.is_down for view in views for member in view.values())


def test_half_requests_of_as_many_clients_as_there_may_be(cluster: Cluster, flood: ExitStack) -> None:
    server = cluster.servers[0]
    with server.client() as client, cluster.servers[1].client() as other:
        before = memory_kb(server)
        socks = [connect(flood, server, server.port, HALF_A_REQUEST) for _ in range(CLIENTS - 40)]
        for _ in range(FLOOD):
            connect(flood, server, server.port, b"*")
            assert client.call("PING") == "PONG"
        assert client.call("DBSIZE") == 0
        refused = connect(flood, server, server.port, b"")
        assert b"max number of clients reached" in refused.recv(1000)
        assert is_whole(client, other)
        assert memory_kb(server) - before < MORE_MEMORY_KB
        for sock in socks:
            sock.close()
        flood.close()
        wait_until(lambda: server.info("clients")["connected_clients"] == "2", DEADLINE_S, lambda: "they are gone")
    assert server.call("PING") == "PONG"


def test_strangers_on_the_bus_do_not_keep_a_member_out(cluster: Cluster, flood: ExitStack) -> None:
    server, other, third = cluster.servers
    with server.client() as client, other.client() as witness:
        before = memory_kb(server)
        third.kill()
        third.start()  # its links have to be made anew, within the flood
        for number in range(FLOOD):
            greeting = (b"", b"\0\0\4", b"GET / HTTP/1.1\r\n\r\n", b"\x7f\xff\xff\xff")[number % 4]
            connect(flood, server, server.bus_port, greeting)
            assert client.call("PING") == "PONG"
        with third.client() as back:
            wait_until(lambda: is_whole(client, witness, back), DEADLINE_S, lambda: cluster.all_log_tails())
            for _ in range(FLOOD):
                connect(flood, server, server.bus_port, b"")
            wait_until(lambda: TOO_MANY in server.log(), DEADLINE_S, lambda: "the bus has seen all of them")
            assert is_whole(client, witness, back)
            assert len(parse_nodes(client.text("CLUSTER", "NODES"))) == 3
        assert memory_kb(server) - before < MORE_MEMORY_KB
        assert server.log().count(TOO_MANY) == 1, "a line, however many come"
