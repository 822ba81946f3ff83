"""A window whose debtor does not pay: the nets are computed anew without it, and its debts stand two by two.

Bilateral debts stand, the net is a calculation. When a partner is in default, what the others owe each other
is netted again without it; what was paid among them counts, and only the rest is paid. What the partner owes
to each, and is owed by each, is then between those two: the statement has it line by line, signed by both.
The others' window is finished without waiting for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from msgspec import Struct

from node.settlement.documents import OPERATOR_ID, Line, Net, Obligation, Payment
from node.settlement.netting import REFERENCE_LENGTH, nets, payments_of


class StandingDebt(Struct, frozen=True, array_like=True):
    """What one owes another outside the net, in the smallest amount that is paid. `reference` is what it is
    paid under, the same in both directions and for as long as the two have something between them.
    """

    debtor_id: str
    creditor_id: str
    amount: int
    reference: str


def standing_reference(coalition_id: str, window: int, one: str, other: str) -> str:
    """What stands between two is called so at the bank: as long as a payment's reference may be, and none of
    a statement's, whose last part is a number.
    """
    pair = " ".join(sorted((one, other)))
    tail = f"-{window}-b{hashlib.sha256(pair.encode()).hexdigest()[:10]}"
    return coalition_id[: REFERENCE_LENGTH - len(tail)] + tail


class Unwound(Struct, frozen=True):
    """A window without those who are in default: what each of the others gets or pays in all, the payments
    that are still to be made, and what stands between two.
    """

    nets: tuple[Net, ...]
    payments: tuple[Payment, ...]
    standing: tuple[StandingDebt, ...]


def without(
    lines: Collection[Line],
    defaulted: Collection[str],
    paid: Collection[Payment],
    *,
    prepaid: Collection[str] = (),
    by_agent: bool = False,
    coalition_id: str,
    window: int,
    first_number: int,
) -> Unwound:
    """The statement's lines without some of its parties, who must not be the operator.

    `paid` are the payments that were made so far, `prepaid` those whose net is met from a balance and in
    whose place the operator stands. New payments are numbered from `first_number` on.
    """
    obligations = [line for line in lines if isinstance(line, Obligation)]
    left = [one for one in obligations if not {one.first_id, one.second_id} & set(defaulted)]
    parties = [line.party_id for line in lines if isinstance(line, Net) and line.party_id not in defaulted]
    results = nets(left, parties)
    positions = {net.party_id: net.payable for net in results}
    positions.setdefault(OPERATOR_ID, 0)
    for partner_id in sorted(set(prepaid) & positions.keys()):
        positions[OPERATOR_ID] += positions.pop(partner_id)
    for one in paid:
        if one.debtor_id in positions and one.creditor_id in positions:
            positions[one.debtor_id] += one.amount
            positions[one.creditor_id] -= one.amount
    payments = payments_of(
        positions, by_agent=by_agent, coalition_id=coalition_id, window=window, first_number=first_number
    )
    stands = [one for one in obligations if one not in left]
    standing = [
        StandingDebt(debtor, creditor, amount, standing_reference(coalition_id, window, debtor, creditor))
        for debtor, creditor, amount in _standing(stands, defaulted, paid)
    ]
    return Unwound(tuple(results), tuple(payments), tuple(standing))


def _standing(
    obligations: Iterable[Obligation], defaulted: Collection[str], paid: Iterable[Payment]
) -> list[tuple[str, str, int]]:
    """What stands of the obligations, less what the one in default has paid to the other, or got from it."""
    owed = {(one.first_id, one.second_id): one.payable for one in obligations}
    for one in paid:
        if {one.debtor_id, one.creditor_id} & set(defaulted):
            first, second = sorted((one.debtor_id, one.creditor_id))
            sign = 1 if one.debtor_id == first else -1
            owed[first, second] = owed.get((first, second), 0) - sign * one.amount
    return sorted(
        (first, second, amount) if amount > 0 else (second, first, -amount)
        for (first, second), amount in owed.items()
        if amount
    )
