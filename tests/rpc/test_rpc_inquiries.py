"""Asking: balances with their next expiry, statements in pages, who somebody is. It changes nothing."""

from __future__ import annotations

import pytest

from node.proto.vafa.common.v1.identifier_pb2 import Identifier
from node.proto.vafa.common.v1.transaction_pb2 import Transaction
from node.proto.vafa.pos.v1 import inquiry_pb2
from simulators.local_node import new_card
from tests.rpc.shop import DAY_MS, Shop, refused, spend

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def page(
    shop: Shop, member: Identifier, size: int = 0, token: str = ""
) -> inquiry_pb2.ListStatementResponse:
    """One page of a member's statement."""
    return await shop.till.pos.ListStatement(
        inquiry_pb2.ListStatementRequest(identifier=member, page_size=size, page_token=token)
    )


async def statement(shop: Shop, member: Identifier, size: int) -> list[Transaction]:
    """All pages together."""
    found: list[Transaction] = []
    token = ""
    while True:
        answer = await page(shop, member, size, token)
        assert len(answer.transactions) <= size
        found.extend(answer.transactions)
        token = answer.next_page_token
        if not token:
            return found


async def test_a_balance_shows_every_purse_of_the_programme_with_what_expires_next(shop: Shop) -> None:
    card = await shop.member()
    earlier_ms = shop.node.now_ms() - 25 * DAY_MS
    await shop.accrue(card, 3000, occurred_ms=earlier_ms)
    await shop.accrue(card, 2000)
    purses = await shop.purses(card)
    assert list(purses) == ["points", "credit", "stamps"]
    points = purses["points"]
    assert (points.spendable, points.pending, points.held) == (50, 0, 0)
    assert points.next_expiry_units in (30, 50)  # one lot where both sales fall into the same month
    assert points.next_expiry_time.seconds * 1000 > earlier_ms + 365 * DAY_MS
    assert points.worth.minor == 50
    assert not purses["stamps"].HasField("next_expiry_time")


async def test_a_member_without_a_purchase_has_empty_purses(shop: Shop) -> None:
    card = await shop.member()
    assert {one.spendable for one in (await shop.purses(card)).values()} == {0}


async def test_what_is_asked_changes_nothing(shop: Shop) -> None:
    card = await shop.member(points=10)
    before = await shop.entries()
    await shop.purses(card)
    await page(shop, card)
    await shop.till.pos.Identify(inquiry_pb2.IdentifyRequest(identifier=card))
    assert await shop.entries() == before


async def test_identifying_a_card_says_whose_account_it_is_and_what_it_holds(shop: Shop) -> None:
    card = new_card()
    account = await shop.node.enrol(card)
    await shop.accrue(card, 900)
    answer = await shop.till.pos.Identify(inquiry_pb2.IdentifyRequest(identifier=card))
    assert answer.account_id == account
    assert answer.status == inquiry_pb2.ACCOUNT_STATUS_ACTIVE
    assert {one.purse: one.spendable for one in answer.balances}["points"] == 9
    with refused("MEMBER_NOT_FOUND"):
        await shop.till.pos.Identify(inquiry_pb2.IdentifyRequest(identifier=new_card()))


@pytest.mark.parametrize("size", [1, 3, 7, 500])
async def test_a_statement_lists_everything_once_newest_first_whatever_the_page_size(
    shop: Shop, size: int
) -> None:
    card = await shop.member()
    sent = [
        await shop.accrue(card, 1000),
        await shop.redeem(card, 4),
        await shop.till.send(shop.write.authorization(card, [spend(2)])),
        await shop.accrue(card, 300),
    ]
    sent.append(await shop.till.send(shop.write.void_of(card, sent[2].transaction_id)))
    sent.append(await shop.till.send(shop.write.return_of(card, sent[3].transaction_id)))
    lines = await statement(shop, card, size)
    assert [line.transaction_id for line in lines[:6]] == [one.transaction_id for one in reversed(sent)]
    assert len(lines) == 7  # the opening of the account is the first
    assert [line.transaction_id for line in lines] == [
        line.transaction_id for line in (await page(shop, card)).transactions
    ]


async def test_a_page_token_shows_nothing_of_another_account(shop: Shop) -> None:
    mine, other = await shop.member(), await shop.member()
    for _ in range(4):
        await shop.accrue(mine, 700)
    token = (await page(shop, mine, 2)).next_page_token
    assert token
    own = {line.transaction_id for line in await statement(shop, other, 500)}
    for made_up in (token, *map(str, range(1, 40)), str(2**63)):
        shown = (await page(shop, other, 50, made_up)).transactions
        assert {line.transaction_id for line in shown} <= own


@pytest.mark.parametrize("token", ["-1", "x", "1.5", "٣", "9" * 20, " 1", "1\x00"])
async def test_a_page_token_that_is_none_is_refused(shop: Shop, token: str) -> None:
    card = await shop.member()
    with refused("INVALID_CURSOR"):
        await page(shop, card, 5, token)


async def test_a_page_has_a_size_that_can_be(shop: Shop) -> None:
    card = await shop.member()
    with refused("INVALID_ARGUMENT"):
        await page(shop, card, -1)
    assert len((await page(shop, card, 2**31 - 1)).transactions) == 1
