"""A day in the made-up shop: customers come to the tills, earn, spend, bring things back.

Each till serves one customer after the other, as tills do; the tills work side by side. What a customer does
is drawn from the sale's number and the seed, so that two runs sell the same.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from node.proto.vafa.common.v1 import balance_pb2, identifier_pb2
from node.proto.vafa.pos.v1 import inquiry_pb2, undo_pb2
from simulators import shoppers
from simulators.demo.figures import Figures
from simulators.demo.screen import Advance
from simulators.purchases import Basket, card_identifier, phone_identifier
from simulators.refusal import Refused, refusal_of_item
from simulators.shoppers import Member
from simulators.till import Till

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
    """What all tills share: the members, the figures, and the numbers of the sales."""

    seed: int
    members: Sequence[Member]
    figures: Figures
    next_sale: int = 0

    def new_sale(self, store_id: str) -> tuple[int, Member | None, Basket]:
        """The next customer with a basket; the time of the sale is now."""
        sale = self.next_sale
        self.next_sale += 1
        chance = random.Random(f"customer {self.seed} {sale}")
        member = None if chance.random() < _WITHOUT_CARD else chance.choice(self.members)
        return sale, member, shoppers.basket(self.seed, sale, member, store_id, time.time_ns() // 1_000_000)


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
    till, figures = counter.till, shop.figures
    shown = identifier_shown(member, chance)
    try:
        if shown is not None:
            with figures.timed("identify"):
                await till.identify(shown)
        with figures.timed("quote"):
            quote = await till.quote(shown, basket.purchase())
        if shown is not None and chance.random() < _SPENDS:
            await spend(shop, till, shown, quote, basket, chance)
        operation = till.write.accrual(shown, basket.purchase(), basket.occurred_ms)
        with figures.timed("accrue"):
            accrued = (await till.send(operation)).accrue
        figures.counts["accruals"] += 1
        figures.told(accrued.effects)
        if chance.random() < _RETURNS:
            await bring_back(shop, till, shown, accrued.transaction_id, basket, chance)
        elif chance.random() < _CANCELS:
            with figures.timed("reverse"):
                await till.give_up(operation)
            figures.counts["reversals"] += 1
            figures.told(accrued.effects, undone=True)
    except Refused as refused:
        figures.refusals[refused.refusal.reason] += 1


def identifier_shown(member: Member | None, chance: random.Random) -> identifier_pb2.Identifier | None:
    """The card, or the telephone number of somebody who left the card at home."""
    if member is None:
        return None
    return phone_identifier(member.phone) if chance.random() < _SAYS_PHONE else card_identifier(member.card)


async def spend(
    shop: Shop,
    till: Till,
    shown: identifier_pb2.Identifier,
    quote: inquiry_pb2.QuoteResponse,
    basket: Basket,
    chance: random.Random,
) -> None:
    """Pay part of the basket with points: at once, or reserved first and captured at the end of the sale."""
    figures = shop.figures
    option = next((option for option in quote.spend_options if option.max_units > 1), None)
    if option is None:
        return
    part = balance_pb2.Spend(purse=option.purse, units=chance.randint(1, option.max_units))
    if chance.random() >= _SPENDS_WITH_HOLD:
        with figures.timed("redeem"):
            redeemed = await till.redeem(shown, [part], receipt_number=basket.receipt_number)
        figures.paid(redeemed.spent)
        figures.counts["redemptions"] += 1
        return
    with figures.timed("authorize"):
        held = (await till.send(till.write.authorization(shown, [part]))).authorize
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
    shop: Shop,
    till: Till,
    shown: identifier_pb2.Identifier | None,
    transaction_id: str,
    basket: Basket,
    chance: random.Random,
) -> None:
    """One line of the basket comes back, whole."""
    line = undo_pb2.ReturnedLine(number=chance.randint(1, len(basket.lines)))
    with shop.figures.timed("return"):
        result = await till.send(till.write.return_of(shown, transaction_id, [line]))
    shop.figures.told(getattr(result, "return").effects)
    shop.figures.counts["returns"] += 1


async def sell_offline(shop: Shop, counter: Counter, sales: int) -> None:
    """Sell without a line: what is earned is kept on the till, nothing can be spent."""
    counter.till.go_offline()
    for _ in range(sales):
        sale, member, basket = shop.new_sale(counter.store_id)
        shown = identifier_shown(member, random.Random(f"visit {shop.seed} {sale}"))
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
