"""`vafa settlement show`, `position`, `paid`: how things stand, by a running node or a statement's file."""

from __future__ import annotations

import hashlib
import json as json_format
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer

from node.cli.connection import (
    DEADLINE_SECONDS,
    DEFAULT_CONFIG,
    AddressOption,
    CertificateOption,
    ConfigOption,
    connected,
    load,
)
from node.cli.settlement_files import (
    JsonOption,
    SettlementRefused,
    directory_in,
    names_in,
    read_file,
    statement_in,
)
from node.cli.settlement_shown import (
    own_windows_text,
    payment_text,
    payments_rows,
    payments_text,
    position_rows,
    position_text,
    window_rows,
)
from node.cli.settlement_text import statement_rows, statement_table
from node.proto.vafa.coalition.v1 import coalition_service_pb2, coalition_service_pb2_grpc
from node.proto.vafa.settlement.v1 import merchant_settlement_service_pb2 as pb
from node.proto.vafa.settlement.v1 import settlement_service_pb2 as operator_pb
from node.proto.vafa.settlement.v1.merchant_settlement_service_pb2_grpc import MerchantSettlementServiceStub
from node.settlement.documents import Payment
from node.wire.coalition_directory import read_directory
from node.wire.settlement_camt import BankFileUnreadable, Matched, matched, read_bank_file
from node.wire.settlement_csv import money
from node.wire.settlement_fields import read_wide, wide
from node.wire.settlement_lines import ReadStatement, read_payment, read_signed_statement

_DONE = frozenset({operator_pb.PAYMENT_STATE_PAID, operator_pb.PAYMENT_STATE_REPLACED})
"""Where nothing is left to be paid under a reference."""

FileArgument = Annotated[
    Path | None, typer.Argument(help="A published statement's file; else the running node is asked.")
]
WindowOption = Annotated[int, typer.Option("--window", help="One window of the running node's; -1: all.")]
FileDirectoryOption = Annotated[
    Path | None, typer.Option("--directory", help="With FILE: the signed directory's file.")
]


def show(
    file: FileArgument = None,
    directory: FileDirectoryOption = None,
    window: WindowOption = -1,
    json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
) -> None:
    """Show the node's windows: their state, who signed which close, what is disputed. With --window one of
    them with its statement and payments; with FILE any published statement.
    """
    if file is not None:
        if directory is None:
            raise SettlementRefused("A statement's file is shown by its directory: --directory FILE.")
        _show_statement(statement_in(file), names_in(directory_in(directory).directory), json)
        return
    with connected(config, address, certificate) as channel:
        stub, names = MerchantSettlementServiceStub(channel), _names(channel)
        request = pb.ListOwnWindowsRequest(from_number=max(window, 0), page_size=1 if window >= 0 else 0)
        answer = stub.ListOwnWindows(request, timeout=DEADLINE_SECONDS)
        windows = [one for one in answer.windows if window < 0 or one.number == window]
        if window >= 0 and not windows:
            raise SettlementRefused(f"Window {window} has not begun, or is not in the calendar.")
        kept = [_statement(stub, one.number) for one in windows if window >= 0 and one.statement_kept]
        payments = [_payments_now(stub, one.facts.window) for one in kept if answer.operator_reached]
    if json:
        rows: Any = window_rows(windows)
        if window >= 0:
            rows = rows[0] | {"statement": statement_rows(kept[0]) if kept else None}
            rows |= {"payments": payments_rows(payments[0]) if payments else None}
        typer.echo(json_format.dumps(rows, ensure_ascii=False, indent=2))
        return
    typer.echo(own_windows_text(windows, names, whole=window >= 0))
    if not answer.operator_reached:
        typer.echo("The operator is not reached: the states are what this node knows itself.", err=True)
    for statement in kept:
        typer.echo("\n" + statement_table(statement, names))
    for now in payments:
        typer.echo("\n" + payments_text(now, names, kept[0].facts.currency_exponent))


def _show_statement(statement: ReadStatement, names: dict[str, str], json: bool) -> None:
    if json:
        typer.echo(json_format.dumps(statement_rows(statement), ensure_ascii=False, indent=2))
    else:
        typer.echo(statement_table(statement, names))


def position(
    json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
) -> None:
    """Show what is owed to whom at this moment, how much of the caps is used, the prepaid balance, and what
    is still to be paid.
    """
    with connected(config, address, certificate) as channel:
        names = _names(channel)
        stub = MerchantSettlementServiceStub(channel)
        found = stub.GetPosition(pb.GetPositionRequest(), timeout=DEADLINE_SECONDS)
    if json:
        typer.echo(json_format.dumps(position_rows(found), ensure_ascii=False, indent=2))
    else:
        typer.echo(position_text(found, names))


def paid(
    camt: Annotated[Path, typer.Option(help="The bank's statement: camt.053 or camt.054.")],
    file: FileArgument = None,
    own: Annotated[str, typer.Option("--as", help="With FILE: whose bank statement it is.")] = "",
    window: WindowOption = -1,
    json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
) -> None:
    """Find the payments of statements in what the bank booked, line by line, and tell the operator. With FILE
    nobody is told. Exit status 1 where one of yours is not paid in full.
    """
    try:
        bookings = read_bank_file(read_file(camt))
    except BankFileUnreadable as wrong:
        raise SettlementRefused(f"{camt}: {wrong}") from None
    if file is not None:
        if not own:
            raise SettlementRefused("Say whose bank statement it is: --as PARTNER.")
        statement = statement_in(file)
        payments = _payments_of(statement, own)
        rows = _rows(statement, payments, matched(bookings, payments, statement.facts, own), {})
        _say(rows, json)
        return
    own_id = load(config).merchant.id
    rows = []
    with connected(config, address, certificate) as channel:
        stub = MerchantSettlementServiceStub(channel)
        request = pb.ListOwnWindowsRequest(from_number=max(window, 0), page_size=1 if window >= 0 else 100)
        for one in stub.ListOwnWindows(request, timeout=DEADLINE_SECONDS).windows:
            wanted = one.number == window if window >= 0 else one.state == operator_pb.WINDOW_STATE_PENDING
            if not wanted or not one.statement_kept:
                continue
            statement, now = _statement(stub, one.number), _payments_now(stub, one.number)
            payments = [
                payment for payment in all_payments(now) if own_id in (payment.debtor_id, payment.creditor_id)
            ]
            found = matched(bookings, payments, statement.facts, own_id)
            told = {shown.payment.reference: shown for shown in now.payments} | _tell(stub, statement, found)
            rows += _rows(statement, payments, found, told)
    _say(rows, json)


def all_payments(now: operator_pb.ListPaymentsResponse) -> Iterator[Payment]:
    """A window's payments, and what stands between two as the payment that would end it."""
    yield from (read_payment(shown.payment) for shown in now.payments)
    for one in now.standing:
        yield Payment(one.debtor_id, one.creditor_id, read_wide(one.amount, "standing"), one.reference)


def _payments_now(stub: MerchantSettlementServiceStub, window: int) -> operator_pb.ListPaymentsResponse:
    """The payments as the operator has them, with those that came in the place of others."""
    request = pb.ListOwnPaymentsRequest(window=window)
    answer = stub.ListOwnPayments(request, timeout=DEADLINE_SECONDS)
    if not answer.HasField("at_operator"):
        raise SettlementRefused(
            "The operator is not reached. Nobody was told; do this again later, or name FILE to only look."
        )
    return answer.at_operator


def _tell(
    stub: MerchantSettlementServiceStub, statement: ReadStatement, found: Matched
) -> dict[str, operator_pb.PaymentShown]:
    """Reports what was booked, right and wrong amounts alike; gives what the operator has of each payment."""
    booked = [*found.paid, *(match for match, _ in found.wrong if match.units)]
    if not booked:
        return {}
    window = statement.facts.window
    request = pb.ReportOwnPaymentsRequest(
        window=window,
        bookings=[
            operator_pb.BookedPayment(
                reference=one.booking.reference,
                amount=wide(one.units),
                bank_reference=one.booking.bank_reference,
            )
            for one in booked
        ],
    )
    # The same bookings are the same request, however often the file is read.
    request.request_id = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()[:32]
    answer = stub.ReportOwnPayments(request, timeout=DEADLINE_SECONDS)
    return {one.payment.reference: one for one in answer.payments if one.HasField("payment")}


def _rows(
    statement: ReadStatement,
    payments: Iterable[Payment],
    found: Matched,
    told: dict[str, operator_pb.PaymentShown],
) -> list[dict[str, Any]]:
    booked = {match.payment.reference for match in found.paid}
    done = {reference for reference, one in told.items() if one.state in _DONE}
    why = {match.payment.reference: words for match, words in found.wrong}
    rows = []
    for one in payments:
        shown = told.get(one.reference)
        rows.append(
            {
                "window": statement.facts.window,
                "reference": one.reference,
                "from": one.debtor_id,
                "to": one.creditor_id,
                "amount": money(one.amount, statement.facts.currency_exponent),
                "paid": one.reference in booked | done,
                "problem": why.get(
                    one.reference, "" if one.reference in booked | done else "the bank has no such booking"
                ),
                "operator": operator_pb.PaymentState.Name(shown.state).removeprefix("PAYMENT_STATE_").lower()
                if shown
                else "",
            }
        )
    return rows


def _say(rows: list[dict[str, Any]], json: bool) -> None:
    if json:
        typer.echo(json_format.dumps(rows, ensure_ascii=False, indent=2))
    else:
        typer.echo("\n".join(map(payment_text, rows)) or "No payment of ours is open.")
    if not all(row["paid"] for row in rows):
        raise typer.Exit(1)


def _payments_of(statement: ReadStatement, own: str) -> list[Payment]:
    return [
        one for one in statement.lines if isinstance(one, Payment) and own in (one.debtor_id, one.creditor_id)
    ]


def _statement(stub: MerchantSettlementServiceStub, window: int) -> ReadStatement:
    parts = stub.GetOwnStatement(pb.GetOwnStatementRequest(window=window), timeout=DEADLINE_SECONDS)
    return read_signed_statement(b"".join(one.part for one in parts))


def _names(channel: grpc.Channel) -> dict[str, str]:
    """What partners are called, by the directory that the node follows."""
    stub = coalition_service_pb2_grpc.CoalitionServiceStub(channel)
    answer = stub.GetCoalition(coalition_service_pb2.GetCoalitionRequest(), timeout=DEADLINE_SECONDS)
    if not answer.HasField("signed_directory"):
        return {}
    return names_in(read_directory(answer.signed_directory.SerializeToString(deterministic=True)).directory)
