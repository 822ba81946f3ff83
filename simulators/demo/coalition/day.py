"""A day of the coalition: members enrolled, tills opened, a node killed and restarted in the middle, accounts
compared."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from node.identity.caller import Role
from simulators import shoppers
from simulators.demo import days
from simulators.demo.coalition import chains, hours, outage
from simulators.demo.coalition.hours import Place
from simulators.demo.coalition.merchants import PURSE, Merchant
from simulators.demo.coalition.outage import Told
from simulators.demo.coalition.town import Town, ask_code
from simulators.demo.figures import Figures
from simulators.demo.opening import certify_tills, enrol_members, note_cards
from simulators.demo.receipt import Visit
from simulators.demo.screen import Advance, Screen
from simulators.demo.shopping import Counter
from simulators.purchases import card_identifier
from simulators.staff import Staff
from simulators.till import Till
from simulators.till_queue import TillQueue

VICTIM = 1
"""Which merchant's node is killed."""

BEFORE_SHARE = 0.6
"""Of the sales, those before the node is killed."""

QUIET_SECONDS = 60.0
"""Within this time all that was kept for later has arrived, or the pair is reported as it is."""

_STORES = 2
_GONE_SECONDS = 2.0
"""How long a killed node stays away before it is started again: its tills notice, and sell without it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One visit to show: in whose shop, and the words in which the code came, for a member from elsewhere."""

    title: str
    merchant: Merchant
    visit: Visit
    code_words: str = ""


@dataclass(slots=True)
class CoalitionDay:
    """What took place and what was measured. `figures` are by (home, acquirer)."""

    figures: dict[tuple[str, str], Figures]
    tills: int
    victim: Merchant
    seen: list[Seen] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    pairs: list[chains.Pair] = field(default_factory=list)
    accruals_measured: int = 0
    seconds_measured: float = 0.0
    restart_seconds: float = 0.0
    victims_offline: int = 0
    cards_carried: int = 0


async def live(
    merchants: Sequence[Merchant],
    tills: int,
    purchases: int,
    seed: int,
    screen: Screen,
    stack: AsyncExitStack,
    until_cut: Callable[[], Awaitable[None]],
) -> tuple[CoalitionDay, dict[str, Staff]]:
    """The whole day. The staffs' connections stay open for as long as `stack` does. Before the last customers
    come, `until_cut` is waited for.
    """
    ids = [merchant.merchant_id for merchant in merchants]
    staffs = {one.merchant_id: await stack.enter_async_context(_staff(one)) for one in merchants}
    with screen.step("the nodes find each other"):
        await outage.until_linked(staffs, ids)
    with screen.step("enrolling members", sum(len(one.members) for one in merchants)) as advance:
        for one in merchants:
            await enrol_members(staffs[one.merchant_id], one.members, None, advance)
            if one.pockets is not None:
                await note_cards(staffs[one.merchant_id], one.pockets.chips)
    day = CoalitionDay(
        {(home, acquirer): Figures() for home in ids for acquirer in ids}, tills, merchants[VICTIM]
    )
    day.cards_carried = sum(len(one.pockets.chips) for one in merchants if one.pockets is not None)
    places = await _places(merchants, staffs, day, tills, seed, screen, stack)
    before = int(purchases * BEFORE_SHARE)
    with screen.step("shopping everywhere", before) as advance:
        await _measured(day, places, before, advance)
    await _without(day, merchants, staffs, places, screen)
    with screen.step("shopping goes on", purchases - before) as advance:
        await _measured(day, places, purchases - before, advance)
    await until_cut()
    day.seen = [await _at_home(day, places, merchants[0]), await _abroad(day, places, merchants)]
    with screen.step("both sides of every pair compare their signed chains"):
        day.pairs = await _compared(day, staffs)
    return day, staffs


def _staff(merchant: Merchant) -> Staff:
    return Staff(merchant.node.addresses.serving, merchant.node.issue(Role.ADMIN, "demo"))


async def _places(
    merchants: Sequence[Merchant],
    staffs: Mapping[str, Staff],
    day: CoalitionDay,
    tills: int,
    seed: int,
    screen: Screen,
    stack: AsyncExitStack,
) -> list[Place]:
    """The tills of all merchants, each with a certificate of its merchant's own."""
    out: set[str] = set()
    each = max(1, tills // len(merchants))
    day.tills = each * len(merchants)
    places = []
    with screen.step("giving the tills their certificates", day.tills) as advance:
        for number, own in enumerate(merchants):
            others = [one for one in merchants if one is not own]
            town = Town(
                seed=seed * len(merchants) + number,
                members=own.members,
                figures=day.figures[own.merchant_id, own.merchant_id],
                own=own,
                others=others,
                out=out,
                abroad={one.merchant_id: day.figures[one.merchant_id, own.merchant_id] for one in others},
            )
            stands = [(f"store-{1 + till % _STORES}", f"till-{1 + till}") for till in range(each)]
            made = await certify_tills(own.node, staffs[own.merchant_id], stands, advance)
            for (store_id, till_id), certificate in zip(stands, made, strict=True):
                queue = TillQueue(own.node.directory / "tills" / till_id)
                till = Till(
                    own.node.addresses.serving, certificate, queue=queue, patience=hours.TILL_PATIENCE
                )
                places.append(Place(town, Counter(await stack.enter_async_context(till), store_id)))
    return places


async def _measured(day: CoalitionDay, places: Sequence[Place], sales: int, advance: Advance) -> None:
    before = _accruals(day)
    started = time.perf_counter()
    await hours.open_for(places, sales, advance)
    day.seconds_measured += time.perf_counter() - started
    day.accruals_measured += _accruals(day) - before


def _accruals(day: CoalitionDay) -> int:
    return sum(len(figures.latencies_us.get("accrue", ())) for figures in day.figures.values())


async def _without(
    day: CoalitionDay,
    merchants: Sequence[Merchant],
    staffs: Mapping[str, Staff],
    places: Sequence[Place],
    screen: Screen,
) -> None:
    """The victim's node is killed while all tills are at work, and started again."""
    victim = day.victim
    ids = [merchant.merchant_id for merchant in merchants]
    with screen.step(
        f"the node of {victim.merchant_id} is killed (SIGKILL) and restarted meanwhile"
    ) as advance:
        async with hours.all_open(places, advance):
            await asyncio.to_thread(victim.node.kill)
            await asyncio.sleep(_GONE_SECONDS)
            for own in merchants:
                if own is not victim:
                    await outage.until_missed(staffs[own.merchant_id], victim.merchant_id)
                    day.told.append(await outage.ask_meanwhile(_first(places, own), victim))
            started = time.perf_counter()
            await asyncio.to_thread(victim.node.start)
            day.restart_seconds = time.perf_counter() - started
            await outage.until_linked(staffs, ids)
    waiting = sum(place.stand.till.unanswered for place in places)
    day.victims_offline = sum(place.offline for place in places)
    with screen.step("the tills that kept sales for later catch up", waiting) as advance:
        for place in places:
            if place.offline or place.stand.till.unanswered:
                await hours.catch_up(place, advance)


def _first(places: Sequence[Place], merchant: Merchant) -> Place:
    return next(place for place in places if place.town.own is merchant)


async def _at_home(day: CoalitionDay, places: Sequence[Place], merchant: Merchant) -> Seen:
    place = _first(places, merchant)
    member = days.persian(merchant.members)
    basket = place.town.next_basket(member, place.stand.store_id)
    figures = place.town.figures
    return Seen(
        "What a customer saw at home",
        merchant,
        await days.visit(place.stand.till, _name(place), basket, figures),
    )


async def _abroad(day: CoalitionDay, places: Sequence[Place], merchants: Sequence[Merchant]) -> Seen:
    """A member of the first merchant, who speaks Persian, at the last one's till."""
    home, acquirer = merchants[0], merchants[-1]
    place = _first(places, acquirer)
    town, till = place.town, place.stand.till
    member = await _with_points(till, home, town)
    town.homes[member.card] = home
    words = ""

    async def agree(part: days.Spend) -> days.Proof:
        nonlocal words
        proof, words = await ask_code(till, member, part, home, town)
        return proof

    basket = town.next_basket(member, place.stand.store_id)
    visit = await days.visit(till, _name(place), basket, town.figures_of(member), agree)
    return Seen("What a customer saw at another merchant's till", acquirer, visit, words)


async def _with_points(till: Till, home: Merchant, town: Town) -> shoppers.Member:
    """One who has something to spend and has not just had a code from here; any member where nobody has."""
    for member in home.members:
        if member.locale == "fa-IR" and member.card not in town.asked_seconds:
            balances = await till.balance(card_identifier(member.card))
            if any(one.purse == PURSE and one.spendable > 1 for one in balances):
                return member
    return next(one for one in home.members if one.card not in town.asked_seconds)


def _name(place: Place) -> str:
    return f"{place.stand.store_id}"


async def _compared(day: CoalitionDay, staffs: Mapping[str, Staff]) -> list[chains.Pair]:
    """All pairs, once what was kept for later has arrived."""
    known = await chains.known_to(next(iter(staffs.values())))
    give_up_at = time.monotonic() + QUIET_SECONDS
    while True:
        pairs = await chains.compare_all(staffs, known)
        for pair in pairs:
            compare_told(pair, day.figures[pair.home_id, pair.acquirer_id])
        if all(pair.equal for pair in pairs) or time.monotonic() > give_up_at:
            return pairs
        await asyncio.sleep(0.5)


def compare_told(pair: chains.Pair, figures: Figures) -> None:
    """Whether the chain comes to what the tills were told; adds what differs to the pair's problems."""
    told = {chains.EARNED: figures.issued[PURSE], chains.SPENT: figures.redeemed[PURSE]}
    for what, units in told.items():
        if pair.units[what] != units:
            pair.problems.append(
                f"the tills were told of {units} {what}, both have signed {pair.units[what]}"
            )
