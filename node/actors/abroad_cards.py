"""Chip cards of other merchants' members at this merchant's tills: a pipe to the home node."""

from __future__ import annotations

import asyncio
from typing import Any

from cards.verification import SunEvidence, pack_evidence
from node.actors.abroad_spending import QUESTION_SECONDS
from node.actors.abroad_trade import Errand, Trade
from node.actors.card_desk import card_refused_by_name, proof_of
from node.coalition.card_messages import CardStep, CardStepped
from node.coalition.messages import MessageType, commitment
from node.ledger.refusals import Reason, Refused, refuse
from node.wire import abroad as words
from node.wire import abroad_refusals as refusals
from node.wire import cards
from node.wire.card_words import LOOKS, SPENDS, USES_UP
from node.wire.coalition import carried_bytes, identifier_commitment
from node.wire.coalition_records import Said
from node.wire.commands import Answer, Op, done, refused

ID_BYTES = 16


async def begin(trade: Trade, errand: Errand) -> Answer:
    """The first command for the card."""
    said = await _step(trade, errand, b"", b"")
    if isinstance(said, Refused):
        return refused(said)
    return done(cards.begun(said.session_id, said.command_apdu, said.expire_time_ms))


async def go_on(trade: Trade, errand: Errand) -> Answer:
    """The next command for the card, or the proof."""
    message: Any = errand.message
    problem = cards.answer_problem(message)
    if problem:
        return refused(problem)
    said = await _step(trade, errand, message.session_id, message.response_apdu)
    if isinstance(said, Refused):
        return refused(said)
    if said.command_apdu:
        return done(cards.next_command(said.command_apdu, said.expire_time_ms))
    return done(cards.proof_given(proof_of(said.session_id), said.expire_time_ms))


async def tapped(trade: Trade, errand: Errand) -> Refused | None:
    """Why a tap that named the member is not taken; None where it is, or none has to be looked at.

    The home node alone can tell, so without it no tap is taken: the card's number earns then as ever. What a
    tap spends it proves in the RESERVE itself.
    """
    tap, op = errand.route.tap, errand.op
    if not tap or op in SPENDS or not (op in LOOKS or op in USES_UP):
        return None
    request = trade.exchange_id(errand)
    if not trade.connected(errand.member.partner_id):
        known = op in USES_UP and await trade.look(errand, request)
        return None if known and not isinstance(known, Refused) else _no_tap_now()
    said = await _ask(trade, errand, 0, request, tap=tap, uses_up=op in USES_UP)
    return said if isinstance(said, Refused) else None


def proved_by_tap(op: Op, tap: str, message: Any) -> Any:
    """A spend by a tap is proved by it, where the till hands in no other proof."""
    if not tap or op not in SPENDS or message.proof.WhichOneof("proof"):
        return message
    proved = type(message)()
    proved.CopyFrom(message)
    proved.proof.card_cryptogram = pack_evidence(SunEvidence(tap))
    return proved


def _no_tap_now() -> Refused:
    return refuse(
        Reason.HOME_UNREACHABLE,
        "The member's own merchant cannot be reached, so the tap cannot be verified. Nothing was done. Name "
        "the card by its number: what it earns is kept and forwarded.",
    )


async def _step(
    trade: Trade, errand: Errand, session_id: bytes, response_apdu: bytes
) -> CardStepped | Refused:
    units = words.units_of((errand.message.spend,), trade.purse)
    if isinstance(units, Refused):
        return units
    return await _ask(trade, errand, units, session_id, response_apdu)


async def _ask(
    trade: Trade,
    errand: Errand,
    units: int,
    session_id: bytes,
    response_apdu: bytes = b"",
    tap: str = "",
    uses_up: bool = False,
) -> CardStepped | Refused:
    """Asks the home node, which alone knows the card; nothing of it is kept here."""
    partner_id, exchanging = errand.member.partner_id, trade.exchanging
    if not trade.connected(partner_id):
        return refusals.unreachable(False)
    salt = trade.entropy(ID_BYTES)
    exchange_id = commitment(salt, b"card step")[:ID_BYTES]
    committed = identifier_commitment(salt, errand.member.kind, errand.member.normal)
    body = CardStep(units, committed, errand.origin.scope, session_id, response_apdu, tap, uses_up)
    message = exchanging.seal(MessageType.CARD_STEP, exchange_id, body, partner_id)
    if message is None:
        return refusals.unreachable(False)
    carried = carried_bytes(
        message, identifier_kind=errand.member.kind, identifier=errand.member.normal, salt=salt
    )
    with exchanging.waiting.asking(partner_id, exchange_id) as future:
        await exchanging.say([Said(partner_id, carried)])
        try:
            async with asyncio.timeout(QUESTION_SECONDS):
                answer = (await future).body
        except TimeoutError:
            return refusals.unreachable(False)
    assert isinstance(answer, CardStepped), "only a CARD_STEPPED answers a CARD_STEP"
    return card_refused_by_name(answer.refusal) if answer.refusal else answer
