"""A point-of-sale terminal, as one should be written: the sample that a POS vendor reads.

Four rules carry it:

1. Every change gets its request id and occurred time once, and is put in the `TillQueue` before it is sent.
2. A call has a deadline. When it passes, or the line breaks, the outcome is *unknown*, never "failed".
3. What is unknown is sent again: the same bytes, so that it takes effect once and its stored answer comes
   back. Between two tries the till waits, each time longer and by chance, so that a hundred tills that lost
   the same node do not come back in the same instant.
4. A refusal says what to do (`simulators.refusal.Action`); a till decides nothing from a message's words.

To this file belong `operations.py` (what is asked), `till_queue.py` (what has no answer yet), `refusal.py`
and `enrolment.py`. Of the node's own code only the classes generated from the protos are used.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc

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
from simulators.operations import OperationWriter, change_in, member_of
from simulators.refusal import Action, Refusal, Refused, refusal_of_error, refusal_of_item
from simulators.till_queue import TillQueue

MAX_BATCH = 500
"""Operations in one Submit, or without answer on one stream; the node takes up to 5,000."""

CHANNEL_OPTIONS = (
    # gRPC would wait up to two minutes before it dials again; a customer does not.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 3_000),
    # Finds a line that died without a word, behind carrier NAT for instance.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)
_CALLS = {
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
        """The pause after try number `attempt` (from 0): what the node asks for, and some by chance."""
        longest = min(self.longest_wait_seconds, self.first_wait_seconds * 2**attempt)
        return retry_delay_ms / 1000 + chance.uniform(0, longest)


class OutcomeUnknown(Exception):
    """No answer within the till's patience. A change stays in the queue; it may have taken effect.

    `catch_up` later where the sale stands; `give_up` now where it does not.
    """

    def __init__(self, last: Refusal | None, operation: operation_pb2.Operation | None = None) -> None:
        super().__init__(last.message if last else "no answer in time")
        self.last = last
        self.operation = operation


class TillOffline(Exception):
    """The till was told that it has no line; nothing was sent."""


class Till:
    """One till with one connection. Make it inside a running event loop and close it, or use `async with`.

    A change is written by `till.write` and then sent by `send`, or kept by `keep` while there is no line.
    """

    def __init__(
        self,
        address: str,
        certificate: TillCertificate,
        *,
        write: OperationWriter | None = None,
        queue: TillQueue | None = None,
        patience: Patience | None = None,
        chance: random.Random | None = None,
    ) -> None:
        """`address` is host:port of the node; the host must be one that the node's certificate names."""
        self._channel = grpc.aio.secure_channel(
            address, certificate.channel_credentials(), options=CHANNEL_OPTIONS
        )
        self.pos = pos_service_pb2_grpc.PosServiceStub(self._channel)
        self.write = write or OperationWriter()
        self._queue = queue if queue is not None else TillQueue()
        self._patience = patience or Patience()
        self._chance = chance or random.Random()
        self._offline = False
        self._certificate = certificate

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

    # --- questions: they change nothing, so they may be asked again at will -----------------------

    async def identify(self, member: identifier_pb2.Identifier) -> inquiry_pb2.IdentifyResponse:
        """Who this is, and what can be spent. `Refused`, `OutcomeUnknown`: as for all questions."""
        request = inquiry_pb2.IdentifyRequest(identifier=member)
        answer: inquiry_pb2.IdentifyResponse = await self._persist(self.pos.Identify, request)
        return answer

    async def quote(
        self, member: identifier_pb2.Identifier | None, purchase: purchase_pb2.Purchase
    ) -> inquiry_pb2.QuoteResponse:
        """What the basket would earn now, and what could be spent on it."""
        request = inquiry_pb2.QuoteRequest(
            identifier=member,
            purchase=purchase,
            occurred_time=self.write.now(),
            terminal_id=self.write.terminal_id,
        )
        answer: inquiry_pb2.QuoteResponse = await self._persist(self.pos.Quote, request)
        return answer

    async def balance(self, member: identifier_pb2.Identifier) -> Sequence[balance_pb2.PurseBalance]:
        """What the member's purses hold, with their next expiry."""
        request = inquiry_pb2.GetBalanceRequest(identifier=member)
        answer: inquiry_pb2.GetBalanceResponse = await self._persist(self.pos.GetBalance, request)
        return answer.balances

    async def statement(
        self, member: identifier_pb2.Identifier, *, page_size: int = 50
    ) -> AsyncIterator[transaction_pb2.Transaction]:
        """The member's transactions, newest first; a further page is fetched when it is reached."""
        token = ""
        while True:
            request = inquiry_pb2.ListStatementRequest(
                identifier=member, page_size=page_size, page_token=token
            )
            answer: inquiry_pb2.ListStatementResponse = await self._persist(self.pos.ListStatement, request)
            for transaction in answer.transactions:
                yield transaction
            token = answer.next_page_token
            if not token:
                return

    async def ask(self, operation: operation_pb2.Operation) -> transaction_pb2.Transaction | None:
        """What became of an operation; None where the node does not know it: it may still be on its way."""
        change = change_in(operation)
        request = inquiry_pb2.GetTransactionRequest(
            identifier=member_of(change),
            occurred_time=change.occurred_time,
            request_id=change.request_id,
            terminal_id=change.terminal_id,
        )
        try:
            answer: inquiry_pb2.GetTransactionResponse = await self._persist(self.pos.GetTransaction, request)
        except Refused as refused:
            if refused.refusal.reason == "TRANSACTION_NOT_FOUND":
                return None
            raise
        return answer.transaction

    async def request_proof(
        self, member: identifier_pb2.Identifier, spends: Iterable[balance_pb2.Spend]
    ) -> spending_pb2.RequestProofResponse:
        """Have a code sent to the member, who tells it to the cashier; no points are moved by it."""
        request = self.write.proof_request(member, spends)
        answer: spending_pb2.RequestProofResponse = await self._persist(self.pos.RequestProof, request)
        return answer

    # --- changes ----------------------------------------------------------------------------------

    async def send(self, operation: operation_pb2.Operation) -> operation_pb2.OperationResult:
        """Do an operation, asking as often as it takes; its answer is the result's field of the same name.

        `Refused`: it moved nothing. `OutcomeUnknown`: the till's patience is over and the operation stays in
        the queue. `TillOffline`: it was never sent; `keep` it if the sale stands all the same.
        """
        if self._offline:
            raise TillOffline("the till has no line")
        kind = operation.WhichOneof("operation") or ""
        number = self._queue.put(operation)
        try:
            answer = await self._persist(getattr(self.pos, _CALLS[kind]), change_in(operation))
        except OutcomeUnknown as unknown:
            raise OutcomeUnknown(unknown.last, operation) from unknown
        except Refused:
            self._queue.remove(number)
            raise
        self._queue.remove(number)
        return operation_pb2.OperationResult(**{kind: answer})

    async def accrue(
        self, member: identifier_pb2.Identifier | None, purchase: purchase_pb2.Purchase
    ) -> earning_pb2.AccrueResponse:
        """Record a purchase that closes now; without a member it is anonymous."""
        return (await self.send(self.write.accrual(member, purchase))).accrue

    async def redeem(
        self,
        member: identifier_pb2.Identifier,
        spends: Iterable[balance_pb2.Spend],
        *,
        receipt_number: str = "",
    ) -> spending_pb2.RedeemResponse:
        """Spend now, in one step."""
        operation = self.write.redemption(member, spends, receipt_number=receipt_number)
        return (await self.send(operation)).redeem

    async def give_up(self, operation: operation_pb2.Operation) -> undo_pb2.ReverseResponse:
        """Undo an operation, whether or not it ever arrived: the customer has left.

        Should the outcome of this be unknown too, both stay in the queue in this order: executed, if at all,
        and then undone.
        """
        answer = (await self.send(self.write.reversal_of(operation))).reverse
        for number, queued in self._queue.oldest(len(self._queue)):
            if change_in(queued).request_id == change_in(operation).request_id:
                self._queue.remove(number)
        return answer

    # --- without a line ---------------------------------------------------------------------------

    def go_offline(self) -> None:
        """Send nothing until `catch_up`."""
        self._offline = True

    def keep(self, operation: operation_pb2.Operation) -> None:
        """Put an operation in the queue for later. Earning is safe to keep; what is spent needs the node."""
        self._queue.put(operation)

    async def catch_up(
        self, *, over_stream: bool = False
    ) -> AsyncIterator[tuple[operation_pb2.Operation, operation_pb2.OperationResult]]:
        """The line is back: send what is queued, oldest first, by Submit or over SubmitStream.

        Yields each operation with its final answer, which may be a refusal for the cashier to see. What the
        node says nothing final about within the till's patience stays in the queue: see `unanswered`.
        """
        self._offline = False
        exchange = self._stream if over_stream else self._submit
        failures = 0
        while len(self._queue) and failures < self._patience.attempts:
            queued = self._queue.oldest(MAX_BATCH)
            results: list[operation_pb2.OperationResult] = []
            retry_delay_ms = 0
            try:
                await exchange([operation for _, operation in queued], results)
            except grpc.aio.AioRpcError as error:
                retry_delay_ms = _or_raise(refusal_of_error(error, self._certificate)).retry_delay_ms
            left = len(queued)
            # A stream may break off: there are answers then for the first few only.
            for (number, operation), result in zip(queued, results, strict=False):
                refusal = refusal_of_item(result.refusal) if result.HasField("refusal") else None
                if refusal is not None and refusal.action in (Action.RETRY, Action.ASK):
                    retry_delay_ms = max(retry_delay_ms, refusal.retry_delay_ms)
                    continue
                self._queue.remove(number)
                left -= 1
                yield operation, result
            if left:
                await asyncio.sleep(self._patience.wait_seconds(failures, retry_delay_ms, self._chance))
                failures += 1

    async def _submit(
        self, operations: list[operation_pb2.Operation], results: list[operation_pb2.OperationResult]
    ) -> None:
        request = operation_pb2.SubmitRequest(operations=operations)
        answer = await self.pos.Submit(request, timeout=self._patience.total_seconds)
        results.extend(answer.results)

    async def _stream(
        self, operations: list[operation_pb2.Operation], results: list[operation_pb2.OperationResult]
    ) -> None:
        requests = (operation_pb2.SubmitStreamRequest(operation=operation) for operation in operations)
        async for answer in self.pos.SubmitStream(requests, timeout=self._patience.total_seconds):
            results.append(answer.result)  # noqa: PERF401 - those before a break count too

    # --- the retry discipline ---------------------------------------------------------------------

    async def _persist(self, call: Callable[..., Any], request: Any) -> Any:
        """Call until there is an answer, within the till's patience, with the same message each time."""
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
                last = _or_raise(refusal_of_error(error, self._certificate))
            unknown = unknown or last.action is Action.ASK
            await asyncio.sleep(self._patience.wait_seconds(attempt, last.retry_delay_ms, self._chance))
        if last is None or unknown:
            raise OutcomeUnknown(last)
        # Every answer said that nothing was done.
        raise Refused(last)


def _or_raise(refusal: Refusal) -> Refusal:
    """A refusal that it makes sense to try again after; any other is raised."""
    if refusal.action not in (Action.RETRY, Action.ASK):
        raise Refused(refusal)
    return refusal
