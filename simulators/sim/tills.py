"""Tills in a simulation: what they ask, how they retry, and what each of their requests must have come to.

A till sends the same bytes again until the outcome is known, as `simulators.till` does over gRPC. A spend of
which it has heard nothing for too long it takes back by a reversal.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from node.identity.caller import Caller
from node.ledger.refusals import Reason
from node.proto.vafa.coalition.v1.envelope_pb2 import MemberProof
from node.proto.vafa.common.v1 import balance_pb2, money_pb2, purchase_pb2
from node.proto.vafa.pos.v1 import operation_pb2, undo_pb2
from node.wire.commands import Op
from simulators.operations import OperationWriter, change_in
from simulators.purchases import card_identifier
from simulators.sim.asking import Asker, Call, Sent
from simulators.sim.trace import Trace

MINOR_A_POINT = 100
PATIENCE_SECONDS = 40.0
"""How long a till waits to hear of a spend before it takes it back."""

_OPS = {
    "accrue": Op.ACCRUE,
    "authorize": Op.AUTHORIZE,
    "capture": Op.CAPTURE,
    "void": Op.VOID,
    "redeem": Op.REDEEM,
    "return": Op.RETURN,
    "reverse": Op.REVERSE,
}


Prove = Callable[[str, str, int, random.Random], "MemberProof | None"]
"""How the member with a card agrees, at this merchant, to so many units; None where that is not asked for."""


def no_proof(card: str, merchant: str, units: int, chance: random.Random) -> None:
    """At home a card is enough."""


class Till(Asker):
    """One till, with its shoppers. `cards` are whose it serves."""

    def __init__(
        self,
        caller: Caller,
        call: Call,
        cards: list[str],
        seed: int,
        clock: Callable[[], int],
        trace: Trace,
        prove: Prove = no_proof,
    ) -> None:
        super().__init__(caller, f"{caller.store}/{caller.id}", call, seed, trace)
        self._cards = cards
        self._prove = prove
        numbers = iter(range(1, 1_000_000))
        self._write = OperationWriter(
            clock=clock, new_request_id=lambda: f"{caller.store}.{caller.id}.{next(numbers)}"
        )
        self._late: list[asyncio.Task[None]] = []
        self._bought: list[Sent] = []

    async def shop(self, visits: int, pause_seconds: tuple[float, float]) -> None:
        """Serves so many shoppers, and returns once the outcome of everything is known."""
        for _ in range(visits):
            await asyncio.sleep(self.chance.uniform(*pause_seconds))
            await self._visit(self.chance.choice(self._cards))
        for task in self._late:
            await task

    async def _visit(self, card: str) -> None:
        chance = self.chance
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
        minor = self.chance.randint(100, 9_000)
        purchase = purchase_pb2.Purchase(
            receipt_number=f"R{len(self.sent)}" if self.chance.random() < 0.5 else "",
            total=money_pb2.Money(currency="USD", minor=minor),
        )
        operation = self._write.accrual(card_identifier(card), purchase)
        sent = self._sent(operation, card, minor // MINOR_A_POINT)

        async def work() -> None:
            await self.until_known(sent)
            if sent.answer is not None:
                effects = sent.response().effects
                granted = sum(effect.points.units for effect in effects)
                if any(effect.text.text for effect in effects):
                    sent.units = granted  # the member's own merchant will not have it, and says so
                self._bought.append(sent)

        # The goods are paid for: whatever becomes of the line, the shopper leaves and the points follow.
        self._late.append(asyncio.create_task(work()))

    def _redemption(self, card: str) -> Sent:
        units = self.chance.randint(1, 30)
        spends = [balance_pb2.Spend(purse="points", units=units)]
        operation = self._write.redemption(card_identifier(card), spends)
        self._proved(operation.redeem, card, units)
        return self._sent(operation, card, -units)

    async def _spend(self, sent: Sent) -> None:
        """Waits so long for the outcome; then takes it back."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.until_known(sent)
        except TimeoutError:
            await self._take_back(sent)

    async def _hold(self, card: str) -> None:
        chance, units = self.chance, self.chance.randint(1, 30)
        spends = [balance_pb2.Spend(purse="points", units=units)]
        hold = chance.choice((0, 60))
        operation = self._write.authorization(card_identifier(card), spends, hold_seconds=hold)
        self._proved(operation.authorize, card, units)
        held = self._sent(operation, card, 0)
        await self._spend(held)
        if held.answer is None or held.undone:
            return
        await asyncio.sleep(chance.uniform(0, 15))
        reference, draw = held.response().transaction_id, chance.random()
        if draw < 0.7:
            capture = self._write.capture_of(card_identifier(card), reference)
            await self._spend(self._sent(capture, card, -units))
        elif draw < 0.9:
            await self.until_known(self._sent(self._write.void_of(card_identifier(card), reference), card, 0))

    def _proved(self, request: Any, card: str, units: int) -> None:
        proof = self._prove(card, self.caller.merchant, units, self.chance)
        if proof is not None:
            request.proof.CopyFrom(proof)

    async def _return(self, bought: Sent) -> None:
        operation = self._write.return_of(
            card_identifier(bought.card), bought.response().transaction_id, list[undo_pb2.ReturnedLine]()
        )
        await self.until_known(self._sent(operation, bought.card, -bought.units))

    async def _take_back(self, sent: Sent) -> None:
        """Reverses a request, whether or not it ever arrived; what it came to is known then."""
        assert sent.operation is not None
        reversal = self._sent(self._write.reversal_of(sent.operation), sent.card, 0)
        await self.until_known(reversal)
        if self.chance.random() < 0.5:
            self._late.append(asyncio.create_task(self._arrives_late(sent)))
        if reversal.answer is None:
            if sent.op is Op.AUTHORIZE and reversal.refusal == Reason.AUTHORIZATION_NOT_OPEN.name:
                sent.never = sent.undone = True  # it was done, and its time was over by itself
            return
        if not reversal.response().undone:
            sent.never = True
        elif sent.answer is None:
            sent.never = sent.undone = True  # it was done and is undone; nobody ever saw its answer
        else:
            sent.undone = True

    async def _arrives_late(self, sent: Sent) -> None:
        """A copy that a switch had held comes to the node after its reversal; it must do nothing."""
        await asyncio.sleep(self.chance.uniform(0, PATIENCE_SECONDS))
        self.call_once(sent)

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
