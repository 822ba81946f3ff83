"""Earning at the till: purchases, activities, quotes, sales without a member and who claims them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from node.proto.vafa.common.v1 import money_pb2, purchase_pb2
from node.proto.vafa.common.v1.identifier_pb2 import Identifier
from node.proto.vafa.pos.v1 import earning_pb2, inquiry_pb2
from simulators.local_node import new_card
from simulators.operations import OperationWriter
from simulators.purchases import card_identifier
from tests.rpc.shop import DAY_MS, Shop, item_reason, receipt, refused, sale, spend

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def claim(
    shop: Shop,
    member: Identifier,
    transaction_id: str,
    request_id: str,
    occurred_time: Timestamp | None = None,
) -> Any:
    """A member claims a sale at the till."""
    request = earning_pb2.ClaimPurchaseRequest(
        request_id=request_id,
        identifier=member,
        occurred_time=occurred_time or shop.write.now(),
        transaction_id=transaction_id,
    )
    return await shop.till.pos.ClaimPurchase(request)


# --- purchases --------------------------------------------------------------------------------------


async def test_a_purchase_earns_and_the_answer_says_what_it_brought(shop: Shop) -> None:
    card = await shop.member()
    answer = await shop.accrue(card, 1299, lines=[(1000, 1000), (299, 500)])
    assert [(effect.points.purse, effect.points.units) for effect in answer.effects] == [("points", 12)]
    assert "12" in answer.effects[0].receipt_text
    assert [(one.purse, one.spendable) for one in answer.balances] == [("points", 12)]
    assert answer.programme_version == 1
    assert answer.transaction_id
    assert answer.balances[0].worth == money_pb2.Money(currency="USD", minor=12)
    expiry = answer.balances[0].next_expiry_time.seconds * 1000
    assert answer.balances[0].next_expiry_units == 12
    assert 365 * DAY_MS < expiry - shop.node.now_ms() < 400 * DAY_MS


async def test_totals_without_lines_earn_the_same(shop: Shop) -> None:
    card = await shop.member()
    await shop.accrue(card, 1299)
    assert await shop.points(card) == 12


async def test_a_purchase_of_nothing_is_recorded_and_earns_nothing(shop: Shop) -> None:
    card = await shop.member()
    answer = await shop.accrue(card, 0)
    assert not answer.effects
    assert await shop.points(card) == 0


async def test_texts_in_persian_arabic_and_mixed_directions_come_back_as_they_were(shop: Shop) -> None:
    card, number = await shop.member(), f"فاکتور ۱۲۳ \u202bRTL\u202c {receipt()}"
    answer = await shop.accrue(card, 700, receipt_number=number, cashier_id="مریم", store_id="شعبه‌ی شمال")
    request = inquiry_pb2.ListStatementRequest(identifier=card, page_size=1)
    (line,) = (await shop.till.pos.ListStatement(request)).transactions
    assert line.transaction_id == answer.transaction_id
    assert (line.receipt_number, line.store_id) == (number, "شعبه‌ی شمال")


@pytest.mark.parametrize(
    ("purchase", "reason"),
    [
        (sale(100, lines=[(60, 1000), (30, 1000)]), "TOTALS_MISMATCH"),
        (sale(100, tenders=[purchase_pb2.Tender(kind="cash", amount_minor=99)]), "TOTALS_MISMATCH"),
        (purchase_pb2.Purchase(total=money_pb2.Money(currency="IRR", minor=100)), "WRONG_CURRENCY"),
        (purchase_pb2.Purchase(), "WRONG_CURRENCY"),
        (sale(-1), "INVALID_ARGUMENT"),
        (sale(2**63 - 1), "INVALID_ARGUMENT"),
        (sale(0, lines=[(5, -1), (-5, 1000)]), "INVALID_ARGUMENT"),
        (sale(100, receipt_number="x" * 129), "INVALID_ARGUMENT"),
        (sale(100, receipt_number="nul\x00"), "INVALID_ARGUMENT"),
    ],
)
async def test_a_purchase_that_cannot_be_is_refused_and_nothing_is_recorded(
    shop: Shop, purchase: purchase_pb2.Purchase, reason: str
) -> None:
    card = await shop.member()
    before = await shop.entries()
    for member in (card, None):
        with refused(reason):
            await shop.till.send(shop.write.accrual(member, purchase))
    assert await shop.entries() == before


async def test_an_unknown_card_earns_nothing_and_says_so(shop: Shop) -> None:
    before = await shop.entries()
    with refused("MEMBER_NOT_FOUND"):
        await shop.accrue(new_card(), 500)
    with refused("INVALID_IDENTIFIER"):
        await shop.accrue(card_identifier("x"), 500)
    assert await shop.entries() == before


async def test_a_card_is_found_however_its_number_is_typed(shop: Shop) -> None:
    card = card_identifier("62730099112233")
    await shop.node.enrol(card)
    await shop.accrue(card_identifier("۶۲۷۳-۰۰۹۹ ۱۱۲۲ ۳۳"), 300)
    assert await shop.points(card) == 3


# --- quotes -----------------------------------------------------------------------------------------


async def test_a_quote_says_what_the_purchase_then_brings_and_changes_nothing(shop: Shop) -> None:
    card = await shop.member(points=500)
    before = await shop.entries()
    request = inquiry_pb2.QuoteRequest(
        identifier=card, purchase=sale(1250, codes=["STAMP"]), occurred_time=shop.write.now()
    )
    quoted = await shop.till.pos.Quote(request)
    assert await shop.entries() == before
    assert await shop.points(card) == 500
    answer = await shop.accrue(card, 1250, codes=["STAMP"])
    assert list(quoted.effects) == list(answer.effects)
    (option,) = quoted.spend_options
    assert (option.purse, option.max_units, option.worth.minor) == ("points", 500, 500)


async def test_a_quote_offers_no_more_than_the_basket_costs(shop: Shop) -> None:
    card = await shop.member(points=500)
    quoted = await shop.till.pos.Quote(inquiry_pb2.QuoteRequest(identifier=card, purchase=sale(120)))
    assert [(one.max_units, one.worth.minor) for one in quoted.spend_options] == [(120, 120)]


async def test_a_customer_without_a_card_is_told_what_a_member_would_earn(shop: Shop) -> None:
    quoted = await shop.till.pos.Quote(inquiry_pb2.QuoteRequest(purchase=sale(1250)))
    assert [effect.points.units for effect in quoted.effects] == [12]
    assert not quoted.spend_options


# --- activities -------------------------------------------------------------------------------------


async def test_an_activity_that_the_programme_knows_is_rewarded_up_to_its_limit(shop: Shop) -> None:
    card = await shop.member()
    first = await shop.till.send(shop.write.activity(card, "welcome"))
    assert [effect.points.units for effect in first.effects] == [50]
    second = await shop.till.send(shop.write.activity(card, "welcome"))
    assert not second.effects
    assert await shop.points(card) == 50


async def test_an_activity_that_the_programme_does_not_know_is_refused(shop: Shop) -> None:
    card = await shop.member()
    before = await shop.entries()
    with refused("UNKNOWN_ACTIVITY"):
        await shop.till.send(shop.write.activity(card, "levitation"))
    with refused("INVALID_ARGUMENT"):
        await shop.till.send(shop.write.activity(card, "x" * 41))
    assert await shop.entries() == before


# --- receipts ---------------------------------------------------------------------------------------


async def test_a_receipt_of_a_store_is_posted_once(shop: Shop) -> None:
    # Enough of them that with several stores some are claimed in another store than the purchase's.
    for _ in range(12):
        number, first, second = receipt(), await shop.member(), await shop.member()
        await shop.accrue(first, 400, receipt_number=number)
        for member in (first, second, None):
            with refused("DUPLICATE_RECEIPT"):
                await shop.accrue(member, 400, receipt_number=number)
        assert (await shop.points(first), await shop.points(second)) == (4, 0)


async def test_another_store_may_use_the_same_receipt_number(shop: Shop) -> None:
    number, card = receipt(), await shop.member()
    await shop.accrue(card, 400, receipt_number=number)
    await shop.accrue(card, 400, receipt_number=number, store_id="south")
    assert await shop.points(card) == 8


async def test_sales_without_a_receipt_number_are_never_duplicates(shop: Shop) -> None:
    card = await shop.member()
    await shop.accrue(card, 400)
    await shop.accrue(card, 400)
    assert await shop.points(card) == 8


async def test_a_reversed_purchase_frees_its_receipt_number(shop: Shop) -> None:
    for _ in range(8):
        number, card = receipt(), await shop.member()
        operation = shop.write.accrual(card, sale(400, receipt_number=number))
        await shop.till.send(operation)
        await shop.till.send(shop.write.reversal_of(operation))
        await _once_free(shop, card, number)
        assert await shop.points(card) == 6
        with refused("DUPLICATE_RECEIPT"):
            await shop.accrue(card, 600, receipt_number=number)


async def _once_free(shop: Shop, card: Identifier, number: str) -> None:
    """Posts a receipt anew. Where its claim lies in another store it is freed a moment later, not at once."""
    again = shop.write.accrual(card, sale(600, receipt_number=number))
    async with asyncio.timeout(20):
        while True:
            (result,) = await shop.till.submit(again)
            if item_reason(result) != "DUPLICATE_RECEIPT":
                assert not item_reason(result)
                return
            await shop.node.deliver()


async def test_a_refused_purchase_does_not_keep_its_receipt_number(shop: Shop) -> None:
    for _ in range(8):
        number, card = receipt(), await shop.member()
        with refused("MEMBER_NOT_FOUND"):
            await shop.accrue(new_card(), 400, receipt_number=number)
        with refused("TOTALS_MISMATCH"):
            await shop.accrue(card, 400, receipt_number=number, lines=[(1, 1)])
        await shop.accrue(card, 400, receipt_number=number)
        assert await shop.points(card) == 4


# --- sales without a member -------------------------------------------------------------------------


async def test_a_sale_without_a_member_is_recorded_and_can_be_claimed_by_one_member_once(shop: Shop) -> None:
    anonymous = await shop.accrue(None, 1700, lines=[(1700, 1000)])
    assert not anonymous.effects
    first, second = await shop.member(), await shop.member()
    answer = await claim(shop, first, anonymous.transaction_id, receipt())
    assert [effect.points.units for effect in answer.effects] == [17]
    for member in (first, second):
        with refused("ALREADY_CLAIMED"):
            await claim(shop, member, anonymous.transaction_id, receipt())
    assert (await shop.points(first), await shop.points(second)) == (17, 0)


async def test_a_claim_sent_again_brings_its_first_answer_and_no_more_points(shop: Shop) -> None:
    anonymous, card = await shop.accrue(None, 1700), await shop.member()
    request = earning_pb2.ClaimPurchaseRequest(
        request_id="claim-twice",
        identifier=card,
        occurred_time=shop.write.now(),
        transaction_id=anonymous.transaction_id,
    )
    first = await shop.till.pos.ClaimPurchase(request)
    assert await shop.till.pos.ClaimPurchase(request) == first
    assert await shop.points(card) == 17


async def test_a_claimed_sale_comes_back_through_the_member_and_not_anonymously(shop: Shop) -> None:
    anonymous, card = await shop.accrue(None, 1700), await shop.member()
    mine = await claim(shop, card, anonymous.transaction_id, "claim-3")
    with refused("ALREADY_CLAIMED"):
        await shop.till.send(shop.write.return_of(None, anonymous.transaction_id))
    await shop.till.send(shop.write.return_of(card, mine.transaction_id))
    assert await shop.points(card) == 0


async def test_a_sale_that_came_back_cannot_be_claimed(shop: Shop) -> None:
    anonymous, card = await shop.accrue(None, 1700), await shop.member()
    await shop.till.send(shop.write.return_of(None, anonymous.transaction_id, amount_minor=100))
    with refused("ALREADY_REVERSED"):
        await claim(shop, card, anonymous.transaction_id, "claim-4")
    assert await shop.points(card) == 0


async def test_a_claim_that_is_refused_leaves_the_sale_to_whoever_made_it(shop: Shop) -> None:
    anonymous, card, other = await shop.accrue(None, 1700), await shop.member(), await shop.member()
    for broken in (
        {"request_id": ""},
        {"request_id": "claim 5 with spaces"},
        {"occurred_time": None},
    ):
        fields = {
            "request_id": "claim-5",
            "identifier": other,
            "occurred_time": shop.write.now(),
            "transaction_id": anonymous.transaction_id,
            **broken,
        }
        with refused("INVALID_ARGUMENT"):
            await shop.till.pos.ClaimPurchase(earning_pb2.ClaimPurchaseRequest(**fields))
    await claim(shop, card, anonymous.transaction_id, "claim-6")
    assert await shop.points(card) == 17


async def test_only_a_sale_without_a_member_can_be_claimed(shop: Shop) -> None:
    mine, other = await shop.member(), await shop.member()
    purchase = await shop.accrue(mine, 900)
    for transaction_id in (purchase.transaction_id, "15-ffffffff", "99-1", "00-0"):
        with refused("TRANSACTION_NOT_FOUND"):
            await claim(shop, other, transaction_id, "claim-7")
    with refused("INVALID_ARGUMENT"):
        await claim(shop, other, "no such thing", "claim-8")
    assert (await shop.points(mine), await shop.points(other)) == (9, 0)


async def test_undoing_a_claim_leaves_the_receipt_of_the_sale_taken(shop: Shop) -> None:
    number, card = receipt(), await shop.member()
    anonymous = await shop.accrue(None, 1700, receipt_number=number)
    await claim(shop, card, anonymous.transaction_id, f"claim-{number}")
    request = shop.write.reversal_of(shop.write.accrual(card, sale(1)))
    request.reverse.original_request_id = f"claim-{number}"
    assert (await shop.till.send(request)).undone
    assert await shop.points(card) == 0
    with refused("DUPLICATE_RECEIPT"):
        await shop.accrue(card, 1700, receipt_number=number)
    await shop.node.deliver()
    other = await shop.member()
    await claim(shop, other, anonymous.transaction_id, receipt())
    assert (await shop.points(card), await shop.points(other)) == (0, 17)


async def test_a_claim_that_was_reversed_before_it_arrived_leaves_the_sale_to_the_next(shop: Shop) -> None:
    for _ in range(4):
        anonymous, card, late = await shop.accrue(None, 1700), await shop.member(), receipt()
        request = shop.write.reversal_of(shop.write.accrual(card, sale(1)))
        request.reverse.original_request_id = late
        assert not (await shop.till.send(request)).undone
        with refused("REQUEST_REVERSED"):
            await claim(shop, card, anonymous.transaction_id, late, request.reverse.occurred_time)
        await claim(shop, card, anonymous.transaction_id, receipt())
        assert await shop.points(card) == 17


async def test_a_sale_earns_by_the_programme_that_was_in_force_when_it_was_claimed_late(shop: Shop) -> None:
    """The points' expiry counts from the sale, not from the claim."""
    write = OperationWriter(clock=lambda: shop.node.now_ms() - 20 * DAY_MS)
    anonymous = await shop.till.send(write.accrual(None, sale(1700)))
    card = await shop.member()
    answer = await claim(shop, card, anonymous.transaction_id, "claim-late")
    earned = await shop.till.send(write.accrual(await shop.member(), sale(1700)))
    assert list(answer.effects) == list(earned.effects)


async def test_spending_needs_a_member(shop: Shop) -> None:
    with refused("INVALID_ARGUMENT"):
        await shop.till.send(shop.write.redemption(Identifier(), [spend(1)]))
