"""What a card says of itself to anybody: whose card it is and its alias, so that a far till finds the home
node.
"""

import re
from dataclasses import dataclass

from cards.apdu import CardError

TAG_ISSUER, TAG_ALIAS = 0xDF21, 0xDF22
MAX_ISSUER_CHARACTERS, MAX_ALIAS_CHARACTERS = 40, 16
MAX_LABEL_BYTES = 64
_ISSUER = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_ALIAS = re.compile(r"[0-9A-Z]{1,16}")


class LabelUnreadable(CardError):
    """The card carries no label of this coalition's kind: blank, foreign or damaged."""


@dataclass(frozen=True, slots=True)
class CardLabel:
    """The issuer's merchant id, and the card's alias."""

    issuer: str
    alias: str

    def __post_init__(self) -> None:
        if not _ISSUER.fullmatch(self.issuer) or not _ALIAS.fullmatch(self.alias):
            raise ValueError("a label is a merchant's id and an alias of up to 16 digits and capital letters")

    def encode(self) -> bytes:
        """Two tag-length-value objects, as the applet and DESFire's file hold them."""
        return tlv(TAG_ISSUER, self.issuer.encode("ascii")) + tlv(TAG_ALIAS, self.alias.encode("ascii"))


def label_of(issuer: str | None, alias: str | None) -> CardLabel:
    """The label that a card claims, if it is one; `LabelUnreadable` otherwise."""
    try:
        return CardLabel(issuer or "", alias or "")
    except ValueError:
        raise LabelUnreadable("The card carries no label of this coalition.") from None


def parse_label(raw: bytes) -> CardLabel:
    """Read what `encode` made, trailing zeros allowed; `LabelUnreadable` for anything else."""
    values: dict[int, str] = {}
    rest = raw.rstrip(b"\0")
    while rest:
        tag, value, rest = take_tlv(rest)
        if tag in values or not value.isascii():
            raise LabelUnreadable("The card carries no label of this coalition.")
        values[tag] = value.decode("ascii")
    return label_of(values.get(TAG_ISSUER), values.get(TAG_ALIAS))


def tlv(tag: int, value: bytes) -> bytes:
    """An object with a tag of one or two bytes and a short length."""
    if len(value) > 0x7F:
        raise ValueError("a value of at most 127 bytes was expected")
    return tag.to_bytes(2 if tag > 0xFF else 1, "big") + bytes((len(value),)) + value


def take_tlv(raw: bytes) -> tuple[int, bytes, bytes]:
    """Tag, value, and what follows; tags of one or two bytes, lengths short, 81 or 82 (ISO/IEC 8825-1)."""
    two = len(raw) > 1 and raw[0] & 0x1F == 0x1F
    head = 2 if two else 1
    size, at = (raw[head], head + 1) if len(raw) > head else (0xFF, head)
    if size in (0x81, 0x82):
        wide = size & 0x0F
        size, at = int.from_bytes(raw[at : at + wide], "big"), at + wide
    elif size > 0x7F:
        raise LabelUnreadable("The card's data is not in tag-length-value form.")
    if len(raw) < at + size:
        raise LabelUnreadable("The card's data is shorter than it says.")
    return int.from_bytes(raw[:head], "big"), raw[at : at + size], raw[at + size :]
