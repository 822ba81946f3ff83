"""What a till asks a node to change, written down but not yet sent.

Each method makes one `Operation` with a request id and an occurred time of its own. Both are decided here,
once: whoever sends the operation again sends the same.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from node.proto.vafa.coalition.v1 import envelope_pb2
from node.proto.vafa.common.v1 import balance_pb2, identifier_pb2, purchase_pb2
from node.proto.vafa.pos.v1 import earning_pb2, operation_pb2, spending_pb2, undo_pb2


class OperationWriter:
    """Writes the operations of one terminal; no I/O but the clock.

    Where a method takes `occurred_ms` (epoch milliseconds) it is when it happened at the till; None is now.
    """

    def __init__(
        self,
        *,
        acting_for: str = "",
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        new_request_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        """`acting_for` is "store/terminal" where the certificate is a gateway's; `clock` gives epoch ms;
        a request id is 1 to 64 of A-Z a-z 0-9 . _ : - and never used twice by the terminal."""
        self.terminal_id = acting_for
        self._clock = clock
        self._new_request_id = new_request_id

    def now(self) -> Timestamp:
        """The till's clock."""
        return timestamp(self._clock())

    def accrual(
        self,
        member: identifier_pb2.Identifier | None,
        purchase: purchase_pb2.Purchase,
        occurred_ms: int | None = None,
    ) -> operation_pb2.Operation:
        """Record a purchase; without a member it is anonymous and may be claimed later."""
        request = earning_pb2.AccrueRequest(**self._head(member, occurred_ms), purchase=purchase)
        return operation_pb2.Operation(accrue=request)

    def activity(
        self, member: identifier_pb2.Identifier, code: str, *, source: str = "till"
    ) -> operation_pb2.Operation:
        """Record an activity that the programme knows by `code`."""
        request = earning_pb2.RecordActivityRequest(**self._head(member), code=code, source=source)
        return operation_pb2.Operation(record_activity=request)

    def authorization(
        self,
        member: identifier_pb2.Identifier,
        spends: Iterable[balance_pb2.Spend],
        *,
        hold_seconds: int = 0,
        proof: envelope_pb2.MemberProof | None = None,
    ) -> operation_pb2.Operation:
        """Reserve units while the sale is still open; 0 seconds is the node's default. `proof` is how a
        member of another merchant agrees."""
        request = spending_pb2.AuthorizeRequest(
            **self._head(member), spends=spends, hold_seconds=hold_seconds, proof=proof
        )
        return operation_pb2.Operation(authorize=request)

    def capture_of(
        self,
        member: identifier_pb2.Identifier,
        authorization_id: str,
        spends: Iterable[balance_pb2.Spend] = (),
        *,
        receipt_number: str = "",
    ) -> operation_pb2.Operation:
        """Spend a reservation; with `spends` only that much of it, and the rest goes back."""
        request = spending_pb2.CaptureRequest(
            **self._head(member),
            authorization_id=authorization_id,
            spends=spends,
            receipt_number=receipt_number,
        )
        return operation_pb2.Operation(capture=request)

    def void_of(self, member: identifier_pb2.Identifier, authorization_id: str) -> operation_pb2.Operation:
        """Let a reservation go."""
        request = spending_pb2.VoidRequest(**self._head(member), authorization_id=authorization_id)
        return operation_pb2.Operation(void=request)

    def redemption(
        self,
        member: identifier_pb2.Identifier,
        spends: Iterable[balance_pb2.Spend],
        *,
        receipt_number: str = "",
        proof: envelope_pb2.MemberProof | None = None,
    ) -> operation_pb2.Operation:
        """Spend in one step: all of the spends or none. `proof` is as in `authorization`."""
        request = spending_pb2.RedeemRequest(
            **self._head(member), spends=spends, receipt_number=receipt_number, proof=proof
        )
        return operation_pb2.Operation(redeem=request)

    def proof_request(
        self, member: identifier_pb2.Identifier, spends: Iterable[balance_pb2.Spend]
    ) -> spending_pb2.RequestProofRequest:
        """Have a code sent to a member of another merchant, with which it agrees to spend so much."""
        return spending_pb2.RequestProofRequest(**self._head(member), spends=spends)

    def return_of(
        self,
        member: identifier_pb2.Identifier | None,
        transaction_id: str,
        lines: Iterable[undo_pb2.ReturnedLine] = (),
        *,
        amount_minor: int = 0,
        occurred_ms: int | None = None,
    ) -> operation_pb2.Operation:
        """Take goods back: these lines, or this amount; neither means all that is left of the purchase."""
        request = undo_pb2.ReturnRequest(
            **self._head(member, occurred_ms),
            transaction_id=transaction_id,
            lines=lines,
            amount_minor=amount_minor,
        )
        operation = operation_pb2.Operation()
        # "return" is a word of Python's, so the field cannot be named as an argument.
        getattr(operation, "return").CopyFrom(request)
        return operation

    def reversal_of(self, operation: operation_pb2.Operation) -> operation_pb2.Operation:
        """Undo an operation of this terminal, whether or not it ever arrived."""
        change = change_in(operation)
        request = undo_pb2.ReverseRequest(
            request_id=self._new_request_id(),
            terminal_id=change.terminal_id,
            identifier=member_of(change),
            occurred_time=change.occurred_time,
            original_request_id=change.request_id,
        )
        return operation_pb2.Operation(reverse=request)

    def _head(self, member: identifier_pb2.Identifier | None, occurred_ms: int | None = None) -> Any:
        """What every change begins with, as keyword arguments."""
        return {
            "request_id": self._new_request_id(),
            "terminal_id": self.terminal_id,
            "identifier": member,
            "occurred_time": self.now() if occurred_ms is None else timestamp(occurred_ms),
        }


def timestamp(epoch_ms: int) -> Timestamp:
    """Epoch milliseconds as protobuf's Timestamp."""
    moment = Timestamp()
    moment.FromMilliseconds(epoch_ms)
    return moment


def change_in(operation: operation_pb2.Operation) -> Any:
    """The one request inside an operation: an AccrueRequest, a RedeemRequest, …"""
    return getattr(operation, operation.WhichOneof("operation") or "")


def member_of(change: Any) -> identifier_pb2.Identifier | None:
    """The identifier as the change carries it; None for an anonymous sale."""
    return change.identifier if change.HasField("identifier") else None
