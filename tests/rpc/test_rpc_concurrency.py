"""Many tills at once, a queue that is full, a node that stops under load: nothing is lost or done twice."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from node.actors.ports import ShardGone
from node.identity.caller import Role
from node.proto.vafa.member.v1.member_service_pb2 import CreatePoolRequest, JoinPoolRequest
from node.proto.vafa.pos.v1 import operation_pb2
from node.wire.commands import Op, decode_commands
from simulators.local_node import new_card
from simulators.operations import timestamp
from simulators.refusal import Action, refusal_of_error
from tests.rpc.shop import Shop, item_reason, open_shop, receipt, refused, sale, spend

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUEUE = 8


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def small_shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """A shop whose shard has room for a few waiting commands only."""
    settings = {"queue_per_shard": QUEUE, "batch_commands": 2}
    async with open_shop(tmp_path_factory.mktemp("small"), settings=settings) as opened:
        yield opened


@contextmanager
def busy(shop: Shop) -> Iterator[None]:
    """Inside the block the shard is at work on something else, as on a slow disk."""
    go_on, (shard,) = threading.Event(), shop.node.shards
    shard._thread.submit(go_on.wait)
    try:
        yield
    finally:
        go_on.set()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


async def test_a_hundred_tills_that_spend_the_last_points_at_once_spend_exactly_what_is_there(
    shop: Shop,
) -> None:
    card = await shop.member(points=60)
    tills = [shop.line(Role.TILL, f"till-{number}", "north") for number in range(100)]
    outcomes = Counter(
        await asyncio.gather(*(_spent(till, shop.write.redemption(card, [spend(1)])) for till in tills))
    )
    assert outcomes == {"": 60, "INSUFFICIENT_BALANCE": 40}
    assert await shop.points(card) == 0


async def test_holds_and_spends_at_once_never_reserve_more_than_is_there(shop: Shop) -> None:
    card = await shop.member(points=60)
    operations = [
        (shop.write.redemption if number % 2 else shop.write.authorization)(card, [spend(7)])
        for number in range(40)
    ]
    outcomes = Counter(await asyncio.gather(*(_spent(shop.till, operation) for operation in operations)))
    assert outcomes == {"": 8, "INSUFFICIENT_BALANCE": 32}
    purse = (await shop.purses(card))["points"]
    assert purse.spendable == 4
    assert purse.held % 7 == 0


async def _spent(line: object, operation: object) -> str:
    """The reason for which a spend was refused; empty where it was done."""
    try:
        await line.send(operation)  # type: ignore[attr-defined]  # a stream of the shop
    except grpc.aio.AioRpcError as error:
        return refusal_of_error(error).reason
    return ""


async def test_one_receipt_sent_by_many_tills_at_once_is_posted_once(shop: Shop) -> None:
    for _ in range(5):
        number, members = receipt(), [await shop.member() for _ in range(10)]
        outcomes = Counter(
            await asyncio.gather(
                *(
                    _spent(shop.till, shop.write.accrual(member, sale(100, receipt_number=number)))
                    for member in members
                )
            )
        )
        assert outcomes == {"": 1, "DUPLICATE_RECEIPT": 9}
        assert sum([await shop.points(member) for member in members]) == 1


async def test_a_full_queue_says_when_to_come_back_and_loses_nothing_that_it_took(small_shop: Shop) -> None:
    shop = small_shop
    card = await shop.member()
    operations = [shop.write.accrual(card, sale(100)) for _ in range(60)]
    with busy(shop):
        under_way = [asyncio.create_task(shop.till.send(operation)) for operation in operations]
        await _until(lambda: sum(task.done() for task in under_way) >= 60 - QUEUE - 4)
    answers = await asyncio.gather(*under_way, return_exceptions=True)
    turned_away = []
    for operation, answer in zip(operations, answers, strict=True):
        if isinstance(answer, grpc.aio.AioRpcError):
            refusal = refusal_of_error(answer)
            assert answer.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert (refusal.reason, refusal.action) == ("OVERLOADED", Action.RETRY)
            assert refusal.retry_delay_ms > 0
            turned_away.append(operation)
    assert QUEUE <= 60 - len(turned_away) <= QUEUE + 4, "two batches of two under way, the queue full"
    assert await shop.points(card) == 60 - len(turned_away)
    for operation in turned_away:  # the very same requests, a moment later
        await shop.till.send(operation)
    assert await shop.points(card) == 60


async def test_a_batch_too_large_for_the_queue_is_refused_item_by_item_and_done_in_the_end(
    small_shop: Shop,
) -> None:
    card = await small_shop.member()
    operations = [small_shop.write.accrual(card, sale(100)) for _ in range(50)]
    for _ in range(50):
        results = await small_shop.till.submit(*operations)
        reasons = {item_reason(result) for result in results}
        assert reasons <= {"", "OVERLOADED"}
        if reasons == {""}:
            break
        operations = [one for one, result in zip(operations, results, strict=True) if item_reason(result)]
    assert await small_shop.points(card) == 50


async def test_a_node_that_stops_answers_what_it_took_and_keeps_it(tmp_path: Path) -> None:
    async with open_shop(tmp_path) as shop:
        card = await shop.member()
        (lane,) = shop.node.node.router.lanes
        with busy(shop):
            under_way = [
                asyncio.create_task(shop.till.send(shop.write.accrual(card, sale(100)))) for _ in range(25)
            ]
            await _until(lambda: lane.queued + lane.largest_batch >= 25)  # the largest is under way
            stopping = asyncio.create_task(shop.node.node.stop())
            await asyncio.sleep(0)
        answers = await asyncio.gather(*under_way)
        await stopping
        assert sorted(answer.balances[0].spendable for answer in answers) == list(range(1, 26))
        await shop.close()
        shop.node._node = None
        await shop.node.start()
        shop.till = shop.line(Role.TILL, "till-1", "north")
        assert await shop.points(card) == 25


async def test_sales_of_a_pools_member_on_one_stream_do_not_wait_for_one_another(
    one_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is answered in two steps, the member's account and then the pool; all second steps go together."""
    shop, family = one_shop, new_card()
    card, members = await shop.member(), shop.admin.members
    await members.CreatePool(CreatePoolRequest(identifiers=[family], **_asked(shop)))
    await members.JoinPool(JoinPoolRequest(identifier=card, pool_identifier=family, **_asked(shop)))
    (shard,), (lane,) = shop.node.shards, shop.node.node.router.lanes
    batches, apply = [], shard.apply

    async def counted(message: bytes) -> bytes:
        batches.append(message)
        return await apply(message)

    monkeypatch.setattr(shard, "apply", counted)
    stream: Any = shop.till.pos.SubmitStream(timeout=60)
    with busy(shop):
        for _ in range(40):
            sold = shop.write.accrual(card, sale(100))
            await stream.write(operation_pb2.SubmitStreamRequest(operation=sold))
        await _until(lambda: lane.queued + sum(len(decode_commands(batch)) for batch in batches) >= 40)
    await stream.done_writing()
    assert [item_reason(answer.result) async for answer in stream] == [""] * 40
    assert len(batches) < 20
    assert await shop.points(family) == 40


def _asked(shop: Shop) -> dict[str, Any]:
    return {"request_id": uuid.uuid4().hex, "occurred_time": timestamp(shop.node.now_ms())}


async def test_a_purchase_whose_answer_was_lost_keeps_its_receipt_and_is_found_when_asked_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shard does the work and then says nothing more, not even when it is asked again."""
    for _ in range(6):  # with several stores some receipts lie in another store than their purchase
        card, number = await shop.member(), receipt()
        operation = shop.write.accrual(card, sale(400, receipt_number=number))
        with monkeypatch.context() as silence:
            for shard in shop.node.shards:
                silence.setattr(shard, "apply", _silent_about(operation, shard.apply))
            with refused("OUTCOME_UNKNOWN", grpc.StatusCode.UNAVAILABLE) as refusal:
                await shop.till.send(operation)
        assert refusal[0].action is Action.ASK
        with refused("DUPLICATE_RECEIPT"):
            await shop.accrue(card, 400, receipt_number=number)
        await shop.till.send(operation)
        assert await shop.points(card) == 4


def _silent_about(
    operation: operation_pb2.Operation, sound: Callable[[bytes], Awaitable[bytes]]
) -> Callable[[bytes], Awaitable[bytes]]:
    request_id = operation.accrue.request_id.encode()

    async def apply(message: bytes) -> bytes:
        answers = await sound(message)
        if any(one.op is Op.ACCRUE and request_id in one.read for one in decode_commands(message)):
            raise ShardGone("its process ended")
        return answers

    return apply


async def test_the_health_check_says_serving_while_the_node_serves(one_shop: Shop) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    health = health_pb2_grpc.HealthStub(one_shop.till.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
