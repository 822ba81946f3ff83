"""Refusals: every reason has its status, its till action and its number, and fits into an answer."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2

from node.ledger.refusals import Reason, Refused
from node.proto.vafa.common.v1 import refusal_pb2
from node.rpc.status import CODES, rich_status
from node.wire.refusals import ACTIONS, KEPT, NEXT, is_final, refusal_message
from tests.rpc.shop import Shop, item_reason, refused, sale, spend

each_reason = pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.name)


def test_every_reason_has_a_status_and_an_action_and_nothing_else_has() -> None:
    assert set(CODES) == set(ACTIONS) == set(NEXT) == set(Reason)


def test_reasons_are_those_of_the_public_schema_by_name_and_number() -> None:
    public = {
        value.name.removeprefix("REASON_"): value.number
        for value in refusal_pb2.Reason.DESCRIPTOR.values
        if value.number
    }
    assert public == {reason.name: int(reason) for reason in Reason}


@each_reason
def test_a_status_says_reason_action_and_when_to_come_back(reason: Reason) -> None:
    status = rich_status(Refused(reason, "نشد", (("purse", "points"), ("empty", "")), 1_250))
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (info.reason, info.domain) == (reason.name, "vafa")
    assert info.metadata["action"] in ("RETRY", "ASK", "VOID", "SHOW")
    assert dict(info.metadata) == {"purse": "points", "action": info.metadata["action"]}
    assert retry.retry_delay.ToMilliseconds() == 1_250
    assert code_pb2.Code.Name(status.code) == CODES[reason].name != "OK"
    assert status.message.startswith("نشد")


@each_reason
def test_an_item_of_a_batch_says_the_same_as_a_status(reason: Reason) -> None:
    refusal = Refused(reason, "نشد", (("purse", "points"),), 1_250)
    item, info = refusal_message(refusal), error_details_pb2.ErrorInfo()
    rich_status(refusal).details[0].Unpack(info)
    assert refusal_pb2.Reason.Name(item.reason).removeprefix("REASON_") == info.reason
    assert refusal_pb2.TillAction.Name(item.action).removeprefix("TILL_ACTION_") == info.metadata["action"]
    assert item.metadata["purse"] == "points"
    assert item.retry_delay_ms == 1_250


def test_a_refusal_says_what_happened_what_was_kept_and_what_to_do_and_nothing_twice() -> None:
    bare = refusal_message(Refused(Reason.UNKNOWN_PURSE, "The programme has no purse 'gold'."))
    assert bare.message == (
        "The programme has no purse 'gold'. Nothing was changed. The balance lists the purses that there are."
    )
    cursor = "That is no cursor. Nothing was done. Begin with an empty one."
    assert refusal_message(Refused(Reason.INVALID_CURSOR, cursor)).message == cursor


@pytest.mark.parametrize("reason", [Reason.OUTCOME_UNKNOWN, Reason.INTERNAL, Reason.UNAVAILABLE])
def test_where_something_may_have_been_done_nothing_is_claimed(reason: Reason) -> None:
    assert KEPT not in refusal_message(Refused(reason, "The node lost the request.")).message


@each_reason
def test_a_till_repeats_only_what_may_still_succeed(reason: Reason) -> None:
    """What was not carried out, or is not known to be, is transient in gRPC's own terms too, only that."""
    transient = {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INTERNAL,
    }
    assert is_final(Refused(reason, "")) is (CODES[reason] not in transient)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_huge_value_that_is_refused_comes_back_as_a_refusal_that_fits(one_shop: Shop) -> None:
    """gRPC drops an answer whose headers exceed 8 KiB: a till would then see no reason at all."""
    card, huge = await one_shop.member(points=5), "ب" * 60_000
    foreign = sale(100)
    foreign.total.currency = huge
    acting = one_shop.write.accrual(card, sale(100))
    acting.accrue.terminal_id = huge
    for operation, reason in (
        (one_shop.write.accrual(card, foreign), "WRONG_CURRENCY"),
        (one_shop.write.redemption(card, [spend(1, huge)]), "UNKNOWN_PURSE"),
        (acting, "TERMINAL_NOT_ALLOWED"),
        (one_shop.write.activity(card, huge), "INVALID_ARGUMENT"),
        (one_shop.write.accrual(card, sale(100, receipt_number=huge)), "INVALID_ARGUMENT"),
    ):
        with refused(reason):
            await one_shop.till.send(operation)
        (result,) = await one_shop.till.submit(operation)
        assert item_reason(result) == reason
        assert len(result.refusal.message) < 2_000
