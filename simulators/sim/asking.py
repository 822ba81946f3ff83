"""Asking a node in a simulation: what was sent, and sending it again until its outcome is known.

What callers know in the end is the oracle: the units of a member are what the acknowledged requests add up
to, nothing more and nothing less.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from node.identity.caller import Caller
from node.proto.vafa.pos.v1 import operation_pb2
from node.wire.commands import Answer, AnswerKind, Op
from node.wire.refusals import is_final
from simulators.sim.trace import Trace

CALL_SECONDS = 8.0
"""A caller's deadline for one call."""
RETRY_SECONDS = (0.5, 4.0)

Call = Callable[[Caller, Op, bytes], "asyncio.Task[Answer] | None"]
"""Hands a request to a node's gateway: the task that gives the answer, or None where it is not there."""


class Sent(Struct):
    """One request. `units` is what it moves on the account of `card` if it is done.

    `given_up`: whoever asked never came back to hear of it; nothing of `units` may be at stake then.
    `to_card` loses what `card` gets, and the other way round; empty where that is the merchant.
    """

    op: Op
    request_id: str
    scope: str
    card: str
    units: int
    body: bytes
    operation: operation_pb2.Operation | None = None
    to_card: str = ""
    answer: bytes | None = None
    refusal: str = ""
    undone: bool = False
    never: bool = False
    given_up: bool = False

    @property
    def known(self) -> bool:
        """Whether its outcome is known for good."""
        return self.answer is not None or bool(self.refusal) or self.never or self.given_up

    @property
    def moved(self) -> int:
        """The units that it moved, as far as the till knows."""
        return self.units if self.answer is not None and not self.undone else 0

    def response(self) -> Any:
        """The answer to a till's request, as a message."""
        assert self.operation is not None
        result = operation_pb2.OperationResult()
        kind = self.operation.WhichOneof("operation") or ""
        getattr(result, kind).ParseFromString(self.answer or b"")
        return getattr(result, kind)


class Line(Struct):
    """The line between a till and a node. `loss` is the chance that a call, or its answer, is lost."""

    cut: bool = False
    loss: float = 0.0
    delay_seconds: tuple[float, float] = (0.002, 0.08)


class Asker:
    """Somebody who asks a node: a till, or staff."""

    def __init__(self, caller: Caller, scope: str, call: Call, seed: int, trace: Trace) -> None:
        self.caller = caller
        self.scope = scope
        self.line = Line()
        self.sent: list[Sent] = []
        self.chance = random.Random(f"{seed}/{caller.merchant}/{scope}")
        self._call = call
        self._trace = trace

    def call_once(self, sent: Sent) -> None:
        """Sends the bytes once more, and waits for nothing."""
        self._call(self.caller, sent.op, sent.body)

    async def until_known(self, sent: Sent) -> None:
        """Sends the same bytes until the node has said what became of them."""
        while not sent.known:
            answer = await self._ask(sent)
            if answer is None or sent.known:
                await asyncio.sleep(self.chance.uniform(*RETRY_SECONDS))
            elif answer.kind == AnswerKind.DONE:
                sent.answer = answer.body
                self._trace.note(self.scope, f"{sent.op.name} {sent.request_id} done", answer.body)
            elif answer.refusal is not None and is_final(answer.refusal):
                sent.refusal = answer.refusal.reason.name
                self._trace.note(self.scope, f"{sent.op.name} {sent.request_id} {sent.refusal}")
            else:
                await asyncio.sleep(self.chance.uniform(*RETRY_SECONDS))

    async def _ask(self, sent: Sent) -> Answer | None:
        """One call: its answer, or None where there was none in time."""
        chance, line = self.chance, self.line
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
