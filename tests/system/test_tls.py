"""TLS as clients and operators meet it: ports, certificates, who has to show one, replication and the bus."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

from cluster.bringup.client import ReplyError, RespClient
from tests.certificates import Certificates
from tests.system.clusters import redis_cli
from tests.system.harness import Harness, Server, ServerKind
from tests.system.pairs import ALONE, PAIRS, Pair
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def secure_server(
    harness: Harness, certificates: Certificates, directives: Mapping[str, str] | None = None, *,
    kind: ServerKind | None = None, start: bool = True,
) -> Server:
    """A server whose only port speaks TLS."""
    given = {**certificates.directives, **(directives or {})}
    server = harness.server(given, kind=kind, start=False)
    server.tls = certificates.client
    if start:
        server.start()
    return server


@pytest.fixture(scope="module")
def shared(shared_harness: Harness, certificates: Certificates) -> Server:
    """One that the tests leave as it was."""
    return secure_server(shared_harness, certificates, {"cluster-enabled": "no"})


def test_redis_cli_speaks_it(shared: Server, certificates: Certificates) -> None:
    assert redis_cli("-p", shared.port, *certificates.cli, "SET", "k", "v").strip() == "OK"
    assert redis_cli("-p", shared.port, *certificates.cli, "GET", "k").strip() == "v"


def test_who_shows_no_certificate_is_not_let_in(shared: Server, certificates: Certificates) -> None:
    refused = pytest.raises(OSError, match=r"(?i)certificate|reset|closed")
    with refused, RespClient(shared.host, shared.port, tls=certificates.bare_client()) as client:
        client.call("PING")
    wait_until(lambda: "Error accepting a client connection: " in shared.log(), DEADLINE_S, "the log says so")


def test_plain_text_at_the_port_of_tls_is_no_more_than_a_line(shared: Server) -> None:
    with socket.create_connection((shared.host, shared.port)) as sock:
        sock.settimeout(DEADLINE_S)
        sock.sendall(b"PING\r\n" * 10)
        while sock.recv(1024):
            pass
    assert shared.call("PING") == "PONG"


def test_a_client_that_does_not_finish_its_handshake_holds_up_nobody(shared: Server) -> None:
    with socket.create_connection((shared.host, shared.port)) as silent:
        silent.sendall(b"\x16\x03\x01")
        assert shared.call("PING") == "PONG"


def test_values_and_pipelines_longer_than_records(shared: Server) -> None:
    value = bytes(range(256)) * 20_000
    with RespClient(shared.host, shared.port, tls=shared.tls, encoding=None, timeout_s=DEADLINE_S) as client:
        client.call("SET", "long", value)
        assert client.call("GET", "long") == value
        answers = client.pipeline(*[("ECHO", b"%d" % number * 10) for number in range(5_000)])
        assert answers == [b"%d" % number * 10 for number in range(5_000)]
        assert client.pipeline(*[("GET", "long")] * 4) == [value] * 4


def test_messages_are_pushed(shared: Server) -> None:
    with shared.client() as listener:
        listener.call("SUBSCRIBE", "news")
        assert shared.call("PUBLISH", "news", "x" * 100_000) == 1
        assert listener.receive() == ["message", "news", "x" * 100_000]


def test_one_that_ends_in_the_middle_of_tls_gets_its_answers_first(shared: Server, certificates: Certificates) -> None:
    sock = socket.create_connection((shared.host, shared.port), DEADLINE_S)
    with certificates.client.wrap_socket(sock) as client:
        client.sendall(b"PING\r\n")
        assert client.recv(64) == b"+PONG\r\n"
        with client.unwrap() as plain:  # says that it is over, and waits for the server to say the same
            assert plain.recv(1) == b""


def test_redis_py_speaks_it(shared: Server, certificates: Certificates) -> None:
    options: dict[str, Any] = {
        "host": shared.host, "port": shared.port, "ssl": True, "ssl_ca_certs": str(certificates.authority),
        "ssl_certfile": str(certificates.cert), "ssl_keyfile": str(certificates.key),
    }  # fmt: skip
    client = redis.Redis(**options)
    assert client.set("by-redis-py", "v")
    client.close()

    async def read() -> object:
        later = redis.asyncio.Redis(**options)
        try:
            return await later.get("by-redis-py")
        finally:
            await later.aclose()

    assert asyncio.run(read()) == b"v"


def test_both_ports_at_once(harness: Harness, certificates: Certificates) -> None:
    port = harness.free_port()
    server = harness.server({**certificates.directives, "cluster-enabled": "no", "tls-port": str(port)})
    with RespClient(server.host, port, tls=certificates.client) as client:
        assert client.call("PING") == "PONG"
        assert server.call("CONFIG", "SET", "tls-port", "0") == "OK"
        assert client.call("PING") == "PONG", "who is there stays"
    with pytest.raises(ConnectionRefusedError):
        RespClient(server.host, port, tls=certificates.client)
    assert server.call("CONFIG", "SET", "tls-port", port) == "OK"
    with RespClient(server.host, port, tls=certificates.client) as client:
        assert client.call("PING") == "PONG"
        assert server.call("CONFIG", "SET", "tls-auth-clients", "optional") == "OK"
    with RespClient(server.host, port, tls=certificates.bare_client()) as client:
        assert client.call("PING") == "PONG"


def _shown_certificate(server: Server, client: ssl.SSLContext) -> str:
    with socket.create_connection((server.host, server.port)) as sock, client.wrap_socket(sock) as secure:
        subject = secure.getpeercert()
        assert subject is not None
        fields = subject["subject"]
        assert isinstance(fields, tuple)
        return str(dict(pair for group in fields for pair in group)["commonName"])  # type: ignore[misc]


def test_a_new_certificate_is_shown_to_those_who_come(harness: Harness, certificates: Certificates) -> None:
    server = secure_server(harness, certificates, {"cluster-enabled": "no"})
    assert _shown_certificate(server, certificates.client) == "node"
    cert, key = certificates.issue("renewed")
    with server.client() as client:
        assert client.call("CONFIG", "SET", "tls-cert-file", str(cert), "tls-key-file", str(key)) == "OK"
        assert _shown_certificate(server, certificates.client) == "renewed"
        with pytest.raises(ReplyError, match=r"related to argument 'tls-key-file'.* Unable to update TLS config"):
            client.call("CONFIG", "SET", "maxclients", "77", "tls-key-file", str(certificates.key))
        assert client.call("CONFIG", "GET", "maxclients") != ["maxclients", "77"], "all or nothing"
        assert client.call("CONFIG", "GET", "tls-key-file") == ["tls-key-file", str(key)]
    assert _shown_certificate(server, certificates.client) == "renewed"


def test_a_file_that_was_replaced_is_read_again(harness: Harness, certificates: Certificates, tmp_path: Path) -> None:
    own = Certificates(tmp_path)
    server = secure_server(harness, own, {"cluster-enabled": "no"})
    cert, key = own.issue("later")
    own.cert.write_bytes(cert.read_bytes())
    own.key.write_bytes(key.read_bytes())
    assert _shown_certificate(server, own.client) == "node"
    assert server.call("CONFIG", "SET", "tls-cert-file", str(own.cert)) == "OK"
    assert _shown_certificate(server, own.client) == "later"


@pytest.mark.parametrize(("name", "said"), [
    ("tls-cert-file", "Failed to load certificate: /nowhere: "),
    ("tls-key-file", "Failed to load private key: /nowhere: "),
    ("tls-ca-cert-file", "Failed to configure CA certificate(s) file/directory: "),
])  # fmt: skip
def test_without_its_files_it_does_not_start(
    harness: Harness, certificates: Certificates, name: str, said: str
) -> None:
    server = secure_server(harness, certificates, {"cluster-enabled": "no", name: "/nowhere"}, start=False)
    server.start(wait=False)
    assert server.wait_end() == 1
    assert said in server.log()


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_replication(harness: Harness, certificates: Certificates, first: ServerKind, second: ServerKind) -> None:
    directives = {**ALONE, "tls-replication": "yes"}
    primary = secure_server(harness, certificates, directives, kind=first)
    replica = secure_server(harness, certificates, directives, kind=second)
    pair = Pair(primary, replica)
    with primary.client() as client:
        client.pipeline(*[("SET", f"k{number}", "v" * 100) for number in range(3_000)])
        pair.join()
        client.pipeline(*[("SET", f"later{number}", "v" * 100) for number in range(3_000)])
    ours, theirs = pair.digests()
    assert ours == theirs
    assert f"port={replica.port}" in primary.info("replication")["slave0"]
    primary.call("CLIENT", "KILL", "TYPE", "replica")
    pair.wait_synced("sync_partial_ok", 1)
    pair.catch_up()
