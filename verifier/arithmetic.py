"""The sums of a statement, from its closes: fees, debts, nets, balances, payments, and the lines' tree."""

import hashlib
from collections import Counter
from fractions import Fraction
from typing import NamedTuple

from node.proto.vafa.coalition.v1 import exchange_pb2 as kinds
from node.proto.vafa.coalition.v1.directory_pb2 import Directory, FeeSide, Funding, SettlementTerms, Window
from node.proto.vafa.settlement.v1.close_pb2 import CloseSum, PairClose
from node.proto.vafa.settlement.v1.statement_pb2 import StatementLine

OPERATOR = "operator"
Pair = tuple[str, str]
Lines = list[StatementLine]
Closes = list[PairClose]
Balances = dict[str, tuple[int, int]]
"""Prepaid partners' balances: before, and topped up since."""


class Rules(NamedTuple):
    """What the directory says of a window."""

    directory: Directory
    window: Window
    terms: SettlementTerms


def number(wide: bytes) -> int:
    """An amount from its 16 bytes."""
    if len(wide) != 16:
        raise ValueError("an amount has 16 bytes")
    return int.from_bytes(wide, "big", signed=True)


def line(kind: str, **fields: str | int) -> StatementLine:
    """A line; its amounts are written as 16 bytes."""
    made = StatementLine()
    for name, value in fields.items():
        wide = value if isinstance(value, str) else value.to_bytes(16, "big", signed=True)
        setattr(getattr(made, kind), name, wide)
    return made


def root(leaves: list[bytes]) -> bytes:
    """The Merkle root of RFC 6962, section 2.1."""
    level = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        odd = level[len(level) & ~1 :]
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [hashlib.sha256(b"\x01" + left + right).digest() for left, right in pairs] + odd
    return level[0] if level else hashlib.sha256(b"").digest()


def takes_part(rules: Rules) -> list[str]:
    """The partners that sign closes for the window."""
    number, partners = rules.window.number, rules.directory.partners
    here = [one for one in partners if one.from_window <= number <= (one.last_window or number)]
    return sorted(one.partner_id for one in here)


def worth(entry: CloseSum, rules: Rules) -> int:
    """What the acquirer owes the home node for a sum, in micro-units; KeyError for a rate or kind unknown."""
    rates = [rate for rate in rules.directory.rates if rate.currency == rules.terms.currency]
    known = {rate.version: (rate.accrual_micro, rate.redemption_micro) for rate in rates}
    known |= {r.rate_version: (r.accrual_micro, r.redemption_micro) for r in rules.terms.restated_rates}
    accrual, redemption = known[entry.rate_version]
    price = {
        kinds.RECORD_KIND_ACCRUAL: accrual,
        kinds.RECORD_KIND_ACCRUAL_RETURN: -accrual,
        kinds.RECORD_KIND_REDEMPTION: -redemption,
        kinds.RECORD_KIND_REDEMPTION_RETURN: redemption,
    }[entry.kind]
    return number(entry.units) * price


def owe(debts: Counter[Pair], debtor: str, creditor: str, micro: int) -> None:
    """Adds a debt; of the two ids the first in byte order stands first, and owes where it is positive."""
    debts[min(debtor, creditor), max(debtor, creditor)] += micro if debtor < creditor else -micro


def computed_lines(
    rules: Rules, closes: Closes, corrected: Counter[Pair], carried: dict[Pair, int], prepaid: Balances
) -> Lines:
    """Every line after the closes and corrections, in order."""
    partners, debts = takes_part(rules), Counter[Pair]()
    activity = Counter[tuple[str, int, str]]()
    for close in closes:
        for entry in close.sums:
            micro = worth(entry, rules)
            owe(debts, close.acquirer_id, close.home_id, micro)
            back = entry.kind in (kinds.RECORD_KIND_ACCRUAL_RETURN, kinds.RECORD_KIND_REDEMPTION_RETURN)
            sides = (close.home_id, FeeSide.FEE_SIDE_HOME), (close.acquirer_id, FeeSide.FEE_SIDE_ACQUIRER)
            for who, side in sides:
                activity[who, side, "records"] += entry.record_count
                activity[who, side, "volume"] += -abs(micro) if back else abs(micro)
    fees = _fees(rules, activity, debts)
    obligations, nets = _obligations(rules, debts, corrected, carried)
    results = [line("net", party_id=party, payable=nets[party]) for party in sorted(nets)]
    ahead = {one.partner_id for one in rules.directory.partners if one.funding == Funding.FUNDING_PREPAID}
    balances = []
    for who in sorted(ahead.intersection(partners)):
        (opening, topped), net = prepaid.get(who, (0, 0)), nets.pop(who)
        used = {"opening": opening, "topped_up": topped, "used": -net, "closing": opening + topped + net}
        balances.append(line("prepaid", partner_id=who, **used))
        nets[OPERATOR] += net  # which stands in its place
    return fees + obligations + results + balances + _payments(rules, nets)


def _fees(rules: Rules, done: Counter[tuple[str, int, str]], debts: Counter[Pair]) -> Lines:
    lines = []
    for who in takes_part(rules):
        for fee in sorted(rules.terms.fees, key=lambda fee: (fee.code, fee.partner_id)):
            share = round(Fraction(done[who, fee.side, "volume"] * fee.volume_ppm, 1_000_000))
            micro = fee.window_micro + fee.record_micro * done[who, fee.side, "records"] + share
            if micro and fee.partner_id in ("", who):
                lines.append(line("fee", partner_id=who, code=fee.code, micro=micro))
                owe(debts, who, OPERATOR, micro)
    return lines


def _obligations(
    rules: Rules, debts: Counter[Pair], corrected: Counter[Pair], carried: dict[Pair, int]
) -> tuple[Lines, Counter[str]]:
    """One line for each pair that owes anything, rounded once; and the nets that follow."""
    scale, lines, nets = 10 ** (6 - rules.terms.currency_exponent), [], Counter({OPERATOR: 0})
    nets.update(dict.fromkeys(takes_part(rules), 0))
    for pair in sorted(debts.keys() | corrected.keys() | carried.keys()):
        traded, rest = debts[pair], carried.get(pair, 0)
        exact = traded + corrected[pair] + rest
        payable = round(Fraction(exact, scale))  # Python rounds a Fraction half to even
        nets[pair[0]] -= payable
        nets[pair[1]] += payable
        if traded or corrected[pair] or rest:
            amounts = {"traded_micro": traded, "carried_micro": rest, "payable": payable}
            amounts["residual_micro"] = exact - payable * scale
            lines.append(line("obligation", first_id=pair[0], second_id=pair[1], **amounts))
    return lines, nets


def _payments(rules: Rules, nets: Counter[str]) -> Lines:
    """Largest debtor to largest creditor, or all by way of the agent's account where there is one."""
    moves: list[tuple[str, str, int]] = []
    if rules.terms.HasField("agent_account"):
        partners = [(party, amount) for party, amount in sorted(nets.items()) if party != OPERATOR]
        moves = [(party, OPERATOR, -amount) for party, amount in partners if amount < 0]
        moves += [(OPERATOR, party, amount) for party, amount in partners if amount > 0]
    else:
        creditors = sorted(((-amount, party) for party, amount in nets.items() if amount > 0), reverse=True)
        for amount, debtor in sorted((amount, party) for party, amount in nets.items() if amount < 0):
            while amount:
                claim, creditor = creditors.pop()
                paid = min(-amount, -claim)
                moves.append((debtor, creditor, paid))
                amount += paid
                if claim + paid:
                    creditors.append((claim + paid, creditor))  # stays the next to be paid
    lines = []
    for at, (debtor, creditor, paid) in enumerate(moves, 1):
        tail = f"-{rules.window.number}-{at}"
        name = rules.directory.coalition_id[: 35 - len(tail)] + tail
        lines.append(line("payment", debtor_id=debtor, creditor_id=creditor, amount=paid, reference=name))
    return lines
