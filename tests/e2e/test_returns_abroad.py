"""Goods that come back with another merchant's member, and what points pay for at its tills: whole nodes."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from node.coalition.directory import Cap
from node.proto.vafa.coalition.v1 import coalition_service_pb2
from node.proto.vafa.common.v1.identifier_pb2 import Identifier
from node.proto.vafa.pos.v1 import inquiry_pb2, undo_pb2
from node.proto.vafa.programme.v1 import programme_service_pb2
from tests.e2e.union import PURSE, Merchant, Union, union
from tests.rpc.shop import refused, sale, spend

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
Two = tuple[Merchant, Merchant]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Union]:
    async with union(tmp_path_factory.mktemp("union"), "nile", "saffron") as made:
        yield made


@pytest.fixture
def two(town: Union) -> Two:
    nile, saffron = town.merchants
    return nile, saffron


# --- goods that earned nothing ----------------------------------------------------------------------------


async def test_goods_that_earned_nothing_come_back_with_the_card_and_the_home_node_is_not_told(
    two: Two,
) -> None:
    nile, saffron = two
    card = await saffron.member(10)
    sold = await nile.till.send(nile.write.accrual(card, sale(90, lines=[(40, 1_000), (50, 2_000)])))
    assert not sold.effects
    request = _return(nile, card, sold.transaction_id)
    request.lines.add(number=2, quantity_milli=1_000)
    back = await nile.till.pos.Return(request)
    assert (await nile.till.pos.Return(request)).transaction_id == back.transaction_id
    assert not back.effects
    assert await nile.begun(saffron, request.request_id) is None
    assert await saffron.points(card) == 10


async def test_goods_that_earned_nothing_come_back_no_more_often_than_they_were_sold(two: Two) -> None:
    nile, saffron = two
    card = await saffron.member()
    sold = await nile.till.send(nile.write.accrual(card, sale(90)))
    part = _return(nile, card, sold.transaction_id)
    part.amount_minor = 60
    await nile.till.pos.Return(part)
    more = _return(nile, card, sold.transaction_id)
    more.amount_minor = 31
    with refused("RETURN_EXCEEDS_PURCHASE"):
        await nile.till.pos.Return(more)
    more.request_id, more.amount_minor = uuid.uuid4().hex, 30
    await nile.till.pos.Return(more)


async def test_a_card_from_abroad_brings_back_nothing_that_a_member_here_bought(two: Two) -> None:
    nile, saffron = two
    own, other = await nile.member(), await saffron.member()
    sold = await nile.accrue(own, 30)
    with refused("TRANSACTION_NOT_FOUND"):
        await nile.till.pos.Return(_return(nile, other, sold.transaction_id))
    assert await nile.points(own) == 30


# --- goods whose points were not granted ------------------------------------------------------------------


async def test_goods_whose_points_a_cap_kept_back_come_back_with_the_card(town: Union, two: Two) -> None:
    nile, saffron = two
    card = await saffron.member()
    town.publish(caps=_caps(5))
    try:
        sold = await nile.accrue(card, 20)
    finally:
        town.publish()
    assert [effect.WhichOneof("kind") for effect in sold.effects] == ["text"]
    await nile.till.pos.Return(_return(nile, card, sold.transaction_id))
    with refused("RETURN_EXCEEDS_PURCHASE"):
        await nile.till.pos.Return(_return(nile, card, sold.transaction_id))
    assert await saffron.points(card) == 0


async def test_points_that_a_retry_got_after_all_are_taken_back_by_the_first_answers_id(
    town: Union, two: Two
) -> None:
    nile, saffron = two
    card = await saffron.member()
    operation = nile.write.accrual(card, sale(2_000))
    town.publish(caps=_caps(5))
    try:
        first = await nile.till.send(operation)
    finally:
        town.publish()
    granted = await nile.till.send(operation)
    assert granted.transaction_id.startswith(f"{first.transaction_id}+")
    assert await saffron.points(card) == 20
    back = await nile.till.pos.Return(_return(nile, card, first.transaction_id))
    assert [effect.points.units for effect in back.effects] == [-20]
    assert await saffron.points(card) == 0


# --- what points pay for ----------------------------------------------------------------------------------


async def test_what_is_spent_abroad_is_worth_what_it_is_worth_to_a_member_here(two: Two) -> None:
    nile, saffron = two
    own, other = await nile.member(1_000), await saffron.member(1_000)
    at_home = await nile.till.send(nile.write.redemption(own, [spend(250, PURSE)]))
    assert at_home.spent[0].worth.minor > 0
    abroad = await nile.redeem(other, 250, await nile.proof(other, 250, saffron))
    assert list(abroad.spent) == list(at_home.spent)
    assert [one.worth for one in abroad.balances] == [one.worth for one in at_home.balances]


async def test_what_is_held_and_captured_abroad_says_what_it_is_worth(two: Two) -> None:
    nile, saffron = two
    own, other = await nile.member(1_000), await saffron.member(1_000)
    here = await nile.till.send(nile.write.authorization(own, [spend(300, PURSE)]))
    operation = nile.write.authorization(other, [spend(300, PURSE)])
    operation.authorize.proof.CopyFrom(await nile.proof(other, 300, saffron))
    held = await nile.till.send(operation)
    assert list(held.held) == list(here.held)
    wanted = [spend(200, PURSE)]
    taken_here = await nile.till.send(nile.write.capture_of(own, here.transaction_id, wanted))
    taken = await nile.till.send(nile.write.capture_of(other, held.transaction_id, wanted))
    assert list(taken.spent) == list(taken_here.spent)
    assert taken.spent[0].worth.minor > 0


async def test_where_the_programme_has_no_rate_points_pay_what_the_directory_says(two: Two) -> None:
    nile, saffron = two
    card = await saffron.member(1_000)
    await _publish_without_rate(nile)
    spent = await nile.redeem(card, 3, await nile.proof(card, 3, saffron))
    worth = spent.spent[0].worth
    assert (worth.currency, worth.minor) == ("USD", 300)  # a million micro-units, one dollar, for each
    found = await nile.till.pos.GetBalance(inquiry_pb2.GetBalanceRequest(identifier=card))
    assert found.balances[0].worth.minor == 99_700


async def _publish_without_rate(merchant: Merchant) -> None:
    """Publishes a programme whose points pay for nothing at home."""
    programmes: Any = merchant.admin.programmes
    current = await programmes.GetProgramme(programme_service_pb2.GetProgrammeRequest())
    draft = current.programme
    draft.ClearField("effective_time")
    for purse in draft.purses:
        if purse.code == PURSE:
            purse.ClearField("redemption_rate")
    await programmes.PublishProgramme(
        programme_service_pb2.PublishProgrammeRequest(request_id=uuid.uuid4().hex, programme=draft)
    )


def _return(merchant: Merchant, card: Identifier, transaction_id: str) -> undo_pb2.ReturnRequest:
    """Everything of a transaction comes back."""
    return undo_pb2.ReturnRequest(
        request_id=uuid.uuid4().hex,
        identifier=card,
        occurred_time=merchant.write.now(),
        transaction_id=transaction_id,
    )


def _caps(units: int) -> tuple[Cap, ...]:
    return (Cap("nile", "saffron", units), Cap("saffron", "nile", 1_000_000))


# --- how the two stand -------------------------------------------------------------------------------------


async def test_both_merchants_people_see_the_debt_the_caps_and_open_lanes(two: Two) -> None:
    nile, saffron = two
    before = await _link(saffron, nile)
    card = await saffron.member(500)
    await nile.redeem(card, 120, await nile.proof(card, 120, saffron))
    theirs, ours = await _link(saffron, nile), await _link(nile, saffron)
    assert theirs.used_units - before.used_units == 120
    assert ours.partner_used_units == theirs.used_units
    assert ours.partner_cap_units == theirs.cap_units > 0
    assert len(theirs.lanes) == 8
    assert all(lane.open and not lane.dispute for lane in (*theirs.lanes, *ours.lanes))
    assert theirs.clock_known
    assert abs(theirs.clock_ahead_ms) < 30_000


async def _link(of: Merchant, partner: Merchant) -> coalition_service_pb2.PartnerLink:
    answer = await of.coalition.GetCoalition(coalition_service_pb2.GetCoalitionRequest())
    return next(one for one in answer.links if one.partner_id == partner.name)
