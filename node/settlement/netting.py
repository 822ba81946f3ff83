"""From sums to nets: what each record was worth, one rounding a pair, and nets that come to zero.

Rates are whole micro-units of the settlement currency for one unit, so a sum of units is worth a whole
number of micro-units and nothing is rounded on the way. Each pair's debt is then rounded once, half to
even, to the smallest amount that is paid; since x_ij = -x_ji, the nets add up to zero to the unit for every
input. What rounding left over is the pair's own, and is carried to its next window.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from node.coalition.directory import Directory, SettlementTerms
from node.coalition.messages import RecordKind
from node.settlement.documents import (
    OPERATOR_ID,
    WIDE_MAX,
    WIDE_MIN,
    CloseSum,
    Correction,
    Net,
    Obligation,
    PairClose,
    Payment,
)

MICRO_EXPONENT = 6
REFERENCE_LENGTH = 35
"""The longest reference that ISO 20022 carries from end to end (Max35Text)."""


class AmountTooWide(ArithmeticError):
    """An amount that does not fit in 128 bits; no sum of real money does that."""


class RateUnknown(Exception):
    """Records name a rate that the directory does not have, or not in the settlement currency."""


class UnitValue(Struct, frozen=True):
    """What one unit is worth in micro-units of the settlement currency."""

    accrual_micro: int
    redemption_micro: int


def scale_of(terms: SettlementTerms) -> int:
    """How many micro-units the smallest amount that is paid has."""
    scale: int = 10 ** (MICRO_EXPONENT - terms.currency_exponent)
    return scale


def unit_values(directory: Directory, terms: SettlementTerms) -> dict[int, UnitValue]:
    """What a unit is worth by rate version; rates in another currency only where the terms restate them."""
    values = {
        rate.version: UnitValue(rate.accrual_micro, rate.redemption_micro)
        for rate in directory.rates
        if rate.currency == terms.currency
    }
    for rate in terms.restated_rates:
        values[rate.rate_version] = UnitValue(rate.accrual_micro, rate.redemption_micro)
    return values


def worth(entry: CloseSum, values: Mapping[int, UnitValue]) -> int:
    """What the acquirer owes the home node for a sum, in micro-units; negative: the home node owes.

    Earnings cost the acquirer, spendings pay it, and their returns go the other way. `RateUnknown`.
    """
    value = values.get(entry.rate_version)
    if value is None:
        raise RateUnknown(f"rate version {entry.rate_version} has no worth in the settlement currency")
    match entry.kind:
        case RecordKind.ACCRUAL:
            return entry.units * value.accrual_micro
        case RecordKind.ACCRUAL_RETURN:
            return -entry.units * value.accrual_micro
        case RecordKind.REDEMPTION:
            return -entry.units * value.redemption_micro
        case RecordKind.REDEMPTION_RETURN:
            return entry.units * value.redemption_micro
        case _:
            return 0


def traded(closes: Iterable[PairClose], values: Mapping[int, UnitValue]) -> dict[tuple[str, str], int]:
    """What the first owes the second of each pair (in byte order) by these closes, in micro-units."""
    owed: dict[tuple[str, str], int] = {}
    for close in closes:
        micro = sum(worth(entry, values) for entry in close.sums)
        add_debt(owed, close.acquirer_id, close.home_id, micro)
    return owed


def add_debt(owed: dict[tuple[str, str], int], debtor: str, creditor: str, micro: int) -> None:
    """Adds what `debtor` owes `creditor` to the pair's debt; the pair is kept in byte order."""
    pair, sign = ((debtor, creditor), 1) if debtor < creditor else ((creditor, debtor), -1)
    owed[pair] = owed.get(pair, 0) + sign * micro


def round_half_even(micro: int, scale: int) -> tuple[int, int]:
    """(how many times `scale`, what is left over), rounded half to even: `micro` = units * scale + rest."""
    units, rest = divmod(micro, scale)
    if rest * 2 > scale or (rest * 2 == scale and units & 1):
        units, rest = units + 1, rest - scale
    return units, rest


def obligations(
    owed: Mapping[tuple[str, str], int],
    carried: Mapping[tuple[str, str], int],
    corrections: Iterable[Correction],
    scale: int,
) -> list[Obligation]:
    """One line for each pair with anything to say, in byte order; the debts are in micro-units, first to
    second.

    A correction enters its pair's sum before the rounding, and stands in a line of its own. `AmountTooWide`.
    """
    corrected: dict[tuple[str, str], int] = {}
    for correction in corrections:
        add_debt(corrected, correction.debtor_id, correction.creditor_id, correction.micro)
    lines = []
    for pair in sorted(owed.keys() | carried.keys() | corrected.keys()):
        trade, rest, more = owed.get(pair, 0), carried.get(pair, 0), corrected.get(pair, 0)
        if not (trade or rest or more):
            continue
        payable, residual = round_half_even(bounded(trade + rest + more), scale)
        lines.append(Obligation(*pair, bounded(trade), rest, payable, residual))
    return lines


def nets(lines: Iterable[Obligation], parties: Iterable[str]) -> list[Net]:
    """What each party gets or pays, in byte order; parties with nothing are there with 0."""
    totals = dict.fromkeys(parties, 0)
    for line in lines:
        totals[line.first_id] = totals.get(line.first_id, 0) - line.payable
        totals[line.second_id] = totals.get(line.second_id, 0) + line.payable
    return [Net(party, bounded(totals[party])) for party in sorted(totals)]


def payments(
    results: Iterable[Net], *, prepaid: frozenset[str], by_agent: bool, coalition_id: str, window: int
) -> list[Payment]:
    """The payments that meet all nets, always the same ones for the same nets.

    A prepaid partner's net is met from its balance, so the operator stands in its place. By an agent
    everyone pays the operator's account and is paid from it; else the largest debtor pays the largest
    creditor, at most one payment fewer than there are parties.
    """
    positions = {net.party_id: net.payable for net in results}
    positions.setdefault(OPERATOR_ID, 0)
    for partner_id in sorted(prepaid & positions.keys()):
        positions[OPERATOR_ID] += positions.pop(partner_id)
    return payments_of(positions, by_agent=by_agent, coalition_id=coalition_id, window=window)


def payments_of(
    positions: Mapping[str, int], *, by_agent: bool, coalition_id: str, window: int, first_number: int = 1
) -> list[Payment]:
    """The payments that bring all positions, which sum to zero, to nothing; numbered from `first_number`."""
    moves = _by_agent(positions) if by_agent else _directly(positions)
    return [
        Payment(debtor, creditor, amount, reference(coalition_id, window, number))
        for number, (debtor, creditor, amount) in enumerate(moves, first_number)
    ]


def reference(coalition_id: str, window: int, number: int) -> str:
    """What a payment is called at the bank."""
    tail = f"-{window}-{number}"
    return coalition_id[: REFERENCE_LENGTH - len(tail)] + tail


def _by_agent(positions: Mapping[str, int]) -> list[tuple[str, str, int]]:
    partners = [(party, units) for party, units in sorted(positions.items()) if party != OPERATOR_ID]
    paying = [(party, OPERATOR_ID, -units) for party, units in partners if units < 0]
    return paying + [(OPERATOR_ID, party, units) for party, units in partners if units > 0]


def _directly(positions: Mapping[str, int]) -> list[tuple[str, str, int]]:
    debtors = sorted((units, party) for party, units in positions.items() if units < 0)
    creditors = sorted((-units, party) for party, units in positions.items() if units > 0)
    moves: list[tuple[str, str, int]] = []
    at, left = 0, 0
    for units, debtor in debtors:
        owing = -units
        while owing:
            left = left or -creditors[at][0]
            amount = min(owing, left)
            moves.append((debtor, creditors[at][1], amount))
            owing, left = owing - amount, left - amount
            at += left == 0
    return moves


def bounded(amount: int) -> int:
    """The amount, if 16 bytes hold it; else `AmountTooWide`."""
    if not WIDE_MIN <= amount <= WIDE_MAX:
        raise AmountTooWide(f"{amount} does not fit in 128 bits")
    return amount
