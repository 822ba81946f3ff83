"""The one map from refusals to gRPC status (AIP-193), total over all reasons; a test proves it."""

from __future__ import annotations

import typing as _typing

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2

from node.ledger.refusals import Reason, Refused
from node.proto.vafa.common.v1 import refusal_pb2
from node.wire.refusals import ACTIONS, fitted, worded

Context = grpc.aio.ServicerContext[_typing.Any, _typing.Any]
"""A call as handlers see it; their messages are bytes or any of the protos'."""

DOMAIN = "vafa"
"""The domain of every ErrorInfo that a node sends."""

_DETAILS = "grpc-status-details-bin"

_INVALID = grpc.StatusCode.INVALID_ARGUMENT
_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
_NOT_FOUND = grpc.StatusCode.NOT_FOUND

CODES: dict[Reason, grpc.StatusCode] = {
    Reason.INVALID_ARGUMENT: _INVALID,
    Reason.INVALID_IDENTIFIER: _INVALID,
    Reason.WRONG_CURRENCY: _INVALID,
    Reason.TOTALS_MISMATCH: _INVALID,
    Reason.REQUEST_ID_REUSED: grpc.StatusCode.ALREADY_EXISTS,
    Reason.REQUEST_TOO_OLD: _PRECONDITION,
    Reason.REQUEST_REVERSED: _PRECONDITION,
    Reason.OCCURRED_TIME_OUT_OF_BOUNDS: _PRECONDITION,
    Reason.DUPLICATE_RECEIPT: grpc.StatusCode.ALREADY_EXISTS,
    Reason.MEMBER_NOT_FOUND: _NOT_FOUND,
    Reason.ACCOUNT_BLOCKED: _PRECONDITION,
    Reason.ACCOUNT_CLOSED: _PRECONDITION,
    Reason.ACCOUNT_QUARANTINED: _PRECONDITION,
    Reason.IDENTIFIER_TAKEN: grpc.StatusCode.ALREADY_EXISTS,
    Reason.IDENTIFIER_NOT_LINKED: _NOT_FOUND,
    Reason.ACCOUNT_NOT_EMPTY: _PRECONDITION,
    Reason.WRONG_ACCOUNT_KIND: _PRECONDITION,
    Reason.UNKNOWN_PURSE: _INVALID,
    Reason.INSUFFICIENT_BALANCE: _PRECONDITION,
    Reason.NOT_SPENDABLE_HERE: _PRECONDITION,
    Reason.NOT_TRANSFERABLE: _PRECONDITION,
    Reason.LIMIT_EXCEEDED: _PRECONDITION,
    Reason.TRANSACTION_NOT_FOUND: _NOT_FOUND,
    Reason.WRONG_TRANSACTION_KIND: _PRECONDITION,
    Reason.AUTHORIZATION_NOT_OPEN: _PRECONDITION,
    Reason.CAPTURE_EXCEEDS_AUTHORIZATION: _PRECONDITION,
    Reason.RETURN_EXCEEDS_PURCHASE: _PRECONDITION,
    Reason.ALREADY_REVERSED: _PRECONDITION,
    Reason.ALREADY_CLAIMED: _PRECONDITION,
    Reason.APPROVAL_REQUIRED: _PRECONDITION,
    Reason.SAME_APPROVER: grpc.StatusCode.PERMISSION_DENIED,
    Reason.PROPOSAL_NOT_OPEN: _PRECONDITION,
    Reason.UNKNOWN_ACTIVITY: _INVALID,
    Reason.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Reason.ROLE_NOT_ALLOWED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.TERMINAL_NOT_ALLOWED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.ENROLMENT_CODE_INVALID: grpc.StatusCode.PERMISSION_DENIED,
    Reason.OVERLOADED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.OUTCOME_UNKNOWN: grpc.StatusCode.UNAVAILABLE,
    Reason.INTERNAL: grpc.StatusCode.INTERNAL,
    Reason.CLOCK_BEHIND: grpc.StatusCode.UNAVAILABLE,
    Reason.INVALID_PROGRAMME: _INVALID,
    Reason.PROGRAMME_NOT_FOUND: _NOT_FOUND,
    Reason.EFFECTIVE_TIME_OUT_OF_BOUNDS: _PRECONDITION,
    Reason.INVALID_CURSOR: _INVALID,
    Reason.HOME_UNREACHABLE: _PRECONDITION,
    Reason.PROOF_REQUIRED: _PRECONDITION,
    Reason.PROOF_REFUSED: _PRECONDITION,
    Reason.PROOF_LIMIT_EXCEEDED: _PRECONDITION,
    Reason.CAP_EXCEEDED: _PRECONDITION,
    Reason.PARTNER_NOT_ACTIVE: _PRECONDITION,
    Reason.NOT_ABROAD: _PRECONDITION,
    Reason.NO_COALITION: _PRECONDITION,
    Reason.STATEMENT_NOT_FOUND: _NOT_FOUND,
    Reason.OPERATOR_REFUSED: _PRECONDITION,
}


def rich_status(refused: Refused) -> status_pb2.Status:
    """A refusal as google.rpc.Status: ErrorInfo with reason and till action, RetryInfo where it helps."""
    refused = fitted(worded(refused))
    metadata = {key: value for key, value in refused.details if value}
    metadata["action"] = refusal_pb2.TillAction.Name(ACTIONS[refused.reason]).removeprefix("TILL_ACTION_")
    details = [
        _any(error_details_pb2.ErrorInfo(reason=refused.reason.name, domain=DOMAIN, metadata=metadata))
    ]
    if refused.retry_delay_ms:
        delay = Duration(
            nanos=refused.retry_delay_ms % 1000 * 1_000_000, seconds=refused.retry_delay_ms // 1000
        )
        details.append(_any(error_details_pb2.RetryInfo(retry_delay=delay)))
    code = code_pb2.Code.Value(CODES[refused.reason].name)
    return status_pb2.Status(code=code, message=refused.message, details=details)


def _any(message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed


async def fail(context: Context, refused: Refused) -> None:
    """Ends a call with a refusal. Raises, as grpc's own abort does."""
    status = rich_status(refused)
    await context.abort(CODES[refused.reason], status.message, ((_DETAILS, status.SerializeToString()),))
