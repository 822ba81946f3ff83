"""The programme that a new installation starts with: small, and true for any shop until it is changed."""

from __future__ import annotations

from node.ledger.purses import PurseDefinition, PurseKind, RedemptionRate
from node.programme.model import (
    ActivityRule,
    EarningRule,
    Fixed,
    Limits,
    MonthsEnd,
    Programme,
    PurseTerms,
    Rate,
)

POINTS, STORED_VALUE, STAMPS = "points", "credit", "stamps"

_POINTS_PER_UNIT_BACK = 100
_STAMP_GOAL = 10
_EXPIRY_MONTHS = 12
_WELCOME_POINTS = 50
_ADJUSTMENT_POINTS = 1_000
_TRANSFER_POINTS = 10_000


def starter_programme(currency_exponent: int, *, name: str) -> Programme:
    """A point for each whole unit of the currency, of which a hundred are worth one unit.

    Beside the points, which expire at the end of the month a year after the sale, there is a purse for money
    that was paid in, and one of stamps: a coffee card that fills where the till shows the code STAMP.
    `currency_exponent` says how many decimals the currency has; the name is the merchant's.
    """
    unit_minor = 10**currency_exponent
    return Programme(
        name=name,
        purses=(
            PurseDefinition(
                POINTS,
                PurseKind.POINTS,
                unit="points",
                spend_order=1,
                transferable=True,
                rate=RedemptionRate(_POINTS_PER_UNIT_BACK, unit_minor),
            ),
            PurseDefinition(
                STORED_VALUE,
                PurseKind.STORED_VALUE,
                unit="credit",
                exponent=currency_exponent,
                spend_order=2,
                rate=RedemptionRate(1, 1),
            ),
            PurseDefinition(STAMPS, PurseKind.STAMPS, unit="stamps", spend_order=3, goal=_STAMP_GOAL),
        ),
        terms=(PurseTerms(POINTS, MonthsEnd(_EXPIRY_MONTHS)),),
        rules=(
            EarningRule(
                "base",
                Rate(1, unit_minor),
                POINTS,
                receipt_text=(
                    ("ar", "حصلت على {units} نقطة"),
                    ("en", "You earned {units} points"),
                    ("fa", "{units} امتیاز گرفتید"),
                ),
            ),
            EarningRule("stamp", Fixed(1), STAMPS, condition="'STAMP' in purchase.codes"),
        ),
        activities=(ActivityRule("welcome", POINTS, _WELCOME_POINTS, 1, "member.age_days == 0"),),
        limits=Limits(_ADJUSTMENT_POINTS, _TRANSFER_POINTS),
    )
