"""What stands between two after a default, as something that is paid: under a reference of its own, at once
or in parts, by the creditor's word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import permutations

from node.actors.operator_parts import Parts
from node.settlement.defaults import StandingDebt, standing_reference
from node.settlement.documents import OPERATOR_ID, Net, Payment
from node.settlement.payments import PaymentNow, PaymentState
from node.wire.settlement_lines import ReadStatement


def came_between(statement: ReadStatement, defaulted: Collection[str], parts: Parts) -> list[Payment]:
    """What has come of the debts of those in default, and of debts to them; each way its receiver says it.

    Two may have something between them without an obligation: what was paid by the operator's account.
    """
    number, coalition_id = statement.facts.window, statement.facts.coalition_id
    parties = {line.party_id for line in statement.lines if isinstance(line, Net)} | {OPERATOR_ID}
    pairs = {(min(one, other), max(one, other)) for one in defaulted for other in parties - {one}}
    came = []
    for pair in sorted(pairs):
        reference = standing_reference(coalition_id, number, *pair)
        for debtor_id, creditor_id in permutations(pair):
            amount = parts.by(number, reference, creditor_id)
            if amount:
                came.append(Payment(debtor_id, creditor_id, amount, reference))
    return came


def as_payments(standing: Iterable[StandingDebt]) -> dict[str, Payment]:
    """Standing debts by reference, each as the payment that would end it."""
    return {
        one.reference: Payment(one.debtor_id, one.creditor_id, one.amount, one.reference) for one in standing
    }


def debt_now(debt: Payment, after: Mapping[str, Payment], came: int) -> PaymentNow:
    """How a debt stands that was `debt` before a report. `came` is what its creditor says of it in all."""
    left = after.get(debt.reference)
    if left is None or left.creditor_id != debt.creditor_id:
        return PaymentNow(debt, PaymentState.PAID, came)
    return PaymentNow(left, PaymentState.DIFFERENT if came else PaymentState.DUE, came)
