"""The demo from the first file to the last line: a node, its members, its tills, a day's sales, the books."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from node.identity.caller import Role
from simulators import shoppers
from simulators.baskets import read_baskets
from simulators.demo import replay
from simulators.demo.figures import Figures
from simulators.demo.receipt import Shopfront, Visit, till_screen
from simulators.demo.screen import Advance, Screen
from simulators.demo.shopping import Counter, Shop, catch_up, sell_offline, shop
from simulators.demo.summary import CLEAN, Summary
from simulators.enrolment import TillCertificate, enrol_with_code
from simulators.launch import NodeUnderTest, launch_node
from simulators.purchases import Basket, card_identifier
from simulators.shoppers import Member
from simulators.staff import Staff
from simulators.till import Till
from simulators.till_queue import TillQueue

SHOP_NAME = "فروشگاه وفا · Vafa shop"
TIME_ZONE = "Asia/Tehran"
ENROLLED_BY_CODE = 3
"""So many tills get their certificate as a real one does; the rest are issued past the enrolment."""
ENROLMENTS_UNDER_WAY = 32
OFFLINE_SHARE = 0.04


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. With `baskets` the recording decides members, tills and purchases."""

    members: int
    tills: int
    purchases: int
    seed: int = 1
    baskets: Path | None = None


def run(plan: Plan, directory: Path, screen: Screen) -> Summary:
    """Run the demo in `directory`, which is empty, and say how it went. Faults of the node are `NodeFailed`."""
    started = time.monotonic()
    recording = None
    if plan.baskets is not None:
        with screen.step(f"reading {plan.baskets.name}"):
            recorded = read_baskets(plan.baskets)
            recording = replay.brought_up_to(recorded, time.time_ns() // 1_000_000)
        _say_how_replayed(recorded, screen)
    with screen.step("starting a node on embedded defaults"):
        node = launch_node(
            directory,
            name=SHOP_NAME,
            time_zone=TIME_ZONE,
            currency=shoppers.CURRENCY,
            currency_exponent=shoppers.CURRENCY_EXPONENT,
            settings=replay.NODE_SETTINGS if recording is not None else None,
        )
        node.start()
    try:
        summary = asyncio.run(_shop_at(node, plan, recording, screen))
    except BaseException:
        node.kill()
        raise
    with screen.step("stopping the node"):
        node.stop()
    with screen.step("proving the books with `vafa check`"):
        summary.check = _check(node)
    summary.seconds = time.monotonic() - started
    return summary


def _say_how_replayed(recorded: Sequence[Basket], screen: Screen) -> None:
    first, last = (time.strftime("%Y-%m-%d", time.gmtime(recorded[end].occurred_ms // 1000)) for end in (0, -1))
    screen.say(f"        {len(recorded):,} baskets of {first} to {last}, all moved to the year that ends now;")
    screen.say("        the node is told to take postings up to 365 days late, in place of 30. Its clock is real.")


async def _shop_at(
    node: NodeUnderTest, plan: Plan, recording: Sequence[Basket] | None, screen: Screen
) -> Summary:
    figures = Figures()
    async with AsyncExitStack() as stack:
        staff = await stack.enter_async_context(
            Staff(node.addresses.serving, node.issue(Role.STAFF, "demo"))
        )
        programme = await staff.programme()
        front = Shopfront(
            SHOP_NAME,
            TIME_ZONE,
            shoppers.CURRENCY_EXPONENT,
            {purse.code: purse for purse in programme.purses},
        )
        if recording is None:
            source, members, tills, visit = await _generated(node, plan, staff, figures, screen, stack)
        else:
            source, members, tills, visit = await _recorded(node, recording, staff, figures, screen, stack)
        status = await staff.status()
    return Summary(
        source=source,
        members=members,
        tills=tills,
        shop=front,
        figures=figures,
        totals=list(status.totals),
        check="not run",
        screen_lines=till_screen(visit, front),
    )


async def _generated(
    node: NodeUnderTest, plan: Plan, staff: Staff, figures: Figures, screen: Screen, stack: AsyncExitStack
) -> tuple[str, int, int, Visit]:
    members = list(shoppers.members(plan.members, plan.seed))
    with screen.step("enrolling members", len(members)) as advance:
        await _enrol(staff, ((member, None) for member in members), advance)
    places = [(f"store-{1 + number % 3}", f"till-{1 + number}") for number in range(plan.tills)]
    with screen.step("giving the tills their certificates", len(places)) as advance:
        certificates = await _certificates(node, staff, places, advance)
    offline_queue = TillQueue(node.directory / "offline-till")
    counters = [
        Counter(
            await stack.enter_async_context(
                # The last till keeps its queue on disk: it is the one that will lose its line.
                Till(
                    node.addresses.serving, certificate, queue=offline_queue if place == places[-1] else None
                )
            ),
            place[0],
        )
        for place, certificate in zip(places, certificates, strict=True)
    ]
    day = Shop(plan.seed, members, figures)
    offline, online = counters[-1], counters[:-1]
    sold_offline = max(2, int(plan.purchases * OFFLINE_SHARE))
    with screen.step("shopping at the tills", plan.purchases - sold_offline) as advance:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sell_offline(day, offline, sold_offline))
            tasks.create_task(shop(day, online, plan.purchases - sold_offline, advance))
    with screen.step("the offline till catches up", sold_offline) as advance:
        await catch_up(day, offline, advance)
    persian = next((member for member in members if member.locale == "fa-IR"), members[0])
    basket = shoppers.basket(plan.seed, day.next_sale, persian, counters[0].store_id, _now_ms())
    visit = await _visit(counters[0].till, f"{places[0][0]} {places[0][1]}", basket)
    figures.counts["accruals"] += 1
    return "generated shoppers", len(members), len(counters), visit


async def _recorded(
    node: NodeUnderTest,
    recording: Sequence[Basket],
    staff: Staff,
    figures: Figures,
    screen: Screen,
    stack: AsyncExitStack,
) -> tuple[str, int, int, Visit]:
    cards = sorted({basket.card for basket in recording})
    # The households have no names; they borrow those of made-up members.
    people = shoppers.members(len(cards), seed=1)
    enrolled_ms = recording[0].occurred_ms - 3_600_000
    households = [(_with_card(member, card), enrolled_ms) for member, card in zip(people, cards, strict=True)]
    with screen.step("enrolling households", len(households)) as advance:
        await _enrol(staff, households, advance)
    stores = sorted({basket.store_id for basket in recording})
    with screen.step("giving a till of each store its certificate", len(stores)) as advance:
        certificates = await _certificates(node, staff, [(store, "till-1") for store in stores], advance)
    tills = {
        store: await stack.enter_async_context(Till(node.addresses.serving, certificate))
        for store, certificate in zip(stores, certificates, strict=True)
    }
    with screen.step("replaying baskets", len(recording)) as advance:
        await replay.replay(recording, tills, figures, advance)
    persian = next((member.card for member, _ in households if member.locale == "fa-IR"), cards[0])
    last = next(basket for basket in reversed(recording) if basket.card == persian)
    again = shoppers.basket(1, 0, None, last.store_id, _now_ms())
    basket = Basket("demo-1", last.store_id, persian, again.occurred_ms, again.currency, again.lines)
    visit = await _visit(tills[last.store_id], f"{last.store_id} till-1", basket)
    figures.counts["accruals"] += 1
    return "recorded baskets", len(cards), len(stores), visit


async def _visit(till: Till, place: str, basket: Basket) -> Visit:
    """One more customer, whose screen is shown: pays half of what may be paid with points, and earns."""
    card = card_identifier(basket.card)
    identified = await till.identify(card)
    quote = await till.quote(card, basket.purchase())
    option = next((option for option in quote.spend_options if option.max_units > 1), None)
    redeemed = None
    if option is not None:
        part = [shoppers_spend(option.purse, option.max_units // 2)]
        redeemed = await till.redeem(card, part, receipt_number=basket.receipt_number)
    accrued = await till.accrue(card, basket.purchase())
    return Visit(place, basket, identified, redeemed, accrued, tuple(await till.balance(card)))
