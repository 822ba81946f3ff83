"""The sums of a statement, from its closes: fees, debts, nets, balances, payments, and the tree over its
lines.
"""

import hashlib
from collections import Counter
from fractions import Fraction

from node.proto.vafa.coalition.v1.directory_pb2 import Directory, FeeSide, Funding, SettlementTerms
from node.proto.vafa.coalition.v1.exchange_pb2 import RecordKind
from node.proto.vafa.settlement.v1.close_pb2 import CloseSum, PairClose
from node.proto.vafa.settlement.v1.statement_pb2 import Correction, StatementLine

OPERATOR = "operator"
Debts = Counter[tuple[str, str]]


def number(wide: bytes) -> int:
    """An amount from its 16 bytes."""
    if len(wide) != 16:
        raise ValueError("an amount has 16 bytes")
    return int.from_bytes(wide, "big", signed=True)


def wide(amount: int) -> bytes:
    """An amount as 16 bytes."""
    return amount.to_bytes(16, "big", signed=True)


def root(leaves: list[bytes]) -> bytes:
    """The Merkle root of RFC 6962, section 2.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        odd = level[len(level) & ~1 :]
        level = [
            hashlib.sha256(b"\x01" + level[at] + level[at + 1]).digest() for at in range(0, len(level) - 1, 2)
        ]
        level += odd
    return level[0]


def takes_part(directory: Directory, window: int) -> list[str]:
    """The partners that sign closes for a window."""
    return sorted(
        one.partner_id
        for one in directory.partners
        if one.from_window <= window and (not one.last_window or window <= one.last_window)
    )


def rates(directory: Directory, terms: SettlementTerms) -> dict[int, tuple[int, int]]:
    """What a unit is worth when earned and when spent, in micro-units, by rate version."""
    found = {
        r.version: (r.accrual_micro, r.redemption_micro)
        for r in directory.rates
        if r.currency == terms.currency
    }
    return found | {r.rate_version: (r.accrual_micro, r.redemption_micro) for r in terms.restated_rates}


def worth(entry: CloseSum, values: dict[int, tuple[int, int]]) -> int:
    """What the acquirer owes the home node for a sum of records, in micro-units."""
    accrual, redemption = values[entry.rate_version]
    price = {
        RecordKind.RECORD_KIND_ACCRUAL: accrual,
        RecordKind.RECORD_KIND_ACCRUAL_RETURN: -accrual,
        RecordKind.RECORD_KIND_REDEMPTION: -redemption,
        RecordKind.RECORD_KIND_REDEMPTION_RETURN: redemption,
    }[entry.kind]
    return number(entry.units) * price


def owe(debts: Debts, debtor: str, creditor: str, micro: int) -> None:
    """Adds a debt; of the two ids the first in byte order stands first, and owes where it is positive."""
    debts[min(debtor, creditor), max(debtor, creditor)] += micro if debtor < creditor else -micro


def computed_lines(
    directory: Directory,
    terms: SettlementTerms,
    window: int,
    closes: list[PairClose],
    corrections: list[Correction],
    carried: dict[tuple[str, str], int],
    prepaid: dict[str, tuple[int, int]],
) -> list[StatementLine]:
    """Every line after the closes and corrections, in order."""
    values, partners = rates(directory, terms), takes_part(directory, window)
    fees, debts, settled = [], Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    activity: Counter[tuple[str, int, str]] = Counter()
    for close in closes:
        for entry in close.sums:
            owe(debts, close.acquirer_id, close.home_id, worth(entry, values))
            back = entry.kind in (
                RecordKind.RECORD_KIND_ACCRUAL_RETURN,
                RecordKind.RECORD_KIND_REDEMPTION_RETURN,
            )
            volume = abs(worth(entry, values)) * (-1 if back else 1)
            for who, side in (
                (close.home_id, FeeSide.FEE_SIDE_HOME),
                (close.acquirer_id, FeeSide.FEE_SIDE_ACQUIRER),
            ):
                activity[who, side, "records"] += entry.record_count
                activity[who, side, "volume"] += volume
    for partner in partners:
        for fee in sorted(terms.fees, key=lambda fee: (fee.code, fee.partner_id)):
            if fee.partner_id in ("", partner):
                share = round(Fraction(activity[partner, fee.side, "volume"] * fee.volume_ppm, 1_000_000))
                micro = fee.window_micro + fee.record_micro * activity[partner, fee.side, "records"] + share
                if micro:
                    fees.append(_line("fee", partner_id=partner, code=fee.code, micro=wide(micro)))
                    owe(debts, partner, OPERATOR, micro)
    for one in corrections:
        owe(settled, one.debtor_id, one.creditor_id, number(one.micro))
    scale, obligations, nets = 10 ** (6 - terms.currency_exponent), [], Counter({OPERATOR: 0})
    nets.update(dict.fromkeys(partners, 0))
    for first, second in sorted(debts.keys() | settled.keys() | carried.keys()):
        pair = first, second
        rest = carried.get(pair, 0)
        if not (debts[pair] or settled[pair] or rest):
            continue
        exact = debts[pair] + settled[pair] + rest
        payable = round(Fraction(exact, scale))  # Python rounds a Fraction half to even
        nets[first] -= payable
        nets[second] += payable
        obligations.append(
            _line(
                "obligation",
                first_id=first,
                second_id=second,
                traded_micro=wide(debts[pair]),
                carried_micro=wide(rest),
                payable=wide(payable),
                residual_micro=wide(exact - payable * scale),
            )
        )
    results = [_line("net", party_id=party, payable=wide(nets[party])) for party in sorted(nets)]
    ahead = [p.partner_id for p in directory.partners if p.funding == Funding.FUNDING_PREPAID]
    ahead = sorted(set(ahead) & set(partners))
    balances = []
    for partner in ahead:
        opening, topped = prepaid.get(partner, (0, 0))
        amounts = (opening, topped, -nets[partner], opening + topped + nets[partner])
        names = ("opening", "topped_up", "used", "closing")
        balances.append(
            _line("prepaid", partner_id=partner, **dict(zip(names, map(wide, amounts), strict=True)))
        )
        nets[OPERATOR] += nets.pop(partner)
    return fees + obligations + results + balances + _payments(directory, terms, window, nets)


def _payments(
    directory: Directory, terms: SettlementTerms, window: int, nets: Counter[str]
) -> list[StatementLine]:
    """Largest debtor to largest creditor, or all by way of the agent's account where there is one."""
    moves: list[tuple[str, str, int]] = []
    if terms.HasField("agent_account"):
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
        tail = f"-{window}-{at}"
        reference = directory.coalition_id[: 35 - len(tail)] + tail
        lines.append(
            _line("payment", debtor_id=debtor, creditor_id=creditor, amount=wide(paid), reference=reference)
        )
    return lines


def _line(kind: str, **fields: str | bytes) -> StatementLine:
    line = StatementLine()
    for name, value in fields.items():
        setattr(getattr(line, kind), name, value)
    return line
