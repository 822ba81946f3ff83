"""Why a value about a person was refused, and records that keep personal data out of logs.

A refusal is a value, never an exception: a cashier mistypes a number many times a day.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class InvalidReason(StrEnum):
    """Machine-readable reasons. The texts are part of the API: add to them, never change one."""

    EMPTY = "EMPTY"
    TOO_SHORT = "TOO_SHORT"
    TOO_LONG = "TOO_LONG"
    BAD_CHARACTER = "BAD_CHARACTER"
    NOT_A_PHONE_NUMBER = "NOT_A_PHONE_NUMBER"
    NOT_A_DATE = "NOT_A_DATE"
    DATE_OUT_OF_RANGE = "DATE_OUT_OF_RANGE"
    NOT_A_LOCALE = "NOT_A_LOCALE"
    NOT_AN_EMAIL = "NOT_AN_EMAIL"
    TIME_OUT_OF_RANGE = "TIME_OUT_OF_RANGE"
    CONSENT_WITHOUT_WORDING = "CONSENT_WITHOUT_WORDING"


class Invalid(msgspec.Struct, frozen=True):
    """A refused value.

    ``message`` is for the person at the till and never repeats what was typed: it may reach a log.
    """

    reason: InvalidReason
    message: str


class Discreet(msgspec.Struct, frozen=True):
    """Base of records that hold personal data: their repr names the type and nothing in it.

    Reprs end up in tracebacks and logs, which outlive the erasure of a person.
    """

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # msgspec gives every Struct this method, and rich's tracebacks would print all fields by it.
        return []
