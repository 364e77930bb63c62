"""TLS without a network: tunnels end to end, and a connection whose socket takes little at a time."""

from __future__ import annotations

import gc
import socket
import ssl
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.config.store import Configuration, Setting
from cluster.network.connection import Connection
from cluster.network.tls_connection import TlsConnection
from cluster.network.tunnel import Tunnel, TunnelError
from cluster.tls import Contexts, Tls, TlsError
from tests.certificates import Certificates
from tests.commands.in_process import InProcessNode


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def contexts(certificates: Certificates, **directives: str) -> Contexts:
    given = {**certificates.directives, "tls-port": "1", **{k.replace("_", "-"): v for k, v in directives.items()}}
    tls = Tls(Configuration(Setting(name, (word,)) for name, word in given.items()), lambda _level, _text: None)
    tls.load()
    return tls.contexts


def shake_hands(ours: Tunnel, theirs: Tunnel) -> None:
    said = theirs.shake()
    while not ours.is_up:
        answer = ours.shake(said)
        if theirs.is_up:
            theirs.open(answer)  # tickets
        else:
            said = theirs.shake(answer)


def tunnels(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[Tunnel, Tunnel]:
    return Tunnel(server, server_side=True), Tunnel(client, server_side=False)


def joined(certificates: Certificates) -> tuple[Tunnel, Tunnel]:
    made = contexts(certificates)
    ours, theirs = tunnels(made.clients, made.outgoing)
    shake_hands(ours, theirs)
    return ours, theirs


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 500_000])
def test_what_goes_in_comes_out_whole(certificates: Certificates, size: int) -> None:
    ours, theirs = joined(certificates)
    data = bytes(index % 251 for index in range(size))
    assert ours.open(theirs.seal(data)) == data


def test_it_comes_out_whatever_pieces_it_came_in(certificates: Certificates) -> None:
    ours, theirs = joined(certificates)
    sealed = theirs.seal(b"a" * 100) + theirs.seal(b"b" * 20_000)
    got = b"".join(ours.open(sealed[at : at + 7]) for at in range(0, len(sealed), 7))
    assert got == b"a" * 100 + b"b" * 20_000
    assert not ours.is_over


def test_the_end_comes_behind_the_data(certificates: Certificates) -> None:
    ours, theirs = joined(certificates)
    assert ours.open(theirs.seal(b"last words") + theirs.end()) == b"last words"
    assert ours.is_over


def test_garbage_is_answered_with_an_alert(certificates: Certificates) -> None:
    ours, _ = tunnels(contexts(certificates).clients, certificates.client)
    with pytest.raises(TunnelError) as refusal:
        ours.shake(b"GET / HTTP/1.1\r\n\r\n")
    assert "http" in str(refusal.value)
    ours, theirs = joined(certificates)
    sealed = bytearray(theirs.seal(b"data"))
    sealed[-1] ^= 1
    with pytest.raises(TunnelError):
        ours.open(bytes(sealed))


@pytest.mark.parametrize(("who", "allowed"), [("yes", False), ("optional", True), ("no", True)])
def test_who_has_to_show_a_certificate(certificates: Certificates, who: str, allowed: bool) -> None:
    ours, theirs = tunnels(contexts(certificates, tls_auth_clients=who).clients, certificates.bare_client())
    if allowed:
        shake_hands(ours, theirs)
    else:
        with pytest.raises(TunnelError, match="peer did not return a certificate"):
            shake_hands(ours, theirs)
    ours, theirs = tunnels(contexts(certificates, tls_auth_clients=who).nodes, certificates.bare_client())
    with pytest.raises(TunnelError, match="peer did not return a certificate"):
        shake_hands(ours, theirs)


def test_certificates_of_others_are_refused(certificates: Certificates, tmp_path: Path) -> None:
    strange = Certificates(tmp_path)
    ours, theirs = tunnels(contexts(strange).clients, contexts(certificates).outgoing)
    with pytest.raises(TunnelError, match="certificate verify failed"):
        shake_hands(ours, theirs)


@pytest.mark.parametrize(("protocols", "client", "agreed"), [
    ("TLSv1.2", ssl.TLSVersion.TLSv1_3, False), ("tlsv1.2 TLSv1.3", ssl.TLSVersion.TLSv1_3, True),
    ("TLSv1.3", ssl.TLSVersion.TLSv1_2, False), ("", ssl.TLSVersion.TLSv1_2, True),
])  # fmt: skip
def test_protocols(certificates: Certificates, protocols: str, client: ssl.TLSVersion, agreed: bool) -> None:
    one = certificates.bare_client()
    one.load_cert_chain(certificates.cert, certificates.key)
    one.minimum_version = one.maximum_version = client
    ours, theirs = tunnels(contexts(certificates, tls_protocols=protocols).clients, one)
    if agreed:
        shake_hands(ours, theirs)
    else:
        with pytest.raises(TunnelError):
            shake_hands(ours, theirs)


@pytest.mark.parametrize(("name", "value", "cause"), [
    ("tls_protocols", "SSLv3", "Invalid tls-protocols specified"),
    ("tls_ciphers", "NONSENSE", "Failed to configure ciphers: NONSENSE"),
    ("tls_cert_file", "", "No tls-cert-file configured!"),
    ("tls_key_file", "", "No tls-key-file configured!"),
    ("tls_ca_cert_file", "", "Either tls-ca-cert-file or tls-ca-cert-dir must be specified"),
    ("tls_cert_file", "/dev/null", "Failed to load certificate: /dev/null: there is none in it"),
    ("tls_key_file", "/dev/null", "Failed to load private key: /dev/null: there is none in it"),
    ("tls_dh_params_file", "/nowhere", "Failed to load DH params file: /nowhere: No such file"),
    ("tls_client_cert_file", "/nowhere", "No tls-client-key-file configured!"),
])  # fmt: skip
def test_what_is_wrong_is_said(certificates: Certificates, name: str, value: str, cause: str) -> None:
    with pytest.raises(TlsError) as fault:
        contexts(certificates, **{name: value})
    assert str(fault.value).startswith(cause)


def test_a_key_of_another_certificate(certificates: Certificates) -> None:
    _, key = certificates.issue("other")
    with pytest.raises(TlsError, match="it is not that of the certificate"):
        contexts(certificates, tls_key_file=str(key))


# -- a client's connection ---------------------------------------------------------------------------------------


class Client:
    """A TLS client, and the node's connection with it, over two sockets that hold little."""

    def __init__(self, certificates: Certificates) -> None:
        self.node = InProcessNode()
        server, self.sock = socket.socketpair()
        for sock in (server, self.sock):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        ours, self.tunnel = joined(certificates)
        session = self.node.server.connect(address="127.0.0.1:50001")
        self.stuck: list[Connection] = []
        self.connection = TlsConnection(server, session, ours, self.stuck.append)
        session.transport = self.connection

    def read(self) -> bytes:
        got = b""
        while True:
            try:
                got += self.tunnel.open(self.sock.recv(65536))
            except BlockingIOError:
                return got

    def read_all(self) -> bytes:
        """Until nothing more is kept for it."""
        got = self.read()
        while self.connection.pending:
            self.connection.flush(1 << 20, self.node.server.stats)
            got += self.read()
        return got


@pytest.fixture
def client(certificates: Certificates) -> Iterator[Client]:
    one = Client(certificates)
    yield one
    one.connection.hang_up()
    one.sock.close()


def test_what_the_socket_does_not_take_is_kept_and_counted(client: Client) -> None:
    data = bytes(range(256)) * 4_000
    connection = client.connection
    taken = connection.send(data)
    assert client.stuck == [connection], "the reactor is to ask when the socket takes more"
    assert 0 < connection.pending_bytes == sum(map(len, connection.pending))
    connection.pending.append(memoryview(data)[taken:])
    connection.pending.append(b"the next reply")
    connection.pending_bytes += len(data) - taken + len(b"the next reply")
    assert client.read_all() == data + b"the next reply"
    assert connection.pending_bytes == 0


def test_no_data_yet_is_not_the_end(client: Client) -> None:
    sealed = client.tunnel.seal(b"PING\r\n")
    client.sock.send(sealed[:10])
    with pytest.raises(BlockingIOError):
        client.connection.recv(65536)
    client.sock.send(sealed[10:] + client.tunnel.end())
    assert client.connection.recv(65536) == b"PING\r\n"
    assert client.connection.recv(65536) == b"", "the end comes by itself, though the socket is open"


def test_a_closed_one_is_told_and_leaves_nothing(certificates: Certificates) -> None:
    client = Client(certificates)
    gc.disable()
    try:
        client.connection.hang_up()
        assert client.tunnel.open(client.sock.recv(65536)) == b""
        assert client.tunnel.is_over
        client.node.server.disconnect(client.connection.session)
        gone = weakref.ref(client.connection.session)
        client.node("PING")
        del client.connection
        assert gone() is None
    finally:
        gc.enable()
        client.sock.close()
