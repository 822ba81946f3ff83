"""Many operations in one call or on one stream: each stands by itself and has its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from node.identity.caller import Caller, Role
from node.proto.vafa.pos.v1 import operation_pb2
from simulators.local_node import MERCHANT, new_card
from tests.rpc.shop import Shop, item_reason, receipt, refused, sale, spend

pytestmark = pytest.mark.asyncio(loop_scope="module")

Operation = operation_pb2.Operation
Result = operation_pb2.OperationResult
_STREAM = "/vafa.pos.v1.PosService/SubmitStream"


async def over_stream(shop: Shop, operations: list[Operation]) -> list[Result]:
    """The answers to operations sent over one stream."""

    async def requests() -> AsyncIterator[operation_pb2.SubmitStreamRequest]:
        for operation in operations:
            yield operation_pb2.SubmitStreamRequest(operation=operation)

    return [answer.result async for answer in shop.till.pos.SubmitStream(requests(), timeout=60)]


async def in_one_call(shop: Shop, operations: list[Operation]) -> list[Result]:
    """The answers to operations sent in one call."""
    return await shop.till.submit(*operations)


both_ways = pytest.mark.parametrize("send", [in_one_call, over_stream])


@both_ways
async def test_each_operation_gets_the_answer_that_its_own_call_would_give(shop: Shop, send: object) -> None:
    card = await shop.member(points=50)
    bought = await shop.accrue(card, 1000)
    spent = await shop.redeem(card, 10)
    hold = await shop.till.send(shop.write.authorization(card, [spend(5)]))
    other = await shop.till.send(shop.write.authorization(card, [spend(5)]))
    sold = shop.write.accrual(card, sale(200))
    operations = [
        sold,
        shop.write.activity(card, "welcome"),
        shop.write.authorization(card, [spend(3)]),
        shop.write.capture_of(card, hold.transaction_id),
        shop.write.void_of(card, other.transaction_id),
        shop.write.redemption(card, [spend(7)]),
        shop.write.return_of(card, bought.transaction_id),
        shop.write.return_of(card, spent.transaction_id),
        shop.write.reversal_of(sold),
        shop.write.accrual(None, sale(900)),
    ]
    results = await send(shop, operations)  # type: ignore[operator]  # one of the ways to submit
    kinds = [result.WhichOneof("result") for result in results]
    assert kinds == [operation.WhichOneof("operation") for operation in operations]
    for operation, result in zip(operations, results, strict=True):
        again = await shop.till.send(operation)
        assert getattr(result, operation.WhichOneof("operation") or "") == again


@both_ways
async def test_operations_on_one_account_are_done_in_the_order_given(shop: Shop, send: object) -> None:
    for _ in range(5):
        card, operations = await shop.member(), []
        # Spending what was earned a line before; receipts send some purchases over another store first.
        for number in range(1, 9):
            operations.append(shop.write.accrual(card, sale(number * 100, receipt_number=receipt())))
            operations.append(shop.write.redemption(card, [spend(number)]))
        results = await send(shop, operations)  # type: ignore[operator]  # one of the ways to submit
        assert [item_reason(result) for result in results] == [""] * 16
        assert await shop.points(card) == 0


@both_ways
async def test_one_that_is_refused_leaves_the_others_whole(shop: Shop, send: object) -> None:
    card = await shop.member()
    operations = [
        shop.write.accrual(card, sale(500)),
        shop.write.accrual(new_card(), sale(500)),
        Operation(),
        shop.write.redemption(card, [spend(6)]),
        shop.write.accrual(card, sale(-5)),
        shop.write.accrual(card, sale(300)),
    ]
    results = await send(shop, operations)  # type: ignore[operator]  # one of the ways to submit
    assert [item_reason(result) for result in results] == [
        "", "MEMBER_NOT_FOUND", "INVALID_ARGUMENT", "INSUFFICIENT_BALANCE", "INVALID_ARGUMENT", "",
    ]  # fmt: skip
    assert all(result.refusal.message for result in results if result.HasField("refusal"))
    assert all(result.refusal.action for result in results if result.HasField("refusal"))
    assert await shop.points(card) == 8


@both_ways
async def test_nothing_sent_is_nothing_answered(shop: Shop, send: object) -> None:
    assert await send(shop, []) == []  # type: ignore[operator]  # one of the ways to submit


@both_ways
async def test_the_same_operation_twice_takes_effect_once(shop: Shop, send: object) -> None:
    card = await shop.member()
    operation = shop.write.accrual(card, sale(500))
    first, second = await send(shop, [operation, operation])  # type: ignore[operator]  # one of the ways to submit
    assert first == second
    assert await shop.points(card) == 5


async def test_five_thousand_operations_are_taken_and_one_more_is_refused_whole(one_shop: Shop) -> None:
    card = await one_shop.member()
    operations = [one_shop.write.accrual(card, sale(100)) for _ in range(5_001)]
    before = await one_shop.entries()
    with refused("INVALID_ARGUMENT", grpc.StatusCode.INVALID_ARGUMENT):
        await one_shop.till.submit(*operations)
    assert await one_shop.entries() == before
    results = await one_shop.till.submit(*operations[:5_000])
    assert {item_reason(result) for result in results} == {""}
    assert await one_shop.points(card) == 5_000


async def test_garbage_in_the_middle_of_a_stream_is_refused_by_itself(shop: Shop) -> None:
    card = await shop.member()
    sound = [
        operation_pb2.SubmitStreamRequest(operation=shop.write.accrual(card, sale(100))).SerializeToString()
        for _ in range(3)
    ]
    bodies = [sound[0], b"\xff" * 30, sound[1], b"", sound[2][:-3], sound[2]]

    async def requests() -> AsyncIterator[bytes]:
        for body in bodies:
            yield body

    stream: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = shop.till.channel.stream_stream(_STREAM)
    answers = [
        operation_pb2.SubmitStreamResponse.FromString(answer).result
        async for answer in stream(requests(), timeout=30)
    ]
    assert [item_reason(answer) for answer in answers] == [
        "", "INVALID_ARGUMENT", "", "INVALID_ARGUMENT", "INVALID_ARGUMENT", "",
    ]  # fmt: skip
    assert await shop.points(card) == 3


async def test_answers_of_a_stream_come_while_it_is_open(shop: Shop) -> None:
    card = await shop.member()
    stream: Any = shop.till.pos.SubmitStream(timeout=30)
    for number in range(1, 4):
        operation = shop.write.accrual(card, sale(100))
        await stream.write(operation_pb2.SubmitStreamRequest(operation=operation))
        answer = await stream.read()
        assert answer.result.accrue.balances[0].spendable == number
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF


async def test_a_stream_that_the_till_gives_up_leaves_what_it_sent_done_or_not_and_the_node_well(
    shop: Shop,
) -> None:
    card = await shop.member()
    operations = [shop.write.accrual(card, sale(100)) for _ in range(2_000)]
    stream = shop.till.pos.SubmitStream(
        operation_pb2.SubmitStreamRequest(operation=operation) for operation in operations
    )
    await stream.read()
    stream.cancel()
    results = await shop.till.submit(*operations)
    assert {item_reason(result) for result in results} == {""}
    assert await shop.points(card) == 2_000
    hanging = [task for task in asyncio.all_tasks() if "_read" in repr(task.get_coro())]
    async with asyncio.timeout(10):
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_a_stream_ends_when_its_caller_is_revoked_with_the_answers_that_are_owed(shop: Shop) -> None:
    card = await shop.member()
    line = shop.line(Role.TILL, "lost", "north")
    stream: Any = line.pos.SubmitStream(timeout=30)
    await stream.write(operation_pb2.SubmitStreamRequest(operation=shop.write.accrual(card, sale(100))))
    assert not item_reason((await stream.read()).result)
    shop.node.node.control.revoke(Caller(Role.TILL, MERCHANT, "lost", "north"))
    await stream.write(operation_pb2.SubmitStreamRequest(operation=shop.write.accrual(card, sale(100))))
    with refused("UNAUTHENTICATED", grpc.StatusCode.UNAUTHENTICATED):
        await stream.read()
    assert await shop.points(card) == 1
