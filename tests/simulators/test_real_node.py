"""The launcher and the till against a real node with Ray: crash, restart, and what is true afterwards."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.identity.caller import Role
from node.proto.vafa.admin.v1 import admin_service_pb2
from simulators import shoppers
from simulators.demo.figures import Figures
from simulators.demo.proof import CLEAN, prove
from simulators.enrolment import TillCertificate, enrol_with_code
from simulators.launch import NodeUnderTest, launch_node
from simulators.purchases import card_identifier
from simulators.shoppers import Member
from simulators.staff import Staff
from simulators.till import OutcomeUnknown, Patience, Till
from simulators.till_queue import TillQueue

pytestmark = [pytest.mark.ray, pytest.mark.slow]

IMPATIENT = Patience(attempts=3, attempt_seconds=1.0, total_seconds=2.0, longest_wait_seconds=0.2)
AT_ONCE = 16


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeUnderTest]:
    """A node that serves; stopped at the end unless the test did."""
    with launch_node(tmp_path, shards=2) as launched:
        yield launched


async def opened(node: NodeUnderTest, members: list[Member]) -> TillCertificate:
    async with Staff(node.addresses.serving, node.issue(Role.ADMIN, "staff")) as staff:
        for member in members:
            await staff.enrol(member)
        code = await staff.till_code("store-1", "till-1")
    return await enrol_with_code(node.addresses.enrolment, node.authority_pem, code)


async def sell_until_the_line_breaks(
    till: Till, members: list[Member], figures: Figures, killed: asyncio.Event
) -> int:
    """Sells without end at a till with many hands; ends when the node is gone. How many outcomes are unknown."""
    unknown, sale = 0, 0

    async def work() -> None:
        nonlocal unknown, sale
        while not killed.is_set():
            sale += 1
            member = random.Random(sale).choice(members)
            basket = shoppers.basket(9, sale, member, "store-1", 0)
            try:
                accrued = await till.accrue(card_identifier(member.card), basket.purchase())
            except OutcomeUnknown:
                unknown += 1
                return
            figures.told(accrued.effects)

    async with asyncio.TaskGroup() as hands:
        for _ in range(AT_ONCE):
            hands.create_task(work())
    return unknown


async def books(node: NodeUnderTest) -> list[admin_service_pb2.PurseTotals]:
    async with Staff(node.addresses.serving, node.issue(Role.ADMIN, "staff")) as staff:
        return list((await staff.status()).totals)


async def test_a_node_that_is_killed_in_mid_sale_loses_nothing_acknowledged_and_doubles_nothing(
    node: NodeUnderTest, tmp_path: Path
) -> None:
    members, figures = list(shoppers.members(10, seed=9)), Figures()
    certificate = await opened(node, members)
    killed = asyncio.Event()
    queue_path = tmp_path / "till"
    async with Till(
        node.addresses.serving, certificate, queue=TillQueue(queue_path), patience=IMPATIENT
    ) as till:
        selling = asyncio.create_task(sell_until_the_line_breaks(till, members, figures, killed))
        while len(figures.issued) == 0 or figures.issued["points"] < 2_000:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(node.kill)
        killed.set()
        unknown = await selling
        assert till.unanswered == unknown
    await asyncio.to_thread(node.start)
    async with Till(node.addresses.serving, certificate, queue=TillQueue(queue_path)) as till:
        async for operation, result in till.catch_up():
            assert not result.HasField("refusal"), (operation, result)
            figures.told(result.accrue.effects)
        assert till.unanswered == 0
    told = await books(node)
    await asyncio.to_thread(node.stop)
    assert prove(node, told, figures) == CLEAN


async def test_a_restarted_node_gives_the_same_answer_to_the_same_request(node: NodeUnderTest) -> None:
    members = list(shoppers.members(1, seed=9))
    certificate = await opened(node, members)
    basket = shoppers.basket(9, 1, members[0], "store-1", 0)
    async with Till(node.addresses.serving, certificate) as till:
        operation = till.write.accrual(card_identifier(members[0].card), basket.purchase())
        before = await till.send(operation)
    await asyncio.to_thread(node.restart)
    async with Till(node.addresses.serving, certificate) as till:
        assert await till.send(operation) == before
