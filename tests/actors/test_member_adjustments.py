"""A balance is changed by hand with a reason, and beyond a limit by two people."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from node.ledger.refusals import Reason
from node.programme.model import Limits
from node.proto.vafa.common.v1.identifier_pb2 import Identifier
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.wire.commands import Op
from tests.actors.harness import MANAGER, PROGRAMME, STAFF, START_MS, Actors, body_of, card, reason_of


async def adjusted(
    actors: Actors, who: Identifier, units: int, reason: str = "goodwill", purse: str = "points"
) -> pb.AdjustResponse:
    request = actors.stamped(pb.AdjustRequest(identifier=who, purse=purse, units=units, reason=reason))
    return pb.AdjustResponse.FromString(body_of(await actors.tell(Op.ADJUST, request)))


async def test_a_small_adjustment_is_done_at_once_and_expires_like_todays_earnings(actors: Actors) -> None:
    await actors.enrol(card(1))
    answer = await adjusted(actors, card(1), 1_000)
    assert answer.transaction_id
    assert not answer.proposal_id
    await actors.buys(card(1), 5)
    (balance,) = [one for one in (await actors.member(card(1))).balances if one.purse == "points"]
    assert (balance.spendable, balance.next_expiry_units) == (1_005, 1_005)
    actors.assert_whole()


async def test_units_that_no_rule_earns_do_not_expire_when_they_are_adjusted(actors: Actors) -> None:
    await actors.enrol(card(1))
    (balance,) = (await adjusted(actors, card(1), 10, purse="credit")).balances
    assert (balance.spendable, balance.next_expiry_units) == (10, 0)


async def test_a_large_adjustment_waits_for_a_second_person(actors: Actors) -> None:
    await actors.enrol(card(1))
    waiting = await adjusted(actors, card(1), 1_001)
    assert waiting.proposal_id
    assert not waiting.transaction_id
    assert await actors.points(card(1)) == 0
    (shown,) = (await actors.member(card(1))).proposals
    assert (shown.proposal_id, shown.author, shown.units) == (waiting.proposal_id, "staff:maryam", 1_001)
    decide = actors.stamped(
        pb.DecideAdjustmentRequest(identifier=card(1), proposal_id=shown.proposal_id, approve=True)
    )
    assert reason_of(await actors.tell(Op.DECIDE_ADJUSTMENT, decide, STAFF)) is Reason.SAME_APPROVER
    body_of(await actors.tell(Op.DECIDE_ADJUSTMENT, decide, MANAGER))
    assert await actors.points(card(1)) == 1_001
    again = actors.stamped(
        pb.DecideAdjustmentRequest(identifier=card(1), proposal_id=shown.proposal_id, approve=True)
    )
    assert reason_of(await actors.tell(Op.DECIDE_ADJUSTMENT, again, MANAGER)) is Reason.PROPOSAL_NOT_OPEN
    actors.assert_whole()


async def test_an_adjustment_that_is_dated_back_needs_whoever_it_needs_today() -> None:
    stricter = replace(
        PROGRAMME, version=2, effective_ms=START_MS + 1_000, limits=Limits(single_approver_units=10)
    )
    actors = Actors(3, stricter)
    await actors.enrol(card(1))
    request = pb.AdjustRequest(identifier=card(1), purse="points", units=11, reason="goodwill")
    actors.stamped(request)
    actors.now_ms += 60_000
    answer = pb.AdjustResponse.FromString(body_of(await actors.tell(Op.ADJUST, request)))
    assert answer.proposal_id


async def test_a_rejected_adjustment_moves_nothing(actors: Actors) -> None:
    await actors.enrol(card(1))
    waiting = await adjusted(actors, card(1), 5_000)
    decide = actors.stamped(
        pb.DecideAdjustmentRequest(identifier=card(1), proposal_id=waiting.proposal_id, approve=False)
    )
    answer = body_of(await actors.tell(Op.DECIDE_ADJUSTMENT, decide, MANAGER))
    assert not pb.DecideAdjustmentResponse.FromString(answer).transaction_id
    assert await actors.points(card(1)) == 0
    assert not (await actors.member(card(1))).proposals


async def test_a_proposal_of_another_partition_is_not_this_accounts(actors: Actors) -> None:
    await actors.enrol(card(1))
    waiting = await adjusted(actors, card(1), 5_000)
    partition, _, sequence = waiting.proposal_id.partition("-")
    elsewhere = f"{(int(partition) + 1) % 8:02d}-{sequence}"
    decide = actors.stamped(
        pb.DecideAdjustmentRequest(identifier=card(1), proposal_id=elsewhere, approve=True)
    )
    assert reason_of(await actors.tell(Op.DECIDE_ADJUSTMENT, decide, MANAGER)) is Reason.PROPOSAL_NOT_OPEN


@pytest.mark.parametrize(
    ("units", "reason", "purse", "refusal"),
    [
        (5, "", "points", Reason.INVALID_ARGUMENT),
        (5, "x" * 501, "points", Reason.INVALID_ARGUMENT),
        (0, "why", "points", Reason.INVALID_ARGUMENT),
        (-(2**63), "why", "points", Reason.INVALID_ARGUMENT),
        (5, "why", "miles", Reason.UNKNOWN_PURSE),
        (-5, "why", "points", Reason.INSUFFICIENT_BALANCE),
    ],
)
async def test_an_adjustment_needs_a_reason_a_purse_and_the_units(
    actors: Actors, units: int, reason: str, purse: str, refusal: Reason
) -> None:
    await actors.enrol(card(1))
    request = actors.stamped(pb.AdjustRequest(identifier=card(1), purse=purse, units=units, reason=reason))
    assert reason_of(await actors.tell(Op.ADJUST, request)) is refusal
    actors.assert_whole()
