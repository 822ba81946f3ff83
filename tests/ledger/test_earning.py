"""A purchase is recorded whole or not at all, and what it earned cannot be absurd."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from node.ledger.account import Account, Purse, Status
from node.ledger.decision import Accepted
from node.ledger.earning import accrue, purchase_problem, record_activity, sell
from node.ledger.events import ActivityEarned, Earned, Sold
from node.ledger.purchase import MAX_LINES, Activity, Line, Purchase, Tender
from node.ledger.purses import MAX_UNITS
from node.ledger.refusals import Reason
from node.ledger.transactions import TransactionKind
from tests.ledger.ledger_shop import BASKET, award, line, purchase, reason

GOOD = replace(
    purchase(0, line(1, 70), line(2, 40), line(3, -10)), tenders=(Tender("cash", 60), Tender("debit", 40))
)
ACCOUNT = Account(b"a")


@pytest.mark.parametrize(
    "sale",
    [
        GOOD,
        BASKET,
        purchase(0),
        purchase(0, line(1, 10), line(2, -10)),
        purchase(0, line(1, 10, quantity_milli=0)),
        replace(BASKET, total_minor=MAX_UNITS),
        purchase(0, *(line(number, 1) for number in range(1, MAX_LINES + 1))),
        replace(BASKET, tenders=(Tender("cash", 150), Tender("change", -50))),
    ],
)
def test_a_purchase_that_adds_up_is_recorded(sale: Purchase) -> None:
    assert purchase_problem(sale, "IRR") is None


@pytest.mark.parametrize(
    ("sale", "why"),
    [
        (replace(GOOD, currency="USD"), Reason.WRONG_CURRENCY),
        (replace(GOOD, currency=""), Reason.WRONG_CURRENCY),
        (replace(BASKET, total_minor=-1), Reason.INVALID_ARGUMENT),
        (replace(BASKET, total_minor=MAX_UNITS + 1), Reason.INVALID_ARGUMENT),
        (replace(GOOD, total_minor=101, tenders=()), Reason.TOTALS_MISMATCH),
        (replace(GOOD, tenders=(Tender("cash", 99),)), Reason.TOTALS_MISMATCH),
        (replace(BASKET, tenders=(Tender("cash", 99),)), Reason.TOTALS_MISMATCH),
        (purchase(0, line(1, 5), line(1, 5)), Reason.INVALID_ARGUMENT),
        (purchase(0, line(0, 5)), Reason.INVALID_ARGUMENT),
        (purchase(0, *(line(number, 1) for number in range(1, MAX_LINES + 2))), Reason.INVALID_ARGUMENT),
        (purchase(0, line(1, 5, quantity_milli=-1)), Reason.INVALID_ARGUMENT),
        (purchase(0, line(1, 5, quantity_milli=MAX_UNITS + 1)), Reason.INVALID_ARGUMENT),
        (purchase(0, line(1, MAX_UNITS + 1), line(2, -MAX_UNITS)), Reason.INVALID_ARGUMENT),
        (purchase(0, Line(1, "", (), 1, 5, cost_minor=-MAX_UNITS - 1)), Reason.INVALID_ARGUMENT),
        (purchase(0, Line(1, "", (), 1, 5, tax_minor=2**63 - 1)), Reason.INVALID_ARGUMENT),
    ],
)
def test_a_purchase_that_does_not_add_up_is_refused_with_the_reason(sale: Purchase, why: Reason) -> None:
    assert reason(purchase_problem(sale, "IRR")) is why


def test_a_purchase_earns_what_the_programme_granted_and_an_activity_too() -> None:
    awards = (award(5), award(6))

    assert accrue(ACCOUNT, BASKET, awards, "t9") == Accepted(
        TransactionKind.ACCRUAL, (Earned(BASKET, awards, "t9"),)
    )
    assert record_activity(ACCOUNT, Activity("survey"), awards) == Accepted(
        TransactionKind.ACTIVITY, (ActivityEarned(Activity("survey"), awards),)
    )
    assert sell(BASKET) == Accepted(TransactionKind.ACCRUAL, (Sold(BASKET),))


def test_a_blocked_member_still_earns_and_a_closed_account_does_not() -> None:
    assert isinstance(accrue(replace(ACCOUNT, status=Status.BLOCKED), BASKET, (award(5),)), Accepted)
    closed = replace(ACCOUNT, status=Status.CLOSED)
    assert reason(accrue(closed, BASKET, ())) is Reason.ACCOUNT_CLOSED
    assert reason(record_activity(closed, Activity("survey"), ())) is Reason.ACCOUNT_CLOSED


def test_a_purse_never_holds_more_than_a_purse_may_also_through_many_awards_at_once() -> None:
    nearly = Account(b"a", purses={"points": Purse(spendable=MAX_UNITS - 20, pending=5, held=5)})

    assert isinstance(accrue(nearly, BASKET, (award(10),)), Accepted)
    assert reason(accrue(nearly, BASKET, (award(11),))) is Reason.LIMIT_EXCEEDED
    assert reason(accrue(nearly, BASKET, (award(6), award(5)))) is Reason.LIMIT_EXCEEDED
    assert reason(record_activity(nearly, Activity("survey"), (award(11),))) is Reason.LIMIT_EXCEEDED


def test_a_rule_that_grants_less_than_nothing_is_refused_and_takes_nothing() -> None:
    assert reason(accrue(ACCOUNT, BASKET, (award(5), award(-1)))) is Reason.INVALID_PROGRAMME
