"""Recorded baskets, sold again at this node: in the order of time, each member's strictly so.

The recording is of a year long past. Its times are all moved by the same span, so that the last sale was an
hour ago and each keeps its distance from the others. A year is wider than the usual bound for late postings,
so the node of a replay is configured for 365 days: nothing else about it is special, and the clock is real.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Mapping, Sequence

from node.proto.vafa.common.v1 import balance_pb2
from node.proto.vafa.pos.v1 import undo_pb2
from simulators.baskets import shifted
from simulators.demo.figures import Figures
from simulators.demo.screen import Advance
from simulators.launch import Setting
from simulators.purchases import Basket, card_identifier
from simulators.refusal import Refused
from simulators.till import Till

NODE_SETTINGS: Mapping[str, Setting] = {
    "limits.lateness_days": 365,
    "limits.request_retention_days": 400,
}
"""What the node's file says for a replay, in place of 30 and 35 days."""

LONGEST_SPAN_MS = 364 * 86_400_000 + 20 * 3_600_000
"""A recording that spans more does not fit within the lateness bound."""

REDEEMS_EVERY = 20
RETURNS_EVERY = 50
_LANES = 64
"""Baskets under way at once; a member's are all in one lane, which keeps their order."""
_LANE_DEPTH = 4
_LAST_SALE_AGO_MS = 3_600_000
_RETURNED_AFTER_MS = 600_000


class SpanTooLong(ValueError):
    """The recording spans more time than a node takes late postings for."""


def brought_up_to(baskets: Sequence[Basket], now_ms: int) -> list[Basket]:
    """The baskets moved so that the last was sold an hour before `now_ms`; they come in order of time."""
    span_ms = baskets[-1].occurred_ms - baskets[0].occurred_ms
    if span_ms > LONGEST_SPAN_MS:
        raise SpanTooLong(f"the baskets span {span_ms // 86_400_000} days; at most 364 can be replayed")
    return list(shifted(baskets, now_ms - _LAST_SALE_AGO_MS - baskets[-1].occurred_ms))


async def replay(
    baskets: Sequence[Basket], tills: Mapping[str, Till], figures: Figures, advance: Advance
) -> None:
    """Sell the baskets at the tills of their stores. Every 20th customer pays with points first, where there
    are any; every 50th brings a line back. What is refused is counted and the replay goes on."""
    lanes: list[asyncio.Queue[tuple[int, Basket] | None]] = [
        asyncio.Queue(_LANE_DEPTH) for _ in range(_LANES)
    ]

    async def work(lane: asyncio.Queue[tuple[int, Basket] | None]) -> None:
        while (item := await lane.get()) is not None:
            number, basket = item
            try:
                await _sell(number, basket, tills[basket.store_id], figures)
            except Refused as refused:
                figures.refusals[refused.refusal.reason] += 1
            advance(1)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as workers:
        for lane in lanes:
            workers.create_task(work(lane))
        for number, basket in enumerate(baskets, 1):
            await lanes[zlib.crc32(basket.card.encode()) % _LANES].put((number, basket))
        for lane in lanes:
            await lane.put(None)
    figures.shopping_seconds += time.perf_counter() - started


async def _sell(number: int, basket: Basket, till: Till, figures: Figures) -> None:
    card = card_identifier(basket.card)
    if number % REDEEMS_EVERY == 0:
        with figures.timed("quote"):
            quote = await till.quote(card, basket.purchase())
        option = next((option for option in quote.spend_options if option.max_units > 0), None)
        if option is not None:
            # Spending is now, by the node's clock: nobody spends last year.
            part = balance_pb2.Spend(purse=option.purse, units=(option.max_units + 1) // 2)
            with figures.timed("redeem"):
                redeemed = await till.redeem(card, [part], receipt_number=basket.receipt_number)
            figures.paid(redeemed.spent)
            figures.counts["redemptions"] += 1
    with figures.timed("accrue"):
        accrued = (await till.send(till.write.accrual(card, basket.purchase(), basket.occurred_ms))).accrue
    figures.counts["accruals"] += 1
    figures.told(accrued.effects)
    if number % RETURNS_EVERY == 0:
        lines = [
            undo_pb2.ReturnedLine(number=place)
            for place, line in enumerate(basket.lines, 1)
            if line.net_minor and line.quantity_milli
        ]
        if lines:
            back = till.write.return_of(
                card, accrued.transaction_id, lines[:1], occurred_ms=basket.occurred_ms + _RETURNED_AFTER_MS
            )
            with figures.timed("return"):
                result = await till.send(back)
            figures.told(getattr(result, "return").effects)
            figures.counts["returns"] += 1
