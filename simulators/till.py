"""A point-of-sale terminal, as one should be written: the sample that a POS vendor reads.

Four rules carry it:

1. Every change gets a request id and an occurred time once, and is put in the `TillQueue` before it is sent.
2. A call has a deadline. When it passes, or the line breaks, the outcome is *unknown*, never "failed".
3. What is unknown is sent again: the same bytes, so that it takes effect once and its stored answer comes back.
   Between two tries the till waits, each time longer and by chance, so that a hundred tills that lost the same
   node do not come back in the same instant.
4. A refusal says what to do (`simulators.refusal.Action`); a till decides nothing from the words of a message.

The generated classes under `node.proto` are the only code of the node's in it.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from node.proto.vafa.common.v1 import balance_pb2, identifier_pb2, purchase_pb2, transaction_pb2
from node.proto.vafa.pos.v1 import (
    earning_pb2,
    inquiry_pb2,
    operation_pb2,
    pos_service_pb2_grpc,
    spending_pb2,
    undo_pb2,
)
from simulators.enrolment import TillCertificate
from simulators.refusal import Action, Refusal, Refused, refusal_of_error, refusal_of_item
from simulators.till_queue import TillQueue

MAX_BATCH = 500
"""Operations in one Submit, or unanswered on one stream; the node takes up to 5,000."""

_CHANNEL_OPTIONS = (
    # gRPC would wait up to two minutes before it dials again; a customer does not.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 3_000),
    # Finds a line that died without a word, behind carrier NAT for instance.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)
_SENT_BY = {
    "accrue": "Accrue",
    "record_activity": "RecordActivity",
    "authorize": "Authorize",
    "capture": "Capture",
    "void": "Void",
    "redeem": "Redeem",
    "return": "Return",
    "reverse": "Reverse",
}
"""The call for each kind of operation."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a till tries before it calls an outcome unknown and lets the cashier go on."""

    attempts: int = 6
    attempt_seconds: float = 4.0
    total_seconds: float = 20.0
    first_wait_seconds: float = 0.1
    longest_wait_seconds: float = 3.0

    def wait_seconds(self, attempt: int, retry_delay_ms: int, chance: random.Random) -> float:
        """The pause after try number `attempt` (from 0): what the node asks for, and a random part on top."""
        longest = min(self.longest_wait_seconds, self.first_wait_seconds * 2**attempt)
        return retry_delay_ms / 1000 + chance.uniform(0, longest)


class OutcomeUnknown(Exception):
    """No answer within the till's patience. The operation stays in the queue and may have taken effect.

    Either `catch_up` later, when the sale stands; or `give_up` now, when it does not.
    """

    def __init__(self, operation: operation_pb2.Operation | None, refusal: Refusal | None) -> None:
        super().__init__(refusal.message if refusal else "no answer in time")
        self.operation = operation
        self.refusal = refusal


class TillOffline(Exception):
    """The till was told that it has no line; nothing was sent."""


class Till:
    """One till with one connection. Make it inside a running event loop and close it, or use `async with`.

    Questions raise `Refused` or `OutcomeUnknown`. Changes come in two halves: a method that writes the
    operation (`accrual`, `redemption`, …: no I/O), and `send`, or `keep` for a till without a line. The methods
    named after the calls (`accrue`, `redeem`, …) do both.
    """

    def __init__(
        self,
        address: str,
        certificate: TillCertificate,
        *,
        acting_for: str = "",
        queue: TillQueue | None = None,
        patience: Patience | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        new_request_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        chance: random.Random | None = None,
    ) -> None:
        """`acting_for` is "store/terminal" where the certificate is a gateway's; `clock` gives epoch ms."""
        credentials = certificate.channel_credentials()
        self._channel = grpc.aio.secure_channel(address, credentials, options=_CHANNEL_OPTIONS)
        self._pos = pos_service_pb2_grpc.PosServiceStub(self._channel)
        self._terminal_id = acting_for
        self._queue = queue if queue is not None else TillQueue()
        self._patience = patience or Patience()
        self._clock = clock
        self._new_request_id = new_request_id
        self._chance = chance or random.Random()
        self._offline = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection. What is in the queue stays there."""
        await self._channel.close()

    @property
    def unanswered(self) -> int:
        """How many operations have no answer yet."""
        return len(self._queue)

    # --- questions: nothing changes, so they may be asked again at will -----------------------------------

    async def identify(self, member: identifier_pb2.Identifier) -> inquiry_pb2.IdentifyResponse:
        """Who this is, and what can be spent."""
        request = inquiry_pb2.IdentifyRequest(identifier=member)
        answer: inquiry_pb2.IdentifyResponse = await self._persist(self._pos.Identify, request)
        return answer

    async def quote(
        self, member: identifier_pb2.Identifier | None, purchase: purchase_pb2.Purchase
    ) -> inquiry_pb2.QuoteResponse:
        """What the basket would earn, and what could be spent on it."""
        request = inquiry_pb2.QuoteRequest(
            identifier=member, purchase=purchase, occurred_time=self._now(), terminal_id=self._terminal_id
        )
        answer: inquiry_pb2.QuoteResponse = await self._persist(self._pos.Quote, request)
        return answer

    async def balance(self, member: identifier_pb2.Identifier) -> Sequence[balance_pb2.PurseBalance]:
        """What the member's purses hold, with their next expiry."""
        request = inquiry_pb2.GetBalanceRequest(identifier=member)
        answer: inquiry_pb2.GetBalanceResponse = await self._persist(self._pos.GetBalance, request)
        return answer.balances

    async def statement(
        self, member: identifier_pb2.Identifier, *, page_size: int = 50
    ) -> AsyncIterator[transaction_pb2.Transaction]:
        """The member's transactions, newest first, page after page for as long as they are asked for."""
        token = ""
        while True:
            request = inquiry_pb2.ListStatementRequest(
                identifier=member, page_size=page_size, page_token=token
            )
            answer: inquiry_pb2.ListStatementResponse = await self._persist(self._pos.ListStatement, request)
            for transaction in answer.transactions:
                yield transaction
            token = answer.next_page_token
            if not token:
                return

    async def ask(self, operation: operation_pb2.Operation) -> transaction_pb2.Transaction | None:
        """What became of an operation; None where the node does not know it (it may still be on its way)."""
        change = _change_in(operation)
        request = inquiry_pb2.GetTransactionRequest(
            occurred_time=change.occurred_time,
            request_id=change.request_id,
            terminal_id=change.terminal_id,
            identifier=_member_of(change),
        )
        try:
            answer: inquiry_pb2.GetTransactionResponse = await self._persist(
                self._pos.GetTransaction, request
            )
        except Refused as refused:
            if refused.refusal.reason == "TRANSACTION_NOT_FOUND":
                return None
            raise
        return answer.transaction

    # --- changes, written but not sent ---------------------------------------------------------------------

    def accrual(
        self,
        member: identifier_pb2.Identifier | None,
        purchase: purchase_pb2.Purchase,
        occurred_ms: int | None = None,
    ) -> operation_pb2.Operation:
        """Record a purchase; without a member it is anonymous. `occurred_ms` is when the sale closed."""
        request = earning_pb2.AccrueRequest(**self._head(member, occurred_ms), purchase=purchase)
        return operation_pb2.Operation(accrue=request)

    def activity(
        self, member: identifier_pb2.Identifier, code: str, source: str = "till"
    ) -> operation_pb2.Operation:
        """Record an activity that the programme knows by `code`."""
        request = earning_pb2.RecordActivityRequest(**self._head(member), code=code, source=source)
        return operation_pb2.Operation(record_activity=request)

    def authorization(
        self, member: identifier_pb2.Identifier, spends: Iterable[balance_pb2.Spend], *, hold_seconds: int = 0
    ) -> operation_pb2.Operation:
        """Reserve units while the sale is still open."""
        request = spending_pb2.AuthorizeRequest(
            **self._head(member), spends=spends, hold_seconds=hold_seconds
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
        """Spend a reservation; with `spends` only that much of it."""
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
    ) -> operation_pb2.Operation:
        """Spend in one step: all of the spends or none."""
        request = spending_pb2.RedeemRequest(
            **self._head(member), spends=spends, receipt_number=receipt_number
        )
        return operation_pb2.Operation(redeem=request)

    def return_of(
        self,
        member: identifier_pb2.Identifier | None,
        transaction_id: str,
        lines: Iterable[undo_pb2.ReturnedLine] = (),
        *,
        amount_minor: int = 0,
        occurred_ms: int | None = None,
    ) -> operation_pb2.Operation:
        """Take goods back: these lines or this amount; neither means all that is left of the purchase."""
        request = undo_pb2.ReturnRequest(
            **self._head(member, occurred_ms),
            transaction_id=transaction_id,
            lines=lines,
            amount_minor=amount_minor,
        )
        return operation_pb2.Operation(**{"return": request})

    def reversal_of(self, operation: operation_pb2.Operation) -> operation_pb2.Operation:
        """Undo an operation of this till, whether or not it ever arrived."""
        change = _change_in(operation)
        request = undo_pb2.ReverseRequest(
            request_id=self._new_request_id(),
            terminal_id=change.terminal_id,
            identifier=_member_of(change),
            occurred_time=change.occurred_time,
            original_request_id=change.request_id,
        )
        return operation_pb2.Operation(reverse=request)

    # --- changes, sent --------------------------------------------------------------------------------------

    async def accrue(
        self,
        member: identifier_pb2.Identifier | None,
        purchase: purchase_pb2.Purchase,
        occurred_ms: int | None = None,
    ) -> earning_pb2.AccrueResponse:
        """Record a purchase now."""
        return (await self.send(self.accrual(member, purchase, occurred_ms))).accrue

    async def redeem(
        self,
        member: identifier_pb2.Identifier,
        spends: Iterable[balance_pb2.Spend],
        *,
        receipt_number: str = "",
    ) -> spending_pb2.RedeemResponse:
        """Spend now."""
        return (await self.send(self.redemption(member, spends, receipt_number=receipt_number))).redeem

    async def reverse(self, operation: operation_pb2.Operation) -> undo_pb2.ReverseResponse:
        """Undo an operation now."""
        return (await self.send(self.reversal_of(operation))).reverse

    async def send(self, operation: operation_pb2.Operation) -> operation_pb2.OperationResult:
        """Do an operation, as often as it takes to have an answer.

        `Refused`: it moved nothing. `OutcomeUnknown`: the till's patience is over, the operation stays in the
        queue. `TillOffline`: it was never sent; `keep` it if the sale stands all the same.
        """
        if self._offline:
            raise TillOffline("the till has no line")
        kind = operation.WhichOneof("operation") or ""
        number = self._queue.put(operation)
        try:
            answer = await self._persist(getattr(self._pos, _SENT_BY[kind]), _change_in(operation))
        except Refused:
            self._queue.remove(number)
            raise
        except OutcomeUnknown as unknown:
            raise OutcomeUnknown(operation, unknown.refusal) from unknown
        self._queue.remove(number)
        return operation_pb2.OperationResult(**{kind: answer})

    async def give_up(self, operation: operation_pb2.Operation) -> undo_pb2.ReverseResponse:
        """Undo an operation of unknown outcome, when the customer has left. Should this be unknown too, both
        stay in the queue, in this order: executed, if at all, and then undone."""
        answer = await self.reverse(operation)
        self._forget(operation)
        return answer

    # --- without a line ---------------------------------------------------------------------------------------

    def go_offline(self) -> None:
        """Send nothing until `catch_up`."""
        self._offline = True

    def keep(self, operation: operation_pb2.Operation) -> None:
        """Put an operation in the queue for later. Earning is safe to keep; what is spent needs the node."""
        self._queue.put(operation)

    async def catch_up(
        self, *, over_stream: bool = False
    ) -> list[tuple[operation_pb2.Operation, operation_pb2.OperationResult]]:
        """The line is back: send what is queued, oldest first, by Submit or over one SubmitStream.

        Gives each operation with its final answer, which may be a refusal for the cashier to see. What the node
        could not say anything final about stays in the queue: see `unanswered`.
        """
        self._offline = False
        settled: list[tuple[operation_pb2.Operation, operation_pb2.OperationResult]] = []
        attempt = 0
        while len(self._queue) and attempt < self._patience.attempts:
            queued = self._queue.oldest(MAX_BATCH)
            operations = [operation for _, operation in queued]
            results = await (self._stream(operations) if over_stream else self._submit(operations))
            retry_delay_ms, before = 0, len(settled)
            for (number, operation), result in zip(queued, results, strict=False):
                refusal = refusal_of_item(result.refusal) if result.HasField("refusal") else None
                if refusal is not None and refusal.action in (Action.RETRY, Action.ASK):
                    retry_delay_ms = max(retry_delay_ms, refusal.retry_delay_ms)
                    continue
                self._queue.remove(number)
                settled.append((operation, result))
            if len(settled) - before < len(queued):
                attempt += 1
                await asyncio.sleep(self._patience.wait_seconds(attempt, retry_delay_ms, self._chance))
        return settled

    async def _submit(self, operations: list[operation_pb2.Operation]) -> list[operation_pb2.OperationResult]:
        try:
            answer = await self._persist(self._pos.Submit, operation_pb2.SubmitRequest(operations=operations))
        except OutcomeUnknown:
            return []
        return list(answer.results)

    async def _stream(self, operations: list[operation_pb2.Operation]) -> list[operation_pb2.OperationResult]:
        """As many answers as came before the stream ended; they come in the order of the operations."""
        requests = [operation_pb2.SubmitStreamRequest(operation=operation) for operation in operations]
        results: list[operation_pb2.OperationResult] = []
        try:
            async for answer in self._pos.SubmitStream(iter(requests), timeout=self._patience.total_seconds):
                results.append(answer.result)
        except grpc.aio.AioRpcError as error:
            refusal = refusal_of_error(error)
            if refusal.action not in (Action.RETRY, Action.ASK):
                raise Refused(refusal) from error
        return results

    # --- the retry discipline ----------------------------------------------------------------------------------

    async def _persist(self, call: Callable[..., Any], request: Any) -> Any:
        """Call until there is an answer: the same message each time, within the till's patience."""
        give_up_at = time.monotonic() + self._patience.total_seconds
        last: Refusal | None = None
        unknown = False
        for attempt in range(self._patience.attempts):
            left_seconds = give_up_at - time.monotonic()
            if left_seconds <= 0:
                break
            try:
                return await call(request, timeout=min(self._patience.attempt_seconds, left_seconds))
            except grpc.aio.AioRpcError as error:
                last = refusal_of_error(error)
            if last.action not in (Action.RETRY, Action.ASK):
                raise Refused(last)
            unknown = unknown or last.action is Action.ASK
            await asyncio.sleep(self._patience.wait_seconds(attempt, last.retry_delay_ms, self._chance))
        if last is None or unknown:
            raise OutcomeUnknown(None, last)
        # Each answer said that nothing was done.
        raise Refused(last)

    def _forget(self, operation: operation_pb2.Operation) -> None:
        for number, queued in self._queue.oldest(len(self._queue)):
            if _change_in(queued).request_id == _change_in(operation).request_id:
                self._queue.remove(number)

    def _head(
        self, member: identifier_pb2.Identifier | None, occurred_ms: int | None = None
    ) -> dict[str, Any]:
        """What every change begins with. Decided here, once: a retry repeats it."""
        return {
            "request_id": self._new_request_id(),
            "terminal_id": self._terminal_id,
            "identifier": member,
            "occurred_time": self._now() if occurred_ms is None else timestamp(occurred_ms),
        }

    def _now(self) -> Timestamp:
        return timestamp(self._clock())


def timestamp(epoch_ms: int) -> Timestamp:
    """Epoch milliseconds as protobuf's Timestamp."""
    moment = Timestamp()
    moment.FromMilliseconds(epoch_ms)
    return moment


def _change_in(operation: operation_pb2.Operation) -> Any:
    """The one request inside an operation."""
    return getattr(operation, operation.WhichOneof("operation") or "")


def _member_of(change: Any) -> identifier_pb2.Identifier | None:
    """The identifier as the change carried it; None for an anonymous sale."""
    return change.identifier if change.HasField("identifier") else None
