"""Decisions about earning: purchases, with and without a member, and activities."""

from __future__ import annotations

from node.ledger.account import Account
from node.ledger.awards import Award
from node.ledger.decision import Accepted, Decision, closed
from node.ledger.events import ActivityEarned, Earned, Sold
from node.ledger.purchase import MAX_LINES, Activity, Line, Purchase
from node.ledger.purses import MAX_UNITS
from node.ledger.refusals import Reason, Refused, refuse
from node.ledger.transactions import TransactionKind

_ACCRUAL = TransactionKind.ACCRUAL  # looked up once, not for every purchase


def purchase_problem(purchase: Purchase, currency: str) -> Refused | None:
    """Why a purchase cannot be recorded, or None.

    Amounts lie within ±MAX_UNITS, quantities within 0..MAX_UNITS, line numbers are unique and at least 1,
    lines (where given) and tenders (where given) add up to the total, which is not negative. A receipt that
    is rounded for cash says so in a line of its own.
    """
    if purchase.currency != currency:
        return refuse(
            Reason.WRONG_CURRENCY,
            f"The purchase is in {purchase.currency or 'no currency'}; the books are in {currency}.",
            currency=currency,
        )
    if not 0 <= purchase.total_minor <= MAX_UNITS:
        return _invalid("purchase.total", f"The total lies between 0 and {MAX_UNITS} minor units.")
    return (_line_problem(purchase) if purchase.lines else None) or _tender_problem(purchase)


def _line_problem(purchase: Purchase) -> Refused | None:
    lines = purchase.lines
    if len(lines) > MAX_LINES:
        return _invalid("purchase.lines", f"A purchase has at most {MAX_LINES} lines.")
    numbers = {line.number for line in lines}
    if len(numbers) != len(lines) or min(numbers) < 1:
        return _invalid("purchase.lines.number", "Line numbers are unique within a receipt and at least 1.")
    net = 0
    amounts: list[int] = []
    quantities: list[int] = []
    for line in lines:
        net += line.net_minor
        amounts += line.net_minor, line.gross_minor, line.discount_minor, line.tax_minor, line.cost_minor
        quantities.append(line.quantity_milli)
    # Of all lines at once: which of them it is matters only where one is wrong.
    if max(amounts) > MAX_UNITS or min(amounts) < -MAX_UNITS:
        number = next(line.number for line in lines if max(map(abs, _amounts(line))) > MAX_UNITS)
        return _invalid("purchase.lines", f"Line {number} has an amount beyond {MAX_UNITS}.")
    if max(quantities) > MAX_UNITS or min(quantities) < 0:
        number = next(line.number for line in lines if not 0 <= line.quantity_milli <= MAX_UNITS)
        return _invalid("purchase.lines.quantity_milli", f"Line {number} has an absurd quantity.")
    if net != purchase.total_minor:
        return refuse(
            Reason.TOTALS_MISMATCH,
            f"The lines add up to {net}, the total is {purchase.total_minor}. Nothing was recorded.",
            lines=net,
            total=purchase.total_minor,
        )
    return None


def _amounts(line: Line) -> tuple[int, ...]:
    return line.net_minor, line.gross_minor, line.discount_minor, line.tax_minor, line.cost_minor


def _tender_problem(purchase: Purchase) -> Refused | None:
    if not purchase.tenders:
        return None
    paid = sum([tender.amount_minor for tender in purchase.tenders])
    if paid == purchase.total_minor:
        return None
    return refuse(
        Reason.TOTALS_MISMATCH,
        f"The tenders add up to {paid}, the total is {purchase.total_minor}. Nothing was recorded.",
        tenders=paid,
        total=purchase.total_minor,
    )


def _invalid(field: str, message: str) -> Refused:
    return refuse(Reason.INVALID_ARGUMENT, message, field=field)


def accrue(
    account: Account, purchase: Purchase, awards: tuple[Award, ...], claimed_from: str = ""
) -> Decision:
    """Records a purchase with what the programme granted for it. A blocked account still earns."""
    return (
        closed(account)
        or _size_problem(account, awards)
        or Accepted(_ACCRUAL, (Earned(purchase, awards, claimed_from),))
    )


def sell(purchase: Purchase) -> Decision:
    """Records a purchase without a member."""
    return Accepted(TransactionKind.ACCRUAL, (Sold(purchase),))


def record_activity(account: Account, activity: Activity, awards: tuple[Award, ...]) -> Decision:
    """Records an activity with what the programme granted for it."""
    return (
        closed(account)
        or _size_problem(account, awards)
        or Accepted(TransactionKind.ACTIVITY, (ActivityEarned(activity, awards),))
    )


def _size_problem(account: Account, awards: tuple[Award, ...]) -> Refused | None:
    """A purse may not hold more than MAX_UNITS in all, and no rule may take where it should give."""
    granted = 0  # to all purses together: what is refused so far beyond any purse needs no finer sum
    for award in awards:
        if award.units < 0:
            return refuse(
                Reason.INVALID_PROGRAMME,
                f"Rule {award.rule!r} grants less than nothing. Nothing was recorded.",
                rule=award.rule,
            )
        granted += award.units
        if account.purse(award.purse).owned + granted > MAX_UNITS:
            return refuse(
                Reason.LIMIT_EXCEEDED, "The purse would hold more than a purse may.", purse=award.purse
            )
    return None
