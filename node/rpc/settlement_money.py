"""The operator's service, its calls about money: payments, defaults, balances, corrections, positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from node.actors.operator_books import OperatorBooks
from node.actors.operator_money import NotDone, Why
from node.actors.operator_positions import Position, positions
from node.coalition.directory import OPERATOR_ID
from node.proto.vafa.settlement.v1 import settlement_service_pb2 as pb
from node.settlement.payments import Booked, PaymentNow
from node.settlement.prepaid import Balance, standing
from node.settlement.statement import prepaid_partners
from node.settlement.windows import partners_of, terms_of
from node.wire.settlement_fields import read_wide, stamp, wide
from node.wire.settlement_lines import payment_message, read_correction
from node.wire.settlement_store import WindowRecord

T = TypeVar("T")
MAX_REASON = 200


class MoneyCalls:
    """The calls, each after its caller was admitted. `window` shows a window as it is now."""

    def __init__(
        self,
        books: OperatorBooks,
        clock_ms: Callable[[], int],
        window: Callable[[WindowRecord], pb.SettlementWindow],
    ) -> None:
        self._books = books
        self._clock_ms = clock_ms
        self._window = window

    async def ConfirmPayment(
        self, request: pb.ConfirmPaymentRequest, caller: str
    ) -> pb.ConfirmPaymentResponse | NotDone:
        """Marks a payment as made."""
        record = self._books.payments.confirm(
            request.request_id,
            request.window,
            request.reference,
            read_wide(request.amount, "ConfirmPaymentRequest.amount"),
            request.bank_reference,
            self._clock_ms(),
        )
        if isinstance(record, NotDone):
            return record
        return pb.ConfirmPaymentResponse(window=self._window(record))

    async def ListPayments(
        self, request: pb.ListPaymentsRequest, caller: str
    ) -> pb.ListPaymentsResponse | NotDone:
        """The payments of a window as they stand."""
        found = self._books.payments.now(request.window)
        if isinstance(found, NotDone):
            return found
        return pb.ListPaymentsResponse(
            payments=[_payment(one) for one in found.payments],
            defaulted=[
                pb.Defaulted(partner_id=one.partner_id, reason=one.reason, declare_time=stamp(one.at_ms))
                for one in found.defaulted
            ],
            standing=[
                pb.StandingDebt(
                    debtor_id=one.debtor_id,
                    creditor_id=one.creditor_id,
                    amount=wide(one.amount),
                    reference=one.reference,
                )
                for one in found.standing
            ],
            due_time=stamp(found.due_ms),
        )

    async def ReportPayments(
        self, request: pb.ReportPaymentsRequest, caller: str
    ) -> pb.ReportPaymentsResponse | NotDone:
        """Takes what a bank booked of the caller's payments."""
        bookings = [
            Booked(one.reference, read_wide(one.amount, "BookedPayment.amount"), one.bank_reference)
            for one in request.bookings
        ]
        found = self._books.payments.report(
            request.request_id, request.window, caller, bookings, self._clock_ms()
        )
        if isinstance(found, NotDone):
            return found
        payments, record = found
        return pb.ReportPaymentsResponse(
            payments=[pb.PaymentShown() if one is None else _payment(one) for one in payments],
            window=self._window(record),
        )

    async def DeclareDefault(
        self, request: pb.DeclareDefaultRequest, caller: str
    ) -> pb.DeclareDefaultResponse | NotDone:
        """Declares a partner in default."""
        if not 0 < len(request.reason) <= MAX_REASON:
            return NotDone(
                Why.INVALID,
                f"A default has a reason of at most {MAX_REASON} characters. Nothing was changed.",
            )
        record = self._books.payments.default(
            request.request_id, request.window, request.partner_id, request.reason, self._clock_ms()
        )
        if isinstance(record, NotDone):
            return record
        return pb.DeclareDefaultResponse(window=self._window(record))

    async def TopUp(self, request: pb.TopUpRequest, caller: str) -> pb.TopUpResponse | NotDone:
        """Adds to a prepaid balance."""
        amount = read_wide(request.amount, "TopUpRequest.amount")
        record = self._books.money.top_up(request.request_id, request.partner_id, amount)
        if isinstance(record, NotDone):
            return record
        return pb.TopUpResponse(balance=self._balance(request.partner_id, record.balance))

    async def AddCorrection(
        self, request: pb.AddCorrectionRequest, caller: str
    ) -> pb.AddCorrectionResponse | NotDone:
        """Puts something right in the next statement."""
        correction = read_correction(request.correction)
        ids = {OPERATOR_ID, *(one.partner_id for one in self._books.directory.partners)}
        parties = {correction.debtor_id, correction.creditor_id}
        if correction.micro <= 0 or len(parties) < 2 or not parties <= ids:
            return NotDone(
                Why.INVALID, "A correction is between two partners, of more than 0. Nothing was kept."
            )
        return self._books.money.correct(request.request_id, correction) or pb.AddCorrectionResponse()

    async def ListPositions(self, request: pb.ListPositionsRequest, caller: str) -> pb.ListPositionsResponse:
        """How partners stand; for a partner itself alone."""
        found = positions(self._books)
        mine = [one for one in found if caller in (OPERATOR_ID, one.partner_id)]
        return pb.ListPositionsResponse(positions=[self._position(one) for one in mine])

    async def ListPrepaidBalances(
        self, request: pb.ListPrepaidBalancesRequest, caller: str
    ) -> pb.ListPrepaidBalancesResponse:
        """All prepaid balances; for a partner its own."""
        directory = self._books.directory
        window = max((one.number for one in directory.windows), default=0)
        ahead = sorted(prepaid_partners(directory, partners_of(directory, window)))
        return pb.ListPrepaidBalancesResponse(
            balances=[
                self._balance(one, self._books.money.balance(one).balance)
                for one in ahead
                if caller in (OPERATOR_ID, one)
            ]
        )

    def _balance(self, partner_id: str, balance: Balance) -> pb.PrepaidBalance:
        directory = self._books.directory
        now = directory.window_at(self._clock_ms())
        terms = terms_of(directory, now.number if now else 0)
        found = standing(balance, terms.prepaid_alert_percents if terms else ())
        return pb.PrepaidBalance(
            partner_id=partner_id,
            balance=wide(balance.left),
            full=wide(balance.full),
            alert_percent=found.alert_percent,
            used_up=found.used_up,
        )

    def _position(self, one: Position) -> pb.PartnerPosition:
        return pb.PartnerPosition(
            partner_id=one.partner_id,
            window=one.window,
            net=wide(one.net),
            unpaid=wide(one.unpaid),
            awaited=wide(one.awaited),
            prepaid=None if one.prepaid is None else self._balance(one.partner_id, one.prepaid),
            silent_windows=one.silent_windows,
            defaulted_windows=one.defaulted_windows,
            suspend=one.suspend,
            reason=one.reason,
        )


def _payment(one: PaymentNow) -> pb.PaymentShown:
    return pb.PaymentShown(
        payment=payment_message(one.payment),
        state=pb.PaymentState.ValueType(one.state),
        booked_amount=wide(one.booked) if one.booked else b"",
        bank_reference=one.bank_reference,
    )
