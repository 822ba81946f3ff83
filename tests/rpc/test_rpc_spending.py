"""Spending at the till: in one step, or reserved first and captured later."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from node.proto.vafa.common.v1.balance_pb2 import Spend
from simulators.refusal import refusal_of_error
from tests.rpc.shop import DAY_MS, Shop, refused, spend, spend_money

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_redemption_takes_exactly_what_was_asked(shop: Shop) -> None:
    card = await shop.member(points=80)
    answer = await shop.redeem(card, 30)
    assert [(one.purse, one.units, one.worth.minor) for one in answer.spent] == [("points", 30, 30)]
    assert [one.spendable for one in answer.balances] == [50]


async def test_several_purses_are_spent_together_or_not_at_all(shop: Shop) -> None:
    card = await shop.member(points=80, stamps=3)
    with refused("INSUFFICIENT_BALANCE") as refusal:
        await shop.till.send(shop.write.redemption(card, [spend(80), spend(4, "stamps")]))
    assert refusal[0].metadata["purse"] == "stamps"
    assert await shop.points(card) == 80
    answer = await shop.till.send(shop.write.redemption(card, [spend(80), spend(3, "stamps")]))
    assert [(one.purse, one.units) for one in answer.spent] == [("points", 80), ("stamps", 3)]
    purses = await shop.purses(card)
    assert (purses["points"].spendable, purses["stamps"].spendable) == (0, 0)


async def test_a_spend_in_money_takes_the_units_that_pay_it(shop: Shop) -> None:
    card = await shop.member(points=80)
    answer = await shop.till.send(shop.write.redemption(card, [spend_money(25)]))
    assert [(one.units, one.worth.minor) for one in answer.spent] == [(25, 25)]
    assert await shop.points(card) == 55


@pytest.mark.parametrize(
    ("spends", "reason"),
    [
        ([], "INVALID_ARGUMENT"),
        ([spend(0)], "INVALID_ARGUMENT"),
        ([spend(-5)], "INVALID_ARGUMENT"),
        ([spend(-(2**63))], "INVALID_ARGUMENT"),
        ([spend(2**63 - 1)], "INVALID_ARGUMENT"),
        ([spend(10**15)], "INSUFFICIENT_BALANCE"),
        ([spend(50), spend(50)], "INSUFFICIENT_BALANCE"),
        ([spend(1)] * 33, "INVALID_ARGUMENT"),
        ([spend(5, "miles")], "UNKNOWN_PURSE"),
        ([spend(5, "")], "UNKNOWN_PURSE"),
        ([Spend(purse="points")], "INVALID_ARGUMENT"),
        ([spend_money(5, currency="IRR")], "INVALID_ARGUMENT"),
        ([spend_money(-5)], "INVALID_ARGUMENT"),
        ([spend_money(2**63 - 1)], "INVALID_ARGUMENT"),
        ([spend_money(5, "stamps")], "NOT_SPENDABLE_HERE"),
    ],
)
async def test_a_spend_that_cannot_be_is_refused_and_takes_nothing(
    shop: Shop, spends: list[Spend], reason: str
) -> None:
    card = await shop.member(points=80)
    before = await shop.entries()
    with refused(reason):
        await shop.till.send(shop.write.redemption(card, spends))
    with refused(reason):
        await shop.till.send(shop.write.authorization(card, spends))
    assert await shop.entries() == before
    assert await shop.points(card) == 80


async def test_what_is_reserved_cannot_be_spent_twice_and_is_captured_whole(shop: Shop) -> None:
    card = await shop.member(points=80)
    hold = await shop.till.send(shop.write.authorization(card, [spend(60)]))
    purse = (await shop.purses(card))["points"]
    assert (purse.spendable, purse.held) == (20, 60)
    with refused("INSUFFICIENT_BALANCE"):
        await shop.redeem(card, 21)
    answer = await shop.till.send(shop.write.capture_of(card, hold.transaction_id))
    assert [one.units for one in answer.spent] == [60]
    purse = (await shop.purses(card))["points"]
    assert (purse.spendable, purse.held) == (20, 0)
    with refused("AUTHORIZATION_NOT_OPEN") as refusal:
        await shop.till.send(shop.write.capture_of(card, hold.transaction_id))
    assert refusal[0].action.name == "VOID"


async def test_a_partial_capture_gives_the_rest_back(shop: Shop) -> None:
    card = await shop.member(points=80)
    hold = await shop.till.send(shop.write.authorization(card, [spend(60)]))
    with refused("CAPTURE_EXCEEDS_AUTHORIZATION"):
        await shop.till.send(shop.write.capture_of(card, hold.transaction_id, [spend(61)]))
    await shop.till.send(shop.write.capture_of(card, hold.transaction_id, [spend(45)]))
    purse = (await shop.purses(card))["points"]
    assert (purse.spendable, purse.held) == (35, 0)


async def test_a_void_gives_everything_back_once(shop: Shop) -> None:
    card = await shop.member(points=80)
    hold = await shop.till.send(shop.write.authorization(card, [spend(60)]))
    await shop.till.send(shop.write.void_of(card, hold.transaction_id))
    assert await shop.points(card) == 80
    for late in (shop.write.void_of, shop.write.capture_of):
        with refused("AUTHORIZATION_NOT_OPEN"):
            await shop.till.send(late(card, hold.transaction_id))
    assert await shop.points(card) == 80


async def test_a_hold_is_captured_or_voided_by_its_own_member_only(shop: Shop) -> None:
    card, other = await shop.member(points=80), await shop.member(points=80)
    hold = await shop.till.send(shop.write.authorization(card, [spend(60)]))
    for late in (shop.write.void_of, shop.write.capture_of):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await shop.till.send(late(other, hold.transaction_id))
        refusal = refusal_of_error(error.value)
        assert refusal is not None
        assert refusal.reason in ("AUTHORIZATION_NOT_OPEN", "TRANSACTION_NOT_FOUND")
    purse = (await shop.purses(card))["points"]
    assert (purse.spendable, purse.held) == (20, 60)
    assert await shop.points(other) == 80


async def test_a_hold_ends_by_itself_when_its_time_is_over(shop: Shop) -> None:
    card, untouched = await shop.member(points=80), await shop.member(points=80)
    hold = await shop.till.send(shop.write.authorization(card, [spend(60)], hold_seconds=600))
    await shop.till.send(shop.write.authorization(untouched, [spend(60)], hold_seconds=600))
    shop.node.advance(600_000)
    with refused("AUTHORIZATION_NOT_OPEN"):
        await shop.till.send(shop.write.capture_of(card, hold.transaction_id))
    assert await shop.points(card) == 80
    await _swept(shop)
    assert await shop.points(untouched) == 80


async def test_points_expire_by_themselves_and_the_books_call_them_breakage(shop: Shop) -> None:
    card, untouched = await shop.member(points=80), await shop.member(points=33)
    shop.node.advance(400 * DAY_MS)
    await _swept(shop)
    assert await shop.points(untouched) == 0
    assert await shop.points(card) == 0
    with refused("INSUFFICIENT_BALANCE"):
        await shop.redeem(card, 1)


async def _swept(shop: Shop) -> None:
    """Returns once the node has settled by itself what was due."""
    for shard in shop.node.shards:
        async with asyncio.timeout(20):
            while await shard.call("sweep"):
                pass
