"""The two kinds of day that the demo knows: one made up, and one recorded."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from node.proto.vafa.coalition.v1 import envelope_pb2
from node.proto.vafa.common.v1 import balance_pb2
from simulators import shoppers
from simulators.demo import shopping
from simulators.demo.figures import Figures
from simulators.demo.opening import certify_tills, enrol_members
from simulators.demo.receipt import Visit
from simulators.demo.replay import replay
from simulators.demo.screen import Screen
from simulators.launch import NodeUnderTest
from simulators.purchases import Basket, card_identifier
from simulators.shoppers import Member
from simulators.staff import Staff
from simulators.till import Till
from simulators.till_queue import TillQueue

STORES = 3
OFFLINE_SHARE = 0.04
"""Of the purchases, those that the till without a line sells."""

Spend = balance_pb2.Spend
Proof = envelope_pb2.MemberProof
Agree = Callable[[Spend], Awaitable[Proof | None]]

_ENROLLED_BEFORE_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Day:
    """What took place: who and how many, what was measured, and one visit to show."""

    source: str
    members: int
    tills: int
    visit: Visit
    figures: Figures


async def generated_day(
    node: NodeUnderTest, staff: Staff, screen: Screen, *, members: int, tills: int, purchases: int, seed: int
) -> Day:
    """Made-up shoppers at `tills` tills of three stores; the last one sells without a line and catches up."""
    everybody = list(shoppers.members(members, seed))
    with screen.step("enrolling members", members) as advance:
        await enrol_members(staff, everybody, None, advance)
    places = [(f"store-{1 + number % STORES}", f"till-{1 + number}") for number in range(tills)]
    with screen.step("giving the tills their certificates", tills) as advance:
        certificates = await certify_tills(node, staff, places, advance)
    shop = shopping.Shop(seed, everybody, Figures())
    async with AsyncExitStack() as stack:
        counters = []
        for place, certificate in zip(places, certificates, strict=True):
            queue = TillQueue(node.directory / "offline-till") if place == places[-1] else None
            till = await stack.enter_async_context(Till(node.addresses.serving, certificate, queue=queue))
            counters.append(shopping.Counter(till, place[0]))
        await _open_hours(shop, counters, purchases, screen)
        visitor = persian(everybody)
        basket = shoppers.basket(seed, shop.next_sale, visitor, counters[0].store_id, now_ms())
        shown = await visit(counters[0].till, " ".join(places[0]), basket, shop.figures)
    return Day("generated shoppers", members, tills, shown, shop.figures)


async def _open_hours(
    shop: shopping.Shop, counters: Sequence[shopping.Counter], purchases: int, screen: Screen
) -> None:
    offline, online = counters[-1], counters[:-1]
    half = max(1, int(purchases * OFFLINE_SHARE / 2))
    await shopping.sell_offline(shop, offline, half)
    with screen.step("shopping at the tills", purchases - 2 * half) as advance:
        await shopping.shop(shop, online, purchases - 2 * half, advance)
    with screen.step("the till that was offline catches up", 2 * half) as advance:
        await shopping.catch_up(shop, offline, advance)
        await shopping.sell_offline(shop, offline, half)
        await shopping.catch_up(shop, offline, advance, over_stream=True)


async def recorded_day(node: NodeUnderTest, staff: Staff, screen: Screen, recording: Sequence[Basket]) -> Day:
    """The recorded baskets, each at the till of its store, for members who joined before the first."""
    cards = sorted({basket.card for basket in recording})
    # The recording names nobody, so its households borrow names.
    people = shoppers.members(len(cards), seed=1)
    households = [replace(member, card=card) for member, card in zip(people, cards, strict=True)]
    with screen.step("enrolling households", len(households)) as advance:
        await enrol_members(staff, households, recording[0].occurred_ms - _ENROLLED_BEFORE_MS, advance)
    stores = sorted({basket.store_id for basket in recording})
    with screen.step("giving a till of each store its certificate", len(stores)) as advance:
        certificates = await certify_tills(node, staff, [(store, "till-1") for store in stores], advance)
    figures = Figures()
    async with AsyncExitStack() as stack:
        tills = {
            store: await stack.enter_async_context(Till(node.addresses.serving, certificate))
            for store, certificate in zip(stores, certificates, strict=True)
        }
        with screen.step("replaying baskets", len(recording)) as advance:
            await replay(recording, tills, figures, advance)
        visitor = persian(households)
        store = next(basket.store_id for basket in reversed(recording) if basket.card == visitor.card)
        basket = shoppers.basket(1, 0, visitor, store, now_ms())
        shown = await visit(tills[store], f"{store} till-1", basket, figures)
    return Day("recorded baskets", len(households), len(stores), shown, figures)


async def visit(
    till: Till, place: str, basket: Basket, figures: Figures, agree: Agree | None = None
) -> Visit:
    """One more customer, whose screen is shown: spends half of what may be spent, and earns.

    `agree` is how a member of another merchant agrees to a spend.
    """
    card = card_identifier(basket.card)
    identified = await till.identify(card)
    quote = await till.quote(card, basket.purchase())
    option = next((option for option in quote.spend_options if option.max_units > 1), None)
    redeemed = None
    if option is not None:
        half = balance_pb2.Spend(purse=option.purse, units=option.max_units // 2)
        proof = await agree(half) if agree is not None else None
        asked = till.write.redemption(card, [half], receipt_number=basket.receipt_number, proof=proof)
        redeemed = (await till.send(asked)).redeem
        figures.counts["redemptions"] += 1
        figures.paid(redeemed.spent)
    accrued = await till.accrue(card, basket.purchase())
    figures.counts["accruals"] += 1
    figures.told(accrued.effects)
    return Visit(place, basket, identified, redeemed, accrued, tuple(await till.balance(card)))


def persian(members: Sequence[Member]) -> Member:
    """A Persian-speaking member; any where there is none."""
    return next((member for member in members if member.locale == "fa-IR"), members[0])


def now_ms() -> int:
    """This moment."""
    return time.time_ns() // 1_000_000
