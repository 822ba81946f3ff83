"""Earning at this merchant's tills by members of others, and taking back: accrue, return, reverse.

The sale itself is this merchant's, and is recorded here without a member; what this merchant's programme
grants for it in the coalition purse goes to the member's home, at once or when that can be reached.
"""

from __future__ import annotations

import msgspec

from node.actors.abroad_trade import EARN_SECONDS, Errand, Trade, unknown_abroad
from node.actors.steps import step
from node.coalition.acquirer_facts import AcquirerExchange
from node.coalition.exchange import AcquirerState, ExchangeKind
from node.coalition.messages import Accrue, ReturnAbroad
from node.ledger.awards import Award
from node.ledger.events import Earned
from node.ledger.lots import NEVER_MS
from node.ledger.purchase import Purchase
from node.ledger.refusals import Refused
from node.ledger.returns import taken_back_by
from node.wire import abroad as words
from node.wire import abroad_refusals as refusals
from node.wire.coalition_records import SALE_FOUND, SaleFound
from node.wire.commands import Answer, AnswerKind, Op, done, refused
from node.wire.parse import transaction_ref
from node.wire.refusals import is_final


def granted(trade: Trade, purchase: Purchase, occurred_ms: int) -> tuple[Award, ...]:
    """What this merchant's programme grants in the coalition purse, to somebody of whom it knows nothing."""
    edition = trade.programmes().at(occurred_ms)
    awards = edition.compiled.evaluate(purchase, None, occurred_ms, trade.language)
    return tuple(award for award in awards if award.purse == trade.purse and award.units > 0)


async def accrue(trade: Trade, errand: Errand) -> Answer:
    """Records the sale here, and sends what it earned to the member's home."""
    purchase = words.purchase_of(errand.message, errand.origin.store_id)
    if isinstance(purchase, Refused):
        return refused(purchase)
    sale = await errand.locally(errand.message)
    if sale.kind != AnswerKind.DONE:
        return sale
    awards = granted(trade, purchase, errand.route.occurred_ms)
    units = sum(award.units for award in awards)
    if not units:
        return done(words.accrued(sale.body, (), None, trade.looks(errand)))
    expires_ms = max(award.expires_ms for award in awards)
    body = Accrue(
        units,
        trade.terms(errand, units),
        min(award.available_ms for award in awards),
        0 if expires_ms >= NEVER_MS else expires_ms,
        b"",
        trade.committed(errand),
    )
    seconds = EARN_SECONDS if trade.connected(errand.member.partner_id) else 0.0
    found = await trade.begin(errand, trade.wish(errand, body), lambda known: known.ended, seconds)
    if isinstance(found, Refused):
        if found.retry_delay_ms or not is_final(found):
            return refused(
                found
            )  # it may yet be taken, or is: the till asks again, and the sale is known by then
        return done(words.accrued(sale.body, (), None, trade.looks(errand), problem=found.message))
    if found is None:
        known = await trade.look(errand, trade.exchange_id(errand))
        if not isinstance(known, AcquirerExchange):
            return refused(known or refusals.still_open())
        found = known
    if found.state is AcquirerState.FAILED:
        problem = refusals.why_not(found.reason).message
        return done(words.accrued(sale.body, (), None, trade.looks(errand), problem=problem))
    return done(words.accrued(sale.body, awards, found, trade.looks(errand)))


async def give_back(trade: Trade, errand: Errand) -> Answer:
    """Takes back what goods earned that came back, or gives back what was spent on them.

    Goods come back here first. The member's home hears of it where points of the sale went there, which the
    sale's id does not always say: it names no exchange where nothing was granted when it was answered.
    """
    named, amount = words.return_of(errand.message)
    spend = words.ref_from(named)
    sale, ref = ("", spend) if spend is not None else words.sale_and_ref(named) or (named, None)
    if ref is not None and ref.partner_id != errand.member.partner_id:
        return unknown_abroad()
    local, sold = b"", None
    if spend is None:
        answer = await errand.locally(words.local_return(errand.message, sale))
        if answer.kind != AnswerKind.DONE:
            return answer
        known = await _sold(trade, sale)
        if isinstance(known, Refused):
            return refused(known)
        local, sold = answer.body, known
        earning = trade.secrets.exchange_id(sold.scope, sold.request_id)
        ref = ref or words.Ref(earning, errand.member.partner_id)
    assert ref is not None, "it names a spend, or else the sale's own exchange is known by now"
    found = await _returned(trade, errand, ref, sold, amount)
    if isinstance(found, Answer):
        return found
    if found is None:
        return done(local) if local else unknown_abroad()
    if found.state is AcquirerState.FAILED:
        return refused(refusals.why_not(found.reason))
    return done(words.returned(found, trade.looks(errand), local))


async def _returned(
    trade: Trade, errand: Errand, ref: words.Ref, sold: SaleFound | None, amount: int
) -> AcquirerExchange | Answer | None:
    """The return's own exchange, begun or found; None where nothing has to be taken back."""
    mine = trade.exchange_id(errand)
    known = await trade.look(errand, mine)
    original = await trade.look(errand, ref.exchange_id)
    if isinstance(known, Refused) or isinstance(original, Refused):
        return refused(known if isinstance(known, Refused) else original)  # type: ignore[arg-type]  # one of the two is a refusal
    if known is not None:  # a retry: what was asked for then stands
        return known
    if original is None or original.state is AcquirerState.FAILED:
        return None
    if original.state is not AcquirerState.DONE:
        return refused(
            refusals.still_open()
        )  # it has not reached the home node, so nothing can come back yet
    units = _units(trade, sold, original, amount)
    if units <= 0:
        return None
    body = ReturnAbroad(ref.exchange_id, original.number, units, trade.terms(errand, units))
    wish = trade.wish(errand, body)
    wish = msgspec.structs.replace(wish, lane=original.lane)
    seconds = EARN_SECONDS if trade.connected(ref.partner_id) else 0.0
    found = await trade.begin(errand, wish, lambda one: one.ended, seconds)
    if isinstance(found, Refused):
        return refused(found)
    if found is not None:
        return found
    begun = await trade.look(errand, mine)
    return refused(begun or refusals.still_open()) if not isinstance(begun, AcquirerExchange) else begun


async def _sold(trade: Trade, sale: str) -> SaleFound | Refused:
    """The sale as it is recorded here, with what has come back of it."""
    ref = transaction_ref(sale)
    if isinstance(ref, Refused):
        return ref
    looking = step(Op.LOOK_SALE, ref.partition, body=msgspec.msgpack.encode(ref.sequence))
    answer = await trade.exchanging.router.ask(looking)
    if answer.kind != AnswerKind.DONE:
        return answer.refusal or refusals.still_open()
    return SALE_FOUND.decode(answer.body)


def _units(trade: Trade, sold: SaleFound | None, original: AcquirerExchange, amount: int) -> int:
    """How much goes back: of a spend what is asked for, of a sale what the lines had earned."""
    left = original.posted_units - original.returned
    if sold is None:
        return amount or left
    awards = granted(trade, sold.purchase, sold.occurred_ms)
    back = sum(taken_back_by(Earned(sold.purchase, awards), sold.amended))
    return min(left, back - original.returned)


async def reverse(trade: Trade, errand: Errand) -> Answer:
    """Undoes a request whose outcome the till does not know, here and at the member's home.

    Refused: WRONG_TRANSACTION_KIND for a return that the member's home was told of. It cannot be taken
    back by this node alone: what was given back could only be spent again, which takes the member's proof.
    """
    original = errand.route.anchor
    exchange_id = trade.exchange_id(errand, original)
    outcome = await trade.recall(errand, exchange_id)
    if isinstance(outcome, Refused):
        return refused(outcome)
    # A restored node may have forgotten it: if it was posted, it comes back, and is given back.
    known = None if outcome.unsure else outcome.exchange
    if known is not None and known.kind is ExchangeKind.RETURN and known.state is not AcquirerState.FAILED:
        return refused(refusals.return_stands())
    sale = await errand.locally(errand.message)
    if sale.kind != AnswerKind.DONE:
        return sale
    unknown = trade.wish(errand, None, exchange_id=exchange_id)
    gone = await trade.let_go(errand, exchange_id, unknown)
    if isinstance(gone, Refused):
        return refused(gone)
    # Asked once more, the exchange is let go already: that a sale was undone, its own answer still says.
    undone = words.was_undone(sale.body) or (known is not None and known.state is not AcquirerState.FAILED)
    ref = words.Ref(exchange_id, errand.member.partner_id)
    return done(words.reversed_answer(ref, trade.exchanging.clock_ms(), undone))
