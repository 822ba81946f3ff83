"""`vafa operator run`, `window`, `settle`, `paid`, `top-up`: settlement windows at the operator."""

from __future__ import annotations

import json as json_format
import uuid
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import grpc
import typer

from node.cli.operator_files import write_files
from node.cli.operator_home import OperatorHome, OperatorRefused
from node.cli.operator_money import names_of, newest_terms
from node.cli.operator_service import CALL_SECONDS, calling, serve
from node.cli.settlement_paid import all_payments, booked_messages, content_id
from node.cli.settlement_shown import payments_text, prepaid_text
from node.cli.settlement_text import statement_table, window_table
from node.proto.vafa.settlement.v1 import settlement_service_pb2 as pb
from node.proto.vafa.settlement.v1 import statement_pb2
from node.proto.vafa.settlement.v1.settlement_service_pb2_grpc import SettlementServiceStub
from node.settlement.documents import OPERATOR_ID, StatementFacts
from node.settlement.netting import MICRO_EXPONENT
from node.settlement.windows import terms_of
from node.wire.settlement_camt import BankFileUnreadable, matched, read_bank_file
from node.wire.settlement_fields import wide
from node.wire.settlement_lines import read_signed_statement

DirectoryOption = Annotated[
    Path, typer.Option("--dir", envvar="VAFA_OPERATOR", help="The operator's directory, as `init` made it.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
NumberArgument = Annotated[int, typer.Argument(help="The window's number; `window list` shows them.")]
HERE = Path()

window = typer.Typer(help="Settlement windows: open, close, list.", no_args_is_help=True)


def run(
    directory: DirectoryOption = HERE,
    listen: Annotated[str, typer.Option(help="IP:port to serve partners at; else as the terms say.")] = "",
) -> None:
    """Serve partners: take their closes, give out statements. Ctrl-C ends it in good order."""
    serve(OperatorHome(directory), listen)


@window.command("open")
def window_open(directory: DirectoryOption = HERE, json: JsonOption = False) -> None:
    """Say which window is open now. They open by the published calendar, without a command."""
    home = OperatorHome(directory)
    published = home.published()
    if published is None:
        raise OperatorRefused("No directory is published yet. `vafa operator publish` first.")
    with calling(home) as channel:
        windows = (
            _stub(channel).ListWindows(pb.ListWindowsRequest(page_size=500), timeout=CALL_SECONDS).windows
        )
    newest = [one for one in windows if one.state == pb.WINDOW_STATE_OPEN][-1:]
    if not newest:
        raise OperatorRefused(
            "No window is open: the calendar has ended. `vafa operator publish` extends it."
        )
    if terms_of(published.directory, newest[0].number) is None:
        typer.echo("No settlement terms apply to it: add [[settlement]] to the terms and publish.", err=True)
    _show(newest, json)


@window.command("close")
def window_close(number: NumberArgument, directory: DirectoryOption = HERE, json: JsonOption = False) -> None:
    """Close a window whose cut has passed. Traffic goes on: it is in the next window already."""
    with calling(OperatorHome(directory)) as channel:
        request = pb.CloseWindowRequest(request_id=str(uuid.uuid4()), number=number)
        answer = _stub(channel).CloseWindow(request, timeout=CALL_SECONDS)
    _show([answer.window], json)


@window.command("list")
def window_list(
    directory: DirectoryOption = HERE,
    json: JsonOption = False,
    from_number: Annotated[int, typer.Option("--from", help="From which number on.")] = 0,
) -> None:
    """List the windows that have begun: their state, closes and payments."""
    with calling(OperatorHome(directory)) as channel:
        request = pb.ListWindowsRequest(from_number=from_number)
        windows = _stub(channel).ListWindows(request, timeout=CALL_SECONDS).windows
    _show(list(windows), json)


def settle(
    number: NumberArgument,
    directory: DirectoryOption = HERE,
    out: Annotated[Path | None, typer.Option(help="Where to write the statement's file.")] = None,
    without_missing: Annotated[
        bool, typer.Option(help="Settle although pairs still have time to sign; they are left out.")
    ] = False,
) -> None:
    """Compute, sign and publish a closed window's statement, show it, and write the payment files."""
    home = OperatorHome(directory)
    with calling(home) as channel:
        request = pb.SettleWindowRequest(
            request_id=str(uuid.uuid4()), number=number, without_missing=without_missing
        )
        _stub(channel).SettleWindow(request, timeout=CALL_SECONDS)
        data = _statement(channel, number)
        balances = (
            _stub(channel).ListPrepaidBalances(pb.ListPrepaidBalancesRequest(), timeout=CALL_SECONDS).balances
        )
    path = out or home.directory / f"window-{number}.statement"
    path.write_bytes(data)
    statement = read_signed_statement(data)
    typer.echo(statement_table(statement, names_of(home)))
    for one in balances:
        if one.used_up or one.alert_percent < 100:
            exponent = newest_terms(home).currency_exponent
            typer.echo(f"{one.partner_id}: {prepaid_text(one, exponent)}", err=True)
    write_files(home, statement, path)
    typer.echo(f"Written: {path}. Anyone checks it with: vafa-verify {path} --directory FILE")


def paid(
    number: NumberArgument,
    reference: Annotated[str, typer.Argument(help="The payment's reference; without, name --camt.")] = "",
    bank: Annotated[str, typer.Option(help="What the bank calls it.")] = "",
    camt: Annotated[Path | None, typer.Option(help="Its bank statement, camt.053 or camt.054.")] = None,
    directory: DirectoryOption = HERE,
) -> None:
    """Mark a payment of a statement as made in full, or all that the operator's bank booked."""
    home = OperatorHome(directory)
    if bool(reference) == (camt is not None):
        raise OperatorRefused("Name a payment's reference, or a bank's file with --camt. Nothing was done.")
    with calling(home) as channel:
        stub = _stub(channel)
        now = stub.ListPayments(pb.ListPaymentsRequest(window=number), timeout=CALL_SECONDS)
        if camt is not None:
            facts = read_signed_statement(_statement(channel, number)).facts
            bookings = _booked(camt, now, facts)
            _report(stub, number, bookings)
        else:
            _confirm(stub, number, reference, bank, now)
        now = stub.ListPayments(pb.ListPaymentsRequest(window=number), timeout=CALL_SECONDS)
        windows = stub.ListWindows(
            pb.ListWindowsRequest(from_number=number, page_size=1), timeout=CALL_SECONDS
        )
    typer.echo(payments_text(now, names_of(home), newest_terms(home).currency_exponent))
    _show(list(windows.windows), json=False)


def _confirm(
    stub: SettlementServiceStub, number: int, reference: str, bank: str, now: pb.ListPaymentsResponse
) -> None:
    due = {one.payment.reference: one.payment.amount for one in now.payments}
    between = {one.reference: one.amount for one in now.standing}
    due |= between
    # A payment is made once; what stands between two may be paid, stand again, and be paid again.
    left = f" {between[reference].hex()}" if reference in between else ""
    if reference not in due:
        raise OperatorRefused(f"Window {number} has no payment {reference}. Nothing was marked.")
    request = pb.ConfirmPaymentRequest(
        request_id=f"paid {number} {reference}{left}",
        window=number,
        reference=reference,
        amount=due[reference],
        bank_reference=bank,
    )
    stub.ConfirmPayment(request, timeout=CALL_SECONDS)


def _booked(camt: Path, now: pb.ListPaymentsResponse, facts: StatementFacts) -> list[pb.BookedPayment]:
    """What the operator's bank booked of a statement's payments, with amounts that are wrong."""
    try:
        bookings, standing = read_bank_file(camt.read_bytes()), {one.reference for one in now.standing}
        found = matched(bookings, list(all_payments(now)), facts, OPERATOR_ID, standing)
    except BankFileUnreadable as wrong:
        raise OperatorRefused(f"{camt}: {wrong}") from None
    for match, why in found.wrong:
        typer.echo(f"{match.booking.reference}: {why}", err=True)
    return booked_messages(found)


def _report(stub: SettlementServiceStub, number: int, bookings: list[pb.BookedPayment]) -> None:
    if not bookings:
        raise OperatorRefused(f"The bank booked no payment of window {number} of the operator's.")
    request = pb.ReportPaymentsRequest(window=number, bookings=bookings)
    request.request_id = content_id(request)
    stub.ReportPayments(request, timeout=CALL_SECONDS)


def top_up(
    partner: Annotated[str, typer.Argument(help="The prepaid partner.")],
    amount: Annotated[str, typer.Argument(help="In the settlement currency, such as 1500000 or 12.50.")],
    reference: Annotated[str, typer.Option(help="What the bank calls it; the same one is added once.")],
    directory: DirectoryOption = HERE,
) -> None:
    """Add money that came in to a prepaid partner's balance."""
    home = OperatorHome(directory)
    terms = newest_terms(home)
    units = _units(amount, terms.currency_exponent)
    if units is None:
        raise OperatorRefused(f"{amount} is not an amount of {terms.currency}. Nothing was added.")
    with calling(home) as channel:
        request = pb.TopUpRequest(
            request_id=f"top-up {reference}",
            partner_id=partner,
            amount=wide(units),
            bank_reference=reference,
        )
        balance = _stub(channel).TopUp(request, timeout=CALL_SECONDS).balance
    left = Decimal(int.from_bytes(balance.balance, "big", signed=True)).scaleb(-terms.currency_exponent)
    typer.echo(f"{partner} has {left:f} {terms.currency} left.")


def correct(
    debtor: Annotated[str, typer.Argument(help="Who owes.")],
    creditor: Annotated[str, typer.Argument(help="Whom; `operator` for a fee.")],
    amount: Annotated[str, typer.Argument(help="In the settlement currency, at most six decimal places.")],
    of_window: Annotated[int, typer.Option(help="The earlier window that had it wrong.")],
    note: Annotated[str, typer.Option(help="Why; it stands in the statement, for everybody to read.")],
    request_id: Annotated[str, typer.Option(help="A name for this correction; one name counts once.")],
    directory: DirectoryOption = HERE,
) -> None:
    """Put something of an earlier window right in the next statement, as both sides agreed."""
    micro = _units(amount, MICRO_EXPONENT)
    if micro is None:
        raise OperatorRefused(f"{amount!r} is not an amount above 0. Nothing was kept.")
    with calling(OperatorHome(directory)) as channel:
        request = pb.AddCorrectionRequest(
            request_id=f"correction {request_id}",
            correction=statement_pb2.Correction(
                of_window=of_window, debtor_id=debtor, creditor_id=creditor, micro=wide(micro), note=note
            ),
        )
        _stub(channel).AddCorrection(request, timeout=CALL_SECONDS)
    typer.echo(f"In the next statement {debtor} owes {creditor} {amount} more.")


def _units(amount: str, exponent: int) -> int | None:
    """An amount above 0 in units of 10^-exponent; None where it is none."""
    try:
        units = Decimal(amount).scaleb(exponent)
    except InvalidOperation:
        return None
    whole = units.is_finite() and units == units.to_integral_value() and units > 0
    return int(units) if whole else None


def _stub(channel: grpc.Channel) -> SettlementServiceStub:
    return SettlementServiceStub(channel)


def _statement(channel: grpc.Channel, number: int) -> bytes:
    parts = _stub(channel).GetStatement(pb.GetStatementRequest(window=number), timeout=CALL_SECONDS)
    return b"".join(part.part for part in parts)


def _show(windows: list[pb.SettlementWindow], json: bool) -> None:
    if json:
        rows = [
            {
                "number": one.number,
                "state": pb.WindowState.Name(one.state).removeprefix("WINDOW_STATE_").lower(),
                "cut": one.cut_time.ToJsonString(),
                "closes": one.closes,
                "pairs": one.pairs,
                "payments_made": one.payments_made,
                "payments": one.payments,
            }
            for one in windows
        ]
        typer.echo(json_format.dumps(rows, indent=2))
    else:
        typer.echo(window_table(windows))
