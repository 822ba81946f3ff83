"""Certificates for what the benches put beside a node: from the node's own authority, with its own key.

So the handshake and the ciphers are the node's, and TLS costs both sides alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from node.identity.ca import Authority, issue_server_certificate
from node.identity.keys import private_key_pem

_VALIDITY_DAYS = 2


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Where a server of the benches finds its certificate, its key and the authority of its clients."""

    certificate: Path
    key: Path
    authority: Path

    def credentials(self) -> grpc.ServerCredentials:
        """For a server that demands a client's certificate, as the node does."""
        return grpc.ssl_server_credentials(
            [(self.key.read_bytes(), self.certificate.read_bytes())],
            root_certificates=self.authority.read_bytes(),
            require_client_auth=True,
        )

    def arguments(self) -> list[str]:
        """For the command line of a server's process."""
        return [
            *("--certificate", str(self.certificate)),
            *("--key", str(self.key)),
            *("--authority", str(self.authority)),
        ]


def write_server_tls(
    directory: Path, authority: Authority, key: EllipticCurvePrivateKey, *, now_ms: int
) -> ServerTls:
    """A certificate for loopback under `authority`, for `key`; all three files are written to `directory`."""
    names = ["localhost", "127.0.0.1"]
    certificate = issue_server_certificate(
        authority, key.public_key(), names, now_ms=now_ms, validity_days=_VALIDITY_DAYS
    )
    tls = ServerTls(directory / "server.crt", directory / "server.key", directory / "ca.crt")
    tls.certificate.write_bytes(certificate)
    tls.key.touch(mode=0o600)
    tls.key.write_bytes(private_key_pem(key))
    tls.authority.write_bytes(authority.certificate_pem)
    return tls
