"""The certificates at work: a grpc server that demands one, over loopback."""

import datetime
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from node.identity.ca import (
    Authority,
    issue_client_certificate,
    issue_server_certificate,
    new_authority,
    signing_request,
)
from node.identity.caller import Caller, Role, caller_from_certificate
from node.identity.keys import new_tls_key, private_key_pem

DAY_MS = 86_400_000
NOW_MS = int(datetime.datetime.now(datetime.UTC).timestamp()) * 1000
TILL = Caller(Role.TILL, "bazaar", "till-1", "north")
AUTHORITY = new_authority("bazaar", now_ms=NOW_MS)


@dataclass
class Server:
    port: int
    callers: list[Caller]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    key = new_tls_key()
    certificate = issue_server_certificate(
        AUTHORITY, key.public_key(), ["localhost", "127.0.0.1"], now_ms=NOW_MS, validity_days=30
    )
    credentials = grpc.ssl_server_credentials(
        [(private_key_pem(key), certificate)], AUTHORITY.certificate_pem, require_client_auth=True
    )
    running = Server(0, [])

    async def echo(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        [pem] = context.auth_context()["x509_pem_cert"]
        running.callers.append(caller_from_certificate(pem))
        return request

    grpc_server = grpc.aio.server()
    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(echo)
    grpc_server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("test.Echo", {"Echo": method}),)
    )
    running.port = grpc_server.add_secure_port("127.0.0.1:0", credentials)
    await grpc_server.start()
    yield running
    await grpc_server.stop(None)


async def call(server: Server, key_pem: bytes | None, certificate: bytes | None, trusted: bytes) -> bytes:
    credentials = grpc.ssl_channel_credentials(trusted, key_pem, certificate)
    async with grpc.aio.secure_channel(f"127.0.0.1:{server.port}", credentials) as channel:
        echo: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/test.Echo/Echo")
        return await echo("سلام".encode(), timeout=10)


def key_and_certificate(
    authority: Authority, *, now_ms: int = NOW_MS, validity_days: int = 30
) -> tuple[bytes, bytes]:
    key = new_tls_key()
    issued = issue_client_certificate(
        authority, signing_request(key), TILL, now_ms=now_ms, validity_days=validity_days
    )
    return private_key_pem(key), issued.pem


async def test_an_enrolled_till_calls_over_mutual_tls_and_is_known_by_its_certificate(server: Server) -> None:
    key_pem, certificate = key_and_certificate(AUTHORITY)
    assert await call(server, key_pem, certificate, AUTHORITY.certificate_pem) == "سلام".encode()
    assert server.callers == [TILL]
    assert server.callers[0].serial == caller_from_certificate(certificate).serial


@pytest.mark.parametrize(
    "make_key",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: rsa.generate_private_key(65537, 2048),
    ],
)
async def test_every_kind_of_key_that_a_request_may_bring_works_in_grpc(
    server: Server, make_key: Callable[[], ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey]
) -> None:
    key = make_key()
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256())
    issued = issue_client_certificate(
        AUTHORITY, request.public_bytes(Encoding.PEM), TILL, now_ms=NOW_MS, validity_days=1
    )
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    await call(server, key_pem, issued.pem, AUTHORITY.certificate_pem)
    assert server.callers == [TILL]


def _foreign() -> tuple[bytes, bytes]:
    """Of a CA with the same name and another key: what another node of the same merchant id would issue."""
    return key_and_certificate(new_authority("bazaar", now_ms=NOW_MS))


def _expired() -> tuple[bytes, bytes]:
    return key_and_certificate(AUTHORITY, now_ms=NOW_MS - 30 * DAY_MS, validity_days=29)


def _not_yet_valid() -> tuple[bytes, bytes]:
    return key_and_certificate(AUTHORITY, now_ms=NOW_MS + 3 * DAY_MS)


def _self_signed() -> tuple[bytes, bytes]:
    key = new_tls_key()
    name = AUTHORITY.certificate.subject
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1))
        .not_valid_after(datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(TILL.uri)]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return private_key_pem(key), certificate.public_bytes(Encoding.PEM)


def _server_certificate() -> tuple[bytes, bytes]:
    key = new_tls_key()
    certificate = issue_server_certificate(
        AUTHORITY, key.public_key(), ["localhost"], now_ms=NOW_MS, validity_days=1
    )
    return private_key_pem(key), certificate


def _none() -> tuple[None, None]:
    return None, None


@pytest.mark.parametrize(
    "present", [_foreign, _expired, _not_yet_valid, _self_signed, _server_certificate, _none]
)
async def test_a_caller_without_a_good_certificate_is_refused_at_the_handshake(
    server: Server, present: Callable[[], tuple[bytes | None, bytes | None]]
) -> None:
    key_pem, certificate = present()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(server, key_pem, certificate, AUTHORITY.certificate_pem)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert server.callers == []


async def test_a_till_refuses_a_server_that_its_own_node_did_not_certify(server: Server) -> None:
    key_pem, certificate = key_and_certificate(AUTHORITY)
    stranger = new_authority("bazaar", now_ms=NOW_MS)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(server, key_pem, certificate, stranger.certificate_pem)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert server.callers == []
