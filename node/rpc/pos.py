"""The point of sale: raw bytes in, raw bytes out, one table from methods to what they ask.

Requests become messages here, once; a shard's answer goes out as its bytes come.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from node.actors.asks import Ask, ask_of
from node.actors.counter import Counter
from node.identity.caller import Caller
from node.ledger.refusals import Reason, Refused, refuse
from node.proto.vafa.pos.v1 import operation_pb2
from node.rpc.admission import CALLER, Handler
from node.rpc.status import Context, fail
from node.telemetry import REFUSALS, Figures, trace_id_from
from node.wire.commands import Answer, AnswerKind, Command, Op, refused
from node.wire.parse import invalid
from node.wire.refusals import refusal_message
from node.wire.routes import (
    MAX_OPERATIONS,
    nested,
    opened,
    operation_of,
    refusal_bytes,
    result_bytes,
)

SERVICE = "vafa.pos.v1.PosService"

UNARY: dict[str, Op] = {
    "Identify": Op.IDENTIFY,
    "Quote": Op.QUOTE,
    "Accrue": Op.ACCRUE,
    "RecordActivity": Op.RECORD_ACTIVITY,
    "ClaimPurchase": Op.CLAIM_PURCHASE,
    "Authorize": Op.AUTHORIZE,
    "Capture": Op.CAPTURE,
    "Void": Op.VOID,
    "Redeem": Op.REDEEM,
    "Return": Op.RETURN,
    "Reverse": Op.REVERSE,
    "GetTransaction": Op.GET_TRANSACTION,
    "GetBalance": Op.GET_BALANCE,
    "ListStatement": Op.LIST_STATEMENT,
    "RequestProof": Op.REQUEST_PROOF,
    "BeginCardProof": Op.BEGIN_CARD_PROOF,
    "ContinueCardProof": Op.CONTINUE_CARD_PROOF,
}

STREAM_WINDOW = 1_024
"""Operations of one stream that are under way at a time; a client that sends faster is slowed down."""


def pos_handlers(counter: Counter, figures: Figures) -> grpc.GenericRpcHandler:
    """All methods of the service."""
    handlers: dict[str, Handler] = {
        name: grpc.unary_unary_rpc_method_handler(_unary(counter, figures, op)) for name, op in UNARY.items()
    }
    handlers["Submit"] = grpc.unary_unary_rpc_method_handler(_submit(counter, figures))
    handlers["SubmitStream"] = grpc.stream_stream_rpc_method_handler(_submit_stream(counter, figures))
    return grpc.method_handlers_generic_handler(SERVICE, handlers)


def trace_of(context: Context) -> str:
    """The call's trace id: of its traceparent (W3C Trace Context) where it has one, else a new one."""
    for key, value in context.invocation_metadata() or ():
        if key == "traceparent":
            return trace_id_from(value if isinstance(value, str) else None)
    return trace_id_from(None)


def _unary(counter: Counter, figures: Figures, op: Op) -> Callable[[bytes, Context], Awaitable[bytes]]:
    async def handle(body: bytes, context: Context) -> bytes:
        ask = ask_of(op, opened(op, body), body)
        if isinstance(ask, Refused):
            figures.count(REFUSALS, ask.reason.name).add()
            await fail(context, ask)
            raise AssertionError("fail always raises")
        answer = await counter.ask(CALLER.get(), ask, trace_of(context))
        if answer.refusal is not None:
            figures.count(REFUSALS, answer.refusal.reason.name).add()
            await fail(context, answer.refusal)
        return answer.body

    return handle


def _asked(operation: operation_pb2.Operation) -> Ask | Refused:
    found = operation_of(operation)
    return found if isinstance(found, Refused) else ask_of(*found)


def _result(figures: Figures, op: Op | None, answer: Answer) -> bytes:
    if answer.refusal is not None or op is None:
        assert answer.refusal is not None
        figures.count(REFUSALS, answer.refusal.reason.name).add()
        return refusal_bytes(refusal_message(answer.refusal).SerializeToString())
    assert answer.kind == AnswerKind.DONE
    return result_bytes(op, answer.body)


def _submit(counter: Counter, figures: Figures) -> Callable[[bytes, Context], Awaitable[bytes]]:
    async def handle(body: bytes, context: Context) -> bytes:
        request = operation_pb2.SubmitRequest()
        try:
            request.ParseFromString(body)
        except DecodeError:
            await fail(context, invalid("", "The bytes are not a message of this kind."))
        if len(request.operations) > MAX_OPERATIONS:
            await fail(context, invalid("operations", f"One call takes at most {MAX_OPERATIONS} operations."))
        asked = [_asked(operation) for operation in request.operations]
        asks = [ask for ask in asked if isinstance(ask, Ask)]
        answers = iter(await counter.ask_many(CALLER.get(), asks, trace_of(context)))
        results = [
            _result(figures, ask.op, next(answers))
            if isinstance(ask, Ask)
            else _result(figures, None, refused(ask))
            for ask in asked
        ]
        return nested(results)

    return handle


def _submit_stream(
    counter: Counter, figures: Figures
) -> Callable[[AsyncIterator[bytes], Context], AsyncIterator[bytes]]:
    async def handle(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        caller, trace_id = CALLER.get(), trace_of(context)
        under_way: asyncio.Queue[_UnderWay | None] = asyncio.Queue(STREAM_WINDOW)
        reader = asyncio.create_task(_read(counter, caller, trace_id, requests, under_way))
        try:
            while (item := await under_way.get()) is not None:
                yield nested([_result(figures, item.op, await item.in_the_end())])
            await reader
        finally:
            reader.cancel()

    return handle


Follow = Callable[[Answer], Coroutine[Any, Any, Answer]]


class _UnderWay:
    """An operation of a stream with its answer to come; `op` is None where it could not be read.

    With `follow` the answer is the shard's first. One that is not simply done is followed up at once, and not
    only when those before it have gone out: members of pools are always answered in two steps.
    """

    __slots__ = ("_answer", "_follow", "_following", "op")

    def __init__(self, op: Op | None, answer: asyncio.Future[Answer], follow: Follow | None = None) -> None:
        self.op = op
        self._answer = answer
        self._follow = follow
        self._following: asyncio.Task[Answer] | None = None
        if follow is not None:
            answer.add_done_callback(self._answered)

    def _answered(self, answer: asyncio.Future[Answer]) -> None:
        if self._follow is None or self._following is not None or answer.cancelled():
            return
        first = answer.result()
        if first.kind != AnswerKind.DONE:
            self._following = asyncio.create_task(self._follow(first))

    async def in_the_end(self) -> Answer:
        """The answer that goes out."""
        answer = await self._answer
        self._answered(self._answer)  # whoever was waiting may be told before those who wanted to be called
        return answer if self._following is None else await self._following


async def _read(
    counter: Counter,
    caller: Caller,
    trace_id: str,
    requests: AsyncIterator[bytes],
    under_way: asyncio.Queue[_UnderWay | None],
) -> None:
    """Starts each operation in the order in which they come; the answers are awaited in the same order.

    `held_up` are the accounts with an operation that waits for another partition first: what follows on the
    same account waits for its answer, so that the order on an account is always that of the stream.
    """
    held_up: dict[bytes, asyncio.Future[Answer]] = {}
    try:
        async for body in requests:
            ask = _streamed(body)
            if isinstance(ask, Refused):
                await under_way.put(_UnderWay(None, _known(refused(ask))))
                continue
            command = await counter.prepare(caller, ask, trace_id)
            if isinstance(command, asyncio.Future):
                await under_way.put(_UnderWay(ask.op, command))
                continue
            if isinstance(command, Answer):
                await under_way.put(_UnderWay(ask.op, _known(command)))
                continue
            before = held_up.get(command.account_id)
            if before is None and not counter.waits_for_others(ask, command):
                # By far the most: no task for each, the shard's answer is all there is to wait for.
                follow = partial(counter.follow, caller, ask, command)
                await under_way.put(_UnderWay(ask.op, counter.router.begin(command), follow))
                continue
            answer = asyncio.create_task(_finish(counter, caller, ask, command, before))
            _hold_up(held_up, command.account_id, answer)
            await under_way.put(_UnderWay(ask.op, answer))
    except asyncio.CancelledError:
        raise  # nobody waits for the end any more
    except Exception:
        await under_way.put(None)
        raise
    await under_way.put(None)


def _known(answer: Answer) -> asyncio.Future[Answer]:
    known: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    known.set_result(answer)
    return known


async def _finish(
    counter: Counter, caller: Caller, ask: Ask, command: Command, before: asyncio.Future[Answer] | None
) -> Answer:
    if before is not None:
        await asyncio.wait((before,))
    return await counter.finish(caller, ask, command)


def _hold_up(
    held_up: dict[bytes, asyncio.Future[Answer]], account_id: bytes, answer: asyncio.Future[Answer]
) -> None:
    def go_on(answered: asyncio.Future[Answer]) -> None:
        if held_up.get(account_id) is answered:
            del held_up[account_id]

    held_up[account_id] = answer
    answer.add_done_callback(go_on)


def _streamed(body: bytes) -> Ask | Refused:
    request = operation_pb2.SubmitStreamRequest()
    try:
        request.ParseFromString(body)
    except DecodeError:
        return refuse(Reason.INVALID_ARGUMENT, "The bytes are not a message of this kind.")
    return _asked(request.operation)
