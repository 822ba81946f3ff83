"""Who is at the other end of a connection between two nodes, whose authorities differ.

Each merchant's own authority issues its node's peer certificate; the signed directory says which authority is
whose. A dialling node pins the partner's authority and its name. A dialled node trusts the authorities of all
partners at once, and any of them could issue a certificate in another's name: so the name in the certificate
and the authority that issued it are compared here (RFC 5280, section 6.1, for a path of one certificate).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID

from node.config import SLUG_PATTERN
from node.identity.ca import Authority, issue_peer_certificate
from node.identity.keys import new_tls_key, private_key_pem

PEER_CERTIFICATE_DAYS = 825
MAX_AUTHORITY_BYTES = 16_384
MAX_CACHED_PEERS = 512
"""Certificates whose reading is remembered; more partners than that only cost another parse."""

_URI = re.compile(rf"vafa://merchant/({SLUG_PATTERN})/node")
_MAX_PEM_BYTES = 16_384


class PeerRefused(ValueError):
    """A certificate that is no partner's. The text is safe to log and to send back."""


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """By what this node shows itself to partners, dialling and dialled: a fresh key and its certificate."""

    partner_id: str
    key_pem: bytes = field(repr=False)
    certificate_pem: bytes


@dataclass(frozen=True, slots=True)
class _Shown:
    partner_id: str
    certificate: x509.Certificate
    not_after_ms: int


def peer_host_name(partner_id: str) -> str:
    """The DNS name in a partner's certificate: no host's, so that a node may move without a new one."""
    return f"{partner_id}.node.vafa.invalid"


def new_peer_identity(authority: Authority, partner_id: str, *, now_ms: int) -> PeerIdentity:
    """A fresh key with its certificate, made at every start: nothing of it is kept on disk."""
    key = new_tls_key()
    names: list[x509.GeneralName] = [
        x509.DNSName(peer_host_name(partner_id)),
        x509.UniformResourceIdentifier(f"vafa://merchant/{partner_id}/node"),
    ]
    certificate = issue_peer_certificate(
        authority, key.public_key(), partner_id, names, now_ms=now_ms, validity_days=PEER_CERTIFICATE_DAYS
    )
    return PeerIdentity(partner_id, private_key_pem(key), certificate)


def load_peer_authority(pem: bytes) -> x509.Certificate:
    """A merchant's authority as the directory or a join request has it; `PeerRefused` for anything else."""
    if len(pem) > MAX_AUTHORITY_BYTES:
        raise PeerRefused(f"An authority's certificate has at most {MAX_AUTHORITY_BYTES} bytes.")
    try:
        certificates = x509.load_pem_x509_certificates(pem)
        constraints = [
            one.extensions.get_extension_for_class(x509.BasicConstraints).value for one in certificates
        ]
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        raise PeerRefused("The authority is not an X.509 certificate in PEM.") from None
    if len(certificates) != 1 or not constraints[0].ca:
        raise PeerRefused("The authority must be exactly one certificate, and a CA's.")
    return certificates[0]


def partner_of(certificate_pem: bytes, authorities: Mapping[str, bytes], *, now_ms: int) -> str:
    """Which partner shows this certificate, as PEM from the TLS layer; `PeerRefused` where it is none.

    `authorities` are the partners' authorities in PEM, by partner id. Checked for every call, since a
    connection may outlive its certificate and the partner's place in the directory. A till's or a person's
    certificate of the same authority is no node's and is refused.
    """
    shown = _read(certificate_pem)
    authority_pem = authorities.get(shown.partner_id)
    if authority_pem is None:
        raise PeerRefused("The certificate names no partner of this coalition.")
    if not _issued_by(certificate_pem, authority_pem):
        raise PeerRefused("The certificate was not issued by the authority of the partner that it names.")
    if now_ms > shown.not_after_ms:
        raise PeerRefused("The certificate has expired; restart the node that showed it.")
    return shown.partner_id


@lru_cache(maxsize=MAX_CACHED_PEERS)
def _read(pem: bytes) -> _Shown:
    if len(pem) > _MAX_PEM_BYTES:
        raise PeerRefused("The certificate is larger than any that a node issues.")
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        extensions = certificate.extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise PeerRefused("The certificate is not of the form that nodes issue to themselves.") from None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    matched = _URI.fullmatch(uris[0]) if len(uris) == 1 else None
    if matched is None or constraints.ca or ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
        raise PeerRefused("The certificate is not a node's.")
    return _Shown(matched[1], certificate, int(certificate.not_valid_after_utc.timestamp()) * 1000)


@lru_cache(maxsize=MAX_CACHED_PEERS)
def _issued_by(certificate_pem: bytes, authority_pem: bytes) -> bool:
    try:
        _read(certificate_pem).certificate.verify_directly_issued_by(load_peer_authority(authority_pem))
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):  # PeerRefused is a ValueError
        return False
    return True
