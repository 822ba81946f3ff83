"""Tills that know nothing of coalitions: requests over the counter, while messages are pumped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from node.actors.abroad_trade import Trade
from node.actors.programmes import Programmes
from node.actors.tills_abroad import TillsAbroad
from node.identity.coalition_secrets import CoalitionSecrets
from node.ledger.refusals import Reason
from node.proto.vafa.coalition.v1 import envelope_pb2
from node.proto.vafa.common.v1.identifier_pb2 import Identifier
from node.proto.vafa.pos.v1 import earning_pb2, inquiry_pb2, spending_pb2, undo_pb2
from node.wire.commands import Answer, Op
from tests.actors.abroad_merchants import MASTER, Bazaar
from tests.actors.harness import PROGRAMME, body_of, card, reason_of

T = TypeVar("T")
MEMBER = card(1)


class Tills(Bazaar):
    """Saffron's till, with nile's members at it."""

    def __init__(self) -> None:
        super().__init__()
        self.attach()

    def attach(self) -> None:
        """Both counters learn of the coalition, as at a start."""
        for node in (self.nile, self.saffron):
            node.counter.abroad = TillsAbroad(
                Trade(
                    node.exchanging,
                    CoalitionSecrets(MASTER),
                    lambda: Programmes((PROGRAMME,), tz="Asia/Tehran", currency="USD"),
                    currency="USD",
                    currency_exponent=2,
                    language="en",
                ),
                "IR",
            )

    async def pumped(self, work: Awaitable[T]) -> T:
        """What `work` gives, while messages arrive."""
        task = asyncio.ensure_future(work)
        while not task.done():
            await asyncio.sleep(0)
            await self.pump()
        return task.result()

    async def asks(self, op: Op, message: Any) -> Answer:
        """A request of saffron's till."""
        return await self.pumped(self.saffron.at_till(op, message))

    # --- what the till sends -------------------------------------------------------------------------------

    def sale(self, minor: int, receipt: str = "") -> earning_pb2.AccrueRequest:
        """A purchase of nile's member; each 100 earn a point."""
        request = self.saffron.stamped(earning_pb2.AccrueRequest(identifier=MEMBER))
        request.purchase.total.currency, request.purchase.total.minor = "USD", minor
        request.purchase.receipt_number = receipt
        return request

    async def accrues(self, request: earning_pb2.AccrueRequest) -> earning_pb2.AccrueResponse:
        return earning_pb2.AccrueResponse.FromString(body_of(await self.asks(Op.ACCRUE, request)))

    async def returns(self, transaction_id: str, request_id: str) -> undo_pb2.ReturnResponse:
        request = self.saffron.stamped(
            undo_pb2.ReturnRequest(identifier=MEMBER, transaction_id=transaction_id, request_id=request_id)
        )
        return undo_pb2.ReturnResponse.FromString(body_of(await self.asks(Op.RETURN, request)))

    async def reverses(self, request_id: str) -> Answer:
        request = self.saffron.stamped(
            undo_pb2.ReverseRequest(identifier=MEMBER, original_request_id=request_id)
        )
        return await self.asks(Op.REVERSE, request)

    async def finds(self, request_id: str) -> inquiry_pb2.GetTransactionResponse | Reason | None:
        """What became of a request, or why that is not said."""
        request = inquiry_pb2.GetTransactionRequest(identifier=MEMBER, request_id=request_id)
        answer = await self.asks(Op.GET_TRANSACTION, self.saffron.stamped(request))
        if answer.refusal is not None:
            return reason_of(answer)
        return inquiry_pb2.GetTransactionResponse.FromString(body_of(answer))

    def spend(self, units: int, who: Identifier = MEMBER, **proof: str) -> spending_pb2.RedeemRequest:
        """A spend with a proof."""
        request = self.saffron.stamped(spending_pb2.RedeemRequest(identifier=who))
        request.spends.add(purse="points", units=units)
        request.proof.CopyFrom(envelope_pb2.MemberProof(**proof))  # type: ignore[arg-type]  # a double
        return request

    async def code(self, units: int, who: Identifier = MEMBER) -> str:
        """The code that the member's home node sends when the till asks for it; empty where it sends none."""
        self.nile.now_ms += 60_000
        self.saffron.now_ms += 60_000
        request = self.saffron.stamped(spending_pb2.RequestProofRequest(identifier=who))
        request.spends.add(purse="points", units=units)
        sent = len(self.nile.codes)
        body_of(await self.asks(Op.REQUEST_PROOF, request))
        return self.nile.codes[-1].code if len(self.nile.codes) > sent else ""


async def opened() -> Tills:
    """Two merchants whose lanes are open; nile has a member with 1,000 points."""
    tills = Tills()
    await tills.nile.enrol(MEMBER)
    await tills.nile.buys(MEMBER, 1_000)
    await tills.open()
    return tills
