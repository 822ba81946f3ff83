"""`vafa settlement paid` without a window: a bank file is looked through for all that is still due to us."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

from msgspec.structs import replace

from node.actors.operator_money import NotDone
from node.cli.settlement_paid import PAGE, looked_for
from node.cli.settlement_shown import payment_text
from node.proto.vafa.settlement.v1 import merchant_settlement_service_pb2 as pb
from node.proto.vafa.settlement.v1 import settlement_service_pb2 as operator_pb
from node.proto.vafa.settlement.v1.merchant_settlement_service_pb2_grpc import MerchantSettlementServiceStub
from node.rpc.settlement_money import MoneyCalls
from node.settlement.payments import Booked, PaymentState
from node.settlement.windows import WindowState
from node.wire.settlement_camt import Booking, read_bank_file
from node.wire.settlement_store import WindowRecord
from tests.settlement.test_operator_books import Operator
from tests.settlement.test_operator_payments import LATE, _now, _payments, _published, _reports
from tests.settlement.test_payment_files import _camt, _entry


class Node:
    """A merchant's node that has every statement, with the operator's real books behind it. Windows that its
    operator knows nothing of have begun before those, without a statement.
    """

    def __init__(self, operator: Operator, own_id: str, *, before: int = 0) -> None:
        self.operator, self.own_id, self.before = operator, own_id, before
        self.asked: list[int] = []
        """The windows of which the payments were asked for."""

    @property
    def stub(self) -> MerchantSettlementServiceStub:
        return cast(MerchantSettlementServiceStub, self)

    @property
    def _money(self) -> MoneyCalls:
        return MoneyCalls(self.operator.again(), lambda: LATE, lambda _: operator_pb.SettlementWindow())

    def ListOwnWindows(self, request: pb.ListOwnWindowsRequest, timeout: float) -> pb.ListOwnWindowsResponse:
        early = [pb.OwnWindow(number=one) for one in range(1, self.before + 1)]
        late = []
        for number in (1, 2):
            record = self.operator.again().window(number)
            assert isinstance(record, WindowRecord)
            state = operator_pb.WindowState.ValueType(record.state)
            kept = self.operator.books.statement(number) is not None
            late.append(pb.OwnWindow(number=self.before + number, state=state, statement_kept=kept))
        found = [one for one in early + late if one.number >= request.from_number]
        return pb.ListOwnWindowsResponse(windows=found[: request.page_size], operator_reached=True)

    def GetOwnStatement(
        self, request: pb.GetOwnStatementRequest, timeout: float
    ) -> Iterator[pb.GetOwnStatementResponse]:
        data = self.operator.books.statement_bytes(request.window - self.before)
        return iter([pb.GetOwnStatementResponse(part=data or b"")])

    def ListOwnPayments(
        self, request: pb.ListOwnPaymentsRequest, timeout: float
    ) -> pb.ListOwnPaymentsResponse:
        self.asked.append(request.window)
        asked = operator_pb.ListPaymentsRequest(window=request.window - self.before)
        found = asyncio.run(self._money.ListPayments(asked, self.own_id))
        assert not isinstance(found, NotDone), found
        return pb.ListOwnPaymentsResponse(at_operator=found)

    def ReportOwnPayments(
        self, request: pb.ReportOwnPaymentsRequest, timeout: float
    ) -> pb.ReportOwnPaymentsResponse:
        asked = operator_pb.ReportPaymentsRequest(
            request_id=request.request_id, window=1, bookings=request.bookings
        )
        found = asyncio.run(self._money.ReportPayments(asked, self.own_id))
        assert not isinstance(found, NotDone), found
        return pb.ReportOwnPaymentsResponse(payments=found.payments)

    def looks(self, bookings: list[Booking], window: int = -1) -> list[dict[str, Any]]:
        return looked_for(self.stub, bookings, self.own_id, window)


def _came(*what: tuple[str, int]) -> list[Booking]:
    return read_bank_file(_camt(*(_entry(name, str(amount), "CRDT") for name, amount in what)))


def _settled_with_a_debt() -> tuple[Operator, str, str]:
    """Window 1 is settled without a partner in default: (the books, that partner, one whom it owes)."""
    operator, statement = _published(4)
    debtor = _payments(statement)[0].debtor_id
    operator.books.payments.default("d", 1, debtor, "bankrupt", LATE)
    for one in _now(operator).payments:
        if one.state is PaymentState.DUE:
            whole = Booked(one.payment.reference, one.payment.amount, "B")
            _reports(operator, one.payment.reference, one.payment.creditor_id, whole)
    record = operator.again().window(1)
    assert isinstance(record, WindowRecord)
    assert record.state is WindowState.SETTLED
    creditor = next(one.creditor_id for one in _now(operator).standing if one.debtor_id == debtor)
    return operator, debtor, creditor


def test_what_stands_after_a_default_is_found_in_a_bank_file_though_its_window_is_settled() -> None:
    operator, debtor, creditor = _settled_with_a_debt()
    node = Node(operator, creditor)
    [debt] = [
        one for one in _now(operator).standing if (one.debtor_id, one.creditor_id) == (debtor, creditor)
    ]
    [row] = [row for row in node.looks([]) if row["reference"] == debt.reference]
    assert (row["paid"], row["problem"]) == (False, "the bank has no such booking")
    [row] = [
        row for row in node.looks(_came((debt.reference, debt.amount))) if row["reference"] == debt.reference
    ]
    assert (row["paid"], row["operator"]) == (True, "paid")
    assert debt not in _now(operator).standing


def test_a_payment_that_others_came_in_the_place_of_is_not_said_to_be_paid() -> None:
    operator, debtor, _ = _settled_with_a_debt()
    shown = next(one for one in _now(operator).payments if one.state is PaymentState.REPLACED)
    assert shown.payment.debtor_id == debtor
    rows = Node(operator, shown.payment.creditor_id).looks([], window=1)
    [row] = [row for row in rows if row["reference"] == shown.payment.reference]
    assert (row["paid"], row["replaced"], row["problem"], row["operator"]) == (False, True, "", "replaced")
    assert payment_text(row).startswith("replaced ")


def test_a_debt_may_come_in_two_files_and_each_of_them_may_be_read_again() -> None:
    operator, debtor, creditor = _settled_with_a_debt()
    node = Node(operator, creditor)
    [debt] = [
        one for one in _now(operator).standing if (one.debtor_id, one.creditor_id) == (debtor, creditor)
    ]
    entries = [_entry(debt.reference, str(amount), "CRDT") for amount in (3, debt.amount - 3)]
    files = [_camt(one.replace("BANK-1", f"BANK-{at}")) for at, one in enumerate(entries)]
    for file in (files[0], files[0]):
        node.looks(read_bank_file(file))
        assert replace(debt, amount=debt.amount - 3) in _now(operator).standing
    node.looks(read_bank_file(files[1]))
    assert debt.reference not in {one.reference for one in _now(operator).standing}


def test_money_that_comes_late_under_a_payment_that_was_replaced_is_found_though_nothing_is_due() -> None:
    operator, debtor, _ = _settled_with_a_debt()
    late = next(one.payment for one in _now(operator).payments if one.payment.debtor_id == debtor)
    for debt in _now(operator).standing:
        done = operator.again().payments.confirm(debt.reference, 1, debt.reference, debt.amount, "B", LATE)
        assert isinstance(done, WindowRecord)
    assert _now(operator).standing == ()
    node = Node(operator, late.creditor_id)
    assert node.looks([]) == []
    node.looks(_came((late.reference, late.amount)))
    [back] = _now(operator).standing
    assert (back.debtor_id, back.creditor_id, back.amount) == (late.creditor_id, debtor, late.amount)


def test_a_settled_window_in_which_nothing_is_due_to_us_is_not_spoken_of() -> None:
    operator, statement = _published(3)
    for one in _payments(statement):
        _reports(operator, one.reference, one.creditor_id, Booked(one.reference, one.amount, "B"))
    node = Node(operator, _payments(statement)[0].creditor_id)
    assert node.looks([]) == []
    assert node.looks([], window=1) != []


def test_every_window_is_looked_at_however_many_have_begun() -> None:
    operator, statement = _published(3)
    payment = _payments(statement)[0]
    node = Node(operator, payment.creditor_id, before=2 * PAGE + 3)
    node.looks(_came((payment.reference, payment.amount)))
    assert node.asked == [2 * PAGE + 4]
    assert next(one.state for one in _now(operator).payments if one.payment == payment) is PaymentState.PAID
