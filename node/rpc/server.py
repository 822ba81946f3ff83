"""The gRPC servers: one with mutual TLS for everybody, one with server TLS alone for enrolment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc

from node.rpc.admission import Admission

SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.max_send_message_length", 16 * 1024 * 1024),
    ("grpc.max_concurrent_streams", 2_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Tills behind carrier NAT ping to keep their mapping; twice a minute is not abuse.
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.so_reuseport", 0),
)
"""Bounds and keepalive of every server of a node; the benchmarks' echo uses the same."""

MAX_CONCURRENT_RPCS = 10_000
"""Calls under way in the whole gateway; beyond it grpc answers RESOURCE_EXHAUSTED by itself."""


def mutual_tls(key_pem: bytes, certificate_pem: bytes, authority_pem: bytes) -> grpc.ServerCredentials:
    """Credentials that demand a client certificate of the node's own authority."""
    return grpc.ssl_server_credentials(
        [(key_pem, certificate_pem)], root_certificates=authority_pem, require_client_auth=True
    )


def server_tls(key_pem: bytes, certificate_pem: bytes) -> grpc.ServerCredentials:
    """Credentials that show the server's certificate and ask for none: for enrolment."""
    return grpc.ssl_server_credentials([(key_pem, certificate_pem)])


def new_server(admission: Admission, handlers: Sequence[Any]) -> grpc.aio.Server:
    """A server with its handlers behind the admission."""
    server = grpc.aio.server(
        interceptors=(admission,), options=SERVER_OPTIONS, maximum_concurrent_rpcs=MAX_CONCURRENT_RPCS
    )
    server.add_generic_rpc_handlers(tuple(handlers))
    return server


def listen(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    """Binds a server; gives the port. Without credentials it is plaintext, which the configuration bounds."""
    if credentials is None:
        return server.add_insecure_port(address)
    return server.add_secure_port(address, credentials)
