"""Refusals are values with a machine-readable reason; they move nothing. An exception is a fault."""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct


class Reason(IntEnum):
    """Why a request was refused. Names and numbers are those of `vafa.common.v1.Reason`; a test compares
    them, so that neither grows without the other."""

    INVALID_ARGUMENT = 1
    INVALID_IDENTIFIER = 2
    WRONG_CURRENCY = 3
    TOTALS_MISMATCH = 4
    REQUEST_ID_REUSED = 5
    REQUEST_TOO_OLD = 6
    REQUEST_REVERSED = 7
    OCCURRED_TIME_OUT_OF_BOUNDS = 8
    DUPLICATE_RECEIPT = 9

    MEMBER_NOT_FOUND = 20
    ACCOUNT_BLOCKED = 21
    ACCOUNT_CLOSED = 22
    ACCOUNT_QUARANTINED = 23
    IDENTIFIER_TAKEN = 24
    IDENTIFIER_NOT_LINKED = 25
    ACCOUNT_NOT_EMPTY = 26
    WRONG_ACCOUNT_KIND = 27

    UNKNOWN_PURSE = 40
    INSUFFICIENT_BALANCE = 41
    NOT_SPENDABLE_HERE = 42
    NOT_TRANSFERABLE = 43
    LIMIT_EXCEEDED = 44

    TRANSACTION_NOT_FOUND = 60
    WRONG_TRANSACTION_KIND = 61
    AUTHORIZATION_NOT_OPEN = 62
    CAPTURE_EXCEEDS_AUTHORIZATION = 63
    RETURN_EXCEEDS_PURCHASE = 64
    ALREADY_REVERSED = 65
    ALREADY_CLAIMED = 66

    APPROVAL_REQUIRED = 80
    SAME_APPROVER = 81
    PROPOSAL_NOT_OPEN = 82
    UNKNOWN_ACTIVITY = 83

    UNAUTHENTICATED = 100
    ROLE_NOT_ALLOWED = 101
    TERMINAL_NOT_ALLOWED = 102
    ENROLMENT_CODE_INVALID = 103

    OVERLOADED = 120
    UNAVAILABLE = 121
    OUTCOME_UNKNOWN = 122
    INTERNAL = 123
    CLOCK_BEHIND = 124

    INVALID_PROGRAMME = 140
    PROGRAMME_NOT_FOUND = 141
    EFFECTIVE_TIME_OUT_OF_BOUNDS = 142
    INVALID_CURSOR = 143

    HOME_UNREACHABLE = 160
    PROOF_REQUIRED = 161
    PROOF_REFUSED = 162
    PROOF_LIMIT_EXCEEDED = 163
    CAP_EXCEEDED = 164
    PARTNER_NOT_ACTIVE = 165
    NOT_ABROAD = 166

    NO_COALITION = 180
    STATEMENT_NOT_FOUND = 181
    OPERATOR_REFUSED = 182


class Refused(Struct, frozen=True):
    """A refusal: why, in one sentence for a person, and what the sentence names, for a machine.

    The message and details carry no identifier and no personal data.
    """

    reason: Reason
    message: str
    details: tuple[tuple[str, str], ...] = ()
    retry_delay_ms: int = 0


def refuse(reason: Reason, message: str, **details: object) -> Refused:
    """A refusal with its details as text."""
    return Refused(reason, message, tuple((key, str(value)) for key, value in details.items()))
