"""A chip card at a partner's till, verified here at the home node, whose word the partner takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from cards.verification import PROOF_TTL_MS, SESSION_TTL_MS, ExpectedSale, SunEvidence, pack_evidence
from node.actors.card_desk import DIRECT_PROOF_MS, card_of, refusal_name
from node.actors.card_proofs import use_of
from node.actors.home_booking import Seat
from node.actors.turn import Opening
from node.coalition.card_messages import CardStep, CardStepped
from node.coalition.messages import Reserve
from node.ledger.refusals import Refused
from node.storage.card_keys import card_key
from node.wire.card_words import ProofFound
from node.wire.cards import CARD
from node.wire.coalition import Carried

if TYPE_CHECKING:
    from node.actors.abroad import Abroad

UNKNOWN_CARD = "unknown_card"
NO_CARD = ProofFound()

log = structlog.get_logger()


def card_stepped(
    abroad: Abroad, opening: Opening, seat: Seat, partner_id: str, body: CardStep
) -> CardStepped:
    """The next command for a card at a partner's till, or what became of the conversation."""
    cards, digest, now_ms = abroad.desk.cards, opening.command.digest, opening.work.clock_ms
    unit = abroad.directory.purse.code
    if cards is None or seat.account is None or not seat.usable:
        return _not_stepped(body, UNKNOWN_CARD)
    if body.tap:
        return _tapped(abroad, opening, seat, partner_id, body)
    if body.session_id:
        step = cards.go_on(
            body.session_id, body.response_apdu, partner_id, body.terminal_id, body.units, unit, now_ms
        )
        if isinstance(step, Refused):
            return _not_stepped(body, refusal_name(step))
        if isinstance(step, bytes):
            return CardStepped(body.session_id, step, now_ms + SESSION_TTL_MS)
        return CardStepped(body.session_id, b"", now_ms + PROOF_TTL_MS)
    found = card_of(opening.work, opening.partition.number, seat.account_id, digest)
    if found is None:
        return _not_stepped(body, UNKNOWN_CARD)
    begun = cards.begin(found, partner_id, body.terminal_id, body.units, unit, now_ms)
    if isinstance(begun, Refused):
        return _not_stepped(body, refusal_name(begun))
    return CardStepped(*begun, now_ms + SESSION_TTL_MS)


def _not_stepped(body: CardStep, refusal: str) -> CardStepped:
    return CardStepped(body.session_id, b"", 0, refusal)


def _tapped(abroad: Abroad, opening: Opening, seat: Seat, partner_id: str, body: CardStep) -> CardStepped:
    """Whether a tap that named a member was this card's and is new; counted once for the till's request."""
    cards, number, digest = abroad.desk.cards, opening.partition.number, opening.command.digest
    assert cards is not None, "the caller has looked"
    found = card_of(opening.work, number, seat.account_id, digest)
    if found is None:
        return _not_stepped(body, UNKNOWN_CARD)
    now_ms, use = opening.work.clock_ms, use_of(partner_id, body.session_id)
    if not body.uses_up or use not in found.uses:
        expected = ExpectedSale(partner_id, 0, abroad.directory.purse.code)
        after = cards.proved(found, pack_evidence(SunEvidence(body.tap)), expected, now_ms)
        if isinstance(after, Refused):
            _log(partner_id, refusal_name(after))
            return _not_stepped(body, refusal_name(after))
        if body.uses_up:
            opening.work.put(card_key(number, seat.account_id, digest), CARD.encode(after.used_for(use)))
    return CardStepped(body.session_id, b"", now_ms + PROOF_TTL_MS)


def card_proved(abroad: Abroad, opening: Opening, seat: Seat, carried: Carried, use: bytes) -> ProofFound:
    """What a card's proof of the RESERVE is worth; nothing where there is none.

    The card's counters are kept whatever becomes of the RESERVE: a proof is used up by being shown. `use`
    names the RESERVE: the same one that comes again, because it could not be taken before or a pool has not
    heard of it, is told the same.
    """
    if not card_proof(carried):
        return NO_CARD
    body, proof, cards = carried.message.body, carried.proof, abroad.desk.cards
    assert isinstance(body, Reserve), "the caller has looked"
    assert proof is not None, "the caller has looked"
    number, digest, now_ms = opening.partition.number, opening.command.digest, opening.work.clock_ms
    found = card_of(opening.work, number, seat.account_id, digest) if seat.account_id else None
    if found is None or cards is None:
        return ProofFound(0, UNKNOWN_CARD)
    if use and use in found.uses:
        return ProofFound(now_ms + DIRECT_PROOF_MS)
    partner_id = carried.message.header.sender_id
    expected = ExpectedSale(partner_id, body.units, abroad.directory.purse.code)
    after = cards.proved(found, proof.card_cryptogram, expected, now_ms)
    if isinstance(after, Refused):
        _log(partner_id, refusal_name(after))
        return ProofFound(0, refusal_name(after))
    kept = after.used_for(use) if use else after
    opening.work.put(card_key(number, seat.account_id, digest), CARD.encode(kept))
    return ProofFound(now_ms + DIRECT_PROOF_MS)


def card_proof(carried: Carried) -> bool:
    """Whether a message spends by a chip card."""
    return isinstance(carried.message.body, Reserve) and bool(carried.proof and carried.proof.card_cryptogram)


def _log(partner_id: str, reason: str) -> None:
    log.info("card_refused", partner=partner_id, reason=reason)
