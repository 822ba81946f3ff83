"""What a verification is about, and how it can end."""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from cards.keys import CardIdentity


class CardRefusal(StrEnum):
    """Why a card, or what it answered, is refused. The value is stable; `words` says it to a person."""

    FOREIGN_CARD = "foreign_card"
    BLOCKED_CARD = "blocked_card"
    UNKNOWN_KEY_VERSION = "unknown_key_version"
    DEFAULT_KEY = "default_key"
    CLONED_CARD = "cloned_card"
    TAMPERED = "tampered"
    BAD_CRYPTOGRAM = "bad_cryptogram"
    REPLAYED = "replayed"
    WRONG_SALE = "wrong_sale"
    EXPIRED_SESSION = "expired_session"
    SESSION_OVER = "session_over"
    CARD_BUSY = "card_busy"
    CARD_ERROR = "card_error"
    MALFORMED = "malformed"

    @property
    def words(self) -> str:
        """What happened, and what to do next."""
        return _WORDS[self]


_WORDS = {
    CardRefusal.FOREIGN_CARD: "This is not the card that it says it is. Take other means.",
    CardRefusal.BLOCKED_CARD: "The card is blocked. Its holder may ask the issuer for a new one.",
    CardRefusal.UNKNOWN_KEY_VERSION: "The card's key version is not accepted now. Its issuer renews it.",
    CardRefusal.DEFAULT_KEY: "The card holds a key that everybody knows. Keep it, and tell the issuer.",
    CardRefusal.CLONED_CARD: "The card does not show the key of the card it claims to be: a copy, it seems. "
    "Take other means.",
    CardRefusal.TAMPERED: "The card's answer was changed on its way. Take other means, and look at the till.",
    CardRefusal.BAD_CRYPTOGRAM: "The card's proof is false: a copy, or changed on its way. Take other means.",
    CardRefusal.REPLAYED: "This proof was used before. Put the card on the reader again.",
    CardRefusal.WRONG_SALE: "The proof is for another sale. Begin again with the card.",
    CardRefusal.EXPIRED_SESSION: "It took too long. Put the card on the reader again.",
    CardRefusal.SESSION_OVER: "This exchange with the card is over. Put the card on the reader again.",
    CardRefusal.CARD_BUSY: "The card makes us wait after failed tries. Leave it there, and try again.",
    CardRefusal.CARD_ERROR: "The card could not do it. Put it on the reader again.",
    CardRefusal.MALFORMED: "What came from the card cannot be read. Put it on the reader again.",
}


class Method(StrEnum):
    """How it was proved."""

    ONLINE = "online"
    APPLET = "applet"
    SUN = "sun"


@dataclass(frozen=True, slots=True)
class CardRecord:
    """What the home node knows of one card since its enrolment."""

    merchant: str
    """The issuer: the home node's own merchant."""
    identity: CardIdentity
    key_version: int
    """The least version that the card is known to hold: one that was renewed does not go back."""
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """It ends here. Nothing was proved, and nothing may be done on the strength of it."""

    reason: CardRefusal


@dataclass(frozen=True, slots=True)
class Proven:
    """The card was there. `sale_digest` is of the sale that it proved; None for a tap, which proves no sale.

    `counter` must be compared and set by the caller, in one transaction with what it does on the strength of
    this; None online, where the session itself is used up.
    """

    method: Method
    merchant: str
    alias: str
    key_version: int
    sale_digest: bytes | None
    counter: int | None
    proof_id: bytes
    """16 bytes that no other proof of any card has: for consuming it durably."""


def proof_id(method: Method, record: CardRecord, unique: bytes) -> bytes:
    """The name of a proof, from what is never used twice."""
    parts = (method.value.encode(), record.merchant.encode(), record.identity.alias.encode(), unique)
    return sha256(b"vafa card proof v1\0" + b"\0".join(parts)).digest()[:16]
