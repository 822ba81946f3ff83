"""`vafa settlement paid`: a bank's file beside what is still to be paid, and the operator told of it."""

from __future__ import annotations

import hashlib
import json as json_format
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.message import Message

from node.cli.connection import (
    DEADLINE_SECONDS,
    DEFAULT_CONFIG,
    AddressOption,
    CertificateOption,
    ConfigOption,
    connected,
    load,
)
from node.cli.settlement_files import JsonOption, SettlementRefused, read_file, statement_in
from node.cli.settlement_node import FileArgument, WindowOption, own_statement, payments_now
from node.cli.settlement_shown import payment_text
from node.proto.vafa.settlement.v1 import merchant_settlement_service_pb2 as pb
from node.proto.vafa.settlement.v1 import settlement_service_pb2 as operator_pb
from node.proto.vafa.settlement.v1.merchant_settlement_service_pb2_grpc import MerchantSettlementServiceStub
from node.settlement.documents import Payment
from node.wire.settlement_camt import BankFileUnreadable, Booking, Matched, matched, read_bank_file
from node.wire.settlement_csv import money
from node.wire.settlement_fields import read_wide, wide
from node.wire.settlement_lines import ReadStatement, read_payment

PAGE = 50
"""Windows that are asked for at once: of so many the operator says the state in one answer."""
_DONE = frozenset({operator_pb.PAYMENT_STATE_PAID, operator_pb.PAYMENT_STATE_REPLACED})
"""Where nothing is left to be paid under a reference."""


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
        payments = _ours((one for one in statement.lines if isinstance(one, Payment)), own)
        rows = _rows(statement, payments, matched(bookings, payments, statement.facts, own), {})
        _say(rows, json)
        return
    own_id = load(config).merchant.id
    with connected(config, address, certificate) as channel:
        rows = looked_for(MerchantSettlementServiceStub(channel), bookings, own_id, window)
    _say(rows, json)


def looked_for(
    stub: MerchantSettlementServiceStub, bookings: Sequence[Booking], own_id: str, window: int
) -> list[dict[str, Any]]:
    """How each payment of ours stands, a row each, once the operator has been told of the bank's bookings.

    Of one window, or where `window` is below 0 of every one that is not settled, or in which something of
    ours is still due: what stands after a default outlives its window.
    """
    rows = []
    for one in _windows(stub, window):
        if not one.statement_kept:
            continue
        now = payments_now(stub, one.number)
        pending = one.state == operator_pb.WINDOW_STATE_PENDING
        if window < 0 and not pending and not _awaits(now, bookings, own_id):
            continue
        statement = own_statement(stub, one.number)
        payments = _ours(all_payments(now), own_id)
        found = matched(bookings, payments, statement.facts, own_id, {one.reference for one in now.standing})
        told = {shown.payment.reference: shown for shown in now.payments} | _tell(stub, statement, found)
        rows += _rows(statement, payments, found, told)
    return rows


def _windows(stub: MerchantSettlementServiceStub, window: int) -> Iterator[pb.OwnWindow]:
    """One window, or below 0 all that have begun, page after page from the first."""
    if window >= 0:
        request = pb.ListOwnWindowsRequest(from_number=window, page_size=1)
        found = stub.ListOwnWindows(request, timeout=DEADLINE_SECONDS).windows
        yield from (one for one in found if one.number == window)
        return
    number = 1
    while True:
        request = pb.ListOwnWindowsRequest(from_number=number, page_size=PAGE)
        found = stub.ListOwnWindows(request, timeout=DEADLINE_SECONDS).windows
        yield from found
        if len(found) < PAGE:
            return
        number = found[-1].number + 1


def _awaits(now: operator_pb.ListPaymentsResponse, bookings: Iterable[Booking], own_id: str) -> bool:
    """Whether something of ours is still due, or was booked late under what others came in the place of."""
    booked = {one.reference for one in bookings}
    late = operator_pb.PAYMENT_STATE_REPLACED
    return any(own_id in (one.debtor_id, one.creditor_id) for one in now.standing) or any(
        one.state not in _DONE or (one.state == late and one.payment.reference in booked)
        for one in now.payments
        if own_id in (one.payment.debtor_id, one.payment.creditor_id)
    )


def all_payments(now: operator_pb.ListPaymentsResponse) -> Iterator[Payment]:
    """A window's payments, and what stands between two as the payment that would end it."""
    yield from (read_payment(shown.payment) for shown in now.payments)
    for one in now.standing:
        yield Payment(one.debtor_id, one.creditor_id, read_wide(one.amount, "standing"), one.reference)


def booked_messages(found: Matched) -> list[operator_pb.BookedPayment]:
    """What the operator is told of a bank's file."""
    return [
        operator_pb.BookedPayment(
            reference=one.booking.reference, amount=wide(one.units), bank_reference=one.booking.bank_reference
        )
        for one in found.told
    ]


def content_id(request: Message) -> str:
    """An id by what a request says: the same bookings are one request, however often they are read."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()[:32]


def _tell(
    stub: MerchantSettlementServiceStub, statement: ReadStatement, found: Matched
) -> dict[str, operator_pb.PaymentShown]:
    """Reports what was booked, right and wrong amounts alike; gives what the operator has of each payment."""
    bookings = booked_messages(found)
    if not bookings:
        return {}
    request = pb.ReportOwnPaymentsRequest(window=statement.facts.window, bookings=bookings)
    request.request_id = content_id(request)
    answer = stub.ReportOwnPayments(request, timeout=DEADLINE_SECONDS)
    return {one.payment.reference: one for one in answer.payments if one.HasField("payment")}


def _rows(
    statement: ReadStatement,
    payments: Iterable[Payment],
    found: Matched,
    told: dict[str, operator_pb.PaymentShown],
) -> list[dict[str, Any]]:
    states = {reference: one.state for reference, one in told.items()}
    paid_ = {reference for reference, state in states.items() if state == operator_pb.PAYMENT_STATE_PAID}
    booked = {match.payment.reference for match in found.paid} | paid_
    why = {match.payment.reference: words for match, words in found.wrong}
    rows = []
    for one in payments:
        shown, is_paid = told.get(one.reference), one.reference in booked
        replaced = not is_paid and states.get(one.reference) == operator_pb.PAYMENT_STATE_REPLACED
        problem = "" if is_paid or replaced else "the bank has no such booking"
        rows.append(
            {
                "window": statement.facts.window,
                "reference": one.reference,
                "from": one.debtor_id,
                "to": one.creditor_id,
                "amount": money(one.amount, statement.facts.currency_exponent),
                "paid": is_paid,
                "replaced": replaced,
                "problem": why.get(one.reference, problem),
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
    if not all(row["paid"] or row["replaced"] for row in rows):
        raise typer.Exit(1)


def _ours(payments: Iterable[Payment], own: str) -> list[Payment]:
    return [one for one in payments if own in (one.debtor_id, one.creditor_id)]
