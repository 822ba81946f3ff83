"""A chip card's proof at a partner's till, verified here at the home node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from cards.verification import ExpectedSale
from node.actors.card_desk import DIRECT_PROOF_MS, card_of
from node.actors.home_booking import Seat
from node.actors.turn import Opening
from node.coalition.messages import Reserve
from node.ledger.refusals import Refused
from node.storage.card_keys import card_key
from node.wire.cards import CARD
from node.wire.coalition import Carried

if TYPE_CHECKING:
    from node.actors.abroad import Abroad

log = structlog.get_logger()


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
