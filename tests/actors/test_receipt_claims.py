"""A receipt number belongs to one purchase at a time, on whichever shard its claim lies."""

from __future__ import annotations

from node.ledger.refusals import Reason
from node.proto.vafa.pos.v1 import earning_pb2, undo_pb2
from node.wire.commands import AnswerKind, Op
from tests.actors.harness import Actors, body_of, card, reason_of

RECEIPTS = 12
"""Enough that with three shards some claims lie on their purchase's shard and some on another."""


def purchase(actors: Actors, receipt: str) -> earning_pb2.AccrueRequest:
    request = actors.stamped(earning_pb2.AccrueRequest(identifier=card(1)))
    request.purchase.receipt_number = receipt
    request.purchase.total.currency, request.purchase.total.minor = "USD", 1_000
    return request


async def test_a_reversed_purchase_that_comes_once_more_does_not_take_its_receipt_again(
    actors: Actors,
) -> None:
    await actors.enrol(card(1))
    for number in range(RECEIPTS):
        first = purchase(actors, f"R{number}")
        answer = body_of(await actors.at_till(Op.ACCRUE, first))
        reversal = undo_pb2.ReverseRequest(identifier=card(1), original_request_id=first.request_id)
        body_of(await actors.at_till(Op.REVERSE, actors.stamped(reversal)))
        await actors.deliver()
        # A copy that was held up on its way: it is told what it was told, and moves nothing.
        assert body_of(await actors.at_till(Op.ACCRUE, first)) == answer
        anew = purchase(actors, f"R{number}")
        assert (await actors.at_till(Op.ACCRUE, anew)).kind == AnswerKind.DONE
        third = await actors.at_till(Op.ACCRUE, purchase(actors, f"R{number}"))
        assert reason_of(third) is Reason.DUPLICATE_RECEIPT
    assert await actors.points(card(1)) == 10 * RECEIPTS


async def reverses(actors: Actors, one: earning_pb2.AccrueRequest) -> None:
    reversal = undo_pb2.ReverseRequest(identifier=card(1), original_request_id=one.request_id)
    body_of(await actors.at_till(Op.REVERSE, actors.stamped(reversal)))
    await actors.deliver()


async def test_none_of_several_purchases_that_were_reversed_takes_the_receipt_again(actors: Actors) -> None:
    await actors.enrol(card(1))
    for number in range(RECEIPTS):
        first, second = purchase(actors, f"R{number}"), purchase(actors, f"R{number}")
        for one in (first, second):
            body_of(await actors.at_till(Op.ACCRUE, one))
            await reverses(actors, one)
        refused = purchase(actors, f"R{number}")  # and what is refused in between does not make it forgotten
        refused.occurred_time.FromMilliseconds(actors.now_ms + 3_600_000)
        assert reason_of(await actors.at_till(Op.ACCRUE, refused)) is Reason.OCCURRED_TIME_OUT_OF_BOUNDS
        for one in (first, second):
            body_of(await actors.at_till(Op.ACCRUE, one))
        anew = purchase(actors, f"R{number}")
        assert (await actors.at_till(Op.ACCRUE, anew)).kind == AnswerKind.DONE
    assert await actors.points(card(1)) == 10 * RECEIPTS


async def test_a_reversed_request_that_names_another_member_posts_no_receipt_that_is_taken(
    actors: Actors,
) -> None:
    for number in range(1, 6):
        await actors.enrol(card(number))
    for number in range(RECEIPTS):
        first = purchase(actors, f"R{number}")
        body_of(await actors.at_till(Op.ACCRUE, first))
        await reverses(actors, first)
        body_of(await actors.at_till(Op.ACCRUE, purchase(actors, f"R{number}")))
        for other in range(2, 6):  # in whichever partition: a till that uses an id again
            first.identifier.CopyFrom(card(other))
            answer = await actors.at_till(Op.ACCRUE, first)
            assert answer.refusal is not None
            assert await actors.points(card(other)) == 0


async def test_a_purchase_that_was_refused_lets_its_receipt_go_and_may_come_again(actors: Actors) -> None:
    await actors.enrol(card(1))
    for number in range(RECEIPTS):
        refused = purchase(actors, f"R{number}")
        refused.occurred_time.FromMilliseconds(actors.now_ms + 3_600_000)
        assert reason_of(await actors.at_till(Op.ACCRUE, refused)) is Reason.OCCURRED_TIME_OUT_OF_BOUNDS
        actors.now_ms += 3_600_000
        assert (await actors.at_till(Op.ACCRUE, refused)).kind == AnswerKind.DONE
