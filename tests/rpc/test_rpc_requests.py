"""Requests and time: once and only once, however late, however often, whoever carries the card by now."""

from __future__ import annotations

import asyncio
import random
import uuid
from typing import Any

import grpc
import pytest

from node.identity.caller import Role
from node.proto.vafa.common.v1.identifier_pb2 import Identifier
from node.proto.vafa.member.v1 import member_service_pb2
from node.proto.vafa.pos.v1 import operation_pb2
from simulators.local_node import new_card
from simulators.operations import OperationWriter, change_in
from tests.rpc.shop import DAY_MS, Shop, refused, sale, spend

pytestmark = pytest.mark.asyncio(loop_scope="module")


def every_change(shop: Shop, card: Identifier, hold_id: str, bought_id: str) -> list[operation_pb2.Operation]:
    """One operation of each kind."""
    return [
        shop.write.accrual(card, sale(200)),
        shop.write.accrual(None, sale(200)),
        shop.write.activity(card, "welcome"),
        shop.write.authorization(card, [spend(3)]),
        shop.write.capture_of(card, hold_id, [spend(2)]),
        shop.write.redemption(card, [spend(7)]),
        shop.write.return_of(card, bought_id, amount_minor=100),
        shop.write.reversal_of(shop.write.accrual(card, sale(1))),
    ]


async def ready(shop: Shop) -> tuple[Identifier, list[operation_pb2.Operation]]:
    """A member with points, and one operation of each kind on them."""
    card = await shop.member(points=50)
    bought = await shop.accrue(card, 1000)
    hold = await shop.till.send(shop.write.authorization(card, [spend(5)]))
    return card, every_change(shop, card, hold.transaction_id, bought.transaction_id)


# --- once and only once -----------------------------------------------------------------------------


async def test_the_same_request_gets_the_same_answer_and_takes_effect_once(shop: Shop) -> None:
    card, operations = await ready(shop)
    answers = [await shop.till.send(operation) for operation in operations]
    before, purses = await shop.entries(), await shop.purses(card)
    for _ in range(3):
        assert [await shop.till.send(operation) for operation in operations] == answers
    assert await shop.entries() == before
    assert await shop.purses(card) == purses


async def test_the_same_id_with_another_body_is_refused_and_changes_nothing(shop: Shop) -> None:
    card, operations = await ready(shop)
    for operation in operations:
        await shop.till.send(operation)
    before = await shop.entries()
    for operation in operations:
        change = change_in(operation)
        change.occurred_time.FromMilliseconds(change.occurred_time.ToMilliseconds() + 1)
        with refused("REQUEST_ID_REUSED", grpc.StatusCode.ALREADY_EXISTS):
            await shop.till.send(operation)
    first, second = (shop.write.redemption(card, [spend(units)]) for units in (1, 2))
    second.redeem.request_id = operations[0].accrue.request_id  # the id of another kind of request
    with refused("REQUEST_ID_REUSED"):
        await shop.till.send(second)
    assert await shop.entries() == before
    await shop.till.send(first)


async def test_two_tills_may_use_the_same_request_id(shop: Shop) -> None:
    card = await shop.member()
    operation = shop.write.accrual(card, sale(500))
    await shop.till.send(operation)
    await shop.line(Role.TILL, "till-2", "north").send(operation)
    await shop.line(Role.TILL, "till-1", "south").send(operation)
    assert await shop.points(card) == 15


async def test_answers_survive_a_restart(shop: Shop) -> None:
    card, operations = await ready(shop)
    answers = [await shop.till.send(operation) for operation in operations]
    purses = await shop.purses(card)
    await shop.reopen()
    assert [await shop.till.send(operation) for operation in operations] == answers
    assert await shop.purses(card) == purses


@pytest.mark.parametrize("request_id", ["", "a b", "x" * 65, "نام", "a\x00", "a/b"])
async def test_a_request_id_that_is_none_is_refused(shop: Shop, request_id: str) -> None:
    _card, operations = await ready(shop)
    before = await shop.entries()
    for operation in operations:
        change_in(operation).request_id = request_id
        with refused("INVALID_ARGUMENT"):
            await shop.till.send(operation)
    assert await shop.entries() == before


async def test_a_request_repeated_a_hundred_times_at_once_in_any_order_takes_effect_once(shop: Shop) -> None:
    card, operations = await ready(shop)
    lines = [shop.till, *(shop.line(Role.TILL, "till-1", "north") for _ in range(4))]
    work = [(line, operation) for operation in operations for line in lines for _ in range(20)]
    random.Random(4).shuffle(work)
    before = await shop.purses(card)
    answers: dict[str, set[bytes]] = {}

    async def send(line: Any, operation: operation_pb2.Operation) -> None:
        answer = await line.send(operation)
        answers.setdefault(change_in(operation).request_id, set()).add(answer.SerializeToString())

    await asyncio.gather(*(send(line, operation) for line, operation in work))
    assert [len(found) for found in answers.values()] == [1] * len(operations)
    # 2 and 50 earned, 3 held, 2 of 5 captured and 3 given back, 7 spent, 1 taken back with the goods.
    assert (await shop.points(card)) - before["points"].spendable == 2 + 50 - 3 + 3 - 7 - 1


async def test_a_request_repeated_after_the_card_went_to_somebody_else_stays_with_whom_it_was_for(
    shop: Shop,
) -> None:
    card, operations = await ready(shop)
    operations = [one for one in operations if change_in(one).HasField("identifier")]
    answers = [await shop.till.send(operation) for operation in operations]
    first_account, second_card = await shop.purses(card), new_card()
    await shop.node.enrol(second_card)
    await _give(shop, card, second_card)
    second = await shop.purses(second_card)
    work = [operation for operation in operations for _ in range(100 // len(operations) + 1)]
    random.Random(7).shuffle(work)
    repeated = await asyncio.gather(*(shop.till.send(operation) for operation in work))
    by_id = {change_in(one).request_id: answer for one, answer in zip(operations, answers, strict=True)}
    assert [by_id[change_in(one).request_id] for one in work] == repeated
    assert await shop.purses(second_card) == second
    assert await shop.purses(card) == second  # the card is the other member's from now on
    assert first_account != second
    late = await shop.till.send(shop.write.accrual(card, sale(100), occurred_ms=_before(operations)))
    assert late.balances[0].spendable == first_account["points"].spendable + 1
    assert await shop.purses(second_card) == second


def _before(operations: list[operation_pb2.Operation]) -> int:
    milliseconds: int = change_in(operations[0]).occurred_time.ToMilliseconds()
    return milliseconds


async def _give(shop: Shop, card: Identifier, to: Identifier) -> None:
    """Staff take a card off its account and link it to another."""
    staff = shop.line(Role.STAFF, "maryam")
    await staff.members.UnlinkIdentifier(
        member_service_pb2.UnlinkIdentifierRequest(
            request_id=uuid.uuid4().hex, identifier=card, occurred_time=shop.write.now()
        )
    )
    await shop.node.deliver()
    await staff.members.LinkIdentifier(
        member_service_pb2.LinkIdentifierRequest(
            request_id=uuid.uuid4().hex,
            identifier=to,
            new_identifier=card,
            occurred_time=shop.write.now(),
        )
    )


# --- late, early, too old ---------------------------------------------------------------------------


async def test_an_offline_till_posts_late_within_the_bound(shop: Shop) -> None:
    card = await shop.member()
    await shop.accrue(card, 700, occurred_ms=shop.node.now_ms() - 29 * DAY_MS)
    assert await shop.points(card) == 7


@pytest.mark.parametrize(
    ("age_ms", "reason"),
    [
        (31 * DAY_MS, "OCCURRED_TIME_OUT_OF_BOUNDS"),
        (36 * DAY_MS, "REQUEST_TOO_OLD"),
        (40 * 365 * DAY_MS, "REQUEST_TOO_OLD"),
        (-600_000, "OCCURRED_TIME_OUT_OF_BOUNDS"),
        (-100 * 365 * DAY_MS, "OCCURRED_TIME_OUT_OF_BOUNDS"),
    ],
)
async def test_what_occurred_too_long_ago_or_in_the_future_is_refused(
    shop: Shop, age_ms: int, reason: str
) -> None:
    _card, operations = await ready(shop)
    before = await shop.entries()
    for operation in operations:
        change_in(operation).occurred_time.FromMilliseconds(shop.node.now_ms() - age_ms)
        with refused(reason):
            await shop.till.send(operation)
    assert await shop.entries() == before


async def test_a_till_whose_clock_is_a_little_ahead_is_served(shop: Shop) -> None:
    card = await shop.member()
    await shop.accrue(card, 700, occurred_ms=shop.node.now_ms() + 200_000)
    assert await shop.points(card) == 7


async def test_a_time_that_is_none_is_refused(shop: Shop) -> None:
    _card, operations = await ready(shop)
    before = await shop.entries()
    for operation in operations:
        for seconds, nanos in ((2**63 - 1, 0), (-(2**63), 0), (10**11, 0), (0, 2**31 - 1), (0, -1)):
            change_in(operation).occurred_time.seconds = seconds
            change_in(operation).occurred_time.nanos = nanos
            with refused("INVALID_ARGUMENT"):
                await shop.till.send(operation)
        change_in(operation).ClearField("occurred_time")
        with refused("INVALID_ARGUMENT"):
            await shop.till.send(operation)
    assert await shop.entries() == before


async def test_a_request_older_than_the_node_remembers_is_never_done_again(shop: Shop) -> None:
    card = await shop.member(points=50)
    operation, late = (shop.write.redemption(card, [spend(7)]) for _ in range(2))
    answer = await shop.till.send(operation)
    shop.node.advance(29 * DAY_MS)
    late_answer = await shop.till.send(late)
    shop.node.advance(5 * DAY_MS)
    assert await shop.till.send(operation) == answer
    shop.node.advance(2 * DAY_MS)
    await _forgotten(shop)
    with refused("REQUEST_TOO_OLD"):
        await shop.till.send(operation)
    assert await shop.till.send(late) == late_answer, "it was posted 7 days ago, though it occurred 36 ago"
    shop.node.advance(40 * DAY_MS)
    await _forgotten(shop)
    for old in (operation, late):
        with refused("REQUEST_TOO_OLD"):
            await shop.till.send(old)
    assert await shop.points(card) == 36


async def _forgotten(shop: Shop) -> None:
    """Returns once every old request record is dropped."""
    for shard in shop.node.shards:
        cursor = await shard.call("forget_old_requests", b"")
        while cursor:
            cursor = await shard.call("forget_old_requests", cursor)


async def test_the_clock_of_the_node_never_runs_backwards(shop: Shop) -> None:
    card = await shop.member(points=5)
    (shard,) = {
        shard for shard in shop.node.shards if shard.host.shard.partitions.keys() & {_partition(shop, card)}
    }
    desk, ahead_ms = shard.host.shard._desk, shop.node.now_ms()
    try:
        desk.clock = lambda: ahead_ms - 30_000
        write = OperationWriter(clock=lambda: ahead_ms - 30_000)
        answer = await shop.till.send(write.accrual(card, sale(100)))
        assert answer.post_time.ToMilliseconds() >= ahead_ms - 5_000, "a small step back: the journal's time"
        desk.clock = lambda: ahead_ms - 3_600_000
        with refused("CLOCK_BEHIND", grpc.StatusCode.UNAVAILABLE):
            await shop.till.send(shop.write.accrual(card, sale(100)))
        assert await shop.points(card) == 6, "asking is still possible"
    finally:
        desk.clock = shop.node.now_ms
    await shop.accrue(card, 100)
    assert await shop.points(card) == 7


def _partition(shop: Shop, card: Identifier) -> int:
    found = shop.node.node.resolver.cached(card.kind, card.value, 1 << 60)
    return int.from_bytes(found.account_id[:8], "big") % 16  # type: ignore[union-attr]  # the card is enrolled
