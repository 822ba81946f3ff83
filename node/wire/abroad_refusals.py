"""Why a till's business with another merchant's member is not done, in the till's own reasons."""

from __future__ import annotations

from node.coalition.messages import ExchangeReason
from node.ledger.refusals import Reason, Refused, refuse

_WHY: dict[ExchangeReason, tuple[Reason, str]] = {
    ExchangeReason.MEMBER_NOT_FOUND: (Reason.MEMBER_NOT_FOUND, "No member carries this identifier."),
    ExchangeReason.ACCOUNT_UNUSABLE: (Reason.ACCOUNT_BLOCKED, "The member's account cannot be used."),
    ExchangeReason.INSUFFICIENT_BALANCE: (Reason.INSUFFICIENT_BALANCE, "There is too little to spend."),
    ExchangeReason.PROOF_REFUSED: (
        Reason.PROOF_REFUSED,
        "The proof is wrong, too old, used before, or for another merchant or a smaller amount.",
    ),
    ExchangeReason.PROOF_LIMIT: (
        Reason.PROOF_LIMIT_EXCEEDED,
        "The member's own merchant allows less with this kind of proof.",
    ),
    ExchangeReason.CAP_EXCEEDED: (
        Reason.CAP_EXCEEDED,
        "The two merchants may not owe each other more before they have settled.",
    ),
    ExchangeReason.NOT_A_PARTNER: (
        Reason.PARTNER_NOT_ACTIVE,
        "One of the two merchants is suspended, or has left: nobody spends between them now. The member's "
        "points are kept, and while it is only suspended, earning goes on.",
    ),
    ExchangeReason.NOT_IN_RANGE: (Reason.MEMBER_NOT_FOUND, "No member carries this identifier."),
    ExchangeReason.HOLD_EXPIRED: (Reason.AUTHORIZATION_NOT_OPEN, "The authorization has expired."),
    ExchangeReason.CANCELLED: (Reason.AUTHORIZATION_NOT_OPEN, "It was voided or reversed before."),
    ExchangeReason.ABOVE_AUTHORIZED: (
        Reason.CAPTURE_EXCEEDS_AUTHORIZATION,
        "The capture is larger than what was authorised.",
    ),
    ExchangeReason.RETURN_EXCEEDS_POSTED: (
        Reason.RETURN_EXCEEDS_PURCHASE,
        "The returns would pass what was posted.",
    ),
    ExchangeReason.UNKNOWN_EXCHANGE: (Reason.TRANSACTION_NOT_FOUND, "There is no such transaction abroad."),
    ExchangeReason.CONFLICT: (
        Reason.REQUEST_ID_REUSED,
        "This request id came before with another body. Nothing was done; use a new id.",
    ),
    ExchangeReason.STALE: (
        Reason.HOME_UNREACHABLE,
        "The request reached the member's own merchant too late. Nothing was spent.",
    ),
    ExchangeReason.MALFORMED: (Reason.INVALID_ARGUMENT, "The member's own merchant could not read it."),
}


def why_not(reason: ExchangeReason | int) -> Refused:
    """A partner's refusal, or this node's own before asking, as a till is told it."""
    found = ExchangeReason(reason)
    known = _WHY.get(found)
    if known is None:
        return refuse(
            Reason.HOME_UNREACHABLE,
            "The member's own merchant cannot do this now. Nothing was spent.",
            exchange_reason=found.name,
        )
    return refuse(known[0], known[1], exchange_reason=found.name)


def unreachable(spending: bool) -> Refused:
    """The member's home node cannot be reached."""
    what = "Nothing was spent, and nothing can be until it answers." if spending else "Nothing was done."
    return refuse(Reason.HOME_UNREACHABLE, f"The member's own merchant cannot be reached. {what}")


def still_open() -> Refused:
    """What is under way with the home node and may yet be done."""
    return Refused(
        Reason.OUTCOME_UNKNOWN,
        "The member's own merchant has not answered yet. It is asked until it does: send the same request "
        "again, or ask what became of it.",
        (),
        2_000,
    )


def return_stands() -> Refused:
    """A return that the member's home node was told of; nothing of it is undone."""
    return refuse(
        Reason.WRONG_TRANSACTION_KIND,
        "The member's own merchant has heard of this return, and it stands. Nothing was undone. If the goods "
        "stay with the customer after all, sell them anew under a new request id and receipt: the sale earns "
        "again, and points are spent again with a new proof.",
    )


def not_shown_yet() -> Refused:
    """This node was restored from a backup, and what became of the request may be known abroad alone."""
    return Refused(
        Reason.OUTCOME_UNKNOWN,
        "This node was restored from a backup since, and cannot tell what became of the request. Send it "
        "again, or reverse it: then it comes to nothing, or is given back.",
        (),
        2_000,
    )


def not_abroad() -> Refused:
    """A call that is only for this merchant's own members."""
    return refuse(Reason.NOT_ABROAD, "The member is another merchant's. Nothing was done.")
