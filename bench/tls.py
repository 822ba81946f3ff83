"""Certificates for what the benches put beside a node: a throwaway authority of the node's own kind.

The keys are of the same kind and the handshake is the same as the node's, so that TLS costs both sides alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import grpc

from node.identity.ca import (
    issue_client_certificate,
    issue_server_certificate,
    new_authority,
    signing_request,
)
from node.identity.caller import Caller, Role
from node.identity.keys import new_tls_key, private_key_pem

_VALIDITY_DAYS = 2


@dataclass(frozen=True, slots=True)
class ClientTls:
    """What a till holds: whom it trusts, its own certificate, and its key. All PEM."""

    authority_pem: bytes
    certificate_pem: bytes
    key_pem: bytes = field(repr=False)

    def credentials(self) -> grpc.ChannelCredentials:
        """For a channel."""
        return grpc.ssl_channel_credentials(self.authority_pem, self.key_pem, self.certificate_pem)


@dataclass(frozen=True, slots=True)
class ServerTlsFiles:
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


def make_throwaway(directory: Path, *, now_ms: int) -> tuple[ServerTlsFiles, ClientTls]:
    """A new authority with one server and one till under it; the server's files go to `directory`."""
    authority = new_authority("bench", now_ms=now_ms)
    server_key, till_key = new_tls_key(), new_tls_key()
    server_pem = issue_server_certificate(
        authority,
        server_key.public_key(),
        ["localhost", "127.0.0.1"],
        now_ms=now_ms,
        validity_days=_VALIDITY_DAYS,
    )
    till = Caller(Role.TILL, merchant="bench", id="till-1", store="store-1")
    issued = issue_client_certificate(
        authority, signing_request(till_key), till, now_ms=now_ms, validity_days=_VALIDITY_DAYS
    )
    files = ServerTlsFiles(directory / "server.crt", directory / "server.key", directory / "ca.crt")
    files.certificate.write_bytes(server_pem)
    files.key.touch(mode=0o600)
    files.key.write_bytes(private_key_pem(server_key))
    files.authority.write_bytes(authority.certificate_pem)
    return files, ClientTls(authority.certificate_pem, issued.pem, private_key_pem(till_key))
