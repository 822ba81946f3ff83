"""A till that does not know what became of a sale reverses it and rings the receipt anew, under a new id."""

from __future__ import annotations

import pytest

from node.actors.asks import Ask, ask_of
from node.ledger.refusals import Reason
from node.proto.vafa.pos.v1 import earning_pb2, undo_pb2
from node.storage.keyspace import Kind
from node.wire.commands import AnswerKind, Op
from tests.actors.harness import TILL, Actors, body_of, card, every_death, reason_of
from tests.actors.test_receipt_claims import RECEIPTS, members, purchase, reverses
from tests.actors.test_receipts_and_faults import claims_and_dies, in_a_pool

SHARDS = 3


def of(number: int, one: earning_pb2.AccrueRequest) -> earning_pb2.AccrueRequest:
    one.identifier.CopyFrom(card(number))
    return one


def reversal_of(actors: Actors, one: earning_pb2.AccrueRequest) -> undo_pb2.ReverseRequest:
    return actors.stamped(
        undo_pb2.ReverseRequest(identifier=one.identifier, original_request_id=one.request_id)
    )


async def test_wherever_the_node_died_the_receipt_can_be_rung_anew_once() -> None:
    for number in range(4):

        async def rings(actors: Actors, receipt: str = f"R{number}") -> None:
            await actors.at_till(Op.ACCRUE, purchase(actors, receipt))

        async def prepare(actors: Actors) -> None:
            await actors.enrol(card(1))

        async for actors, moment in every_death(rings, prepare, SHARDS):
            first = purchase(actors, f"R{number}")
            first.request_id = "r-1"
            body_of(await actors.at_till(Op.REVERSE, reversal_of(actors, first)))
            answer = await actors.at_till(Op.ACCRUE, purchase(actors, f"R{number}"))
            assert answer.kind == AnswerKind.DONE, moment
            assert await actors.points(card(1)) == 10, moment
            await actors.deliver()
            third = await actors.at_till(Op.ACCRUE, purchase(actors, f"R{number}"))
            assert reason_of(third) is Reason.DUPLICATE_RECEIPT, moment


@pytest.mark.parametrize("member", range(1, 6))
async def test_a_receipt_that_was_claimed_for_a_reversed_sale_is_free_for_every_member(member: int) -> None:
    actors = Actors(SHARDS)
    await members(actors)
    for number in range(RECEIPTS):
        first = purchase(actors, f"R{number}")
        await claims_and_dies(actors, first)
        body_of(await actors.at_till(Op.REVERSE, reversal_of(actors, first)))
        anew = of(member, purchase(actors, f"R{number}"))
        assert (await actors.at_till(Op.ACCRUE, anew)).kind == AnswerKind.DONE
        # The first comes after all: it was reversed, and takes the receipt from nobody.
        assert reason_of(await actors.at_till(Op.ACCRUE, first)) is Reason.REQUEST_REVERSED
        third = await actors.at_till(Op.ACCRUE, purchase(actors, f"R{number}"))
        assert reason_of(third) is Reason.DUPLICATE_RECEIPT
    assert await actors.points(card(member)) == 10 * RECEIPTS


async def test_a_receipt_that_was_claimed_for_a_sale_that_may_still_come_is_kept_for_it() -> None:
    actors = Actors(SHARDS)
    await actors.enrol(card(1))
    kept = 0
    for number in range(RECEIPTS):
        first, before = purchase(actors, f"R{number}"), len(list(actors.stored(Kind.RECEIPT)))
        await claims_and_dies(actors, first)
        if len(list(actors.stored(Kind.RECEIPT))) > before:  # on another shard than the member
            kept += 1
            anew = await actors.at_till(Op.ACCRUE, purchase(actors, f"R{number}"))
            assert reason_of(anew) is Reason.DUPLICATE_RECEIPT
        body_of(await actors.at_till(Op.ACCRUE, first))
    assert kept


async def test_a_receipt_is_free_as_soon_as_the_reversal_is_answered() -> None:
    actors = Actors(SHARDS)
    await members(actors)
    for number in range(RECEIPTS):
        first = purchase(actors, f"R{number}")
        body_of(await actors.at_till(Op.ACCRUE, first))
        body_of(await actors.at_till(Op.REVERSE, reversal_of(actors, first)))
        anew = of(1 + number % 5, purchase(actors, f"R{number}"))  # before anything was delivered
        assert (await actors.at_till(Op.ACCRUE, anew)).kind == AnswerKind.DONE
        await actors.deliver()
        third = await actors.at_till(Op.ACCRUE, purchase(actors, f"R{number}"))
        assert reason_of(third) is Reason.DUPLICATE_RECEIPT


async def test_one_call_may_hold_a_sale_its_reversal_and_the_receipt_anew() -> None:
    actors = Actors(SHARDS)
    await actors.enrol(card(1))
    for number in range(RECEIPTS):
        first = purchase(actors, f"R{number}")
        requests = [
            (Op.ACCRUE, first),
            (Op.REVERSE, reversal_of(actors, first)),
            (Op.ACCRUE, purchase(actors, f"R{number}")),
            (Op.ACCRUE, purchase(actors, f"R{number}")),
        ]
        asks = [ask_of(op, one, one.SerializeToString()) for op, one in requests]
        answers = await actors.counter.ask_many(TILL, [ask for ask in asks if isinstance(ask, Ask)], "t" * 32)
        assert [answer.kind for answer in answers[:3]] == [AnswerKind.DONE] * 3
        assert reason_of(answers[3]) is Reason.DUPLICATE_RECEIPT
        assert await actors.points(card(1)) == 10 * (number + 1)


async def test_a_pools_sale_that_was_reversed_before_the_pool_was_asked_frees_its_receipt_when_it_comes() -> (
    None
):
    actors = await in_a_pool()
    kept = 0
    for number in range(RECEIPTS):
        first = purchase(actors, f"R{number}")
        await claims_and_dies(actors, first)
        await reverses(actors, first)
        anew = await actors.at_till(Op.ACCRUE, purchase(actors, f"R{number}"))
        if anew.kind != AnswerKind.DONE:  # it was claimed, and the member's account has not heard of it
            kept += 1
            assert reason_of(anew) is Reason.DUPLICATE_RECEIPT
            assert reason_of(await actors.at_till(Op.ACCRUE, first)) is Reason.REQUEST_REVERSED
            assert (await actors.at_till(Op.ACCRUE, purchase(actors, f"R{number}"))).kind == AnswerKind.DONE
    assert 0 < kept < RECEIPTS


async def test_a_pools_receipt_is_free_as_soon_as_the_reversal_is_answered() -> None:
    actors = await in_a_pool()
    for number in range(RECEIPTS):
        first = purchase(actors, f"R{number}")
        body_of(await actors.at_till(Op.ACCRUE, first))
        body_of(await actors.at_till(Op.REVERSE, reversal_of(actors, first)))
        assert (await actors.at_till(Op.ACCRUE, purchase(actors, f"R{number}"))).kind == AnswerKind.DONE
