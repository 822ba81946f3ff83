"""The node's own CA: what it signs, for how long, and which requests it refuses."""

import base64
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from node.identity.ca import (
    RequestRefused,
    issue_client_certificate,
    issue_server_certificate,
    load_authority,
    new_authority,
    signing_request,
)
from node.identity.caller import Caller, Role, caller_from_certificate
from node.identity.keys import new_tls_key, private_key_pem

NOW_MS = 1_750_000_000_123
AUTHORITY = new_authority("bazaar", now_ms=NOW_MS)
TILL = Caller(Role.TILL, "bazaar", "till-1", "north")
RSA_2048 = rsa.generate_private_key(65537, 2048)


AnyKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | dsa.DSAPrivateKey


def request(key: AnyKey) -> bytes:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return (
        x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, algorithm).public_bytes(Encoding.PEM)
    )


def issue(request_pem: bytes, caller: Caller = TILL, validity_days: int = 90) -> x509.Certificate:
    issued = issue_client_certificate(
        AUTHORITY, request_pem, caller, now_ms=NOW_MS, validity_days=validity_days
    )
    return x509.load_pem_x509_certificate(issued.pem)


@pytest.mark.parametrize("key", [new_tls_key(), ec.generate_private_key(ec.SECP384R1()), RSA_2048])
def test_a_till_may_bring_any_safe_key_of_its_platform(key: AnyKey) -> None:
    certificate = issue(request(key))
    assert certificate.public_key() == key.public_key()
    certificate.verify_directly_issued_by(AUTHORITY.certificate)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(rsa.generate_private_key(65537, 1024), id="RSA 1024"),
        pytest.param(rsa.generate_private_key(3, 2048), id="RSA with exponent 3"),
        pytest.param(ec.generate_private_key(ec.SECP521R1()), id="P-521, which grpc refuses"),
        pytest.param(ec.generate_private_key(ec.SECP256K1()), id="another curve"),
        pytest.param(ed25519.Ed25519PrivateKey.generate(), id="Ed25519, which grpc refuses"),
        pytest.param(dsa.generate_private_key(2048), id="DSA"),
    ],
)
def test_a_key_that_is_weak_or_that_tls_would_refuse_gets_no_certificate(
    key: AnyKey,
) -> None:
    with pytest.raises(RequestRefused, match="P-256"):
        issue(request(key))


def test_somebody_elses_key_cannot_be_put_into_a_request() -> None:
    mine, theirs = new_tls_key(), new_tls_key()
    der = x509.load_pem_x509_csr(signing_request(mine)).public_bytes(Encoding.DER)
    my_point, their_point = (
        key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) for key in (mine, theirs)
    )
    assert der.count(my_point) == 1
    forged = _pem(der.replace(my_point, their_point))
    with pytest.raises(RequestRefused, match="signed with its own key"):
        issue(forged)


def test_a_request_signed_with_another_hash_than_the_common_safe_ones_is_refused() -> None:
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    for_224_bits = builder.sign(RSA_2048, hashes.SHA224()).public_bytes(Encoding.PEM)
    # The library makes no SHA-1 signatures any more, so the algorithm's name in a good request is changed.
    der = x509.load_pem_x509_csr(request(RSA_2048)).public_bytes(Encoding.DER)
    sha256, sha1 = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    assert der.count(sha256) == 1
    for weak in (for_224_bits, _pem(der.replace(sha256, sha1))):
        with pytest.raises(RequestRefused, match="SHA-256"):
            issue(weak)


@pytest.mark.parametrize(
    "request_pem",
    [
        b"",
        b"\x00\xff" * 50,
        "درخواست".encode(),
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        signing_request(new_tls_key())[:-60],
        AUTHORITY.certificate_pem,
        signing_request(new_tls_key()) + b"\n" * 20_000,
    ],
    ids=["empty", "noise", "text", "too short", "cut off", "a certificate", "too long"],
)
def test_garbage_in_place_of_a_request_is_refused_in_words(request_pem: bytes) -> None:
    with pytest.raises(RequestRefused):
        issue(request_pem)


def test_what_a_request_says_of_its_sender_is_ignored() -> None:
    key = new_tls_key()
    ambitious = (
        x509.CertificateSigningRequestBuilder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "admin")]))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier("vafa://merchant/bazaar/admin/node")]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    certificate = issue(ambitious)
    assert caller_from_certificate(certificate.public_bytes(Encoding.PEM)) == TILL
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert "admin" not in certificate.subject.rfc4514_string()


def test_a_certificate_is_valid_from_a_day_ago_for_the_days_asked_and_never_beyond_the_root() -> None:
    certificate = issue(signing_request(new_tls_key()), validity_days=30)
    assert certificate.not_valid_before_utc == datetime(2025, 6, 14, 15, 6, 40, tzinfo=UTC)
    assert certificate.not_valid_after_utc == datetime(2025, 7, 15, 15, 6, 40, tzinfo=UTC)
    endless = issue(signing_request(new_tls_key()), validity_days=40_000)
    assert endless.not_valid_after_utc == AUTHORITY.certificate.not_valid_after_utc


def test_no_two_certificates_share_a_serial_number() -> None:
    request_pem = signing_request(new_tls_key())
    assert len({issue(request_pem).serial_number for _ in range(20)}) == 20


def test_the_server_certificate_names_every_address_by_which_tills_reach_it() -> None:
    pem = issue_server_certificate(
        AUTHORITY,
        new_tls_key().public_key(),
        ["node.bazaar.example", "192.168.1.7", "::1"],
        now_ms=NOW_MS,
        validity_days=365,
    )
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["node.bazaar.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["192.168.1.7", "::1"]
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_the_root_can_sign_leaves_only() -> None:
    constraints = AUTHORITY.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)


def test_a_root_that_was_saved_is_the_same_root_and_takes_no_other_key() -> None:
    saved = load_authority(AUTHORITY.certificate, private_key_pem(AUTHORITY.key))
    assert saved.certificate == AUTHORITY.certificate
    with pytest.raises(ValueError, match="does not belong"):
        load_authority(AUTHORITY.certificate, private_key_pem(new_tls_key()))


def test_neither_the_repr_nor_the_str_of_a_root_shows_its_key() -> None:
    assert "key" not in f"{AUTHORITY!r} {AUTHORITY}".lower()


def _pem(der: bytes) -> bytes:
    body = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE REQUEST-----\n" + body + b"-----END CERTIFICATE REQUEST-----\n"
