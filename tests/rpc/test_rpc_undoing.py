"""Undoing: goods that come back, and requests of which the till never learned what became of them."""

from __future__ import annotations

from typing import Any

import pytest

from node.proto.vafa.common.v1.identifier_pb2 import Identifier
from node.proto.vafa.pos.v1 import inquiry_pb2, operation_pb2
from node.proto.vafa.pos.v1.undo_pb2 import ReturnedLine
from simulators.operations import change_in
from tests.rpc.shop import Shop, refused, sale, spend

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def find(shop: Shop, member: Identifier | None, operation: operation_pb2.Operation) -> Any:
    """What the till is told of a request whose answer it never saw."""
    change = change_in(operation)
    request = inquiry_pb2.GetTransactionRequest(
        identifier=member, request_id=change.request_id, occurred_time=change.occurred_time
    )
    return (await shop.till.pos.GetTransaction(request)).transaction


# --- goods that come back ---------------------------------------------------------------------------


async def test_the_lines_that_come_back_take_their_own_points_with_them(shop: Shop) -> None:
    card = await shop.member()
    bought = await shop.accrue(card, 1500, lines=[(1000, 4000), (500, 1000)])
    half = [ReturnedLine(number=1, quantity_milli=2000)]
    answer = await shop.till.send(shop.write.return_of(card, bought.transaction_id, half))
    assert [effect.points.units for effect in answer.effects] == [-5]
    assert await shop.points(card) == 10
    await shop.till.send(shop.write.return_of(card, bought.transaction_id, [ReturnedLine(number=2)]))
    assert await shop.points(card) == 5
    await shop.till.send(shop.write.return_of(card, bought.transaction_id))
    assert await shop.points(card) == 0


async def test_the_returns_of_a_purchase_never_exceed_it(shop: Shop) -> None:
    card = await shop.member()
    bought = await shop.accrue(card, 1500, lines=[(1000, 4000), (500, 1000)])
    with refused("RETURN_EXCEEDS_PURCHASE"):
        too_much = [ReturnedLine(number=1, quantity_milli=4001)]
        await shop.till.send(shop.write.return_of(card, bought.transaction_id, too_much))
    with refused("INVALID_ARGUMENT"):
        await shop.till.send(shop.write.return_of(card, bought.transaction_id, [ReturnedLine(number=3)]))
    await shop.till.send(shop.write.return_of(card, bought.transaction_id))
    with refused("RETURN_EXCEEDS_PURCHASE"):
        await shop.till.send(shop.write.return_of(card, bought.transaction_id))
    assert await shop.points(card) == 0


async def test_a_purchase_without_lines_comes_back_by_amount(shop: Shop) -> None:
    card = await shop.member()
    bought = await shop.accrue(card, 1500)
    await shop.till.send(shop.write.return_of(card, bought.transaction_id, amount_minor=500))
    assert await shop.points(card) == 10
    with refused("RETURN_EXCEEDS_PURCHASE"):
        await shop.till.send(shop.write.return_of(card, bought.transaction_id, amount_minor=1001))
    await shop.till.send(shop.write.return_of(card, bought.transaction_id))
    assert await shop.points(card) == 0


async def test_what_was_spent_on_goods_that_come_back_is_given_back(shop: Shop) -> None:
    card = await shop.member(points=80)
    spent = await shop.redeem(card, 60)
    await shop.till.send(shop.write.return_of(card, spent.transaction_id, amount_minor=20))
    assert await shop.points(card) == 40
    await shop.till.send(shop.write.return_of(card, spent.transaction_id))
    assert await shop.points(card) == 80


async def test_points_that_are_spent_already_leave_the_member_owing_them(shop: Shop) -> None:
    card = await shop.member()
    bought = await shop.accrue(card, 8000)
    await shop.redeem(card, 70)
    await shop.till.send(shop.write.return_of(card, bought.transaction_id))
    assert await shop.points(card) == -70
    with refused("INSUFFICIENT_BALANCE"):
        await shop.redeem(card, 1)
    await shop.accrue(card, 10_000)
    assert await shop.points(card) == 30


async def test_goods_of_a_sale_without_a_member_come_back_without_one(shop: Shop) -> None:
    for _ in range(6):
        bought = await shop.accrue(None, 1500)
        answer = await shop.till.send(shop.write.return_of(None, bought.transaction_id, amount_minor=700))
        assert answer.transaction_id
        with refused("RETURN_EXCEEDS_PURCHASE"):
            await shop.till.send(shop.write.return_of(None, bought.transaction_id, amount_minor=801))


@pytest.mark.parametrize("amount_minor", [-1, -(2**63), 2**63 - 1])
async def test_an_absurd_return_changes_nothing(shop: Shop, amount_minor: int) -> None:
    card = await shop.member()
    bought = await shop.accrue(card, 1500)
    before = await shop.entries()
    with pytest.raises(Exception, match=r"(?i)back|negative"):
        await shop.till.send(shop.write.return_of(card, bought.transaction_id, amount_minor=amount_minor))
    with refused("INVALID_ARGUMENT"):
        await shop.till.send(shop.write.return_of(card, bought.transaction_id, [ReturnedLine(number=1)] * 2))
    assert await shop.entries() == before


async def test_nobody_returns_what_another_member_bought(shop: Shop) -> None:
    card, other = await shop.member(), await shop.member()
    bought = await shop.accrue(card, 1500)
    for stranger in (other, None):
        with refused("TRANSACTION_NOT_FOUND"):
            await shop.till.send(shop.write.return_of(stranger, bought.transaction_id))
    assert await shop.points(card) == 15


# --- requests whose outcome the till never learned --------------------------------------------------


@pytest.mark.parametrize("kind", ["accrual", "redemption", "authorization", "return", "spend return"])
async def test_a_reversal_undoes_a_request_as_if_it_had_never_been(shop: Shop, kind: str) -> None:
    card = await shop.member(points=80)
    bought, spent = await shop.accrue(card, 2000), await shop.redeem(card, 10)
    operation = {
        "accrual": lambda: shop.write.accrual(card, sale(700)),
        "redemption": lambda: shop.write.redemption(card, [spend(60)]),
        "authorization": lambda: shop.write.authorization(card, [spend(60)]),
        "return": lambda: shop.write.return_of(card, bought.transaction_id, amount_minor=500),
        "spend return": lambda: shop.write.return_of(card, spent.transaction_id),
    }[kind]()
    before = await shop.purses(card)
    await shop.till.send(operation)
    assert await shop.purses(card) != before
    answer = await shop.till.send(shop.write.reversal_of(operation))
    assert answer.undone
    assert await shop.purses(card) == before
    with refused("ALREADY_REVERSED"):
        await shop.till.send(shop.write.reversal_of(operation))
    assert (await find(shop, card, operation)).reversed
    assert await shop.purses(card) == before


async def test_a_request_that_was_reversed_before_it_arrived_is_refused_when_it_does(shop: Shop) -> None:
    card = await shop.member(points=80)
    for operation in (
        shop.write.accrual(card, sale(700)),
        shop.write.redemption(card, [spend(60)]),
        shop.write.accrual(None, sale(700)),
    ):
        answer = await shop.till.send(shop.write.reversal_of(operation))
        assert not answer.undone
        for _ in range(2):
            with refused("REQUEST_REVERSED"):
                await shop.till.send(operation)
        with refused("ALREADY_REVERSED"):
            await shop.till.send(shop.write.reversal_of(operation))
    assert await shop.points(card) == 80


async def test_a_reversal_sent_again_gets_its_first_answer(shop: Shop) -> None:
    card = await shop.member()
    operation = shop.write.accrual(card, sale(700))
    await shop.till.send(operation)
    reversal = shop.write.reversal_of(operation)
    first = await shop.till.send(reversal)
    assert await shop.till.send(reversal) == first


async def test_a_sale_without_a_member_is_reversed_and_looked_up_like_any_other(shop: Shop) -> None:
    for _ in range(6):
        operation = shop.write.accrual(None, sale(700))
        posted = await shop.till.send(operation)
        found = await find(shop, None, operation)
        assert (found.transaction_id, found.reversed) == (posted.transaction_id, False)
        assert (await shop.till.send(shop.write.reversal_of(operation))).undone
        assert (await find(shop, None, operation)).reversed


async def test_a_return_without_a_member_is_looked_up_and_reversed_like_any_other(shop: Shop) -> None:
    for _ in range(6):
        bought = await shop.accrue(None, 1500)
        back = shop.write.return_of(None, bought.transaction_id)
        posted = await shop.till.send(back)
        assert (await find(shop, None, back)).transaction_id == posted.transaction_id
        assert (await shop.till.send(shop.write.reversal_of(back))).undone
        again = await shop.till.send(shop.write.return_of(None, bought.transaction_id))
        assert again.transaction_id


async def test_a_return_without_a_member_that_was_reversed_before_it_arrived_is_refused(shop: Shop) -> None:
    for _ in range(6):
        bought = await shop.accrue(None, 1500)
        back = shop.write.return_of(None, bought.transaction_id)
        assert not (await shop.till.send(shop.write.reversal_of(back))).undone
        with refused("REQUEST_REVERSED"):
            await shop.till.send(back)
        await shop.till.send(shop.write.return_of(None, bought.transaction_id))


async def test_a_till_that_timed_out_learns_what_became_of_its_request(shop: Shop) -> None:
    card = await shop.member(points=80)
    operation = shop.write.redemption(card, [spend(30)], receipt_number="R-timeout")
    with refused("TRANSACTION_NOT_FOUND"):
        await find(shop, card, operation)
    posted = await shop.till.send(operation)  # whose answer the till never saw
    found = await find(shop, card, operation)
    assert found.transaction_id == posted.transaction_id
    assert [(one.purse, one.units) for one in found.spent] == [("points", 30)]
    assert found.receipt_number == "R-timeout"
    assert await shop.till.send(operation) == posted
    assert await shop.points(card) == 50
