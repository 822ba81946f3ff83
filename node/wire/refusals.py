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


MAX_MESSAGE_BYTES = 500
MAX_VALUE_BYTES = 200
MAX_DETAILS_BYTES = 2_800
"""Bounds of what a refusal repeats of a request. gRPC sends a refusal in the answer's headers, and drops one
whose headers exceed 8 KiB; base64 and percent-encoding come on top of these."""


def fitted(refused: Refused) -> Refused:
    """A refusal cut to what fits into an answer's headers: the reason and the first details stay."""
    left, kept = MAX_DETAILS_BYTES, []
    for key, value in refused.details:
        detail = _cut(key, MAX_VALUE_BYTES), _cut(value, MAX_VALUE_BYTES)
        left -= sum(len(part.encode()) for part in detail)
        if left < 0:
            break
        kept.append(detail)
    message = _cut(refused.message, MAX_MESSAGE_BYTES)
    return Refused(refused.reason, message, tuple(kept), refused.retry_delay_ms)


def _cut(text: str, most_bytes: int) -> str:
    data = text.encode()
    if len(data) <= most_bytes:
        return text
    return data[: most_bytes - 3].decode(errors="ignore") + "…"


def is_final(refused: Refused) -> bool:
    """Whether the same request will never succeed; else it may have been done, or may yet be."""
    return ACTIONS[refused.reason] not in (RETRY, ASK)


def refusal_message(refused: Refused) -> refusal_pb2.Refusal:
    """A refusal as an item of a batch or stream."""
    refused = fitted(refused)
    return refusal_pb2.Refusal(
        reason=int(refused.reason),  # type: ignore[arg-type]
        action=ACTIONS[refused.reason],
        message=refused.message,
        retry_delay_ms=refused.retry_delay_ms,
        metadata=dict(refused.details),
    )
