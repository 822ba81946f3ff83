"""How each key comes from the one above it.

A merchant has two issuer keys per version. The one for *management* opens cards to be written and is used by
bureaux alone; the one for *verification* proves sales and taps and is the only one that a node holds. Neither
comes from the other, so a node that is broken into cannot rewrite a card.
"""

import re
from dataclasses import dataclass
from enum import Enum, unique
from hashlib import sha256

from cards.crypto import MAX_INPUT_BYTES, CardKey, diversify

MIN_KEY_VERSION, MAX_KEY_VERSION = 1, 127
"""GlobalPlatform's range; 0 is what a factory leaves, and one range for all cards keeps reports readable."""

RETIRED_VERSION_BIT = 0x80
"""A retired card's keys have their issuer key's version with this bit, which no living key has."""

MAX_ALIAS_CHARACTERS = 16
_ALIAS = re.compile(rf"[0-9A-Z]{{1,{MAX_ALIAS_CHARACTERS}}}")
_MERCHANT = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_ISSUER_TAG = b"V"
_ISSUER_WIDE = b"issuer"


class Domain(Enum):
    """What an issuer key is for."""

    MANAGEMENT = 1
    VERIFICATION = 2


@unique
class Purpose(Enum):
    """What a card key does. The value enters the derivation and never changes its meaning."""

    MASTER = 0x01
    """Key 0 of an NTAG, or of the DESFire application: the one that lets a bureau back in."""
    PICC_MASTER = 0x02
    SPARE = 0x03
    RETIRED = 0x04
    """What a retired card holds in place of its verification keys."""
    CHANNEL_ENC = 0x11
    CHANNEL_MAC = 0x12
    CHANNEL_DEK = 0x13
    SALE = 0x41
    """Proves a sale: key 1 of NTAG and DESFire, the key of the loyalty applet."""
    TAP_META = 0x42
    """Opens encrypted taps. One for all cards of an issuer: whose tap it is, is known only after opening
    it.
    """
    TAP_MAC = 0x43

    @property
    def domain(self) -> Domain:
        """The domain whose issuer key it comes from."""
        return Domain.VERIFICATION if self.value >= Purpose.SALE.value else Domain.MANAGEMENT

    @property
    def is_issuer_wide(self) -> bool:
        """Whether all cards of an issuer share it."""
        return self is Purpose.TAP_META


class CardProfile(Enum):
    """The three kinds of card."""

    NTAG424 = 1
    DESFIRE = 2
    JAVACARD = 3

    @property
    def uid_bytes(self) -> int:
        """The length of what names the chip: an ISO 14443 UID, or GlobalPlatform's key diversification
        data.
        """
        return 10 if self is CardProfile.JAVACARD else 7


@dataclass(frozen=True, slots=True)
class CardIdentity:
    """What names one card: its chip and its alias, which is 1 to 16 digits and capital letters."""

    profile: CardProfile
    uid: bytes
    alias: str

    def __post_init__(self) -> None:
        if len(self.uid) != self.profile.uid_bytes:
            raise ValueError(f"the chip of this kind of card is named by {self.profile.uid_bytes} bytes")
        if not _ALIAS.fullmatch(self.alias):
            raise ValueError(f"a card alias is 1 to {MAX_ALIAS_CHARACTERS} digits and capital letters")


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """One merchant's key of one domain and version."""

    merchant: str
    domain: Domain
    version: int
    key: CardKey

    def __post_init__(self) -> None:
        _check_version(self.version)


def issuer_input(merchant: str, domain: Domain, version: int) -> bytes:
    """AN10922's input for an issuer key: for a master key that its store keeps to itself
    (`diversify_with`).
    """
    _check_version(version)
    if not _MERCHANT.fullmatch(merchant):
        raise ValueError("a merchant's id is up to 40 small letters, digits and hyphens")
    head = _ISSUER_TAG + bytes((domain.value, version))
    # A merchant's id may be longer than the input; its hash is not.
    return head + sha256(merchant.encode("ascii")).digest()[: MAX_INPUT_BYTES - len(head)]


def card_input(purpose: Purpose, identity: CardIdentity | None) -> bytes:
    """AN10922's input for a card's key. No identity for issuer-wide purposes, and for those alone."""
    if purpose.is_issuer_wide != (identity is None):
        raise ValueError(f"{purpose.name} is {'issuer-wide' if purpose.is_issuer_wide else 'of one card'}")
    if identity is None:
        return bytes((purpose.value, 0)) + _ISSUER_WIDE
    return bytes((purpose.value, identity.profile.value)) + identity.uid + identity.alias.encode("ascii")


def issuer_key(master: CardKey, merchant: str, domain: Domain, version: int) -> IssuerKey:
    """A merchant's issuer key, from the coalition's master key. NTAG and DESFire need a hierarchy of 128
    bits.
    """
    return IssuerKey(merchant, domain, version, diversify(master, issuer_input(merchant, domain, version)))


def card_key(issuer: IssuerKey, purpose: Purpose, identity: CardIdentity) -> CardKey:
    """One card's key. `ValueError` if the issuer key is of the other domain."""
    return _derived(issuer, purpose, identity)


def issuer_wide_key(issuer: IssuerKey, purpose: Purpose) -> CardKey:
    """A key that all cards of an issuer and version share."""
    return _derived(issuer, purpose, None)


def _derived(issuer: IssuerKey, purpose: Purpose, identity: CardIdentity | None) -> CardKey:
    if purpose.domain is not issuer.domain:
        raise ValueError(f"{purpose.name} does not come from a key for {issuer.domain.name.lower()}")
    return diversify(issuer.key, card_input(purpose, identity))


def _check_version(version: int) -> None:
    if not MIN_KEY_VERSION <= version <= MAX_KEY_VERSION:
        raise ValueError(f"key versions run from {MIN_KEY_VERSION} to {MAX_KEY_VERSION}")
