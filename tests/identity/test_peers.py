"""Which partner is at the other end: the name in the certificate and the authority behind it must agree."""

import time

import pytest

from node.identity.ca import (
    Authority,
    issue_client_certificate,
    issue_server_certificate,
    new_authority,
    signing_request,
)
from node.identity.caller import Caller, CallerRefused, Role, caller_from_certificate
from node.identity.keys import new_tls_key
from node.identity.peers import (
    PEER_CERTIFICATE_DAYS,
    PeerRefused,
    load_peer_authority,
    new_peer_identity,
    partner_of,
)

NOW_MS = time.time_ns() // 1_000_000
NILE = new_authority("nile", now_ms=NOW_MS)
SAFFRON = new_authority("saffron", now_ms=NOW_MS)
AUTHORITIES = {"nile": NILE.certificate_pem, "saffron": SAFFRON.certificate_pem}


def certificate(authority: Authority, partner_id: str) -> bytes:
    return new_peer_identity(authority, partner_id, now_ms=NOW_MS).certificate_pem


def test_a_partner_is_known_by_its_name_and_its_own_authority() -> None:
    assert partner_of(certificate(NILE, "nile"), AUTHORITIES, now_ms=NOW_MS) == "nile"
    assert partner_of(certificate(SAFFRON, "saffron"), AUTHORITIES, now_ms=NOW_MS) == "saffron"


def test_a_partners_authority_cannot_speak_in_another_partners_name() -> None:
    with pytest.raises(PeerRefused, match="authority of the partner"):
        partner_of(certificate(NILE, "saffron"), AUTHORITIES, now_ms=NOW_MS)


def test_an_authority_of_the_same_name_is_not_the_same_authority() -> None:
    twin = new_authority("nile", now_ms=NOW_MS)
    with pytest.raises(PeerRefused, match="authority of the partner"):
        partner_of(certificate(twin, "nile"), AUTHORITIES, now_ms=NOW_MS)


def test_whoever_is_not_in_the_directory_is_no_partner() -> None:
    with pytest.raises(PeerRefused, match="no partner"):
        partner_of(certificate(NILE, "nile"), {"saffron": SAFFRON.certificate_pem}, now_ms=NOW_MS)


def test_an_expired_certificate_opens_nothing_even_on_a_connection_that_stands() -> None:
    after_ms = NOW_MS + (PEER_CERTIFICATE_DAYS + 1) * 86_400_000
    with pytest.raises(PeerRefused, match="expired"):
        partner_of(certificate(NILE, "nile"), AUTHORITIES, now_ms=after_ms)


def test_a_till_and_a_server_of_a_partner_are_no_node_of_it() -> None:
    key = new_tls_key()
    till = Caller(Role.TILL, "nile", "till-1", "north")
    shown = issue_client_certificate(NILE, signing_request(key), till, now_ms=NOW_MS, validity_days=9).pem
    with pytest.raises(PeerRefused, match="not a node"):
        partner_of(shown, AUTHORITIES, now_ms=NOW_MS)
    server = issue_server_certificate(NILE, key.public_key(), ["nile.shop"], now_ms=NOW_MS, validity_days=9)
    with pytest.raises(PeerRefused, match="not a node"):
        partner_of(server, AUTHORITIES, now_ms=NOW_MS)


def test_a_node_of_a_partner_is_no_caller_at_the_tills_port() -> None:
    with pytest.raises(CallerRefused):
        caller_from_certificate(certificate(NILE, "nile"))


@pytest.mark.parametrize(
    "pem", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", b"x" * 20_000]
)
def test_bytes_that_are_no_certificate_are_refused_in_words(pem: bytes) -> None:
    with pytest.raises(PeerRefused):
        partner_of(pem, AUTHORITIES, now_ms=NOW_MS)
    with pytest.raises(PeerRefused):
        load_peer_authority(pem)


def test_an_authority_is_exactly_one_ca_certificate() -> None:
    assert load_peer_authority(NILE.certificate_pem) == NILE.certificate
    with pytest.raises(PeerRefused, match="exactly one"):
        load_peer_authority(NILE.certificate_pem + SAFFRON.certificate_pem)
    with pytest.raises(PeerRefused, match="a CA's"):
        load_peer_authority(certificate(NILE, "nile"))


def test_the_key_of_a_peer_stays_out_of_its_repr() -> None:
    assert "PRIVATE" not in repr(new_peer_identity(NILE, "nile", now_ms=NOW_MS))
