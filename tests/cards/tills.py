"""A till of the tests: a pipe between a card and the home node, which may be honest or not."""

from collections.abc import Callable, Iterator
from itertools import count

from cards.keys import CardIdentity, Domain, KeyRing
from cards.profiles import javacard, ntag424
from cards.verification import (
    CardRecord,
    CounterWindow,
    Next,
    Proven,
    Refused,
    Sale,
    advance,
    begin,
    internal_authenticate,
)
from tests.cards.bureau import MERCHANT, NTAG, Bureau, Kind, issuer

SALE = Sale("pistachio", "till-7", 1_250_000, "IRR", b"nonce-01")
"""At a partner's till."""
START_MS = 1_000_000
_chance = count(1)

Tamper = Callable[[bytes], bytes]


def same(apdu: bytes) -> bytes:
    """An honest pipe."""
    return apdu


def a_record(kind: Kind, **changes: object) -> CardRecord:
    """The home node's record of the card that `a_members_card` makes."""
    fields: dict[str, object] = {
        "merchant": MERCHANT,
        "identity": kind.identity(),
        "key_version": 1,
        "blocked": False,
        **changes,
    }
    identity = fields["identity"]
    assert isinstance(identity, CardIdentity)
    return CardRecord(
        str(fields["merchant"]), identity, int(str(fields["key_version"])), bool(fields["blocked"])
    )


def a_ring(current: int = 1) -> KeyRing:
    """The merchant's verification keys, with those before them if there were any."""
    previous = issuer(Domain.VERIFICATION, current - 1) if current > 1 else None
    return KeyRing(issuer(Domain.VERIFICATION, current), previous)


def started(
    record: CardRecord, ring: KeyRing, sale: Sale = SALE, seen: CounterWindow | None = None
) -> Next | Refused:
    """A conversation begun with chance of its own."""
    number = next(_chance)
    return begin(
        record,
        ring,
        sale,
        session_id=number.to_bytes(16, "big"),
        rnd_a=(number * 7919).to_bytes(16, "little"),
        now_ms=START_MS,
        seen=seen,
    )


def converse(
    bureau: Bureau,
    record: CardRecord | None = None,
    ring: KeyRing | None = None,
    *,
    sale: Sale = SALE,
    to_card: Tamper = same,
    to_node: Tamper = same,
    seen: CounterWindow | None = None,
) -> Proven | Refused:
    """The whole conversation with the card on the reader, through a till that may change what it carries."""
    step: Next | Proven | Refused = started(record or a_record(bureau.kind), ring or a_ring(), sale, seen)
    bureau.card.tap()
    rounds: Iterator[int] = iter(range(10))
    while isinstance(step, Next):
        assert next(rounds) < 9, "the conversation does not end"
        answer = to_node(bureau.card.transmit(to_card(step.apdu)))
        step = advance(step.session, answer, sale, now_ms=START_MS + 100)
    return step


def nth(which: int, change: Tamper) -> Tamper:
    """Change only the so-manieth APDU that passes, counted from 1."""
    passed = count(1)
    return lambda apdu: change(apdu) if next(passed) == which else apdu


def flipped(at: int) -> Tamper:
    """Flip one bit of the byte `at`."""
    return lambda apdu: apdu[:at] + bytes((apdu[at] ^ 1,)) + apdu[at + 1 :] if at < len(apdu) else apdu


def tap_of(bureau: Bureau) -> str:
    """The address that a phone or till reads off the card."""
    assert bureau.kind is NTAG
    return ntag424.read_address(bureau.visit())


def cryptogram_of(bureau: Bureau, sale: bytes) -> bytes:
    """What the card's applet answers to a sale."""
    visit = bureau.visit()
    javacard.select_applet(visit)
    answer: bytes = visit.card.send(internal_authenticate(sale)).expect("prove the sale")
    return answer
