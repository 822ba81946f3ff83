"""A statement for finance: one CSV file that a spreadsheet opens right.

UTF-8 with a byte-order mark, CRLF and quotes by RFC 4180. A text that a spreadsheet would take for a
formula gets an apostrophe in front (OWASP, "CSV Injection"); amounts are plain decimals, and a minus stays
a minus.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from node.settlement.documents import (
    Correction,
    FeeLine,
    Line,
    MissingClose,
    Net,
    Obligation,
    Payment,
    PrepaidLine,
    SignedClose,
    StatementFacts,
)
from node.settlement.netting import MICRO_EXPONENT

BYTE_ORDER_MARK = "\ufeff"
COLUMNS = ("window", "what", "from", "to", "amount", "currency", "detail")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def money(units: int, exponent: int) -> str:
    """Whole smallest amounts as a decimal: 12345 with 2 places is 123.45."""
    return f"{Decimal(units).scaleb(-exponent):f}" if exponent else str(units)


def statement_csv(
    facts: StatementFacts, lines: Iterable[Line], names: Mapping[str, str], only: str | None = None
) -> bytes:
    """The statement's lines as CSV, all or those about one partner; `names` are what people call the
    partners.
    """
    rows = [_cells(COLUMNS)]
    for line in lines:
        found = _row(line, facts)
        if found is None or (only is not None and only not in found[:2]):
            continue
        source, target, amount, what, detail = found
        called = [f"{names.get(one, '')} ({one})" if names.get(one) else one for one in (source, target)]
        texts = [what, *map(_harmless, called), amount, facts.currency, _harmless(detail)]
        rows.append(_cells((str(facts.window), *texts)))
    return (BYTE_ORDER_MARK + "".join(rows)).encode()


_Row = tuple[str, str, str, str, str]


def _row(line: Line, facts: StatementFacts) -> _Row | None:
    """(who, whom, amount, what, detail); the first pays the second where the amount is positive."""
    exponent = facts.currency_exponent
    match line:
        case SignedClose():
            close = line.close
            held = f", {len(close.disputed)} lanes in dispute" if close.disputed else ""
            detail = f"{close.record_count} records, {close.basis.name.lower().replace('_', ' ')}{held}"
            return close.home_id, close.acquirer_id, "", "close", detail
        case MissingClose():
            detail = line.reason.name.lower().replace("_", " ")
            return line.home_id, line.acquirer_id, "", "left out", detail
        case Correction():
            detail = f"of window {line.of_window}: {line.note}"
            amount = money(line.micro, MICRO_EXPONENT)
            return line.debtor_id, line.creditor_id, amount, "correction", detail
        case FeeLine():
            return line.partner_id, "operator", money(line.micro, MICRO_EXPONENT), "fee", line.code
        case Obligation():
            rest = money(line.residual_micro, MICRO_EXPONENT)
            detail = f"{rest} carried to the next window" if line.residual_micro else ""
            return line.first_id, line.second_id, money(line.payable, exponent), "owes", detail
        case Net():
            return line.party_id, "", money(line.payable, exponent), "net", "gets" if line.payable > 0 else ""
        case PrepaidLine():
            detail = f"{money(line.closing, exponent)} left"
            return line.partner_id, "operator", money(line.used, exponent), "from prepaid balance", detail
        case Payment():
            amount = money(line.amount, exponent)
            return line.debtor_id, line.creditor_id, amount, "payment", line.reference


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _cells(texts: Iterable[str]) -> str:
    return ",".join(_quoted(text) if set(text) & set('",\r\n;') else text for text in texts) + "\r\n"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
