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


NEXT: dict[Reason, str] = {
    Reason.INVALID_ARGUMENT: "Correct it and send it again.",
    Reason.INVALID_IDENTIFIER: "",
    Reason.WRONG_CURRENCY: "Set the till to that currency.",
    Reason.TOTALS_MISMATCH: "Correct the amounts and send it again.",
    Reason.REQUEST_ID_REUSED: "",
    Reason.REQUEST_TOO_OLD: "Give it up; staff can make an adjustment instead.",
    Reason.REQUEST_REVERSED: "Give it up; what is new takes a new request id.",
    Reason.OCCURRED_TIME_OUT_OF_BOUNDS: "Where the time is right, staff can make an adjustment instead.",
    Reason.DUPLICATE_RECEIPT: "If it is the same sale, it is done; else give it another receipt number.",
    Reason.MEMBER_NOT_FOUND: "Read it again, or enrol the member.",
    Reason.ACCOUNT_BLOCKED: "",
    Reason.ACCOUNT_CLOSED: "Ask for another card, or go on without a member.",
    Reason.ACCOUNT_QUARANTINED: "",
    Reason.IDENTIFIER_TAKEN: "Take it off the other account first, or link another one.",
    Reason.IDENTIFIER_NOT_LINKED: "Look up what is linked to it.",
    Reason.ACCOUNT_NOT_EMPTY: "",
    Reason.WRONG_ACCOUNT_KIND: "Name another account.",
    Reason.UNKNOWN_PURSE: "The balance lists the purses that there are.",
    Reason.INSUFFICIENT_BALANCE: "Ask for less.",
    Reason.NOT_SPENDABLE_HERE: "Take another purse or tender.",
    Reason.NOT_TRANSFERABLE: "Choose another purse.",
    Reason.LIMIT_EXCEEDED: "Ask for less, or ask the merchant's staff.",
    Reason.TRANSACTION_NOT_FOUND: "Check the transaction id, and whose it is.",
    Reason.WRONG_TRANSACTION_KIND: "Check which transaction is meant.",
    Reason.AUTHORIZATION_NOT_OPEN: "Authorize anew, or take another tender.",
    Reason.CAPTURE_EXCEEDS_AUTHORIZATION: "Capture no more than is held, or void it.",
    Reason.RETURN_EXCEEDS_PURCHASE: "Return no more than is left.",
    Reason.ALREADY_REVERSED: "There is nothing left to do.",
    Reason.ALREADY_CLAIMED: "",
    Reason.APPROVAL_REQUIRED: "Let a second person approve it.",
    Reason.SAME_APPROVER: "Let a second person decide.",
    Reason.PROPOSAL_NOT_OPEN: "The account's statement shows what became of it.",
    Reason.UNKNOWN_ACTIVITY: "Use a code that the programme lists.",
    Reason.UNAUTHENTICATED: "Enrol this terminal, or renew its certificate.",
    Reason.ROLE_NOT_ALLOWED: "Use a certificate of a role that may.",
    Reason.TERMINAL_NOT_ALLOWED: "Use the terminal's own certificate, or have it listed for the gateway.",
    Reason.ENROLMENT_CODE_INVALID: "",
    Reason.OVERLOADED: "",
    Reason.UNAVAILABLE: "",
    Reason.OUTCOME_UNKNOWN: "",
    Reason.INTERNAL: "",
    Reason.CLOCK_BEHIND: "Set the clock of the node's machine, then send the same request again.",
    Reason.INVALID_PROGRAMME: "Mend it and try again.",
    Reason.PROGRAMME_NOT_FOUND: "The list of versions names those that there are.",
    Reason.EFFECTIVE_TIME_OUT_OF_BOUNDS: "Choose another time.",
    Reason.INVALID_CURSOR: "Begin with an empty one.",
    Reason.HOME_UNREACHABLE: "Take another tender; what is earned can still be recorded.",
    Reason.PROOF_REQUIRED: "Ask the member for a code (RequestProof) or for the app's answer.",
    Reason.PROOF_REFUSED: "Ask for a new one, and use a new request id.",
    Reason.PROOF_LIMIT_EXCEEDED: "Ask for less, or take another tender.",
    Reason.CAP_EXCEEDED: "Take another tender; the two merchants have to settle first.",
    Reason.PARTNER_NOT_ACTIVE: "Take another tender.",
    Reason.NOT_ABROAD: "Ask the member to turn to their own merchant.",
    Reason.NO_COALITION: "`vafa join COALITION` makes a request to join one.",
    Reason.STATEMENT_NOT_FOUND: "`vafa settlement show` lists the windows and how they stand.",
    Reason.OPERATOR_REFUSED: "Turn to the coalition's operator.",
}
"""What the person who reads a refusal does next; empty where refusals of that reason say it themselves."""

KEPT = "Nothing was changed."
_SPEAKS_FOR_ITSELF = frozenset(
    {
        Reason.ENROLMENT_CODE_INVALID, Reason.UNAVAILABLE, Reason.OUTCOME_UNKNOWN, Reason.INTERNAL,
        Reason.ACCOUNT_QUARANTINED,
    }
)  # fmt: skip


def worded(refused: Refused) -> Refused:
    """A refusal whose message says all three: what happened, that nothing was changed, and what to do next.

    What its message says already is not said twice. Of a refusal after which something may have been done,
    nothing is claimed.
    """
    parts = [refused.message]
    if "othing" not in refused.message and refused.reason not in _SPEAKS_FOR_ITSELF:
        parts.append(KEPT)
    advice = NEXT[refused.reason]
    if advice and advice not in refused.message:
        parts.append(advice)
    message = " ".join(part if part.endswith((".", "!", "?", "…")) else f"{part}." for part in parts)
    return Refused(refused.reason, message, refused.details, refused.retry_delay_ms)


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
    refused = fitted(worded(refused))
    return refusal_pb2.Refusal(
        reason=int(refused.reason),  # type: ignore[arg-type]  # the protos' own numbers
        action=ACTIONS[refused.reason],
        message=refused.message,
        retry_delay_ms=refused.retry_delay_ms,
        metadata=dict(refused.details),
    )
