"""Refusals as messages, and what a till should do about each."""

from __future__ import annotations

from node.ledger.refusals import Reason, Refused
from node.proto.vafa.common.v1 import refusal_pb2

RETRY, ASK, VOID, SHOW = (
    refusal_pb2.TILL_ACTION_RETRY,
    refusal_pb2.TILL_ACTION_ASK,
    refusal_pb2.TILL_ACTION_VOID,
    refusal_pb2.TILL_ACTION_SHOW,
)

ACTIONS: dict[Reason, refusal_pb2.TillAction.ValueType] = {
    **dict.fromkeys(Reason, SHOW),
    Reason.OVERLOADED: RETRY,
    Reason.UNAVAILABLE: RETRY,
    Reason.OUTCOME_UNKNOWN: ASK,
    Reason.INTERNAL: ASK,
    Reason.CLOCK_BEHIND: RETRY,
    Reason.CAPTURE_EXCEEDS_AUTHORIZATION: VOID,
    Reason.AUTHORIZATION_NOT_OPEN: VOID,
}
"""What a till should do about each reason; whatever is not named otherwise is shown and not repeated."""


def is_final(refused: Refused) -> bool:
    """Whether the same request will never succeed; else it may have been done, or may yet be."""
    return ACTIONS[refused.reason] not in (RETRY, ASK)


def refusal_message(refused: Refused) -> refusal_pb2.Refusal:
    """A refusal as an item of a batch or stream."""
    return refusal_pb2.Refusal(
        reason=int(refused.reason),  # type: ignore[arg-type]
        action=ACTIONS[refused.reason],
        message=refused.message,
        retry_delay_ms=refused.retry_delay_ms,
        metadata=dict(refused.details),
    )
