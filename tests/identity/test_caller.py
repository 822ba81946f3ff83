"""Who calls, from the SAN URI: one caller, one spelling, and nothing that merely looks like it."""

import ipaddress
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from node.identity.ca import (
    issue_client_certificate,
    issue_server_certificate,
    new_authority,
    signing_request,
)
from node.identity.caller import (
    Caller,
    CallerRefused,
    CertificateRefusal,
    Role,
    caller_from_certificate,
    caller_from_uri,
    certificate_refusal,
)
from node.identity.keys import new_tls_key

CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
NOW_MS = 1_750_000_000_000
DAY_MS = 86_400_000
AUTHORITY = new_authority("bazaar", now_ms=NOW_MS)
TILL = Caller(Role.TILL, "bazaar", "till-1", "north")


def issue(caller: Caller, validity_days: int = 90) -> tuple[bytes, Caller]:
    issued = issue_client_certificate(
        AUTHORITY, signing_request(new_tls_key()), caller, now_ms=NOW_MS, validity_days=validity_days
    )
    return issued.pem, issued.caller


def forge(
    names: Sequence[x509.GeneralName] | None,
    *,
    ca: bool = False,
    purpose: x509.ObjectIdentifier | None = CLIENT_AUTH,
) -> bytes:
    """A certificate of the node's own CA as no code of the node would issue it."""
    key = new_tls_key()
    now = datetime.fromtimestamp(NOW_MS // 1000, UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, TILL.uri)]))
        .issuer_name(AUTHORITY.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(AUTHORITY.key, hashes.SHA256()).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("caller", "uri"),
    [
        (TILL, "vafa://merchant/bazaar/store/north/terminal/till-1"),
        (Caller(Role.GATEWAY, "bazaar", "switch"), "vafa://merchant/bazaar/gateway/switch"),
        (Caller(Role.STAFF, "bazaar", "leila"), "vafa://merchant/bazaar/staff/leila"),
        (Caller(Role.READER, "bazaar", "erp"), "vafa://merchant/bazaar/reader/erp"),
        (Caller(Role.ADMIN, "bazaar", "node"), "vafa://merchant/bazaar/admin/node"),
        (
            Caller(Role.TILL, "store", "gateway", "merchant"),
            "vafa://merchant/store/store/merchant/terminal/gateway",
        ),
        (Caller(Role.STAFF, "7", "a" * 40), "vafa://merchant/7/staff/" + "a" * 40),
    ],
)
def test_every_role_is_read_back_from_the_uri_and_the_certificate_it_was_given(
    caller: Caller, uri: str
) -> None:
    assert caller.uri == uri
    assert caller_from_uri(uri) == caller
    pem, issued = issue(caller)
    assert caller_from_certificate(pem) == caller == issued
    assert caller_from_certificate(pem).serial == issued.serial
    assert caller_from_certificate(pem).not_after_ms == issued.not_after_ms == NOW_MS + 90 * DAY_MS


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "vafa://merchant/bazaar",
        "vafa://merchant/bazaar/terminal/till-1",
        "vafa://merchant/bazaar/store/north/staff/leila",
        "vafa://merchant/bazaar/store/north/terminal/till-1/",
        "vafa://merchant/bazaar/store/north/terminal/till-1\n",
        " vafa://merchant/bazaar/staff/leila",
        "vafa://merchant/bazaar/store/north%2Fterminal%2Ftill-9/terminal/till-1",
        "vafa://merchant/bazaar%2F/staff/leila",
        "vafa://merchant/bazaar/staff/l%65ila",
        "vafa://merchant/bazaar/staff/leila?role=admin",
        "vafa://merchant/bazaar/staff/leila#admin",
        "vafa://merchant/bazaar/staff/../admin/node",
        "vafa://admin@merchant/bazaar/staff/leila",
        "vafa://merchant:7443/bazaar/staff/leila",
        "VAFA://merchant/bazaar/staff/leila",
        "vafa://merchant/Bazaar/staff/leila",
        "vafa://merchant/bаzaar/staff/leila",  # a Cyrillic а
        "vafa://merchant/bazaar/staff/leila\u200c",
        "vafa://merchant/bazaar/staff/لیلا",
        "vafa://merchant/bazaar/staff/۱",
        "vafa://merchant/bazaar/staff/-leila",
        "vafa://merchant/bazaar/staff/" + "a" * 41,
        "vafa://merchant//staff/leila",
        "vafa://merchant/bazaar/owner/leila",
        "https://merchant/bazaar/staff/leila",
        "vafa://merchant/bazaar/staff/leila\0",
    ],
)
def test_a_uri_that_the_node_would_not_write_names_nobody(uri: str) -> None:
    with pytest.raises(CallerRefused):
        caller_from_uri(uri)


@pytest.mark.parametrize(
    ("role", "merchant", "name", "store"),
    [
        (Role.TILL, "bazaar", "till-1", ""),
        (Role.STAFF, "bazaar", "leila", "north"),
        (Role.STAFF, "bazaar", "leila/admin", ""),
        (Role.TILL, "bazaar", "till-1", "north/../south"),
        (Role.STAFF, "", "leila", ""),
        (Role.STAFF, "bazaar\n", "leila", ""),
    ],
)
def test_a_caller_cannot_be_made_of_names_that_would_bend_its_uri(
    role: Role, merchant: str, name: str, store: str
) -> None:
    with pytest.raises(CallerRefused):
        Caller(role, merchant, name, store)


URI = x509.UniformResourceIdentifier(TILL.uri)


@pytest.mark.parametrize(
    "pem",
    [
        pytest.param(forge(None), id="no SAN, though the common name says a till"),
        pytest.param(forge([]), id="an empty SAN"),
        pytest.param(forge([x509.DNSName("till-1")]), id="a DNS name"),
        pytest.param(
            forge([URI, x509.UniformResourceIdentifier("vafa://merchant/bazaar/admin/node")]), id="two URIs"
        ),
        pytest.param(forge([URI, URI]), id="one URI twice"),
        pytest.param(forge([URI, x509.DNSName("till-1")]), id="a URI and a DNS name"),
        pytest.param(forge([x509.UniformResourceIdentifier(TILL.uri + "%00")]), id="an encoded zero"),
        pytest.param(forge([x509.UniformResourceIdentifier(TILL.uri + "\0")]), id="a zero"),
        pytest.param(forge([x509.DNSName(TILL.uri)]), id="the URI as a DNS name"),
        pytest.param(forge([URI], ca=True), id="a CA"),
        pytest.param(forge([URI], purpose=None), id="no purpose"),
        pytest.param(forge([URI], purpose=ExtendedKeyUsageOID.SERVER_AUTH), id="a server's, with a URI"),
        pytest.param(AUTHORITY.certificate_pem, id="the root itself"),
        pytest.param(
            issue_server_certificate(
                AUTHORITY, new_tls_key().public_key(), ["localhost"], now_ms=NOW_MS, validity_days=9
            ),
            id="a server's",
        ),
        pytest.param(b"", id="nothing"),
        pytest.param(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", id="garbage in PEM"),
        pytest.param(b"\xff" * 1000, id="garbage"),
        pytest.param(forge([URI]) * 30, id="larger than any"),
    ],
)
def test_a_certificate_that_does_not_name_exactly_one_caller_is_refused(pem: bytes) -> None:
    with pytest.raises(CallerRefused) as refused:
        caller_from_certificate(pem)
    assert "BEGIN" not in str(refused.value)


def test_the_url_bytes_of_a_certificate_are_never_decoded_into_a_look_alike() -> None:
    good = forge([x509.UniformResourceIdentifier("vafa://merchant/bazaar/staff/leilaaa")])
    der = x509.load_pem_x509_certificate(good).public_bytes(Encoding.DER)
    # The library refuses to write letters beyond ASCII into a URI, so they are put in afterwards.
    cyrillic = der.replace(b"leilaaa", b"leil" + "а".encode() + b"a")
    assert cyrillic != der
    encoded = ssl.DER_cert_to_PEM_cert(cyrillic).encode()
    with pytest.raises(CallerRefused):
        caller_from_certificate(encoded)


def test_a_renewed_till_is_the_same_caller_with_another_certificate() -> None:
    _, first = issue(TILL)
    _, second = issue(TILL)
    assert first == second == TILL
    assert len({first, second}) == 1
    assert first.serial != second.serial


def test_a_revoked_terminal_is_refused_and_its_neighbour_is_not() -> None:
    _, stolen = issue(TILL)
    _, neighbour = issue(Caller(Role.TILL, "bazaar", "till-2", "north"))
    revoked = frozenset({stolen.serial})
    assert certificate_refusal(stolen, merchant="bazaar", now_ms=NOW_MS, revoked=frozenset()) is None
    assert (
        certificate_refusal(stolen, merchant="bazaar", now_ms=NOW_MS, revoked=revoked)
        is CertificateRefusal.REVOKED
    )
    assert certificate_refusal(neighbour, merchant="bazaar", now_ms=NOW_MS, revoked=revoked) is None


def test_a_certificate_that_expires_during_a_connection_stops_working_there() -> None:
    pem, _ = issue(TILL, validity_days=30)
    caller = caller_from_certificate(pem)
    last_ms = NOW_MS + 30 * DAY_MS
    assert certificate_refusal(caller, merchant="bazaar", now_ms=last_ms, revoked=frozenset()) is None
    assert (
        certificate_refusal(caller, merchant="bazaar", now_ms=last_ms + 1, revoked=frozenset())
        is CertificateRefusal.EXPIRED
    )


def test_another_merchants_terminal_and_a_caller_without_certificate_are_refused() -> None:
    _, foreign = issue(Caller(Role.TILL, "other", "till-1", "north"))
    assert (
        certificate_refusal(foreign, merchant="bazaar", now_ms=NOW_MS, revoked=frozenset())
        is CertificateRefusal.WRONG_MERCHANT
    )
    assert (
        certificate_refusal(TILL, merchant="bazaar", now_ms=NOW_MS, revoked=frozenset())
        is CertificateRefusal.EXPIRED
    )


def test_what_is_remembered_of_certificates_is_bounded() -> None:
    assert caller_from_certificate.cache_info().maxsize == 4096


def test_an_ip_address_of_the_server_is_no_caller() -> None:
    with pytest.raises(CallerRefused):
        caller_from_certificate(forge([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]))
