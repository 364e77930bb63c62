"""What CLIENT LIST and INFO say of a client's memory moves with what the client holds. Holds for redis-server too."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress

import pytest

from cluster.bringup.client import RespClient
from cluster.protocol.replies import request
from tests.system.harness import Harness, Server, ServerKind
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 10.0
VALUE_BYTES = 1_000_000
REPLIES = 30
"""So many values that no socket takes them all while nobody reads."""


@pytest.fixture(scope="module")
def server(shared_harness: Harness) -> Server:
    return shared_harness.server({"cluster-enabled": "no"})


@pytest.fixture
def observer(server: Server) -> Iterator[RespClient]:
    with server.client() as client:
        yield client


@pytest.fixture
def raw(server: Server) -> Iterator[socket.socket]:
    """A connection named `raw`."""
    with socket.create_connection((server.host, server.port), timeout=DEADLINE_S) as client:
        client.sendall(request([b"CLIENT", b"SETNAME", b"raw"]))
        assert client.recv(100) == b"+OK\r\n"
        yield client


def look(observer: RespClient) -> Mapping[str, int]:
    """The figures of the client named `raw`."""
    for line in observer.text("CLIENT", "LIST").splitlines():
        fields = dict(field.split("=", 1) for field in line.split(" "))
        if fields["name"] == "raw":
            return {name: int(value) for name, value in fields.items() if value.isdigit()}
    raise AssertionError("there is no such client")


def normal_clients(observer: RespClient) -> int:
    lines = observer.text("INFO", "memory").splitlines()
    return int(next(line for line in lines if line.startswith("mem_clients_normal:")).partition(":")[2])


def test_a_client_at_rest_holds_little_but_not_nothing(raw: socket.socket, observer: RespClient) -> None:
    found = look(observer)
    assert (found["qbuf"], found["argv-mem"], found["multi-mem"], found["obl"], found["oll"]) == (0, 0, 0, 0, 0)
    assert 500 < found["tot-mem"] < 100_000


def test_half_a_request_is_held(raw: socket.socket, observer: RespClient) -> None:
    before = look(observer)["tot-mem"]
    raw.sendall(b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$1000000\r\n" + b"x" * 300_000)
    wait_until(lambda: look(observer)["qbuf"] == 300_000, DEADLINE_S, "all that was sent is held")
    found = look(observer)
    assert found["argv-mem"] == len("SETkey")
    assert found["tot-mem"] >= before + 300_000
    wait_until(lambda: normal_clients(observer) >= found["tot-mem"], DEADLINE_S, "INFO counts it")


def test_a_transaction_is_held_until_its_end(raw: socket.socket, observer: RespClient) -> None:
    raw.sendall(request([b"MULTI"]) + request([b"SET", b"key", b"y" * 5_000]))
    wait_until(lambda: look(observer)["multi-mem"] > 5_000, DEADLINE_S, "the command is queued")
    assert look(observer)["tot-mem"] > 5_000
    raw.sendall(request([b"DISCARD"]))
    wait_until(lambda: look(observer)["multi-mem"] == 0, DEADLINE_S, "nothing is queued")


def test_replies_that_nobody_reads_are_held(raw: socket.socket, observer: RespClient) -> None:
    observer.call("SET", "value", b"v" * VALUE_BYTES)
    raw.sendall(request([b"GET", b"value"]) * REPLIES)
    wait_until(lambda: look(observer)["omem"] > VALUE_BYTES, DEADLINE_S, "the socket takes no more")
    found = look(observer)
    assert found["oll"] > 0
    assert found["tot-mem"] >= found["omem"]
    wait_until(lambda: normal_clients(observer) >= found["omem"], DEADLINE_S, "INFO counts it")


def test_what_one_asks_with_is_held_while_it_is_answered(observer: RespClient) -> None:
    own = dict(field.split("=", 1) for field in observer.text("CLIENT", "INFO").split(" "))
    assert int(own["argv-mem"]) == len("CLIENTINFO")
    _, own_line = observer.pipeline(("PING",), ("CLIENT", "INFO"))
    assert f" obl={len('+PONG') + 2} " in str(own_line)


@pytest.mark.parametrize(("opening", "more"), [
    (b"*1000000\r\n$4\r\nMSET\r\n", b"$1\r\na\r\n" * 10_000),
    (request([b"MULTI"]), request([b"SET", b"key", b"y" * 50_000])),
], ids=["very many small arguments", "a long transaction"])  # fmt: skip
def test_who_asks_for_more_than_a_client_may_hold_is_closed(
    raw: socket.socket, observer: RespClient, server_kind: ServerKind, opening: bytes, more: bytes
) -> None:
    if server_kind != "ours":
        pytest.skip("redis-server 7.0 counts neither")
    observer.call("CONFIG", "SET", "client-query-buffer-limit", "1mb")
    try:
        raw.sendall(opening)
        with suppress(OSError):  # it is closed while we send
            for _ in range(90):
                raw.sendall(more)
        wait_until(lambda: "name=raw " not in observer.text("CLIENT", "LIST"), DEADLINE_S, "it is closed")
    finally:
        observer.call("CONFIG", "SET", "client-query-buffer-limit", "1gb")


def test_replicas_are_counted_apart(server: Server, shared_harness: Harness, server_kind: ServerKind) -> None:
    if server_kind != "ours":
        pytest.skip("redis-server counts a replica's memory when it holds something only")
    assert server.info("memory")["mem_clients_slaves"] == "0"
    replica = shared_harness.server({"cluster-enabled": "no", "replicaof": f"{server.host} {server.port}"})
    wait_until(lambda: int(server.info("memory")["mem_clients_slaves"]) > 0, DEADLINE_S, "the replica is counted")
    replica.end()
