"""A household earns and spends together, and whoever leaves takes nothing that is the others'."""

from __future__ import annotations

import asyncio

import pytest

from node.ledger import membership
from node.ledger.refusals import Reason
from node.proto.vafa.common.v1.identifier_pb2 import Identifier
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.proto.vafa.pos.v1 import earning_pb2, inquiry_pb2, spending_pb2, undo_pb2
from node.storage.keyspace import Kind
from node.wire.commands import Answer, Op
from tests.actors.harness import MANAGER, Actors, body_of, by_id, card, every_death, reason_of

POOL = card(9)
DAY_MS = 86_400_000


async def joins(actors: Actors, who: Identifier, pool: Identifier = POOL) -> Answer:
    request = pb.JoinPoolRequest(identifier=who, pool_identifier=pool)
    return await actors.tell(Op.JOIN_POOL, actors.stamped(request))


async def leaves(actors: Actors, account_id: str) -> Answer:
    return await actors.tell(Op.LEAVE_POOL, actors.stamped(pb.LeavePoolRequest(identifier=by_id(account_id))))


async def household(actors: Actors) -> str:
    """A pool, and somebody with 100 points outside it; their account."""
    account_id = await actors.enrol(card(1))
    await actors.pool(POOL)
    await actors.buys(card(1), 100)
    actors.now_ms += 1_000
    return account_id


async def test_what_a_member_has_earns_and_spends_is_the_pools_from_then_on(actors: Actors) -> None:
    account_id = await household(actors)
    body_of(await joins(actors, card(1)))
    await actors.deliver()
    actors.now_ms += 1_000
    assert (await actors.points(by_id(account_id)), await actors.points(POOL)) == (0, 100)
    body_of(await actors.buys(card(1), 20))
    body_of(await actors.redeems(card(1), 50))
    assert await actors.points(POOL) == 70
    sheet = await actors.at_till(Op.GET_BALANCE, inquiry_pb2.GetBalanceRequest(identifier=card(1)))
    assert inquiry_pb2.GetBalanceResponse.FromString(body_of(sheet)).balances[0].spendable == 70
    assert (await actors.member(card(1))).pool_account_id == (await actors.member(POOL)).account_id
    actors.assert_whole()


async def test_several_purses_move_together_and_those_that_may_not_stay(actors: Actors) -> None:
    account_id = await household(actors)
    for purse, units in (("credit", 30), ("stamps", 4)):
        request = pb.AdjustRequest(identifier=card(1), purse=purse, units=units, reason="gift")
        body_of(await actors.tell(Op.ADJUST, actors.stamped(request)))
    body_of(await joins(actors, card(1)))
    assert len(list(actors.stored(Kind.OUTBOX))) == 2  # all purses in one, and the look at the holder
    await actors.deliver()
    own, pool = await actors.member(by_id(account_id)), await actors.member(POOL)
    assert {one.purse: one.spendable for one in own.balances} == {"points": 0, "credit": 0, "stamps": 4}
    assert {one.purse: one.spendable for one in pool.balances} == {"points": 100, "credit": 30, "stamps": 0}
    actors.assert_whole()


async def test_whoever_leaves_leaves_the_balance_and_earns_for_themselves_again(actors: Actors) -> None:
    account_id = await household(actors)
    await joins(actors, card(1))
    await actors.deliver()
    actors.now_ms += 1_000
    body_of(await leaves(actors, account_id))
    await actors.deliver()
    actors.now_ms += 1_000
    body_of(await actors.buys(card(1), 5))
    assert (await actors.points(card(1)), await actors.points(POOL)) == (5, 100)
    assert reason_of(await leaves(actors, account_id)) is Reason.WRONG_ACCOUNT_KIND
    actors.assert_whole()


async def test_a_late_sale_goes_where_the_member_belonged_when_it_occurred(actors: Actors) -> None:
    account_id = await household(actors)
    before_ms = actors.now_ms
    actors.now_ms += 1_000
    await joins(actors, card(1))
    actors.now_ms += 1_000
    during_ms = actors.now_ms
    actors.now_ms += 1_000
    await leaves(actors, account_id)
    await actors.deliver()
    actors.now_ms += DAY_MS
    for occurred_ms, points in ((before_ms, 3), (during_ms, 7)):
        request = late_sale(occurred_ms, points)
        body_of(await actors.at_till(Op.ACCRUE, actors.stamped(request)))
    assert (await actors.points(card(1)), await actors.points(POOL)) == (3, 107)


def late_sale(occurred_ms: int, points: int) -> earning_pb2.AccrueRequest:
    request = earning_pb2.AccrueRequest(identifier=card(1))
    request.occurred_time.FromMilliseconds(occurred_ms)
    request.purchase.total.currency, request.purchase.total.minor = "USD", points * 100
    return request


async def test_goods_bought_before_joining_are_returned_where_they_were_bought(actors: Actors) -> None:
    account_id = await household(actors)
    bought = earning_pb2.AccrueResponse.FromString(body_of(await actors.buys(card(1), 20)))
    redeemed = spending_pb2.RedeemResponse.FromString(body_of(await actors.redeems(card(1), 30)))
    actors.now_ms += 1_000
    await joins(actors, card(1))
    await actors.deliver()
    actors.now_ms += 1_000
    for transaction in (bought.transaction_id, redeemed.transaction_id):
        request = undo_pb2.ReturnRequest(identifier=card(1), transaction_id=transaction)
        body_of(await actors.at_till(Op.RETURN, actors.stamped(request)))
    # 90 had moved to the pool; 20 earned are owed, 30 spent came back, both on the account itself.
    assert (await actors.points(by_id(account_id)), await actors.points(POOL)) == (10, 90)
    body_of(await joins(actors, card(1)))  # joining once more moves what has come in since
    await actors.deliver()
    assert (await actors.points(by_id(account_id)), await actors.points(POOL)) == (0, 100)
    actors.assert_whole()


async def test_units_for_a_member_arrive_in_their_pool(actors: Actors) -> None:
    account_id = await household(actors)
    await actors.enrol(card(2))
    await actors.buys(card(2), 60)
    await joins(actors, card(1))
    actors.now_ms += 1_000
    request = pb.TransferRequest(identifier=card(2), to_identifier=card(1), purse="points", units=60)
    body_of(await actors.tell(Op.TRANSFER, actors.stamped(request)))
    await actors.deliver()
    assert (await actors.points(by_id(account_id)), await actors.points(POOL)) == (0, 160)
    actors.assert_whole()


async def test_staff_mean_the_pool_by_the_members_card_and_the_account_by_its_id(actors: Actors) -> None:
    account_id = await household(actors)
    await joins(actors, card(1))
    await actors.deliver()
    actors.now_ms += 1_000
    for who, units in ((card(1), 7), (by_id(account_id), 3)):
        request = pb.AdjustRequest(identifier=who, purse="points", units=units, reason="goodwill")
        body_of(await actors.tell(Op.ADJUST, actors.stamped(request)))
    assert (await actors.points(by_id(account_id)), await actors.points(POOL)) == (3, 107)
    waiting = pb.AdjustRequest(identifier=card(1), purse="points", units=5_000, reason="goodwill")
    answer = pb.AdjustResponse.FromString(body_of(await actors.tell(Op.ADJUST, actors.stamped(waiting))))
    decide = pb.DecideAdjustmentRequest(identifier=card(1), proposal_id=answer.proposal_id, approve=True)
    body_of(await actors.tell(Op.DECIDE_ADJUSTMENT, actors.stamped(decide), MANAGER))
    assert await actors.points(POOL) == 5_107


async def test_a_blocked_member_cannot_spend_from_the_pool_nor_join_one(actors: Actors) -> None:
    await household(actors)
    await actors.enrol(card(2))
    for who in (card(1), card(2)):
        if who == card(1):
            await joins(actors, who)
        block = pb.SetBlockRequest(identifier=who, blocked=True)
        body_of(await actors.tell(Op.SET_BLOCK, actors.stamped(block)))
    await actors.deliver()
    actors.now_ms += 1_000
    assert reason_of(await actors.redeems(card(1), 10)) is Reason.ACCOUNT_BLOCKED
    body_of(await actors.buys(card(1), 10))
    assert await actors.points(POOL) == 110
    answer = inquiry_pb2.IdentifyResponse.FromString(body_of(await actors.identify(card(1))))
    assert answer.status == inquiry_pb2.ACCOUNT_STATUS_BLOCKED
    assert reason_of(await joins(actors, card(2))) is Reason.ACCOUNT_BLOCKED
    await actors.deliver()
    actors.assert_whole()


async def test_only_one_persons_account_joins_and_only_a_pool_is_joined(actors: Actors) -> None:
    await household(actors)
    await actors.enrol(card(2))
    await actors.pool(card(8))
    assert reason_of(await joins(actors, card(1), card(2))) is Reason.WRONG_ACCOUNT_KIND
    assert reason_of(await joins(actors, card(8))) is Reason.WRONG_ACCOUNT_KIND
    assert reason_of(await joins(actors, card(9))) is Reason.WRONG_ACCOUNT_KIND
    assert reason_of(await joins(actors, card(1), card(77))) is Reason.MEMBER_NOT_FOUND
    body_of(await joins(actors, card(1)))
    assert reason_of(await joins(actors, card(1), card(8))) is Reason.WRONG_ACCOUNT_KIND
    await actors.deliver()
    actors.assert_whole()


async def test_nobody_in_a_pool_and_no_pool_with_members_is_closed(actors: Actors) -> None:
    account_id = await household(actors)
    await joins(actors, card(1))
    await actors.deliver()
    for who in (by_id(account_id), POOL):
        close = pb.CloseAccountRequest(identifier=who, forfeit_balances=True)
        answer = await actors.tell(Op.CLOSE_ACCOUNT, actors.stamped(close))
        assert reason_of(answer) is Reason.ACCOUNT_NOT_EMPTY
    await leaves(actors, account_id)
    await actors.deliver()
    actors.now_ms += 1_000
    for who in (by_id(account_id), POOL):
        close = pb.CloseAccountRequest(identifier=who, forfeit_balances=True)
        body_of(await actors.tell(Op.CLOSE_ACCOUNT, actors.stamped(close)))
    await actors.deliver()
    actors.assert_whole()


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("is_retried", [False, True], ids=["forgotten", "retried"])
async def test_a_joining_that_was_cut_short_is_all_or_nothing(is_retried: bool, shards: int) -> None:
    request = pb.JoinPoolRequest(request_id="join", identifier=card(1), pool_identifier=POOL)

    async def prepare(actors: Actors) -> None:
        await household(actors)

    async def story(actors: Actors) -> None:
        await actors.tell(Op.JOIN_POOL, actors.stamped(request))
        await actors.deliver()

    outcomes = set()
    async for actors, moment in every_death(story, prepare, shards):
        if is_retried:
            body_of(await actors.tell(Op.JOIN_POOL, actors.stamped(request)))
        await actors.settle()
        actors.assert_whole()
        member = await actors.member(card(1))
        own = await actors.points(card(1))
        outcomes.add((bool(member.pool_account_id), own, await actors.points(POOL)))
        assert own + await actors.points(POOL) == 100, moment
    assert outcomes == ({(True, 0, 100)} if is_retried else {(True, 0, 100), (False, 100, 0)})


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_leaving_that_was_cut_short_is_all_or_nothing(shards: int) -> None:
    async def prepare(actors: Actors) -> None:
        await household(actors)
        await joins(actors, card(1))
        await actors.deliver()
        actors.now_ms += 1_000

    async def story(actors: Actors) -> None:
        request = pb.LeavePoolRequest(request_id="leave", identifier=card(1))
        await actors.tell(Op.LEAVE_POOL, actors.stamped(request))
        await actors.deliver()

    outcomes = set()
    async for actors, _ in every_death(story, prepare, shards):
        await actors.settle()
        actors.assert_whole()
        outcomes.add(bool((await actors.member(card(1))).pool_account_id))
    assert outcomes == {True, False}


async def test_coming_and_going_at_once_leaves_pool_and_members_in_agreement(actors: Actors) -> None:
    account_id = await household(actors)
    await actors.pool(card(8))
    for _ in range(5):
        actors.now_ms += 10
        await asyncio.gather(
            joins(actors, by_id(account_id)),
            leaves(actors, account_id),
            joins(actors, by_id(account_id), card(8)),
            actors.deliver(),
            leaves(actors, account_id),
            joins(actors, by_id(account_id)),
        )
        await actors.deliver()
        actors.assert_whole()


async def test_a_pool_is_full_at_its_bound(actors: Actors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "MAX_HOLDERS", 1)
    await household(actors)
    await actors.enrol(card(2))
    body_of(await joins(actors, card(1)))
    assert reason_of(await joins(actors, card(2))) is Reason.LIMIT_EXCEEDED
    await actors.deliver()
    actors.assert_whole()
