"""A day in the made-up shop: customers come to the tills, earn, spend, bring things back.

Each till serves one customer after the other, as tills do; the tills work side by side. What a customer does
is drawn from the sale's number and the seed, so that two runs sell the same.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from node.proto.vafa.coalition.v1 import envelope_pb2
from node.proto.vafa.common.v1 import balance_pb2, identifier_pb2
from node.proto.vafa.pos.v1 import earning_pb2, inquiry_pb2, operation_pb2, undo_pb2
from simulators import shoppers
from simulators.demo.figures import Figures
from simulators.demo.pockets import Pockets, by_number
from simulators.demo.screen import Advance
from simulators.purchases import Basket, card_identifier, phone_identifier
from simulators.reader import prove_at_till
from simulators.refusal import Refused, refusal_of_item
from simulators.shoppers import Member
from simulators.till import OutcomeUnknown, Till

HOME_UNREACHABLE = "HOME_UNREACHABLE"
"""The member's own merchant, another one, cannot be reached: earning is kept for it, spending waits."""

_WITHOUT_CARD = 0.06
_SAYS_PHONE = 0.25
_SPENDS = 0.25
_SPENDS_WITH_HOLD = 0.4
_HOLD_LET_GO = 0.15
_RETURNS = 0.05
_CANCELS = 0.02


@dataclass(frozen=True, slots=True)
class Counter:
    """A till with the store that it stands in."""

    till: Till
    store_id: str


@dataclass(slots=True)
class Shop:
    """What all tills share: the members, the figures, and the numbers of the sales.

    What is different about customers who are other merchants' members stands in methods of its own.
    """

    seed: int
    members: Sequence[Member]
    figures: Figures
    next_sale: int = 0
    pockets: Pockets | None = None
    on_reader: set[str] = field(default_factory=set)

    def new_sale(self, store_id: str) -> tuple[int, Member | None, Basket]:
        """The next customer with a basket; the time of the sale is now."""
        sale = self.next_sale
        self.next_sale += 1
        chance = random.Random(f"customer {self.seed} {sale}")
        member = None if chance.random() < _WITHOUT_CARD else chance.choice(self.members)
        return sale, member, shoppers.basket(self.seed, sale, member, store_id, time.time_ns() // 1_000_000)

    def figures_of(self, member: Member | None) -> Figures:
        """Where a visit of this customer's is counted."""
        return self.figures

    def named(self, member: Member | None, chance: random.Random) -> identifier_pb2.Identifier | None:
        """How the customer is named while nobody can verify a tap; None of somebody without a card."""
        return identifier_shown(member, chance)

    def pockets_of(self, member: Member) -> Pockets | None:
        """Where the chip card of this customer came from."""
        return self.pockets

    def shown(self, member: Member | None, chance: random.Random) -> identifier_pb2.Identifier | None:
        """What the customer shows at the till. A card with a chip is put on the till's reader, and named by
        what that gets off it.
        """
        named = self.named(member, chance)
        if named is None or member is None:
            return named
        self.on_reader.discard(member.card)
        pockets = self.pockets_of(member)
        if named.value != member.card or pockets is None or not pockets.holds(member.card):
            return named
        self.on_reader.add(member.card)
        self.figures_of(member).counts["card_taps"] += 1
        return pockets.shown(member.card)

    def by_card(self, member: Member) -> bool:
        """Whether the card on the reader proves what is spent."""
        return member.card in self.on_reader

    def may_pay(self, member: Member) -> bool:
        """Whether the customer may pay with points now."""
        return True

    async def agree(
        self, till: Till, member: Member, part: balance_pb2.Spend
    ) -> envelope_pb2.MemberProof | None:
        """How the customer agrees to a spend; None where nothing has to be shown for it."""
        return await card_proof(self, till, member, part) if self.by_card(member) else None

    def left(self, member: Member | None) -> None:
        """The customer has left the till."""


async def card_proof(
    shop: Shop, till: Till, member: Member, part: balance_pb2.Spend
) -> envelope_pb2.MemberProof:
    """What the card on the till's reader proves."""
    pockets, figures = shop.pockets_of(member), shop.figures_of(member)
    assert pockets is not None, "the card came out of one"
    with figures.timed("card proof"), pockets.wallet.on_reader(member.card) as transmit:
        proof = await prove_at_till(till.pos, card_identifier(member.card), part, transmit)
    figures.counts["card_proofs"] += 1
    return proof


async def shop(shop: Shop, counters: Sequence[Counter], sales: int, advance: Advance) -> None:
    """Sell `sales` baskets at all counters side by side; counts and times go to the shop's figures."""
    last = shop.next_sale + sales

    async def work(counter: Counter) -> None:
        while shop.next_sale < last:
            await serve(shop, counter)
            advance(1)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as tills:
        for counter in counters:
            tills.create_task(work(counter))
    shop.figures.shopping_seconds += time.perf_counter() - started


async def serve(shop: Shop, counter: Counter) -> None:
    """One customer, from the greeting to the receipt. Refusals are counted, as a cashier would shrug."""
    sale, member, basket = shop.new_sale(counter.store_id)
    chance = random.Random(f"visit {shop.seed} {sale}")
    figures = shop.figures_of(member)
    try:
        await _visit(shop, counter.till, member, basket, chance)
    except Refused as refused:
        figures.refusals[refused.refusal.reason] += 1
    finally:
        shop.left(member)


async def _visit(
    shop: Shop, till: Till, member: Member | None, basket: Basket, chance: random.Random
) -> None:
    figures, shown = shop.figures_of(member), shop.shown(member, chance)
    quote = await greet(figures, till, shown, basket)
    number = by_number(shown, member.card) if shown is not None and member is not None else shown
    if quote is not None and member is not None and chance.random() < _SPENDS and shop.may_pay(member):
        # A tap makes one change, and that is the sale: what is spent before it names the card by its number.
        await spend(shop, till, member, number, quote, basket, chance)
    first = shown if quote is not None else number
    operation, accrued = await record_sale(figures, till, first, number, basket)
    figures.counts["accruals"] += 1
    figures.told(accrued.effects)
    if accrued.state == earning_pb2.ACCRUAL_STATE_PENDING:
        # It has not reached the member's own merchant, so nothing of it can come back yet.
        figures.counts["pending"] += 1
    elif chance.random() < _RETURNS:
        await bring_back(figures, till, shown, accrued.transaction_id, basket, chance)
    elif chance.random() < _CANCELS:
        try:
            with figures.timed("reverse"):
                await till.give_up(operation)
        except OutcomeUnknown:
            figures.told(accrued.effects, undone=True)  # it stays in the till's queue until it is done
            raise
        figures.counts["reversals"] += 1
        figures.told(accrued.effects, undone=True)


async def record_sale(
    figures: Figures,
    till: Till,
    shown: identifier_pb2.Identifier | None,
    number: identifier_pb2.Identifier | None,
    basket: Basket,
) -> tuple[operation_pb2.Operation, earning_pb2.AccrueResponse]:
    """Records the sale; by the card's number where the tap cannot be verified, as its home node is away."""
    operation = till.write.accrual(shown, basket.purchase(), basket.occurred_ms)
    with figures.timed("accrue"):
        try:
            accrued = (await till.send(operation)).accrue
        except Refused as refused:
            if refused.refusal.reason != HOME_UNREACHABLE or shown == number:
                raise
            operation = till.write.accrual(number, basket.purchase(), basket.occurred_ms)
            accrued = (await till.send(operation)).accrue
    return operation, accrued


async def greet(
    figures: Figures, till: Till, shown: identifier_pb2.Identifier | None, basket: Basket
) -> inquiry_pb2.QuoteResponse | None:
    """Who it is, and what the basket brings. None where the member's own merchant cannot be asked: the sale
    is recorded all the same."""
    try:
        if shown is not None:
            with figures.timed("identify"):
                await till.identify(shown)
        with figures.timed("quote"):
            return await till.quote(shown, basket.purchase())
    except Refused as refused:
        if refused.refusal.reason != HOME_UNREACHABLE:
            raise
        figures.refusals[HOME_UNREACHABLE] += 1
        return None


def identifier_shown(member: Member | None, chance: random.Random) -> identifier_pb2.Identifier | None:
    """The card, or the telephone number of somebody who left the card at home."""
    if member is None:
        return None
    return phone_identifier(member.phone) if chance.random() < _SAYS_PHONE else card_identifier(member.card)


async def spend(
    shop: Shop,
    till: Till,
    member: Member,
    shown: identifier_pb2.Identifier | None,
    quote: inquiry_pb2.QuoteResponse,
    basket: Basket,
    chance: random.Random,
) -> None:
    """Pay part of the basket with points: at once, or reserved first and captured at the end of the sale."""
    figures = shop.figures_of(member)
    assert shown is not None, "a member shows something"
    option = next((option for option in quote.spend_options if option.max_units > 1), None)
    if option is None:
        return
    part = balance_pb2.Spend(purse=option.purse, units=chance.randint(1, option.max_units))
    proof = await shop.agree(till, member, part)
    if chance.random() >= _SPENDS_WITH_HOLD:
        asked = till.write.redemption(shown, [part], receipt_number=basket.receipt_number, proof=proof)
        with figures.timed("redeem"):
            redeemed = (await till.send(asked)).redeem
        figures.paid(redeemed.spent)
        figures.counts["redemptions"] += 1
        return
    with figures.timed("authorize"):
        held = (await till.send(till.write.authorization(shown, [part], proof=proof))).authorize
    if chance.random() < _HOLD_LET_GO:
        with figures.timed("void"):
            await till.send(till.write.void_of(shown, held.transaction_id))
        figures.counts["voids"] += 1
        return
    capture = till.write.capture_of(shown, held.transaction_id, receipt_number=basket.receipt_number)
    with figures.timed("capture"):
        captured = (await till.send(capture)).capture
    figures.paid(captured.spent)
    figures.counts["redemptions"] += 1


async def bring_back(
    figures: Figures,
    till: Till,
    shown: identifier_pb2.Identifier | None,
    transaction_id: str,
    basket: Basket,
    chance: random.Random,
) -> None:
    """One line of the basket comes back, whole."""
    line = undo_pb2.ReturnedLine(number=chance.randint(1, len(basket.lines)))
    with figures.timed("return"):
        result = await till.send(till.write.return_of(shown, transaction_id, [line]))
    figures.told(getattr(result, "return").effects)
    figures.counts["returns"] += 1


async def sell_offline(shop: Shop, counter: Counter, sales: int) -> None:
    """Sell without a line: what is earned is kept on the till, nothing can be spent."""
    counter.till.go_offline()
    for _ in range(sales):
        sale, member, basket = shop.new_sale(counter.store_id)
        shown = shop.named(member, random.Random(f"visit {shop.seed} {sale}"))
        # Each sale is synced to the till's disk before the receipt is printed.
        await asyncio.to_thread(
            counter.till.keep, counter.till.write.accrual(shown, basket.purchase(), basket.occurred_ms)
        )


async def catch_up(shop: Shop, counter: Counter, advance: Advance, *, over_stream: bool = False) -> None:
    """The line is back: post what was sold without it."""
    started = time.perf_counter()
    async for _, result in counter.till.catch_up(over_stream=over_stream):
        if result.HasField("refusal"):
            shop.figures.refusals[refusal_of_item(result.refusal).reason] += 1
        else:
            shop.figures.told(result.accrue.effects)
            shop.figures.counts["accruals"] += 1
            shop.figures.counts["offline_accruals"] += 1
        advance(1)
    shop.figures.counts["catch_up_ms"] += int((time.perf_counter() - started) * 1000)
