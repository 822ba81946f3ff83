"""A receipt number belongs to one purchase at a time, on whichever shard its claim lies."""

from __future__ import annotations

from node.actors.receipts import claim_of, released, taken
from node.ledger.refusals import Reason
from node.proto.vafa.pos.v1 import earning_pb2, undo_pb2
from node.storage.keyspace import Kind, kind_range
from node.storage.store import Batch
from node.wire.commands import AnswerKind, Op
from node.wire.records import ReceiptClaim
from tests.actors.harness import Actors, body_of, card, reason_of
from tests.actors.stored import PARTITIONS

RECEIPTS = 12
"""Enough that with three shards some claims lie on their purchase's shard and some on another."""


def purchase(actors: Actors, receipt: str, currency: str = "USD") -> earning_pb2.AccrueRequest:
    request = actors.stamped(earning_pb2.AccrueRequest(identifier=card(1)))
    request.purchase.receipt_number = receipt
    request.purchase.total.currency, request.purchase.total.minor = currency, 1_000
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


async def members(actors: Actors) -> None:
    """Enough that some lie on the shard of a receipt and some on others."""
    for number in range(1, 6):
        await actors.enrol(card(number))


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
    await members(actors)
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


async def test_an_id_that_is_used_again_for_another_member_posts_no_receipt_that_is_taken(
    actors: Actors,
) -> None:
    await members(actors)
    for number in range(RECEIPTS):
        first = purchase(actors, f"R{number}")
        body_of(await actors.at_till(Op.ACCRUE, first))
        for other in range(2, 6):
            first.identifier.CopyFrom(card(other))
            assert (await actors.at_till(Op.ACCRUE, first)).refusal is not None
            assert await actors.points(card(other)) == 0


async def test_a_receipt_that_a_reversed_request_left_is_posted_once_under_its_id_for_another_member(
    actors: Actors,
) -> None:
    await members(actors)
    posted = 0
    for number in range(RECEIPTS):
        first = purchase(actors, f"R{number}")
        told = body_of(await actors.at_till(Op.ACCRUE, first))
        await reverses(actors, first)
        under_its_id = []
        for other in range(2, 6):
            again = earning_pb2.AccrueRequest.FromString(first.SerializeToString())
            again.identifier.CopyFrom(card(other))
            under_its_id.append(await actors.at_till(Op.ACCRUE, again))
        # In the partition of the first its id is known, and refused; of all others only one has the receipt.
        done = [answer for answer in under_its_id if answer.kind == AnswerKind.DONE]
        posted += len(done)
        assert len(done) <= 1
        assert body_of(await actors.at_till(Op.ACCRUE, first)) == told  # and takes nothing from that one
        third = await actors.at_till(Op.ACCRUE, purchase(actors, f"R{number}"))
        assert (reason_of(third) is Reason.DUPLICATE_RECEIPT) if done else third.kind == AnswerKind.DONE
    assert posted > 0


async def test_a_reversed_request_is_not_posted_again_where_only_its_receipt_remembers_it(
    actors: Actors,
) -> None:
    await actors.enrol(card(1))
    for number in range(RECEIPTS):
        first = purchase(actors, f"R{number}")
        body_of(await actors.at_till(Op.ACCRUE, first))
        await reverses(actors, first)
        for store in actors.stores:  # as if it came to an account that has taken the place of the first
            batch = Batch()
            for partition in range(PARTITIONS):
                for key, _ in store.scan(*kind_range(partition, Kind.REQUEST)):
                    batch.delete(key)
            store.write(batch)
        assert reason_of(await actors.at_till(Op.ACCRUE, first)) is Reason.REQUEST_REVERSED
    assert await actors.points(card(1)) == 0


async def test_a_purchase_that_was_refused_lets_its_receipt_go_and_may_come_again(actors: Actors) -> None:
    await actors.enrol(card(1))
    for number in range(RECEIPTS):
        refused = purchase(actors, f"R{number}")
        refused.occurred_time.FromMilliseconds(actors.now_ms + 3_600_000)
        assert reason_of(await actors.at_till(Op.ACCRUE, refused)) is Reason.OCCURRED_TIME_OUT_OF_BOUNDS
        actors.now_ms += 3_600_000
        assert (await actors.at_till(Op.ACCRUE, refused)).kind == AnswerKind.DONE


def test_a_release_that_comes_once_more_takes_the_receipt_from_nobody() -> None:
    first, next_one = (claim_of("north/till-1", name, name.encode()) for name in ("r-1", "r-2"))
    let_go = released(first, first, for_good=True)
    assert let_go is not None
    held = taken(let_go, next_one)
    assert isinstance(held, ReceiptClaim)
    assert released(held, first, for_good=True) == held
    assert released(held, first, for_good=False) == held
