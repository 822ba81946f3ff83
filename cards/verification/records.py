"""Checks that every way of proving begins with."""

from cards.keys import RETIRED_VERSION_BIT, Domain, IssuerKey, KeyRing
from cards.verification.outcome import CardRecord, CardRefusal, Refused


def refused_record(record: CardRecord, ring: KeyRing) -> Refused | None:
    """The refusal of a card that is blocked, or of another merchant than the keys."""
    if ring.domain is not Domain.VERIFICATION:
        raise ValueError(
            "sales are verified with verification keys; management keys have no business at a node"
        )
    if record.merchant != ring.merchant:
        return Refused(CardRefusal.FOREIGN_CARD)
    return Refused(CardRefusal.BLOCKED_CARD) if record.blocked else None


def accepted_issuer(record: CardRecord, ring: KeyRing, version: int) -> IssuerKey | Refused:
    """The issuer key of the version that a card says it holds: this one or the one before, and never back."""
    if version == 0:
        return Refused(CardRefusal.DEFAULT_KEY)
    if version & RETIRED_VERSION_BIT:
        return Refused(CardRefusal.BLOCKED_CARD)
    issuer = ring.of_version(version)
    if issuer is None or version < record.key_version:
        return Refused(CardRefusal.UNKNOWN_KEY_VERSION)
    return issuer
