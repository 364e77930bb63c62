"""What the tls- directives make of Python's ssl: one place that builds the contexts of all connections.

They are built whole or not at all, and swapped: a connection keeps the one that it began with, so a certificate that
CONFIG SET brings holds for those that come. Whoever this node calls must have a certificate of the known authorities;
names in certificates are not compared with addresses, as they are not in redis-server.
"""

from __future__ import annotations

import ssl
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.config.store import Configuration

_PROTOCOLS = {
    "tlsv1": ssl.TLSVersion.TLSv1,
    "tlsv1.1": ssl.TLSVersion.TLSv1_1,
    "tlsv1.2": ssl.TLSVersion.TLSv1_2,
    "tlsv1.3": ssl.TLSVersion.TLSv1_3,
}
_LEFT_OUT = {
    ssl.TLSVersion.TLSv1_1: ssl.OP_NO_TLSv1_1,
    ssl.TLSVersion.TLSv1_2: ssl.OP_NO_TLSv1_2,
}
"""What can lie between the lowest and the highest version that are spoken."""
_CLIENTS_SHOW = {"no": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "yes": ssl.CERT_REQUIRED}
DIRECTIVES = (
    "tls-cluster", "tls-replication", "tls-auth-clients", "tls-cert-file", "tls-key-file", "tls-key-file-pass",
    "tls-client-cert-file", "tls-client-key-file", "tls-client-key-file-pass", "tls-ca-cert-file", "tls-ca-cert-dir",
    "tls-protocols", "tls-ciphers", "tls-ciphersuites", "tls-prefer-server-ciphers", "tls-dh-params-file",
    "tls-session-caching", "tls-port",
)  # fmt: skip
"""What a change of makes new contexts."""


class TlsError(Exception):
    """The directives make no TLS; one line that names the file and the cause."""


class Contexts(NamedTuple):
    clients: ssl.SSLContext
    """For those who connect to tls-port."""
    nodes: ssl.SSLContext
    """For the nodes that connect to the bus, which have to show a certificate."""
    outgoing: ssl.SSLContext
    """For whomever this node connects to."""


class Tls:
    """The contexts in use."""

    def __init__(self, config: Configuration, log: Callable[[str, str], None]) -> None:
        self._config = config
        self._log = log
        self._contexts: Contexts | None = None

    def load(self) -> None:
        """Build the contexts that the directives ask for now, if they do. Raises TlsError, and all stays as it was."""
        config = self._config
        if config.tls_port or config.tls_cluster or config.tls_replication:
            self._contexts = _contexts(config)
            if config.tls_ciphersuites:
                self._log("warning", "tls-ciphersuites has no effect: Python's ssl leaves those of TLSv1.3 to OpenSSL")

    @property
    def contexts(self) -> Contexts:
        """To be asked for where a tls- directive says so: then they are there."""
        assert self._contexts is not None
        return self._contexts


def client_context(config: Configuration, directory: Path | None = None) -> ssl.SSLContext:
    """To connect by; `directory`: that of the node, if it is not the current one. Raises TlsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    _prepare(context, config, directory)
    if config.tls_client_cert_file:
        prefix, files = "tls-client-", (config.tls_client_cert_file, config.tls_client_key_file)
        password = config.tls_client_key_file_pass
    else:
        prefix, files, password = "tls-", (config.tls_cert_file, config.tls_key_file), config.tls_key_file_pass
    cert_file, key_file = (_in(directory, file) for file in files)
    _show_certificate(context, prefix, cert_file, key_file, password)
    return context


def _in(directory: Path | None, file: str) -> str:
    return str(directory / file) if directory and file else file


def _contexts(config: Configuration) -> Contexts:
    needs_authority = config.tls_auth_clients != "no" or config.tls_cluster or config.tls_replication
    if needs_authority and not config.tls_ca_cert_file and not config.tls_ca_cert_dir:
        raise TlsError(
            "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, tls-replication or "
            "tls-auth-clients are enabled!"
        )
    clients = _server_context(config, _CLIENTS_SHOW[config.tls_auth_clients])
    return Contexts(clients, _server_context(config, ssl.CERT_REQUIRED), client_context(config))


def _server_context(config: Configuration, clients_show: ssl.VerifyMode) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = clients_show
    _prepare(context, config)
    _show_certificate(context, "tls-", config.tls_cert_file, config.tls_key_file, config.tls_key_file_pass)
    if config.tls_dh_params_file:
        try:
            context.load_dh_params(config.tls_dh_params_file)
        except OSError as error:
            raise TlsError(f"Failed to load DH params file: {config.tls_dh_params_file}: {cause_of(error)}") from None
    if not config.tls_session_caching:
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    if not config.tls_prefer_server_ciphers:  # Python asks for it
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    return context


def _prepare(context: ssl.SSLContext, config: Configuration, base: Path | None = None) -> None:
    """What holds for both sides: protocols, ciphers, the authorities."""
    _choose_protocols(context, config.tls_protocols)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if config.tls_ciphers:
        try:
            context.set_ciphers(config.tls_ciphers)
        except ssl.SSLError:
            raise TlsError(f"Failed to configure ciphers: {config.tls_ciphers}") from None
    file, directory = _in(base, config.tls_ca_cert_file), _in(base, config.tls_ca_cert_dir)
    try:
        if file or directory:
            context.load_verify_locations(file or None, directory or None)
    except OSError as error:
        where = " ".join(filter(None, (file, directory)))
        raise TlsError(f"Failed to configure CA certificate(s) file/directory: {where}: {cause_of(error)}") from None


def _choose_protocols(context: ssl.SSLContext, words: str) -> None:
    try:
        chosen = sorted({_PROTOCOLS[word.lower()] for word in words.split()}) if words else []
    except KeyError:
        chosen = []
    if words and not chosen:
        raise TlsError(
            "Invalid tls-protocols specified. Use a combination of 'TLSv1', 'TLSv1.1', 'TLSv1.2' and 'TLSv1.3'."
        )
    chosen = chosen or [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
    with warnings.catch_warnings():  # of the old versions, which the operator may have reasons for
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = chosen[0], chosen[-1]
        for version, option in _LEFT_OUT.items():
            if chosen[0] < version < chosen[-1] and version not in chosen:
                context.options |= option


def _show_certificate(context: ssl.SSLContext, prefix: str, cert_file: str, key_file: str, password: str) -> None:
    """Give a context its certificate and key, or say which of the two files is at fault, and why."""
    if not cert_file:
        raise TlsError(f"No {prefix}cert-file configured!")
    if not key_file:
        raise TlsError(f"No {prefix}key-file configured!")
    certificate = _read(cert_file, "certificate")
    key = _read(key_file, "private key")
    try:
        start = certificate.index(b"-----BEGIN CERTIFICATE-----")
        end = certificate.index(b"-----END CERTIFICATE-----", start)
        first = certificate[start : end + len(b"-----END CERTIFICATE-----")].decode("ascii")
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=first)
    except ValueError:
        raise TlsError(f"Failed to load certificate: {cert_file}: there is none in it (PEM)") from None
    except ssl.SSLError as error:
        raise TlsError(f"Failed to load certificate: {cert_file}: {cause_of(error)}") from None
    try:
        # A password in any case: without one OpenSSL would ask for it at the terminal.
        context.load_cert_chain(cert_file, key_file, password=lambda: password)
    except OSError as error:
        cause = _cause_of_key(error, key, password)
        raise TlsError(f"Failed to load private key: {key_file}: {cause}") from None


def _read(path: str, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise TlsError(f"Failed to load {what}: {path}: {error.strerror}") from None


def _cause_of_key(error: OSError, key: bytes, password: str) -> str:
    if b"PRIVATE KEY-----" not in key:
        return "there is none in it (PEM)"
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return "it is not that of the certificate"
    if b"ENCRYPTED" in key:
        return "the password is wrong" if password else "it is encrypted, and there is no password for it"
    return cause_of(error)


def cause_of(error: OSError) -> str:
    """What went wrong, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return error.reason.replace("_", " ").lower() if error.reason else "not understood"
    return error.strerror or str(error)
