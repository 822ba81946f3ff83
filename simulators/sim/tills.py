"""Tills in a simulation: what they ask, how they retry, and what each of their requests must have come to.

A till sends the same bytes again until the outcome is known, as `simulators.till` does over gRPC. A spend of
which it has heard nothing for too long it takes back by a reversal. What it knows in the end is the oracle:
the units of a member are what the acknowledged requests add up to, nothing more and nothing less.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from node.identity.caller import Caller
from node.proto.vafa.common.v1 import balance_pb2, money_pb2, purchase_pb2
from node.proto.vafa.pos.v1 import operation_pb2, undo_pb2
from node.wire.commands import Answer, AnswerKind, Op
from node.wire.refusals import is_final
from simulators.operations import OperationWriter, change_in
from simulators.purchases import card_identifier
from simulators.sim.trace import Trace

MINOR_A_POINT = 100
CALL_SECONDS = 8.0
"""A till's deadline for one call."""
PATIENCE_SECONDS = 40.0
"""How long a till waits to hear of a spend before it takes it back."""
RETRY_SECONDS = (0.5, 4.0)

_OPS = {
    "accrue": Op.ACCRUE,
    "authorize": Op.AUTHORIZE,
    "capture": Op.CAPTURE,
    "void": Op.VOID,
    "redeem": Op.REDEEM,
    "return": Op.RETURN,
    "reverse": Op.REVERSE,
}

Call = Callable[[Caller, Op, bytes], "asyncio.Task[Answer] | None"]
"""Hands a request to a node's gateway: the task that gives the answer, or None where it is not there."""


class Sent(Struct):
    """One request of a till's. `units` is what it moves on the member's account if it is done."""

    op: Op
    request_id: str
    scope: str
    card: str
    units: int
    body: bytes
    operation: operation_pb2.Operation
    answer: bytes | None = None
    refusal: str = ""
    undone: bool = False
    never: bool = False

    @property
    def known(self) -> bool:
        """Whether its outcome is known for good."""
        return self.answer is not None or bool(self.refusal) or self.never

    @property
    def moved(self) -> int:
        """The units that it moved, as far as the till knows."""
        return self.units if self.answer is not None and not self.undone else 0

    def response(self) -> Any:
        """The answer as a message."""
        result = operation_pb2.OperationResult()
        kind = self.operation.WhichOneof("operation") or ""
        getattr(result, kind).ParseFromString(self.answer or b"")
        return getattr(result, kind)


class Line(Struct):
    """The line between a till and a node. `loss` is the chance that a call, or its answer, is lost."""

    cut: bool = False
    loss: float = 0.0
    delay_seconds: tuple[float, float] = (0.002, 0.08)


class Till:
    """One till, with its shoppers. `cards` are whose it serves."""

    def __init__(
        self, caller: Caller, call: Call, cards: list[str], seed: int, clock: Callable[[], int], trace: Trace
    ) -> None:
        self.caller = caller
        self.scope = f"{caller.store}/{caller.id}"
        self.line = Line()
        self.sent: list[Sent] = []
        self._call = call
        self._cards = cards
        self._chance = random.Random(f"{seed}/{caller.merchant}/{self.scope}")
        self._trace = trace
        numbers = iter(range(1, 1_000_000))
        self._write = OperationWriter(
            clock=clock, new_request_id=lambda: f"{caller.store}.{caller.id}.{next(numbers)}"
        )
        self._late: list[asyncio.Task[None]] = []
        self._bought: list[Sent] = []

    async def shop(self, visits: int, pause_seconds: tuple[float, float]) -> None:
        """Serves so many shoppers, and returns once the outcome of everything is known."""
        for _ in range(visits):
            await asyncio.sleep(self._chance.uniform(*pause_seconds))
            await self._visit(self._chance.choice(self._cards))
        for task in self._late:
            await task

    async def _visit(self, card: str) -> None:
        chance = self._chance
        kind = chance.choices(("buy", "redeem", "hold", "return", "reverse"), (8, 4, 4, 2, 1))[0]
        if kind == "redeem":
            await self._spend(self._redemption(card))
        elif kind == "hold":
            await self._hold(card)
        elif kind == "return" and self._bought:
            await self._return(self._bought.pop(chance.randrange(len(self._bought))))
        elif kind == "reverse" and self._bought:
            await self._take_back(self._bought.pop(chance.randrange(len(self._bought))))
        else:
            await self._buy(card)

    async def _buy(self, card: str) -> None:
        minor = self._chance.randint(100, 9_000)
        purchase = purchase_pb2.Purchase(
            receipt_number=f"R{len(self.sent)}" if self._chance.random() < 0.5 else "",
            total=money_pb2.Money(currency="USD", minor=minor),
        )
        operation = self._write.accrual(card_identifier(card), purchase)
        sent = self._sent(operation, card, minor // MINOR_A_POINT)

        async def work() -> None:
            await self._until_known(sent)
            if sent.answer is not None:
                self._bought.append(sent)

        # The goods are paid for: whatever becomes of the line, the shopper leaves and the points follow.
        self._late.append(asyncio.create_task(work()))

    def _redemption(self, card: str) -> Sent:
        units = self._chance.randint(1, 30)
        spends = [balance_pb2.Spend(purse="points", units=units)]
        return self._sent(self._write.redemption(card_identifier(card), spends), card, -units)

    async def _spend(self, sent: Sent) -> None:
        """Waits so long for the outcome; then takes it back."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._until_known(sent)
        except TimeoutError:
            await self._take_back(sent)

    async def _hold(self, card: str) -> None:
        chance, units = self._chance, self._chance.randint(1, 30)
        spends = [balance_pb2.Spend(purse="points", units=units)]
        hold = chance.choice((0, 60))
        held = self._sent(
            self._write.authorization(card_identifier(card), spends, hold_seconds=hold), card, 0
        )
        await self._spend(held)
        if held.answer is None or held.undone:
            return
        await asyncio.sleep(chance.uniform(0, 15))
        reference, draw = held.response().transaction_id, chance.random()
        if draw < 0.7:
            capture = self._write.capture_of(card_identifier(card), reference)
            await self._spend(self._sent(capture, card, -units))
        elif draw < 0.9:
            await self._until_known(
                self._sent(self._write.void_of(card_identifier(card), reference), card, 0)
            )

    async def _return(self, bought: Sent) -> None:
        operation = self._write.return_of(
            card_identifier(bought.card), bought.response().transaction_id, list[undo_pb2.ReturnedLine]()
        )
        await self._until_known(self._sent(operation, bought.card, -bought.units))

    async def _take_back(self, sent: Sent) -> None:
        """Reverses a request, whether or not it ever arrived; what it came to is known then."""
        reversal = self._sent(self._write.reversal_of(sent.operation), sent.card, 0)
        await self._until_known(reversal)
        if self._chance.random() < 0.5:
            self._late.append(asyncio.create_task(self._arrives_late(sent)))
        if reversal.answer is None:
            return
        if not reversal.response().undone:
            sent.never = True
        elif sent.answer is None:
            sent.never = sent.undone = True  # it was done and is undone; nobody ever saw its answer
        else:
            sent.undone = True

    async def _arrives_late(self, sent: Sent) -> None:
        """A copy that a switch had held comes to the node after its reversal; it must do nothing."""
        await asyncio.sleep(self._chance.uniform(0, PATIENCE_SECONDS))
        self._call(self.caller, sent.op, sent.body)

    def _sent(self, operation: operation_pb2.Operation, card: str, units: int) -> Sent:
        change = change_in(operation)
        sent = Sent(
            _OPS[operation.WhichOneof("operation") or ""],
            change.request_id,
            self.scope,
            card,
            units,
            change.SerializeToString(deterministic=True),
            operation,
        )
        self.sent.append(sent)
        return sent

    async def _until_known(self, sent: Sent) -> None:
        """Sends the same bytes until the node has said what became of them."""
        while not sent.known:
            answer = await self._ask(sent)
            if answer is None or sent.known:
                await asyncio.sleep(self._chance.uniform(*RETRY_SECONDS))
            elif answer.kind == AnswerKind.DONE:
                sent.answer = answer.body
                self._trace.note(self.scope, f"{sent.op.name} {sent.request_id} done", answer.body)
            elif answer.refusal is not None and is_final(answer.refusal):
                sent.refusal = answer.refusal.reason.name
                self._trace.note(self.scope, f"{sent.op.name} {sent.request_id} {sent.refusal}")
            else:
                await asyncio.sleep(self._chance.uniform(*RETRY_SECONDS))

    async def _ask(self, sent: Sent) -> Answer | None:
        """One call: its answer, or None where there was none in time."""
        chance, line = self._chance, self.line
        await asyncio.sleep(chance.uniform(*line.delay_seconds))
        if line.cut or chance.random() < line.loss:
            await asyncio.sleep(CALL_SECONDS)
            return None
        task = self._call(self.caller, sent.op, sent.body)
        if task is None:
            return None
        done, _ = await asyncio.wait({task}, timeout=CALL_SECONDS)
        if not done:
            if chance.random() < 0.5:
                task.cancel()  # as gRPC does on a server whose client has hung up
            return None
        await asyncio.sleep(chance.uniform(*line.delay_seconds))
        if line.cut or chance.random() < line.loss or task.cancelled():
            return None
        return task.result()
