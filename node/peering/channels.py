"""TLS between nodes whose authorities differ, and the methods of a partner's node as calls of bytes.

A dialling node trusts the partner's authority alone, and asks for the partner's name rather than the host's:
an endpoint may move, and a host of that name proves nothing. A dialled node trusts the authorities of all
partners, read anew for every handshake, so that a new directory needs no restart; who of them it is, is then
decided by `identity.peers.partner_of`.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

import grpc

from node.identity.peers import PeerIdentity, peer_host_name
from node.peering.ports import PartnerEntry
from node.wire.coalition_frames import SERVICE

PEER_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.max_send_message_length", 4 * 1024 * 1024),
    # A connection that broke without a word is found within a minute; and a carrier's NAT keeps its mapping.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 15_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)
"""Bounds and keepalive of connections between nodes, at both ends."""


def dial(entry: PartnerEntry, endpoint: str, identity: PeerIdentity) -> grpc.aio.Channel:
    """A channel to a partner's endpoint (host:port); connects when it is used."""
    credentials = grpc.ssl_channel_credentials(
        entry.authority_pem, identity.key_pem, identity.certificate_pem
    )
    options = (
        *PEER_OPTIONS,
        ("grpc.ssl_target_name_override", peer_host_name(entry.partner_id)),
        ("grpc.use_local_subchannel_pool", 1),  # else a second channel would inherit the first one's backoff
        ("grpc.enable_retries", 0),
    )
    return grpc.aio.secure_channel(endpoint, credentials, options=options)


def peer_credentials(
    identity: PeerIdentity, authorities: Callable[[], list[bytes]]
) -> grpc.ServerCredentials:
    """Credentials that demand a certificate of one of `authorities`, which is asked for every handshake."""
    lock, used = Lock(), list[bytes]()

    def configuration() -> Any:
        # Without any root grpc would trust the system's; this node's own certificate vouches for nobody.
        trusted = b"".join(authorities()) or identity.certificate_pem
        with lock:
            if used == [trusted]:
                # Nothing new: grpc goes on with what it has. Replaced at every handshake, it is freed while a
                # handshake that came at the same time still uses it, and the process ends (SIGSEGV).
                return None
            used[:] = [trusted]
        own = [(identity.key_pem, identity.certificate_pem)]
        return grpc.ssl_server_certificate_configuration(own, trusted)

    return grpc.dynamic_ssl_server_credentials(
        configuration(), configuration, require_client_authentication=True
    )


def link_call(channel: grpc.aio.Channel) -> Any:
    """The stream for both directions; its `read` and `write` take frames as bytes."""
    return channel.stream_stream(f"/{SERVICE}/Link")()


async def unary(channel: grpc.aio.Channel, method: str, request: bytes, timeout_seconds: float) -> bytes:
    """One of the service's unary methods; raises grpc.RpcError."""
    call: Any = channel.unary_unary(f"/{SERVICE}/{method}")
    answer: bytes = await call(request, timeout=timeout_seconds)
    return answer
