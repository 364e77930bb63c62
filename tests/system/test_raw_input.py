"""What is no request of a Redis client: a browser's HTTP, and bytes of anything else. Holds for redis-server too."""

from __future__ import annotations

import socket

import pytest

from tests.system.harness import Harness, Server

pytestmark = pytest.mark.system

DEADLINE_S = 10.0
NOTICED = "Possible SECURITY ATTACK detected"


@pytest.fixture(scope="module")
def server(shared_harness: Harness) -> Server:
    return shared_harness.server({"cluster-enabled": "no"})


def answer(server: Server, data: bytes, *, hang_up: bool) -> bytes:
    """All that is answered until the server closes the connection; `hang_up`: we close our side first."""
    with socket.create_connection((server.host, server.port), timeout=DEADLINE_S) as client:
        client.sendall(data)
        if hang_up:
            client.shutdown(socket.SHUT_WR)
        received = b""
        while more := client.recv(65536):
            received += more
        return received


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1:7000\r\n\r\nFLUSHALL\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1:7000\r\n\r\nSET stolen yes\r\n",
        b"*1\r\n$4\r\npost\r\nSET stolen yes\r\n",
        b"MULTI\r\nHOST: x\r\nSET stolen yes\r\nEXEC\r\n",
    ],
)
def test_a_browsers_request_closes_the_connection_and_none_of_it_is_run(server: Server, data: bytes) -> None:
    assert answer(server, data, hang_up=False) == b""
    assert server.call("EXISTS", "stolen") == 0


def test_the_log_tells_of_it_once_a_minute(server: Server) -> None:
    for _ in range(3):
        assert answer(server, b"POST /\r\n", hang_up=False) == b""
    lines = [line for line in server.log().splitlines() if NOTICED in line]
    assert len(lines) == 1
    assert " # " in lines[0]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x00\x01\r\n", b""),  # a NUL hides the end of its line, whatever comes
        (b"PING\r\n\x00\r\nPING\r\n", b"+PONG\r\n"),
        (b"PING 'a\x00b'\r\nPING\r\n", b""),
        (b'PING "a\\x00b"\r\n', b"$3\r\na\x00b\r\n"),
        (b"\x01\x02\r\nPING\r\n", b"-ERR unknown command '\x01\x02', with args beginning with: \r\n+PONG\r\n"),
        (b"\x00" + b"a" * 70_000, b"-ERR Protocol error: too big inline request\r\n"),
        (b" \t PING \x0b \r\n", b"+PONG\r\n"),
    ],
)
def test_bytes_that_are_no_words(server: Server, data: bytes, expected: bytes) -> None:
    assert answer(server, data, hang_up=True) == expected
