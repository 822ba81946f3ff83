"""The made-up day does what it says, at a node that answers and at one that is away for a while."""

from __future__ import annotations

from pathlib import Path

from google.rpc import code_pb2

from node.proto.vafa.pos.v1 import earning_pb2
from simulators import shoppers
from simulators.demo.figures import Figures
from simulators.demo.shopping import Counter, Shop, catch_up, sell_offline, shop
from simulators.scripted_node import ScriptedNode, refusing
from simulators.till import Till
from simulators.till_queue import TillQueue


def a_shop() -> Shop:
    return Shop(3, list(shoppers.members(20, seed=3)), Figures())


async def test_every_sale_is_made_once_with_a_receipt_of_its_own(scripted_node: ScriptedNode) -> None:
    day = a_shop()
    async with (
        Till(scripted_node.address, scripted_node.certificate("till-1")) as first,
        Till(scripted_node.address, scripted_node.certificate("till-2")) as second,
    ):
        await shop(day, [Counter(first, "store-1"), Counter(second, "store-2")], 300, lambda count: None)
    receipts = [
        earning_pb2.AccrueRequest.FromString(message).purchase.receipt_number
        for kind, message in scripted_node.received
        if kind == "accrue"
    ]
    assert sorted(receipts) == [f"{sale:08d}" for sale in range(300)]
    assert day.figures.counts["accruals"] == 300
    assert day.figures.counts["returns"] > 0
    assert day.figures.counts["reversals"] > 0


async def test_a_refusal_is_counted_and_the_next_customer_is_served(scripted_node: ScriptedNode) -> None:
    blocked = refusing(code_pb2.FAILED_PRECONDITION, "ACCOUNT_BLOCKED", "Blocked.", action="SHOW")
    scripted_node.script = [blocked]
    day = a_shop()
    async with Till(scripted_node.address, scripted_node.certificate()) as till:
        await shop(day, [Counter(till, "store-1")], 10, lambda count: None)
    assert day.figures.refusals == {"ACCOUNT_BLOCKED": 1}
    assert day.figures.counts["accruals"] == 9


async def test_a_till_that_was_offline_posts_all_that_it_sold(
    scripted_node: ScriptedNode, tmp_path: Path
) -> None:
    day = a_shop()
    queue = TillQueue(tmp_path)
    async with Till(scripted_node.address, scripted_node.certificate(), queue=queue) as till:
        counter = Counter(till, "store-1")
        await sell_offline(day, counter, 15)
        assert scripted_node.received == []
        assert len(TillQueue(tmp_path)) == 15
        await catch_up(day, counter, lambda count: None)
        await sell_offline(day, counter, 15)
        await catch_up(day, counter, lambda count: None, over_stream=True)
    assert len(scripted_node.executed) == 30
    assert day.figures.counts["offline_accruals"] == day.figures.counts["accruals"] == 30
    assert len(TillQueue(tmp_path)) == 0
