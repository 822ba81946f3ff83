"""A replay keeps the recording's order for every member, moves its times and changes nothing else."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from node.proto.vafa.pos.v1 import earning_pb2, undo_pb2
from simulators.demo.figures import Figures
from simulators.demo.replay import RETURNS_EVERY, SpanTooLong, brought_up_to, replay
from simulators.purchases import Basket, BasketLine
from simulators.scripted_node import ScriptedNode
from simulators.till import Till

DAY_MS = 86_400_000
NOW_MS = 1_800_000_000_000


def recording(count: int) -> list[Basket]:
    chance = random.Random(5)
    line = BasketLine("Milk", "2001", ("DAIRY",), "", 1_000, 159)
    nothing = BasketLine("Leaflet", "9999", (), "", 0, 0)
    return [
        Basket(
            str(number), "store-1", f"card{chance.randrange(9):04d}", number * 20_000, "USD", (nothing, line)
        )
        for number in range(count)
    ]


async def test_each_members_baskets_arrive_in_the_order_of_time(scripted_node: ScriptedNode) -> None:
    baskets, figures, seen = recording(300), Figures(), 0

    def advance(count: int) -> None:
        nonlocal seen
        seen += count

    async with Till(scripted_node.address, scripted_node.certificate()) as till:
        await replay(baskets, {"store-1": till}, figures, advance)
    arrived: dict[str, list[int]] = defaultdict(list)
    for kind, message in scripted_node.received:
        if kind == "accrue":
            request = earning_pb2.AccrueRequest.FromString(message)
            arrived[request.identifier.value].append(request.occurred_time.ToMilliseconds())
    wanted: dict[str, list[int]] = defaultdict(list)
    for basket in baskets:
        wanted[basket.card].append(basket.occurred_ms)
    assert arrived == wanted
    assert seen == figures.counts["accruals"] == 300


async def test_every_fiftieth_basket_brings_back_a_line_that_was_paid_for(
    scripted_node: ScriptedNode,
) -> None:
    baskets, figures = recording(2 * RETURNS_EVERY), Figures()
    async with Till(scripted_node.address, scripted_node.certificate()) as till:
        await replay(baskets, {"store-1": till}, figures, lambda count: None)
    returned = [
        undo_pb2.ReturnRequest.FromString(message)
        for kind, message in scripted_node.received
        if kind == "return"
    ]
    assert figures.counts["returns"] == len(returned) == 2
    by_time = sorted(returned, key=lambda request: request.occurred_time.ToMilliseconds())
    for request, basket in zip(by_time, baskets[RETURNS_EVERY - 1 :: RETURNS_EVERY], strict=True):
        assert [(line.number, line.quantity_milli) for line in request.lines] == [(2, 0)]
        assert request.identifier.value == basket.card
        assert request.occurred_time.ToMilliseconds() > basket.occurred_ms


def test_the_last_sale_ends_up_an_hour_ago_and_distances_stay() -> None:
    moved = brought_up_to(recording(10), NOW_MS)
    assert moved[-1].occurred_ms == NOW_MS - 3_600_000
    assert [later.occurred_ms - moved[0].occurred_ms for later in moved] == [n * 20_000 for n in range(10)]


def test_a_recording_longer_than_the_lateness_bound_is_refused() -> None:
    first, last = recording(2)
    year = [first, Basket("9", "store-1", "card", 366 * DAY_MS, "USD", last.lines)]
    with pytest.raises(SpanTooLong, match="366 days"):
        brought_up_to(year, NOW_MS)
