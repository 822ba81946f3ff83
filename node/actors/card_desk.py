"""Chip cards at a shard: what is known of each, the conversations with them, and what they prove.

A card's record lies in its account's partition and changes in the batch of what it proved, so that of two
proofs with one counter one is refused. Conversations are in memory alone: a shard that restarts has forgotten
them, and the card is put on the reader again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING

from msgspec.structs import replace

from cards.keys import CardIdentity, CardKey, CardProfile, Domain, IssuerKey, KeyRing
from cards.verification import (
    PROOF_TTL_MS,
    AppletEvidence,
    CardRecord,
    CardRefusal,
    CounterWindow,
    Evidence,
    EvidenceMalformed,
    ExpectedSale,
    Next,
    OnlineEvidence,
    OnlineSessions,
    Proven,
    Sale,
    SunEvidence,
    begin,
    pack_evidence,
    unpack_evidence,
    verify_applet,
    verify_sun,
)
from cards.verification import Refused as CardRefused
from node.coalition.proofs import TAP_LIMIT
from node.ledger.days import local_date
from node.ledger.refusals import Reason, Refused, refuse
from node.storage.card_keys import card_key
from node.wire.cards import CARD, CardEntry, Chip, ChipState

if TYPE_CHECKING:
    from node.actors.card_spec import CardsSpec
    from node.actors.work import Work

_NAME = re.compile("[a-z_]{1,40}")
_EPOCH = date(1970, 1, 1)
_ID_BYTES, _NONCE_BYTES = 16, 8
DIRECT_PROOF_MS = 86_400_000
"""How long a used cryptogram is remembered besides its counter, which alone keeps it out for good."""


class CardDesk:
    """The cards of one shard. `entropy` gives random bytes."""

    def __init__(self, spec: CardsSpec, time_zone: str, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._time_zone = time_zone
        self._entropy = entropy
        self._sessions = OnlineSessions()
        self.follow(spec)

    def follow(self, spec: CardsSpec) -> None:
        """Takes other keys and bounds into use; a conversation that was begun ends with those it had."""
        issuers = [
            IssuerKey(spec.merchant, Domain.VERIFICATION, version, CardKey(raw)) for version, raw in spec.keys
        ]
        self._spec = spec
        self._ring = KeyRing(*issuers)

    # --- conversations -------------------------------------------------------------------------------------

    def begin(
        self, found: CardEntry, acquirer: str, terminal: str, units: int, unit: str, now_ms: int
    ) -> tuple[bytes, bytes] | Refused:
        """The session and the first command for the card, about one spend."""
        sale = Sale(acquirer, terminal, units, unit, self._entropy(_NONCE_BYTES))
        begun = begin(
            self._record(found), self._ring, sale,
            session_id=self._entropy(_ID_BYTES), rnd_a=self._entropy(_ID_BYTES), now_ms=now_ms,
            seen=CounterWindow(found.counter, found.seen),
        )  # fmt: skip
        if isinstance(begun, CardRefused):
            return card_refused(begun.reason)
        full = self._sessions.add(begun, now_ms=now_ms)
        if full is not None:
            return card_refused(full.reason)
        return begun.session.session_id, begun.apdu

    def go_on(
        self,
        session_id: bytes,
        answer: bytes,
        acquirer: str,
        terminal: str,
        units: int,
        unit: str,
        now_ms: int,
    ) -> bytes | Proven | Refused:
        """The next command, or what the card proved."""
        sale = self._sessions.sale_of(session_id)
        asked = (acquirer, terminal, units, unit)
        same = sale is not None and (sale.acquirer, sale.terminal, sale.amount, sale.unit) == asked
        if sale is None or not same:
            return card_refused(CardRefusal.SESSION_OVER if sale is None else CardRefusal.WRONG_SALE)
        step = self._sessions.answer(session_id, answer, sale, now_ms=now_ms)
        if isinstance(step, CardRefused):
            return card_refused(step.reason)
        return step.apdu if isinstance(step, Next) else step

    # --- proofs --------------------------------------------------------------------------------------------

    def proved(
        self, found: CardEntry, raw: bytes, expected: ExpectedSale, now_ms: int
    ) -> CardEntry | Refused:
        """The card's record after it proved a spend with the evidence `raw`; or the refusal, by name.

        The record is to be kept in the batch of what is done on the strength of it.
        """
        try:
            evidence = unpack_evidence(raw)
        except EvidenceMalformed:
            return card_refused(CardRefusal.MALFORMED)
        proven = self._verified(found, evidence, expected, now_ms)
        if isinstance(proven, CardRefused):
            return card_refused(proven.reason)
        if proven.alias != found.chip.number:
            return card_refused(CardRefusal.FOREIGN_CARD)
        if isinstance(evidence, SunEvidence):
            return self._tapped(found, proven, expected.amount, now_ms)
        after = self._renewed(found, proven)
        if proven.counter is None:
            return after
        window = CounterWindow(found.counter, found.seen)
        if window.has(proven.counter):
            return card_refused(CardRefusal.REPLAYED)
        window = window.with_counter(proven.counter)
        return replace(after, counter=window.highest, seen=window.seen)

    def _verified(
        self, found: CardEntry, evidence: Evidence, expected: ExpectedSale, now_ms: int
    ) -> Proven | CardRefused:
        record = self._record(found)
        match evidence:
            case OnlineEvidence(session_id):
                proven = self._sessions.claim(
                    session_id, expected.acquirer, expected.amount, expected.unit, now_ms=now_ms
                )
                blocked = record.blocked and isinstance(proven, Proven)
                return CardRefused(CardRefusal.BLOCKED_CARD) if blocked else proven
            case AppletEvidence(sale, answer):
                seen = CounterWindow(found.counter, found.seen)
                return verify_applet(record, self._ring, sale, answer, expected, seen)
            case SunEvidence(address):
                return verify_sun(address, record, self._ring, found.tap)

    def _tapped(self, found: CardEntry, proven: Proven, units: int, now_ms: int) -> CardEntry | Refused:
        """A tap proves no sale, so it spends little: in one go, and in a local day."""
        day = (local_date(now_ms, self._time_zone) - _EPOCH).days
        before = found.tap_units if found.tap_day == day else 0
        if units > self._spec.tap_transaction_units or before + units > self._spec.tap_day_units:
            return _above_tap_limit(
                transaction_units=self._spec.tap_transaction_units,
                left_units=max(0, self._spec.tap_day_units - before),
            )
        assert proven.counter is not None, "a tap has a counter"
        after = self._renewed(found, proven)
        return replace(after, tap=proven.counter, tap_day=day, tap_units=before + units)

    def _renewed(self, found: CardEntry, proven: Proven) -> CardEntry:
        """A card that proved with a newer key never goes back to the one before."""
        if proven.key_version <= found.chip.key_version:
            return found
        return replace(found, chip=replace(found.chip, key_version=proven.key_version))

    def _record(self, found: CardEntry) -> CardRecord:
        chip = found.chip
        identity = CardIdentity(CardProfile(chip.profile), chip.uid, chip.number)
        blocked = chip.state is not ChipState.ACTIVE
        return CardRecord(self._spec.merchant, identity, chip.key_version, blocked)


def card_of(work: Work, partition: int, account_id: bytes, digest: bytes) -> CardEntry | None:
    """The record of the card by whose number an account was named; None where it has no chip."""
    if not digest:
        return None
    data = work.get(card_key(partition, account_id, digest))
    return None if data is None else CARD.decode(data)


def noted(before: CardEntry | None, chip: Chip) -> CardEntry | Refused:
    """A card's record after what a bureau or staff say of it.

    Counters stay with the chip. What is retired stays so, and the key version never goes back.
    """
    if before is None or before.chip.uid != chip.uid:
        if before is not None and before.chip.state is ChipState.ACTIVE:
            return refuse(
                Reason.IDENTIFIER_TAKEN, "Another chip has this number. Retire that one first, or block it."
            )
        return CardEntry(chip)
    if before.chip.state is ChipState.RETIRED and chip.state is not ChipState.RETIRED:
        return refuse(Reason.INVALID_ARGUMENT, "This chip was retired, and is never used again.")
    if chip.key_version < before.chip.key_version:
        return refuse(
            Reason.INVALID_ARGUMENT, "The card holds a newer key version already.", field="card.key_version"
        )
    return replace(before, chip=chip)


def card_refused(reason: CardRefusal) -> Refused:
    """A card's refusal as a till gets it: in words, with its name in `card`."""
    return refuse(Reason.PROOF_REFUSED, f"{reason.words} Nothing was taken.", card=reason.value)


def card_refused_by_name(name: str) -> Refused:
    """The same for a refusal that another node gave by its name, in words where the name is known here."""
    if name == TAP_LIMIT:
        return _above_tap_limit()
    if name in CardRefusal.__members__.values():
        return card_refused(CardRefusal(name))
    text = "The card's own merchant does not take it. Take other means. Nothing was taken."
    return refuse(Reason.PROOF_REFUSED, text, card=name if _NAME.fullmatch(name) else "card_error")


def refusal_name(refusal: Refused) -> str:
    """The name by which a card was refused."""
    return str(dict(refusal.details).get("card", CardRefusal.CARD_ERROR.value))


def _above_tap_limit(**details: int) -> Refused:
    text = "A tap alone does not spend so much. Put the card on the reader instead. Nothing was taken."
    return refuse(Reason.PROOF_LIMIT_EXCEEDED, text, card=TAP_LIMIT, **details)


def proof_of(session_id: bytes) -> bytes:
    """What a till hands in after a conversation."""
    return pack_evidence(OnlineEvidence(session_id))


__all__ = ["DIRECT_PROOF_MS", "PROOF_TTL_MS", "CardDesk", "card_of", "card_refused", "noted", "proof_of"]
