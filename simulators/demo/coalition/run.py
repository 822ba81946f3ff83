"""The coalition's demo from the first file to the last line: operator, three nodes, a day, the books."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from node.cli.operator_home import OperatorHome
from simulators import shoppers
from simulators.demo.coalition.day import live
from simulators.demo.coalition.founding import Operator, found
from simulators.demo.coalition.merchants import Merchant
from simulators.demo.coalition.settling import WINDOW, OperatorService, settle
from simulators.demo.coalition.summary import CoalitionSummary, MerchantBooks
from simulators.demo.proof import prove
from simulators.demo.receipt import Shopfront, till_screen
from simulators.demo.screen import Screen
from simulators.launch import NodeFailed, NodeUnderTest
from simulators.staff import Staff

SHORTEST_WINDOW_SECONDS = 35.0
LOSS_WINDOW_SECONDS = 50.0
"""The shortest window in which the last customers come, the one before is closed, and a node is restarted."""
MENDED_WINDOW_SECONDS = 12.0
"""The shortest window in which the one with the loss is closed."""
_USUAL_PURCHASES = 3_000
_AT_ONCE = 2
"""Nodes that are stopped, or checked, side by side."""


def run(
    directory: Path, screen: Screen, *, members: int, tills: int, purchases: int, seed: int
) -> CoalitionSummary:
    """Runs it in `directory`, and leaves no node running. A node that fails is `NodeFailed`."""
    started_seconds = time.monotonic()
    nodes: list[NodeUnderTest] = []
    services: list[OperatorService] = []
    side_by_side = ThreadPoolExecutor(_AT_ONCE)

    def publish(operator: Operator) -> Path:
        """With a window that is cut when most of the shopping is done, and two more, on quick machines and on
        slow ones: how long founding took tells which.
        """
        took_seconds = time.monotonic() - started_seconds
        more = max(0.0, purchases / _USUAL_PURCHASES - 1) * took_seconds
        cuts = (
            max(SHORTEST_WINDOW_SECONDS, took_seconds / 2),
            max(LOSS_WINDOW_SECONDS, took_seconds * 1.2) + more,
            max(MENDED_WINDOW_SECONDS, took_seconds / 4),
        )
        services.append(OperatorService(OperatorHome(operator.directory), *cuts))
        return services[0].publish()

    async def until_cut() -> None:
        """The last customers come in the second window: what they do is settled with it."""
        left = services[0].seconds_until_cut(WINDOW)
        with screen.step(f"waiting for the window's cut, {left:.0f} s from now"):
            await asyncio.sleep(left)

    try:
        merchants = found(directory, members, seed, screen, nodes, publish)
        summary = asyncio.run(_day(merchants, tills, purchases, seed, screen, until_cut))
        summary.settlement = settle(services[0], merchants, directory, screen)
    except BaseException:
        # What went wrong is the news; a node that then does not stop well is only a second one.
        for node in nodes:
            with suppress(NodeFailed):
                node.stop()
        raise
    finally:
        for service in services:
            service.stop()
    with screen.step("stopping the nodes", len(nodes)) as advance:
        for _ in side_by_side.map(NodeUnderTest.stop, nodes):
            advance(1)
    with screen.step("proving everybody's books with `vafa check`", len(nodes)) as advance:

        def proved(merchant: Merchant) -> str:
            own = summary.day.figures[merchant.merchant_id, merchant.merchant_id]
            return prove(merchant.node, summary.books[merchant.merchant_id].totals, own)

        for merchant, check in zip(merchants, side_by_side.map(proved, merchants), strict=True):
            summary.books[merchant.merchant_id].check = check
            advance(1)
    side_by_side.shutdown()
    summary.seconds = time.monotonic() - started_seconds
    return summary


async def _day(
    merchants: Sequence[Merchant],
    tills: int,
    purchases: int,
    seed: int,
    screen: Screen,
    until_cut: Callable[[], Awaitable[None]],
) -> CoalitionSummary:
    async with AsyncExitStack() as stack:
        day, staffs = await live(merchants, tills, purchases, seed, screen, stack, until_cut)
        books = {
            one.merchant_id: MerchantBooks(one.trader.name, (await staffs[one.merchant_id].status()).totals)
            for one in merchants
        }
        fronts = {one.merchant_id: await _front(one, staffs[one.merchant_id]) for one in merchants}
    screens = [(seen, till_screen(seen.visit, fronts[seen.merchant.merchant_id])) for seen in day.seen]
    members = sum(len(one.members) for one in merchants)
    return CoalitionSummary(day, members, books, fronts, screens)


async def _front(merchant: Merchant, staff: Staff) -> Shopfront:
    purses = {purse.code: purse for purse in (await staff.programme()).purses}
    trader = merchant.trader
    return Shopfront(trader.name, trader.time_zone, shoppers.CURRENCY_EXPONENT, purses)
