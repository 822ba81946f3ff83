"""Receipts of pools' members, of purchases that came to nothing, and as an older version wrote them."""

from __future__ import annotations

import hashlib

from node.actors.asks import ask_of
from node.actors.claims import Claim
from node.actors.receipts import claim_of, released, taken
from node.ledger.refusals import Reason, Refused
from node.proto.vafa.pos.v1 import earning_pb2
from node.wire.commands import AnswerKind, Command, Op, refused
from node.wire.records import ReceiptClaim
from tests.actors.harness import TILL, Actors, body_of, card, reason_of
from tests.actors.test_pools import POOL, joins
from tests.actors.test_receipt_claims import purchase, reverses

RECEIPTS = 24
"""Enough that some claims lie on each of three shards."""


async def in_a_pool() -> Actors:
    """A member whose purchases go to a pool, which may lie on another shard."""
    actors = Actors(shards=3)
    await actors.enrol(card(1))
    await actors.pool(POOL)
    await joins(actors, card(1))
    await actors.settle()
    return actors


async def test_a_purchase_that_a_pool_refuses_lets_its_receipt_go_wherever_it_was_claimed() -> None:
    actors = await in_a_pool()
    for number in range(RECEIPTS):
        wrong = await actors.at_till(Op.ACCRUE, purchase(actors, f"R{number}", currency="EUR"))
        assert reason_of(wrong) is Reason.WRONG_CURRENCY
        assert (await actors.at_till(Op.ACCRUE, purchase(actors, f"R{number}"))).kind == AnswerKind.DONE


async def test_a_pools_reversed_purchase_that_comes_once_more_is_told_what_it_was_told() -> None:
    actors = await in_a_pool()
    for number in range(RECEIPTS):
        first = purchase(actors, f"R{number}")
        told = body_of(await actors.at_till(Op.ACCRUE, first))
        await reverses(actors, first)
        assert body_of(await actors.at_till(Op.ACCRUE, first)) == told


async def claims_and_dies(actors: Actors, one: earning_pb2.AccrueRequest) -> Command:
    """The gateway ends between the claim of the receipt and the purchase."""
    ask = ask_of(Op.ACCRUE, one, one.SerializeToString())
    assert not isinstance(ask, Refused)
    command = await actors.counter.prepare(TILL, ask, "t" * 32)
    assert isinstance(command, Command)
    await actors.counter._first.take([(ask, command)])
    return command


async def test_a_purchase_that_was_reversed_before_it_was_posted_lets_its_receipt_go_when_it_comes() -> None:
    actors = Actors(shards=3)
    await actors.enrol(card(1))
    for number in range(RECEIPTS):
        first = purchase(actors, f"R{number}")
        await claims_and_dies(actors, first)
        await reverses(actors, first)
        assert reason_of(await actors.at_till(Op.ACCRUE, first)) is Reason.REQUEST_REVERSED
        assert (await actors.at_till(Op.ACCRUE, purchase(actors, f"R{number}"))).kind == AnswerKind.DONE


async def test_a_claim_that_a_copy_may_have_used_is_kept_where_the_refusal_is_for_the_moment() -> None:
    actors = Actors(shards=3)
    await actors.enrol(card(1))
    for number in range(RECEIPTS):
        first = purchase(actors, f"R{number}")
        command = await claims_and_dies(actors, first)
        body_of(await actors.at_till(Op.ACCRUE, first))  # the copy
        ask = ask_of(Op.ACCRUE, first, first.SerializeToString())
        assert not isinstance(ask, Refused)
        busy = refused(Refused(Reason.OVERLOADED, "The queue is full."))
        await actors.counter._second(TILL, ask, command, busy, Claim(fresh=True))
        second = await actors.at_till(Op.ACCRUE, purchase(actors, f"R{number}"))
        assert reason_of(second) is Reason.DUPLICATE_RECEIPT


def test_what_an_older_version_has_written_of_reversed_requests_is_understood() -> None:
    first, second = (claim_of("north/till-1", name, name.encode() * 4) for name in ("r-1", "r-2"))
    past = ReceiptClaim("", "", 0, True, (hashlib.sha256(b"north/till-1\x00r-1").digest()[:8],))
    assert reversed_before(taken(past, first))
    without_body = ReceiptClaim("north/till-1", "r-1", 0, True)
    assert reversed_before(taken(without_body, first))
    passed_on = taken(without_body, second)
    assert isinstance(passed_on, ReceiptClaim)
    let_go = released(passed_on, second, for_good=True)
    assert reversed_before(taken(let_go, first))
    assert reversed_before(taken(let_go, second))


def test_that_a_request_was_reversed_is_not_forgotten_when_a_copy_of_it_is_refused() -> None:
    first = claim_of("north/till-1", "r-1", b"body")
    let_go = released(first, first, for_good=True)
    assert let_go is not None
    assert released(let_go, first, for_good=False) == let_go


def reversed_before(answer: object) -> bool:
    return isinstance(answer, Refused) and answer.reason is Reason.REQUEST_REVERSED
