"""The node's own certificate authority: one root, under it the server's certificate and every caller's.

X.509 after RFC 5280, requests after RFC 2986 (PKCS #10). Keys for TLS are ECDSA P-256: BoringSSL, inside
grpc, finds no common signature algorithm with an Ed25519 or P-521 leaf. What a request says about its subject
is ignored; the node decides who the key belongs to.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from node.identity.caller import Caller, serial_text

_ROOT_DAYS = 20 * 365
_MAX_REQUEST_BYTES = 16_384
# A till whose clock is behind, or in the wrong zone, must not find its server "not yet valid".
_BACKDATED = timedelta(days=1)
_SAFE_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_SAFE_CURVES = (ec.SECP256R1, ec.SECP384R1)

_LeafKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class RequestRefused(ValueError):
    """A certificate signing request that is not honoured. The text is for the person who sent it."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The root certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def certificate_pem(self) -> bytes:
        """What callers trust, and the server demands client certificates from."""
        return self.certificate.public_bytes(Encoding.PEM)


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A caller's new certificate, and the caller as it will present itself: with serial and expiry."""

    pem: bytes
    caller: Caller


def new_authority(merchant: str, *, now_ms: int) -> Authority:
    """A new root for this merchant's node, good for 20 years: every till trusts it, and it alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Vafa node {merchant}")])
    certificate = (
        _builder(
            name, name, key.public_key(), key.public_key(), now_ms, _at(now_ms) + timedelta(days=_ROOT_DAYS)
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(certificate_sign=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def load_authority(certificate: x509.Certificate, key_pem: bytes) -> Authority:
    """The root as it was saved; `ValueError` when the key is not that certificate's."""
    key = load_pem_private_key(key_pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ValueError("the CA's key does not belong to the CA's certificate")
    return Authority(certificate, key)


def issue_server_certificate(
    authority: Authority,
    public_key: ec.EllipticCurvePublicKey,
    host_names: Sequence[str],
    *,
    now_ms: int,
    validity_days: int,
) -> bytes:
    """The server's certificate (PEM) for these DNS names and IP addresses."""
    names = [_host_name(host) for host in host_names]
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH]
    return _issue(authority, public_key, host_names[0], names, purposes, now_ms, validity_days).public_bytes(
        Encoding.PEM
    )


def issue_peer_certificate(
    authority: Authority,
    public_key: ec.EllipticCurvePublicKey,
    common_name: str,
    names: Sequence[x509.GeneralName],
    *,
    now_ms: int,
    validity_days: int,
) -> bytes:
    """A certificate (PEM) by which a node both dials and is dialled by others; see `identity.peers`."""
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return _issue(authority, public_key, common_name, names, purposes, now_ms, validity_days).public_bytes(
        Encoding.PEM
    )


def issue_client_certificate(
    authority: Authority, request_pem: bytes, caller: Caller, *, now_ms: int, validity_days: int
) -> IssuedCertificate:
    """A certificate that says `caller` for the key in the request (PEM, PKCS #10).

    The request proves that its sender holds the key; names and extensions in it are ignored. Keys other than
    ECDSA P-256, P-384 and RSA of 2048 to 4096 bits, weak hashes and broken signatures are `RequestRefused`.
    It ends with the root at the latest.
    """
    public_key = _key_of_request(request_pem)
    names = [x509.UniformResourceIdentifier(caller.uri)]
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = _issue(authority, public_key, caller.id, names, purposes, now_ms, validity_days)
    not_after_ms = int(certificate.not_valid_after_utc.timestamp()) * 1000
    issued = replace(caller, serial=serial_text(certificate.serial_number), not_after_ms=not_after_ms)
    return IssuedCertificate(certificate.public_bytes(Encoding.PEM), issued)


def signing_request(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The till's side of enrolment: a request (PEM) for its key, naming nobody: the node says who it is."""
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM)


def _key_of_request(request_pem: bytes) -> _LeafKey:
    if len(request_pem) > _MAX_REQUEST_BYTES:
        raise RequestRefused(f"The request is larger than {_MAX_REQUEST_BYTES} bytes.")
    try:
        request = x509.load_pem_x509_csr(request_pem)
        public_key = request.public_key()
        algorithm = request.signature_hash_algorithm
        proven = isinstance(algorithm, _SAFE_HASHES) and request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm):
        raise RequestRefused("The request is not a PKCS #10 request in PEM, or of an unknown kind.") from None
    safe_ec = isinstance(public_key, ec.EllipticCurvePublicKey) and isinstance(public_key.curve, _SAFE_CURVES)
    safe_rsa = (
        isinstance(public_key, rsa.RSAPublicKey)
        and 2048 <= public_key.key_size <= 4096
        and public_key.public_numbers().e >= 65537
    )
    if not (safe_ec or safe_rsa):
        raise RequestRefused("The key must be ECDSA P-256 or P-384, or RSA of 2048 to 4096 bits.")
    if not proven:
        raise RequestRefused("The request is not signed with its own key and SHA-256, SHA-384 or SHA-512.")
    assert isinstance(public_key, _LeafKey)
    return public_key


def _issue(
    authority: Authority,
    public_key: _LeafKey,
    common_name: str,
    names: Sequence[x509.GeneralName],
    purposes: Sequence[x509.ObjectIdentifier],
    now_ms: int,
    validity_days: int,
) -> x509.Certificate:
    root = authority.certificate
    # A common name is at most 64 letters and only for the eye; nothing reads it.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])
    ends = min(_at(now_ms) + timedelta(days=validity_days), root.not_valid_after_utc)
    return (
        _builder(subject, root.subject, public_key, authority.key.public_key(), now_ms, ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: _LeafKey,
    issuer_key: ec.EllipticCurvePublicKey,
    now_ms: int,
    ends: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_at(now_ms) - _BACKDATED)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _key_usage(*, digital_signature: bool = False, certificate_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificate_sign,
        crl_sign=certificate_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _at(now_ms: int) -> datetime:
    return datetime.fromtimestamp(now_ms // 1000, UTC)
