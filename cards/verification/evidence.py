"""What a till hands in as the proof of a card, packed into the bytes of a member proof."""

from dataclasses import dataclass

from cards.verification.applet import ANSWER_BYTES, AppletAnswer, parse_answer
from cards.verification.sale import SALE_BYTES, ProvenSale, parse_sale

MAX_EVIDENCE_BYTES = 600
SESSION_ID_BYTES = 16
_ONLINE, _APPLET, _SUN = b"\x01", b"\x02", b"\x03"


class EvidenceMalformed(Exception):
    """Bytes that are no evidence of a card."""


@dataclass(frozen=True, slots=True)
class OnlineEvidence:
    """The session in which the home node itself spoke with the card."""

    session_id: bytes


@dataclass(frozen=True, slots=True)
class AppletEvidence:
    """The sale as the till put it to the applet, and what the applet answered."""

    sale: ProvenSale
    answer: AppletAnswer


@dataclass(frozen=True, slots=True)
class SunEvidence:
    """The address of a tap."""

    address: str


Evidence = OnlineEvidence | AppletEvidence | SunEvidence


def pack_evidence(evidence: Evidence) -> bytes:
    """One byte that says which, then the rest."""
    match evidence:
        case OnlineEvidence(session_id):
            packed = _ONLINE + session_id
        case AppletEvidence(sale, answer):
            counter = answer.counter.to_bytes(4, "big")
            packed = _APPLET + sale.raw + counter + bytes((answer.key_version,)) + answer.cryptogram
        case SunEvidence(address):
            packed = _SUN + address.encode("ascii", "replace")
    return packed


def unpack_evidence(raw: bytes) -> Evidence:
    """The reverse; `EvidenceMalformed` for anything that `pack_evidence` cannot have made."""
    if not 1 < len(raw) <= MAX_EVIDENCE_BYTES:
        raise EvidenceMalformed("The proof of a card is empty or too long.")
    kind, rest = raw[:1], raw[1:]
    if kind == _ONLINE and len(rest) == SESSION_ID_BYTES:
        return OnlineEvidence(rest)
    if kind == _APPLET and len(rest) == SALE_BYTES + ANSWER_BYTES:
        answer = parse_answer(rest[SALE_BYTES:])
        if answer is not None:
            return AppletEvidence(parse_sale(rest[:SALE_BYTES]), answer)
    if kind == _SUN and rest.isascii():
        return SunEvidence(rest.decode("ascii"))
    raise EvidenceMalformed("The proof of a card is of no known kind.")
