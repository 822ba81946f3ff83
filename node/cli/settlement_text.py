"""Windows and statements as plain tables, readable in any terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from node.proto.vafa.settlement.v1 import settlement_service_pb2 as pb
from node.settlement.documents import (
    Correction,
    FeeLine,
    MissingClose,
    Net,
    Obligation,
    Payment,
    PrepaidLine,
    SignedClose,
)
from node.settlement.netting import MICRO_EXPONENT
from node.settlement.reports import DisputeFacts, dispute_report
from node.wire.settlement_csv import money
from node.wire.settlement_lines import ReadStatement


def window_table(windows: Iterable[pb.SettlementWindow]) -> str:
    """Windows, one a row."""
    rows = [
        (
            str(one.number),
            pb.WindowState.Name(one.state).removeprefix("WINDOW_STATE_").lower(),
            one.cut_time.ToJsonString(),
            f"{one.closes}/{one.pairs}",
            f"{one.payments_made}/{one.payments}",
        )
        for one in windows
    ]
    return table(("window", "state", "cut", "closes", "paid"), rows)


def statement_table(statement: ReadStatement, names: Mapping[str, str]) -> str:
    """A statement: who owes whom, fees, what was left out or held back, nets and payments."""
    facts = statement.facts
    exponent = facts.currency_exponent

    def called(party: str) -> str:
        return names.get(party) or party

    owed, extra, nets, payments = [], [], [], []
    disputes: list[DisputeFacts] = []
    for line in statement.lines:
        match line:
            case Obligation():
                debtor, creditor, amount = line.first_id, line.second_id, line.payable
                if amount < 0:
                    debtor, creditor, amount = creditor, debtor, -amount
                rest = money(line.residual_micro, MICRO_EXPONENT) if line.residual_micro else ""
                owed.append((called(debtor), called(creditor), money(amount, exponent), rest))
            case FeeLine():
                extra.append(
                    f"fee {line.code}: {called(line.partner_id)} {money(line.micro, MICRO_EXPONENT)}"
                )
            case Correction():
                extra.append(
                    f"correction of window {line.of_window}: {called(line.debtor_id)} owes "
                    f"{called(line.creditor_id)} {money(line.micro, MICRO_EXPONENT)} ({line.note})"
                )
            case MissingClose():
                extra.append(f"left out: {called(line.home_id)} with {called(line.acquirer_id)}")
            case SignedClose():
                close = line.close
                disputes += [
                    DisputeFacts(close.home_id, close.acquirer_id, facts.window, one, facts.currency)
                    for one in close.disputed
                ]
            case Net():
                nets.append((called(line.party_id), money(line.payable, exponent)))
            case PrepaidLine():
                extra.append(f"prepaid: {called(line.partner_id)} has {money(line.closing, exponent)} left")
            case Payment():
                amount_text = money(line.amount, exponent)
                payments.append(
                    (called(line.debtor_id), called(line.creditor_id), amount_text, line.reference)
                )
    total = sum(line.payable for line in statement.lines if isinstance(line, Net))
    parts = [
        f"Window {facts.window} of {facts.coalition_id}, in {facts.currency}",
        table(("owes", "to", "amount", "carried on"), owed),
        *extra,
        table(("party", "net"), [*nets, ("sum", money(total, exponent))]),
        table(("pays", "to", "amount", "reference"), payments),
        *(f"HELD BACK. {dispute_report(one, names)}" for one in disputes),
    ]
    return "\n\n".join(part for part in parts if part)


def statement_rows(statement: ReadStatement) -> dict[str, Any]:
    """A statement's nets and payments for a machine; amounts are digits of the smallest amount paid."""
    nets = {one.party_id: str(one.payable) for one in statement.lines if isinstance(one, Net)}
    facts = statement.facts
    return {
        "window": facts.window,
        "currency": facts.currency,
        "currency_exponent": facts.currency_exponent,
        "nets": nets,
        "nets_sum": str(sum(map(int, nets.values()))),
        "payments": [
            {
                "from": one.debtor_id,
                "to": one.creditor_id,
                "amount": str(one.amount),
                "reference": one.reference,
            }
            for one in statement.lines
            if isinstance(one, Payment)
        ],
    }


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain table; numbers to the right. Empty where there are no rows."""
    if not rows:
        return ""
    lines = [tuple(columns), *(tuple(row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if _is_number(cell) else cell.ljust(width)
            for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def _is_number(cell: str) -> bool:
    return cell.replace(",", "").replace(".", "").removeprefix("-").isdigit()
