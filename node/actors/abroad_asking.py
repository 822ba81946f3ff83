"""What a till may ask about members of others: who, how much, what a basket would bring, what became."""

from __future__ import annotations

import asyncio

from node.actors.abroad_earning import granted
from node.actors.abroad_spending import QUESTION_SECONDS
from node.actors.abroad_trade import Errand, Trade, unknown_abroad
from node.coalition.exchange import AcquirerState
from node.coalition.messages import ExchangeReason, Inquire, Inquired, MessageType, commitment
from node.ledger.refusals import Reason, Refused
from node.wire import abroad as words
from node.wire import abroad_inquiries as answers
from node.wire import abroad_refusals as refusals
from node.wire.coalition import carried_bytes, identifier_commitment
from node.wire.coalition_records import Said
from node.wire.commands import Answer, AnswerKind, done, refused

ID_BYTES = 16


async def identify(trade: Trade, errand: Errand) -> Answer:
    """Whether the member can spend: a pseudonym and a balance, and nothing about the person."""
    said = await _inquire(trade, errand)
    if isinstance(said, Refused):
        return refused(said)
    return done(answers.identified(said, errand.member.partner_id, trade.looks(errand)))


async def balance(trade: Trade, errand: Errand) -> Answer:
    """What the member could spend, where the home programme says so without a proof."""
    said = await _inquire(trade, errand)
    if isinstance(said, Refused):
        return refused(said)
    return done(answers.balance_answer(said, trade.exchanging.clock_ms(), trade.looks(errand)))


async def quote(trade: Trade, errand: Errand) -> Answer:
    """What this merchant's programme would grant; what could be spent, where the home node can be asked."""
    purchase = words.purchase_of(errand.message, errand.origin.store_id)
    if isinstance(purchase, Refused):
        return refused(purchase)
    occurred_ms = errand.route.occurred_ms or trade.exchanging.clock_ms()
    awards = granted(trade, purchase, occurred_ms)
    said = await _inquire(trade, errand)
    spendable = 0 if isinstance(said, Refused) else said.spendable_units
    version = trade.programmes().at(occurred_ms).version
    return done(answers.quoted(version, awards, spendable, purchase, trade.looks(errand)))


async def look_up(trade: Trade, errand: Errand) -> Answer:
    """What became of a request about a member of another merchant.

    Sales and goods that came back are this node's own, whether the home node has heard of points or not.
    """
    found = await trade.look(errand, trade.exchange_id(errand))
    if isinstance(found, Refused):
        return refused(found)
    local = await errand.locally(errand.message)
    here = local.body if local.kind == AnswerKind.DONE else b""
    if not here and local.refusal is not None and local.refusal.reason is not Reason.TRANSACTION_NOT_FOUND:
        return local
    if found is None or found.state is AcquirerState.FAILED:
        return done(here) if here else unknown_abroad()
    if found.state in _UNDECIDED:
        return refused(refusals.still_open())
    return done(answers.looked_up(found, trade.looks(errand), here))


_UNDECIDED = frozenset({AcquirerState.INTENT, AcquirerState.CAPTURING, AcquirerState.CANCELLING})


async def _inquire(trade: Trade, errand: Errand) -> Inquired | Refused:
    """Asks the home node; nothing of it is kept on either side."""
    partner_id, exchanging = errand.member.partner_id, trade.exchanging
    if not trade.connected(partner_id):
        return refusals.unreachable(False)
    salt = trade.entropy(ID_BYTES)
    exchange_id = commitment(salt, b"inquiry")[:ID_BYTES]
    body = Inquire(identifier_commitment(salt, errand.member.kind, errand.member.normal))
    message = exchanging.seal(MessageType.INQUIRE, exchange_id, body, partner_id)
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
    assert isinstance(answer, Inquired), "only an INQUIRED answers an INQUIRE"
    return answer if answer.reason is ExchangeReason.UNSPECIFIED else refusals.why_not(answer.reason)
