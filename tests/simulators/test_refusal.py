"""What a till makes of every way in which a node may say no, or nothing."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import code_pb2, status_pb2
from grpc.aio import AioRpcError, Metadata
from grpc_status import rpc_status

from node.proto.vafa.common.v1 import refusal_pb2
from simulators.refusal import NO_ANSWER, Action, refusal_of_error, refusal_of_item
from simulators.scripted_node import refusing


def error_of(status: status_pb2.Status) -> AioRpcError:
    sent = rpc_status.to_status(status)
    return AioRpcError(sent.code, Metadata(), Metadata(*sent.trailing_metadata), sent.details)


@pytest.mark.parametrize("action", list(Action), ids=lambda action: action.name)
def test_the_action_that_the_node_names_is_the_one_taken(action: Action) -> None:
    status = refusing(code_pb2.FAILED_PRECONDITION, "ANYTHING", "Words.", action=action.name)
    assert refusal_of_error(error_of(status)).action is action
    item = refusal_pb2.Refusal(reason=refusal_pb2.REASON_INTERNAL, action=action.value)
    assert refusal_of_item(item).action is action


@pytest.mark.parametrize(
    ("code", "action"),
    [
        (code_pb2.UNAVAILABLE, Action.RETRY),
        (code_pb2.RESOURCE_EXHAUSTED, Action.RETRY),
        (code_pb2.DEADLINE_EXCEEDED, Action.ASK),
        (code_pb2.INTERNAL, Action.ASK),
        (code_pb2.NOT_FOUND, Action.SHOW),
        (code_pb2.FAILED_PRECONDITION, Action.SHOW),
    ],
)
def test_a_refusal_without_an_action_is_judged_by_its_status(code: int, action: Action) -> None:
    refusal = refusal_of_error(error_of(refusing(code, "SOME_REASON", "Words.")))
    assert (refusal.reason, refusal.action, refusal.message) == ("SOME_REASON", action, "Words.")


@pytest.mark.parametrize(
    ("code", "action"),
    [
        (grpc.StatusCode.UNAVAILABLE, Action.ASK),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Action.ASK),
        (grpc.StatusCode.NOT_FOUND, Action.ASK),
        (grpc.StatusCode.UNIMPLEMENTED, Action.SHOW),
        (grpc.StatusCode.UNAUTHENTICATED, Action.SHOW),
    ],
)
def test_a_call_that_ended_without_a_word_of_the_node_is_unknown_unless_it_was_turned_away(
    code: grpc.StatusCode, action: Action
) -> None:
    refusal = refusal_of_error(AioRpcError(code, Metadata(), Metadata(), "Socket closed"))
    assert (refusal.reason, refusal.action) == (NO_ANSWER, action)


def test_the_delay_that_the_node_asks_for_is_read() -> None:
    status = refusing(code_pb2.RESOURCE_EXHAUSTED, "OVERLOADED", "Full.", retry_delay_ms=1_500)
    assert refusal_of_error(error_of(status)).retry_delay_ms == 1_500
    item = refusal_pb2.Refusal(reason=refusal_pb2.REASON_OVERLOADED, retry_delay_ms=1_500)
    assert refusal_of_item(item).retry_delay_ms == 1_500


def test_details_of_a_proxy_on_the_way_are_not_taken_for_the_nodes() -> None:
    status = refusing(code_pb2.NOT_FOUND, "MEMBER_NOT_FOUND", "No route.", domain="proxy.example")
    assert refusal_of_error(error_of(status)).reason == NO_ANSWER


def test_an_unknown_action_or_reason_of_a_newer_node_leads_to_asking() -> None:
    item = refusal_pb2.Refusal.FromString(b"\x08\xe7\x07\x10\x63")
    refusal = refusal_of_item(item)
    assert (refusal.reason, refusal.action) == ("999", Action.ASK)


def test_every_reason_is_called_the_same_in_a_batch_and_alone() -> None:
    for name, number in refusal_pb2.Reason.items():
        alone = name.removeprefix("REASON_")
        assert refusal_of_item(refusal_pb2.Refusal(reason=number)).reason == alone
