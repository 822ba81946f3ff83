"""A till's request about a member of another merchant: whose it is, and who does it.

The till need not know. The counter comes here with what nobody at this node carries, and with what names a
transaction abroad; here the directory says whose member it is. What concerns one member is done in the order
in which it came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from node.actors import abroad_asking as asking
from node.actors import abroad_cards as cards
from node.actors import abroad_earning as earning
from node.actors import abroad_spending as spending
from node.actors.abroad_trade import OVERLOAD_RETRY_MS, Errand, Member, Trade
from node.actors.waiting import TooMany
from node.ledger.refusals import Reason, Refused
from node.people.identifiers import IdentifierKind, normalise
from node.people.invalid import Invalid
from node.wire import abroad as words
from node.wire import abroad_refusals as refusals
from node.wire.commands import Answer, Op, refused
from node.wire.routes import opened

if TYPE_CHECKING:
    from node.actors.asks import Ask, Origin

_DO: dict[Op, Callable[[Trade, Errand], Awaitable[Answer]]] = {
    Op.ACCRUE: earning.accrue,
    Op.RETURN: earning.give_back,
    Op.REVERSE: earning.reverse,
    Op.AUTHORIZE: spending.authorize,
    Op.CAPTURE: spending.capture,
    Op.VOID: spending.void,
    Op.REDEEM: spending.redeem,
    Op.REQUEST_PROOF: spending.request_proof,
    Op.BEGIN_CARD_PROOF: cards.begin,
    Op.CONTINUE_CARD_PROOF: cards.go_on,
    Op.IDENTIFY: asking.identify,
    Op.GET_BALANCE: asking.balance,
    Op.QUOTE: asking.quote,
    Op.GET_TRANSACTION: asking.look_up,
}


class TillsAbroad:
    """Everything that this node's tills do with members of other merchants."""

    def __init__(self, trade: Trade, region: str) -> None:
        self._trade = trade
        self._region = region
        self._queues: WeakValueDictionary[Member, asyncio.Lock] = WeakValueDictionary()

    def member(self, kind: int, value: str) -> Member | None:
        """Whose member carries an identifier as it was shown; None where it is nobody's abroad."""
        known = self._trade.exchanging.directories.known
        if known is None or not IdentifierKind.CARD <= kind <= IdentifierKind.APP_TOKEN:
            return None
        normal = normalise(IdentifierKind(kind), value, region=self._region)
        if isinstance(normal, Invalid):
            return None
        home = known.newest.home_of(kind, normal.text)
        if home is None or home.partner_id == self._trade.exchanging.own_id:
            return None
        return Member(home.partner_id, kind, normal.text)

    def of_return(self, ask: Ask) -> Member | None:
        """Whose member a transaction abroad is of, where a return names it without an identifier."""
        abroad = self._trade.exchanging.directories.known is not None
        if ask.op is not Op.RETURN or not abroad or not words.is_abroad(ask.route.anchor):
            return None
        found = words.sale_and_ref(ask.route.anchor)
        ref = found[1] if found else words.ref_from(ask.route.anchor)
        return None if ref is None else Member(ref.partner_id, 0, "")

    async def ask(
        self,
        origin: Origin,
        ask: Ask,
        member: Member,
        trace_id: str,
        locally: Callable[[Any], Awaitable[Answer]],
    ) -> Answer:
        """One request, to its answer."""
        do = _DO.get(ask.op)
        if do is None:
            return refused(refusals.not_abroad())
        message = ask.message if ask.message is not None else opened(ask.op, ask.body)
        if isinstance(message, Refused):
            return refused(message)
        message = cards.proved_by_tap(ask.op, ask.route.tap, message)
        errand = Errand(ask.op, origin, ask.route, message, member, trace_id, locally)
        queue = self._queues.setdefault(member, asyncio.Lock())
        async with queue:
            try:
                untrue = await cards.tapped(self._trade, errand)
                return refused(untrue) if untrue else await do(self._trade, errand)
            except TooMany:
                return refused(
                    Refused(
                        Reason.OVERLOADED,
                        "Too many tills wait for other merchants. Send the same request again.",
                        (),
                        OVERLOAD_RETRY_MS,
                    )
                )
