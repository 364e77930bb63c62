"""Certificates for tests, as an operator has them: an authority, what it has issued, in files."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import trustme


@dataclass
class Certificates:
    """Files of one authority's under `directory`."""

    directory: Path

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(str(self.authority))
        self.cert, self.key = self.issue("node")

    @property
    def authority(self) -> Path:
        return self.directory / "ca.pem"

    def issue(self, name: str) -> tuple[Path, Path]:
        """One more certificate, and its key."""
        issued = self._authority.issue_cert("127.0.0.1", "localhost", common_name=name)
        cert, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        cert.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return cert, key

    @property
    def directives(self) -> dict[str, str]:
        return {
            "tls-cert-file": str(self.cert), "tls-key-file": str(self.key), "tls-ca-cert-file": str(self.authority),
        }

    @property
    def cli(self) -> list[str]:
        """What redis-cli and redis-benchmark are told."""
        return ["--tls", "--cacert", str(self.authority), "--cert", str(self.cert), "--key", str(self.key)]

    @cached_property
    def client(self) -> ssl.SSLContext:
        """A client's context, which shows a certificate."""
        context = self.bare_client()
        context.load_cert_chain(self.cert, self.key)
        return context

    def bare_client(self) -> ssl.SSLContext:
        """One that has none to show."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.authority)
        return context
