"""Spending at this merchant's tills by members of others: authorize, capture, void, redeem, codes."""

from __future__ import annotations

import asyncio

from node.actors.abroad_trade import SPEND_SECONDS, Errand, Trade, unknown_abroad
from node.actors.card_desk import card_refused_by_name
from node.coalition.acquirer_facts import AcquirerExchange
from node.coalition.exchange import AcquirerState, ExchangeKind
from node.coalition.messages import Challenge, Challenged, ExchangeReason, MessageType, Reserve
from node.ledger.refusals import Reason, Refused, refuse
from node.wire import abroad as words
from node.wire import abroad_refusals as refusals
from node.wire.coalition import carried_bytes
from node.wire.coalition_records import Said
from node.wire.commands import Answer, done, refused

QUESTION_SECONDS = 4.0
_PROOFS = ("confirmation_code", "app_answer", "card_cryptogram")
_HELD = frozenset({AcquirerState.AUTHORIZED, AcquirerState.CAPTURING, AcquirerState.DONE})
_OVER = frozenset({AcquirerState.FAILED, AcquirerState.CANCELLING})


async def authorize(trade: Trade, errand: Errand) -> Answer:
    """Holds units at the member's home."""
    return await _reserve(trade, errand, one_step=False)


async def redeem(trade: Trade, errand: Errand) -> Answer:
    """Spends units at the member's home in one step."""
    return await _reserve(trade, errand, one_step=True)


async def _reserve(trade: Trade, errand: Errand, *, one_step: bool) -> Answer:
    asked = words.spend_of(errand.message, trade.purse)
    if isinstance(asked, Refused):
        return refused(asked)
    if asked.proof is None:
        return refused(_proof_required())
    if asked.proof.pin:
        return refused(refuse(Reason.PROOF_REFUSED, "A PIN alone spends nothing abroad."))
    if not trade.connected(errand.member.partner_id):
        known = await trade.look(errand, trade.exchange_id(errand))
        if isinstance(known, Refused):
            return refused(known)
        if known is None:  # nothing was begun, so nothing has to be let go
            return refused(refusals.unreachable(True))
    body = Reserve(
        asked.units,
        trade.terms(errand, asked.units),
        asked.hold_seconds,
        b"",
        trade.committed(errand),
        trade.proved(errand, asked.proof),
    )
    wish = trade.wish(errand, body, proof=asked.proof, one_step=one_step)
    arrived = _redeemed if one_step else _decided
    found = await trade.begin(errand, wish, arrived, SPEND_SECONDS)
    if isinstance(found, Refused):
        return refused(found)
    if found is None:
        return await _too_late(trade, errand, wish.exchange_id)
    if found.state in _OVER:
        why = card_refused_by_name(found.detail) if found.detail else refusals.why_not(found.reason)
        return refused(why)
    gone = await trade.given_back(errand, found)
    if gone:
        return refused(gone if isinstance(gone, Refused) else refusals.why_not(ExchangeReason.CANCELLED))
    return done(
        words.redeemed(found, trade.looks(errand))
        if one_step
        else words.authorized(found, trade.looks(errand))
    )


def _decided(exchange: AcquirerExchange) -> bool:
    return exchange.state in _HELD or exchange.state in _OVER


def _redeemed(exchange: AcquirerExchange) -> bool:
    return exchange.state is AcquirerState.DONE or exchange.state in _OVER


async def _too_late(trade: Trade, errand: Errand, exchange_id: bytes) -> Answer:
    """The home node did not decide in time: what is not captured yet is let go, durably, for good."""
    known = await trade.look(errand, exchange_id)
    if isinstance(known, Refused):
        return refused(known)
    if known is not None and known.state is AcquirerState.CAPTURING:
        return refused(refusals.still_open())  # a capture that timed out is unknown, never failed
    gone = await trade.let_go(errand, exchange_id)
    return refused(gone if isinstance(gone, Refused) else refusals.unreachable(True))


async def capture(trade: Trade, errand: Errand) -> Answer:
    """Spends what an authorization holds. Asked until the home node has answered, whatever the till does."""
    found = await _named(trade, errand)
    if isinstance(found, Answer):
        return found
    ref, known = found
    units = words.captured_units(errand.message, trade.purse)
    if isinstance(units, Refused):
        return refused(units)
    if known.state in _OVER:
        return refused(refusals.why_not(known.reason))
    if known.state is AcquirerState.INTENT:  # a restored node has forgotten the answer, and asks for it again
        return refused(refusals.still_open())
    ended = await trade.capture(errand, ref, units or known.capture_units or known.units, SPEND_SECONDS)
    if isinstance(ended, Refused):
        return refused(ended)
    if ended is None:
        return refused(refusals.still_open())
    if ended.state is AcquirerState.FAILED:
        return refused(refusals.why_not(ended.reason))
    gone = await trade.given_back(errand, ended)
    if gone:
        return refused(gone if isinstance(gone, Refused) else refusals.why_not(ExchangeReason.CANCELLED))
    return done(words.captured(ended, trade.looks(errand)))


async def void(trade: Trade, errand: Errand) -> Answer:
    """Lets an authorization go: durable here, and told to the home node until it has heard."""
    found = await _named(trade, errand)
    if isinstance(found, Answer):
        return found
    ref, known = found
    if known.state in (AcquirerState.CAPTURING, AcquirerState.DONE):
        text = "The authorization was captured before. Return it, or reverse the capture."
        return refused(refuse(Reason.AUTHORIZATION_NOT_OPEN, text))
    gone = known if known.state in _OVER else await trade.let_go(errand, ref.exchange_id)
    if isinstance(gone, Refused):
        return refused(gone)
    return done(words.voided(gone or known))


async def _named(trade: Trade, errand: Errand) -> tuple[words.Ref, AcquirerExchange] | Answer:
    """The authorization that a request names."""
    ref = words.ref_from(errand.message.authorization_id)
    if ref is None or ref.partner_id != errand.member.partner_id:
        return unknown_abroad()
    known = await trade.look(errand, ref.exchange_id)
    if isinstance(known, Refused):
        return refused(known)
    if known is None or known.kind is not ExchangeKind.REDEMPTION:
        return unknown_abroad()
    return ref, known


async def request_proof(trade: Trade, errand: Errand) -> Answer:
    """Has the home node send the member a code, in words that name this merchant and the amount."""
    asked = words.spend_of(errand.message, trade.purse)
    if isinstance(asked, Refused):
        return refused(asked)
    partner_id = errand.member.partner_id
    body = Challenge(asked.units, trade.committed(errand), trade.terms(errand, asked.units))
    exchanging, exchange_id = trade.exchanging, trade.exchange_id(errand)
    message = exchanging.seal(MessageType.CHALLENGE, exchange_id, body, partner_id)
    if message is None or not trade.connected(partner_id):
        return refused(refusals.unreachable(False))
    carried = carried_bytes(
        message,
        identifier_kind=errand.member.kind,
        identifier=errand.member.normal,
        salt=trade.salt(errand),
    )
    with exchanging.waiting.asking(partner_id, exchange_id) as future:
        await exchanging.say([Said(partner_id, carried)])
        try:
            async with asyncio.timeout(QUESTION_SECONDS):
                answer = await future
        except TimeoutError:
            return refused(refusals.unreachable(False))
    assert isinstance(answer.body, Challenged), "only a CHALLENGED answers a CHALLENGE"
    return done(words.proof_requested(answer.body.expire_time_ms, True, _PROOFS))


def _proof_required() -> Refused:
    return refuse(
        Reason.PROOF_REQUIRED,
        "The member is another merchant's, and spends here only with a code, the app's answer or a chip "
        "card. Nothing was done.",
        proofs=" ".join(_PROOFS),
    )
