"""A chip card's proof at a partner's till, verified here at the home node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from cards.verification import PROOF_TTL_MS, SESSION_TTL_MS, ExpectedSale
from node.actors.card_desk import DIRECT_PROOF_MS, card_of
from node.actors.home_booking import Seat
from node.actors.turn import Opening
from node.coalition.card_messages import CardStep, CardStepped
from node.coalition.messages import Reserve
from node.ledger.refusals import Refused
from node.storage.card_keys import card_key
from node.wire.cards import CARD
from node.wire.coalition import Carried

if TYPE_CHECKING:
    from node.actors.abroad import Abroad

log = structlog.get_logger()


def card_stepped(
    abroad: Abroad, opening: Opening, seat: Seat, partner_id: str, body: CardStep
) -> CardStepped:
    """The next command for a card at a partner's till, or what became of the conversation."""
    cards, digest, now_ms = abroad.desk.cards, opening.command.digest, opening.work.clock_ms
    unit = abroad.directory.purse.code
    if cards is None or seat.account is None or not seat.usable:
        return _not_stepped(body, "unknown_card")
    if body.session_id:
        step = cards.go_on(
            body.session_id, body.response_apdu, partner_id, body.terminal_id, body.units, unit, now_ms
        )
        if isinstance(step, Refused):
            return _not_stepped(body, dict(step.details).get("card", "card_error"))
        if isinstance(step, bytes):
            return CardStepped(body.session_id, step, now_ms + SESSION_TTL_MS)
        return CardStepped(body.session_id, b"", now_ms + PROOF_TTL_MS)
    found = card_of(opening.work, opening.partition.number, seat.account_id, digest)
    if found is None:
        return _not_stepped(body, "unknown_card")
    begun = cards.begin(found, partner_id, body.terminal_id, body.units, unit, now_ms)
    if isinstance(begun, Refused):
        return _not_stepped(body, dict(begun.details).get("card", "card_error"))
    return CardStepped(*begun, now_ms + SESSION_TTL_MS)


def _not_stepped(body: CardStep, refusal: str) -> CardStepped:
    return CardStepped(body.session_id, b"", 0, refusal)


def card_good_until_ms(abroad: Abroad, opening: Opening, seat: Seat, carried: Carried) -> int:
    """Until when a card's proof of the RESERVE is to be remembered as used; 0 where it proves nothing.

    The card's counters are kept whatever becomes of the RESERVE: a proof is used up by being shown.
    """
    body, proof, cards = carried.message.body, carried.proof, abroad.desk.cards
    if not isinstance(body, Reserve) or proof is None or not proof.card_cryptogram or cards is None:
        return 0
    number, digest, now_ms = opening.partition.number, opening.command.digest, opening.work.clock_ms
    found = card_of(opening.work, number, seat.account_id, digest) if seat.account_id else None
    if found is None:
        return 0
    partner_id = carried.message.header.sender_id
    expected = ExpectedSale(partner_id, body.units, abroad.directory.purse.code)
    after = cards.proved(found, proof.card_cryptogram, expected, now_ms)
    if isinstance(after, Refused):
        log.info(
            "card_refused", partner=partner_id, reason=dict(after.details).get("card", after.reason.name)
        )
        return 0
    opening.work.put(card_key(number, seat.account_id, digest), CARD.encode(after))
    return now_ms + DIRECT_PROOF_MS
