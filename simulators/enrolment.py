"""How a till gets its certificate: a one-time code from staff, a key of its own, a signing request.

The private key is made on the till and never leaves it. The certificate of the node's authority comes with
the code, by another way than the network (a USB stick, the till's installer), since without it the till could
not tell a false node from the true one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from node.proto.vafa.terminal.v1 import terminal_service_pb2, terminal_service_pb2_grpc

_DEADLINE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class TillCertificate:
    """What a till keeps after enrolment, all PEM: whom it trusts, who it is, and the key that proves it."""

    authority_pem: bytes
    certificate_pem: bytes
    key_pem: bytes = field(repr=False)

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Mutual TLS with this certificate."""
        return grpc.ssl_channel_credentials(self.authority_pem, self.key_pem, self.certificate_pem)

    def problem(self, now: datetime) -> str:
        """Why no node would take this certificate, and what to do; empty where nothing is wrong with it.

        `now` is the till's clock, with its zone. TLS itself says nothing of this to a till: the line closes.
        """
        try:
            certificate = x509.load_pem_x509_certificate(self.certificate_pem)
            authority = x509.load_pem_x509_certificate(self.authority_pem)
            key = load_pem_private_key(self.key_pem, password=None)
        except (ValueError, TypeError):
            return "The till's certificate or its key cannot be read. Enrol the till again."
        if key.public_key() != certificate.public_key():
            return "The till's key is not its certificate's. Enrol the till again."
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            return "The till's certificate is of another authority than the one it trusts. Enrol it again."
        if now < certificate.not_valid_before_utc:
            begins = certificate.not_valid_before_utc.date()
            return f"The till's certificate begins on {begins}, after this clock's date. Set the clock."
        if now > certificate.not_valid_after_utc:
            ended = certificate.not_valid_after_utc.date()
            return f"The till's certificate ended on {ended}. Enrol the till again."
        return ""


async def enrol_with_code(enrol_address: str, authority_pem: bytes, code: str) -> TillCertificate:
    """Trade a one-time code for a certificate; a code that is refused is an AioRpcError.

    `enrol_address` is host:port of the node's enrolment port, which shows a certificate and asks for none.
    """
    key_pem, request_pem = new_key_and_request()
    credentials = grpc.ssl_channel_credentials(authority_pem)
    async with grpc.aio.secure_channel(enrol_address, credentials) as channel:
        service = terminal_service_pb2_grpc.EnrolmentServiceStub(channel)
        answer = await service.RedeemCode(
            terminal_service_pb2.RedeemCodeRequest(code=code, csr_pem=request_pem), timeout=_DEADLINE_SECONDS
        )
    return TillCertificate(answer.authority_pem, answer.certificate_pem, key_pem)


def new_key_and_request() -> tuple[bytes, bytes]:
    """A fresh ECDSA P-256 key (PKCS #8) and a request for it (PKCS #10), both PEM. The request names nobody:
    the node decides who the key belongs to."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256())
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return key_pem, request.public_bytes(Encoding.PEM)
