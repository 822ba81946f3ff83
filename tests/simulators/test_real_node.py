"""The launcher and the till against a real node with Ray: crash, restart, and what is true afterwards."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.identity.caller import Role
from node.proto.vafa.admin.v1 import admin_service_pb2
from node.proto.vafa.common.v1 import purchase_pb2
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


class Rush:
    """Many hands selling at one till without end, until the node is gone."""

    def __init__(self, till: Till, members: list[Member]) -> None:
        self.figures = Figures()
        self.enough = asyncio.Event()
        self.unknown = 0
        self._till = till
        self._members = members
        self._sale = 0

    async def sell(self) -> None:
        """Ends when the outcome of one sale in each hand is unknown."""
        async with asyncio.TaskGroup() as hands:
            for _ in range(AT_ONCE):
                hands.create_task(self._work())

    async def _work(self) -> None:
        while True:
            self._sale += 1
            member = random.Random(self._sale).choice(self._members)
            basket = shoppers.basket(9, self._sale, member, "store-1", 0)
            try:
                accrued = await self._till.accrue(card_identifier(member.card), basket.purchase())
            except OutcomeUnknown:
                self.unknown += 1
                return
            self.figures.told(accrued.effects)
            if self.figures.issued["points"] > 2_000:
                self.enough.set()


async def books(node: NodeUnderTest) -> list[admin_service_pb2.PurseTotals]:
    async with Staff(node.addresses.serving, node.issue(Role.ADMIN, "staff")) as staff:
        return list((await staff.status()).totals)


async def test_a_node_that_is_killed_in_mid_sale_loses_nothing_acknowledged_and_doubles_nothing(
    node: NodeUnderTest, tmp_path: Path
) -> None:
    members, queue_path = list(shoppers.members(10, seed=9)), tmp_path / "till"
    certificate = await opened(node, members)
    async with Till(
        node.addresses.serving, certificate, queue=TillQueue(queue_path), patience=IMPATIENT
    ) as till:
        first = till.write.accrual(card_identifier(members[0].card), a_basket(members[0]))
        first_answer = await till.send(first)
        rush = Rush(till, members)
        selling = asyncio.create_task(rush.sell())
        await rush.enough.wait()
        await asyncio.to_thread(node.kill)
        await selling
        assert till.unanswered == rush.unknown == AT_ONCE
    figures = rush.figures
    figures.told(first_answer.accrue.effects)
    await asyncio.to_thread(node.start)
    async with Till(node.addresses.serving, certificate, queue=TillQueue(queue_path)) as till:
        async for operation, result in till.catch_up():
            assert not result.HasField("refusal"), (operation, result)
            figures.told(result.accrue.effects)
        assert till.unanswered == 0
        assert await till.send(first) == first_answer
    told = await books(node)
    await asyncio.to_thread(node.stop)
    assert prove(node, told, figures) == CLEAN


def a_basket(member: Member) -> purchase_pb2.Purchase:
    return shoppers.basket(9, 0, member, "store-1", 0).purchase()
