"""What a refusal tells a till: why, and what to do next.

A unary call that is refused ends with a gRPC status whose details carry a `google.rpc.ErrorInfo` (AIP-193) in
the domain "vafa": its `reason` is a name of `vafa.common.v1.Reason`. In a batch or on a stream the refusal is
a message of its own. And a call may end without any word of the node's, because the line was cut: then nobody
at the till knows whether it took effect. Here the three become one `Refusal`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from node.proto.vafa.common.v1 import refusal_pb2
from simulators.enrolment import TillCertificate

DOMAIN = "vafa"
NO_ANSWER = "NO_ANSWER"
"""The reason given here, not by the node, where a call ended without an answer of the node's."""


class Action(Enum):
    """What the till does now; the values are those of `vafa.common.v1.TillAction`."""

    RETRY = refusal_pb2.TILL_ACTION_RETRY
    """Nothing was done. Wait, then send the same bytes again."""
    ASK = refusal_pb2.TILL_ACTION_ASK
    """The outcome is unknown. Send the same bytes again, or ask with GetTransaction."""
    VOID = refusal_pb2.TILL_ACTION_VOID
    """Give up, and void or reverse what was begun."""
    SHOW = refusal_pb2.TILL_ACTION_SHOW
    """Show the message; the same request will never succeed."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was not done (or is not known to be done), and what follows from it."""

    reason: str
    action: Action
    message: str
    retry_delay_ms: int = 0
    metadata: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """The node refused and moved nothing."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.reason}: {refusal.message}")
        self.refusal = refusal


# Without an ErrorInfo the status is all there is. These are final, whoever sent them: the call was never
# carried out. Of anything else nothing is known, not even that it failed.
_NEVER_CARRIED_OUT = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNIMPLEMENTED,
}
_ACTION_BY_STATUS = {
    grpc.StatusCode.UNAVAILABLE: Action.RETRY,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Action.RETRY,
    grpc.StatusCode.DEADLINE_EXCEEDED: Action.ASK,
    grpc.StatusCode.CANCELLED: Action.ASK,
    grpc.StatusCode.UNKNOWN: Action.ASK,
    grpc.StatusCode.INTERNAL: Action.ASK,
    grpc.StatusCode.ABORTED: Action.RETRY,
}


def refusal_of_error(error: grpc.aio.AioRpcError, certificate: TillCertificate | None = None) -> Refusal:
    """The refusal behind a failed unary call; where the node itself said nothing, `NO_ANSWER`.

    Of a line that was never there the message says what to check, with the till's own `certificate` first.
    """
    info, retry_delay_ms = _details(error)
    message = error.details() or error.code().name
    if info is None:
        action = Action.SHOW if error.code() in _NEVER_CARRIED_OUT else Action.ASK
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            message = _what_to_check(message, certificate)
        return Refusal(NO_ANSWER, action, message)
    metadata = dict(info.metadata)
    action = _named_action(metadata.pop("action", "")) or _ACTION_BY_STATUS.get(error.code(), Action.SHOW)
    return Refusal(info.reason, action, message, retry_delay_ms, metadata)


def _what_to_check(details: str, certificate: TillCertificate | None) -> str:
    """What gRPC says of a line that could not be made or was cut, in words for whoever stands at the till."""
    problem = certificate.problem(datetime.now(UTC)) if certificate is not None else ""
    if problem:
        return f"{problem} ({details})"
    if "CERTIFICATE_VERIFY_FAILED" in details or "not verified" in details:
        text = (
            "What answers at this address is not the node of this till's authority, or goes by another name."
        )
    elif "handshake" in details.lower():
        text = "What answers at this address does not speak TLS as a node does. Check the port."
    elif "Socket closed" in details or "reset" in details:
        text = (
            "The node closed the line: it is stopping, or does not take this till's certificate. Check both."
        )
    else:
        return details
    return f"{text} ({details})"


def refusal_of_item(item: refusal_pb2.Refusal) -> Refusal:
    """The refusal of one operation of a batch or stream."""
    try:
        action = Action(item.action)
    except ValueError:
        # A newer node may know more actions. Asking harms nothing.
        action = Action.ASK
    reason = (
        refusal_pb2.Reason.Name(item.reason)
        if item.reason in refusal_pb2.Reason.values()
        else str(item.reason)
    )
    return Refusal(
        reason.removeprefix("REASON_"), action, item.message, item.retry_delay_ms, dict(item.metadata)
    )


def _details(error: grpc.aio.AioRpcError) -> tuple[error_details_pb2.ErrorInfo | None, int]:
    """The node's ErrorInfo and RetryInfo (in milliseconds) from the status details."""
    info: error_details_pb2.ErrorInfo | None = None
    retry_delay_ms = 0
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        # The details contradict the status: not this node's writing.
        return None, 0
    for detail in status.details if status is not None else ():
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            found = error_details_pb2.ErrorInfo()
            detail.Unpack(found)
            info = found if found.domain == DOMAIN else info
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            retry_delay_ms = retry.retry_delay.ToMilliseconds()
    return info, retry_delay_ms


def _named_action(name: str) -> Action | None:
    name = name.removeprefix("TILL_ACTION_").upper()
    return Action[name] if name in Action.__members__ else None
