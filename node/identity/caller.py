"""Who calls: read from the SAN URI of a client certificate that this node's own CA issued.

The TLS handshake has already proved the chain and the key. What is left to decide here is who that is, and
whether this certificate is still good at this moment: a connection may outlive the certificate it began with.
"""

import re
from collections.abc import Set
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from node.config import SLUG_PATTERN

MAX_CACHED_CERTIFICATES = 4096
"""Certificates whose reading is remembered; more tills than that at once only cost another parse."""

_MAX_PEM_BYTES = 16_384
_SLUG = re.compile(SLUG_PATTERN)
_URI = re.compile(
    rf"vafa://merchant/(?P<merchant>{SLUG_PATTERN})/(?:store/(?P<store>{SLUG_PATTERN})/)?"
    rf"(?P<role>[a-z]+)/(?P<id>{SLUG_PATTERN})"
)


class Role(Enum):
    """What a caller is; the value is the word in its URI. Which methods a role may call is decided in rpc."""

    TILL = "terminal"
    """One terminal of one store."""
    GATEWAY = "gateway"
    """A switch of the POS vendor that acts for the tills listed for it."""
    STAFF = "staff"
    """A person of the merchant; what that person may do beyond the role is the control store's to say."""
    READER = "reader"
    """A system that follows the feed and changes nothing."""
    ADMIN = "admin"
    """The command line at the node itself, with the certificate that `vafa init` made."""


class CallerRefused(ValueError):
    """A certificate or URI that names no caller of this node. The text is safe to log and to send back."""


class CertificateRefusal(Enum):
    """Why a certificate that reads well is not, or no longer, good here."""

    WRONG_MERCHANT = "the certificate was made for another merchant's node"
    EXPIRED = "the certificate has expired; enrol again with a new one-time code"
    REVOKED = "the certificate was revoked; ask the merchant for a new one-time code"


@dataclass(frozen=True, slots=True)
class Caller:
    """A till, gateway, person, reader or command line of one merchant, by names in certificate form.

    `serial` (lower-case hex) and `not_after_ms` tell of the certificate that it came with; they are no part
    of who it is, so that a till equals itself after a renewal. Names of another form are `CallerRefused`, and
    so is a store for anything but a till, or a till without one.
    """

    role: Role
    merchant: str
    id: str
    store: str = ""
    serial: str = field(default="", compare=False)
    not_after_ms: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        names = [self.merchant, self.id, *([self.store] if self.store or self.role is Role.TILL else [])]
        if not all(_SLUG.fullmatch(name) for name in names):
            raise CallerRefused(
                "A name in a certificate is 1 to 40 of a-z, 0-9 and hyphen, not starting with a hyphen."
            )
        if bool(self.store) != (self.role is Role.TILL):
            raise CallerRefused("A terminal belongs to a store, and nothing else does.")

    @property
    def uri(self) -> str:
        """The SAN URI, such as `vafa://merchant/m/store/s/terminal/t` or `vafa://merchant/m/staff/p`."""
        store = f"/store/{self.store}" if self.store else ""
        return f"vafa://merchant/{self.merchant}{store}/{self.role.value}/{self.id}"


def caller_from_uri(uri: str) -> Caller:
    """The caller that `Caller.uri` wrote, and nothing that merely resembles it: `CallerRefused`.

    No percent-encoding, user part, port, query, fragment, upper case or letter beyond ASCII is known, so one
    caller has exactly one spelling.
    """
    matched = _URI.fullmatch(uri)
    if matched is None:
        raise CallerRefused("The URI in the certificate is not one that a Vafa node writes.")
    try:
        role = Role(matched["role"])
    except ValueError:
        raise CallerRefused("The URI in the certificate names no role that this node knows.") from None
    return Caller(role, matched["merchant"], matched["id"], matched["store"] or "")


@lru_cache(maxsize=MAX_CACHED_CERTIFICATES)
def caller_from_certificate(pem: bytes) -> Caller:
    """Who presents this client certificate, as PEM from the TLS layer, which has verified chain and key.

    Exactly one SAN and that a caller's URI, for client authentication, not a CA: else `CallerRefused`.
    Whether it is still valid is `certificate_refusal`'s to say, call by call. Costs a look-up for a
    certificate already seen, ~100 microseconds for a new one.
    """
    if len(pem) > _MAX_PEM_BYTES:
        raise CallerRefused("The certificate is larger than any that this node issues.")
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        extensions = certificate.extensions
        names = list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise CallerRefused("The certificate is not of the form that this node issues to callers.") from None
    if constraints.ca or ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
        raise CallerRefused("The certificate was not issued for a caller.")
    if len(names) != 1 or not isinstance(names[0], x509.UniformResourceIdentifier):
        raise CallerRefused("The certificate does not name exactly one caller.")
    known = caller_from_uri(names[0].value)
    not_after_ms = int(certificate.not_valid_after_utc.timestamp()) * 1000
    return Caller(
        known.role,
        known.merchant,
        known.id,
        known.store,
        serial_text(certificate.serial_number),
        not_after_ms,
    )


def certificate_refusal(
    caller: Caller, *, merchant: str, now_ms: int, revoked: Set[str]
) -> CertificateRefusal | None:
    """Why this caller's certificate is not good for this call, or None. For every call, not every connection.

    `revoked` holds the serials that were withdrawn before they expired. A caller that came without a
    certificate counts as expired. A certificate from the future is the handshake's to refuse.
    """
    if caller.merchant != merchant:
        return CertificateRefusal.WRONG_MERCHANT
    if now_ms > caller.not_after_ms:
        return CertificateRefusal.EXPIRED
    if caller.serial in revoked:
        return CertificateRefusal.REVOKED
    return None


def serial_text(serial_number: int) -> str:
    """A certificate's serial number as this node writes it everywhere: lower-case hex of its 20 bytes."""
    return f"{serial_number:040x}"
