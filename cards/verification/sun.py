"""A tap, verified at home (NT4H2421Gx 9.3). It proves the card and no sale: a harvested tap is good until the
next.
"""

from cards.crypto import CardKey
from cards.keys import IssuerKey, KeyRing, Purpose, card_key, issuer_wide_key, well_known_keys
from cards.sun import PiccData, SunLayout, Tap, TapMalformed, mac_is_right, open_picc_data, parse_tap
from cards.verification.outcome import CardRecord, CardRefusal, Method, Proven, Refused, proof_id
from cards.verification.records import accepted_issuer, refused_record

_LAYOUT = SunLayout()


def verify_sun(address: str, record: CardRecord, ring: KeyRing, last_counter: int) -> Proven | Refused:
    """Whether the card of `record` made this tap, later than the one counted `last_counter` (0 before the
    first).

    The caller sets the counter from `last_counter` to `proven.counter` in one transaction with what it does,
    and begins again if another tap came between: of two that race, one is REPLAYED.
    """
    if (refused := refused_record(record, ring)) is not None:
        return refused
    try:
        tap = parse_tap(address, _LAYOUT)
    except TapMalformed:
        return Refused(CardRefusal.MALFORMED)
    if (tap.issuer, tap.alias) != (record.merchant, record.identity.alias):
        return Refused(CardRefusal.FOREIGN_CARD)
    opened = _opened(tap, record, ring)
    if opened is None:
        return Refused(CardRefusal.DEFAULT_KEY if _is_of_a_default(tap) else CardRefusal.FOREIGN_CARD)
    issuer, picc, counter = opened
    accepted = accepted_issuer(record, ring, issuer.version)
    if isinstance(accepted, Refused):
        return accepted
    if not mac_is_right(card_key(issuer, Purpose.TAP_MAC, record.identity), picc, tap.covered, tap.mac):
        # The PICC data is this card's, so only what stands beside it can have been changed.
        return Refused(CardRefusal.TAMPERED)
    if counter <= last_counter:
        return Refused(CardRefusal.REPLAYED)
    return Proven(
        method=Method.SUN,
        merchant=record.merchant,
        alias=record.identity.alias,
        key_version=issuer.version,
        sale_digest=None,
        counter=counter,
        proof_id=proof_id(Method.SUN, record, counter.to_bytes(4, "big")),
    )


def _opened(tap: Tap, record: CardRecord, ring: KeyRing) -> tuple[IssuerKey, PiccData, int] | None:
    for issuer in ring:
        picc = _picc(issuer_wide_key(issuer, Purpose.TAP_META), tap)
        # The UID is the proof that the key was the right one.
        if picc is not None and picc.uid == record.identity.uid and picc.counter is not None:
            return issuer, picc, picc.counter
    return None


def _is_of_a_default(tap: Tap) -> bool:
    for meta in well_known_keys():
        picc = _picc(meta, tap)
        if picc is not None and any(
            mac_is_right(key, picc, tap.covered, tap.mac) for key in well_known_keys()
        ):
            return True
    return False


def _picc(meta: CardKey, tap: Tap) -> PiccData | None:
    return open_picc_data(meta, tap.encrypted_picc or b"")
