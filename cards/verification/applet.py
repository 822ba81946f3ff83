"""The loyalty applet's cryptogram, made at a till without a node and verified at home
(`docs/cards/applet.md`).
"""

from dataclasses import dataclass

from cards.apdu import Command
from cards.crypto import CardKey, cmac, equal_in_constant_time
from cards.keys import KeyRing, Purpose, card_key, well_known_keys
from cards.verification.counters import CounterWindow
from cards.verification.outcome import CardRecord, CardRefusal, Method, Proven, Refused, proof_id
from cards.verification.records import accepted_issuer, refused_record
from cards.verification.sale import SALE_BYTES, ExpectedSale, ProvenSale, sale_digest

_FORMAT = b"\x01"
_ALIAS_BYTES = 16
_COUNTER_BYTES, _CRYPTOGRAM_BYTES = 4, 16
ANSWER_BYTES = _COUNTER_BYTES + 1 + _CRYPTOGRAM_BYTES


@dataclass(frozen=True, slots=True)
class AppletAnswer:
    """What the applet answers to INTERNAL AUTHENTICATE."""

    counter: int
    key_version: int
    cryptogram: bytes


def internal_authenticate(sale: bytes) -> Command:
    """The command that asks the applet to prove a sale."""
    if len(sale) != SALE_BYTES:
        raise ValueError(f"a sale has {SALE_BYTES} bytes")
    return Command(0x00, 0x88, 0, 0, sale, le=256, name="prove the sale")


def parse_answer(data: bytes) -> AppletAnswer | None:
    """Read the applet's answer; None if it is no such answer."""
    if len(data) != ANSWER_BYTES:
        return None
    return AppletAnswer(
        int.from_bytes(data[:_COUNTER_BYTES], "big"), data[_COUNTER_BYTES], data[_COUNTER_BYTES + 1 :]
    )


def cryptogram(key: CardKey, alias: str, counter: int, key_version: int, sale: bytes) -> bytes:
    """What the applet computes."""
    head = _FORMAT + alias.encode("ascii").ljust(_ALIAS_BYTES, b"\0")
    return cmac(key, head + counter.to_bytes(_COUNTER_BYTES, "big") + bytes((key_version,)) + sale)


def verify_applet(
    record: CardRecord,
    ring: KeyRing,
    sale: ProvenSale,
    answer: AppletAnswer,
    expected: ExpectedSale,
    seen: CounterWindow,
) -> Proven | Refused:
    """Whether the card of `record` proved `expected`, with a counter that `seen` does not have.

    The caller keeps `seen.with_counter(proven.counter)` in one transaction with what it does. `ring` holds
    the merchant's verification keys.
    """
    if (refused := refused_record(record, ring)) is not None:
        return refused
    issuer = accepted_issuer(record, ring, answer.key_version)
    if isinstance(issuer, Refused):
        return issuer
    key = card_key(issuer, Purpose.SALE, record.identity)
    if not _is_of(key, record, sale, answer):
        known = any(_is_of(default, record, sale, answer) for default in well_known_keys())
        return Refused(CardRefusal.DEFAULT_KEY if known else CardRefusal.BAD_CRYPTOGRAM)
    if not sale.is_for(expected):
        return Refused(CardRefusal.WRONG_SALE)
    if seen.has(answer.counter):
        return Refused(CardRefusal.REPLAYED)
    return Proven(
        method=Method.APPLET,
        merchant=record.merchant,
        alias=record.identity.alias,
        key_version=issuer.version,
        sale_digest=sale_digest(sale.raw),
        counter=answer.counter,
        proof_id=proof_id(Method.APPLET, record, answer.counter.to_bytes(_COUNTER_BYTES, "big")),
    )


def _is_of(key: CardKey, record: CardRecord, sale: ProvenSale, answer: AppletAnswer) -> bool:
    made = cryptogram(key, record.identity.alias, answer.counter, answer.key_version, sale.raw)
    return equal_in_constant_time(made, answer.cryptogram)
