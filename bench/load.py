"""The load driver: one client process, one connection, a fixed number of calls in flight (a closed loop).

The node, the echo and PostgreSQL's front are all driven by this same code with requests that are bytes
already, so that what the client costs is equal on both sides of every comparison. Calls are counted until the
last one that was begun before the end has come back.
"""

from __future__ import annotations

import asyncio
import gc
import time
from array import array
from collections import Counter, deque
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
import uvloop
from grpc import aio

from bench.report import BenchFailed, percentile
from node.proto.vafa.common.v1.refusal_pb2 import Reason
from node.proto.vafa.pos.v1.operation_pb2 import OperationResult, SubmitResponse, SubmitStreamResponse
from simulators.enrolment import TillCertificate

CALL_TIMEOUT_SECONDS = 60.0
"""A call that takes longer counts as failed, so that a bench ends even when what it measures hangs."""

FAILURES_KEPT = 5

_CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # Without it two channels to one address share a connection, and the runs would not be alone on theirs.
    ("grpc.use_local_subchannel_pool", 1),
)

_T = TypeVar("_T")


class LoadFailed(BenchFailed):
    """Calls were refused or failed, so what was measured is not the work that was meant."""


@dataclass(slots=True)
class Measurement:
    """What one run of the driver saw. `work` counts accruals (or echoes): more than `calls` in batches."""

    calls: int = 0
    work: int = 0
    seconds: float = 0.0
    client_cpu_seconds: float = 0.0
    latencies_ms: array[float] = field(default_factory=lambda: array("d"))
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def per_second(self) -> float:
        """Accruals (or echoes) done per second."""
        return self.work / self.seconds if self.seconds else 0.0

    def latency_ms(self, percent: float) -> float:
        """The latency that `percent` of the calls stayed within, in milliseconds."""
        return percentile(sorted(self.latencies_ms), percent)

    def insist(self, what: str) -> Measurement:
        """Itself, where every single answer was a good one; else `LoadFailed` with the commonest reasons."""
        if self.failures or not self.work:
            reasons = "; ".join(
                f"{count} × {text}" for text, count in self.failures.most_common(FAILURES_KEPT)
            )
            raise LoadFailed(
                f"{what}: {self.failures.total()} of {self.calls} calls failed: {reasons or 'no call'}"
            )
        return self


@dataclass(frozen=True, slots=True)
class Target:
    """Where to call: `address` is host:port, `method` such as /vafa.pos.v1.PosService/Accrue."""

    name: str
    address: str
    method: str
    till: TillCertificate

    def channel(self) -> aio.Channel:
        """A connection of its own, with the till's certificate."""
        return aio.secure_channel(self.address, self.till.channel_credentials(), options=_CHANNEL_OPTIONS)


def run_async(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end on uvloop, which the node and the echo use as well."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


async def drive_unary(
    target: Target, requests: Sequence[bytes], *, in_flight: int, seconds: float, accruals_per_call: int = 1
) -> Measurement:
    """Call `target` with the requests in their order, `in_flight` at a time, until time or requests are over.

    With `accruals_per_call` above 1 the answers are SubmitResponses: each refused item is a failure.
    """
    measured = Measurement()
    answers: list[bytes] = []
    source = iter(requests)
    async with target.channel() as channel:
        call: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(target.method)
        await asyncio.wait_for(channel.channel_ready(), CALL_TIMEOUT_SECONDS)

        async def loop(deadline: float) -> None:
            clock, append = time.perf_counter, measured.latencies_ms.append
            for request in source:
                began = clock()
                if began >= deadline:
                    break
                try:
                    answer = await call(request, timeout=CALL_TIMEOUT_SECONDS)
                except aio.AioRpcError as error:
                    measured.failures[_failure_text(error)] += 1
                else:
                    append((clock() - began) * 1000)
                    if accruals_per_call > 1:
                        answers.append(answer)

        with _Clock(measured):
            deadline = time.perf_counter() + seconds
            await asyncio.gather(*(loop(deadline) for _ in range(in_flight)))
    good = len(measured.latencies_ms)
    measured.calls = good + measured.failures.total()
    measured.work = good if accruals_per_call == 1 else _count_accepted(answers, measured.failures)
    if accruals_per_call > 1 and measured.work != good * accruals_per_call:
        measured.failures["an answer with items missing or refused"] += 1
    return measured


async def drive_stream(
    target: Target,
    requests: Sequence[bytes],
    *,
    streams: int,
    in_flight: int,
    seconds: float,
    check: bool = True,
) -> Measurement:
    """The same over `streams` bidirectional streams that share `in_flight` unanswered messages between them.

    Answers come in the order of the messages of their stream. `check` reads them as SubmitStreamResponses.
    """
    measured = Measurement()
    answers: list[bytes] = []
    source = iter(requests)
    async with target.channel() as channel:
        await asyncio.wait_for(channel.channel_ready(), CALL_TIMEOUT_SECONDS)
        call: aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(target.method)
        with _Clock(measured):
            deadline = time.perf_counter() + seconds
            await asyncio.gather(
                *(
                    _one_stream(call, source, max(1, in_flight // streams), deadline, measured, answers)
                    for _ in range(streams)
                )
            )
    measured.calls = len(measured.latencies_ms) + measured.failures.total()
    measured.work = len(measured.latencies_ms)
    if check:
        _count_streamed_refusals(answers, measured.failures)
    return measured


async def _one_stream(
    open_stream: aio.StreamStreamMultiCallable[bytes, bytes],
    source: Iterator[bytes],
    window: int,
    deadline: float,
    measured: Measurement,
    answers: list[bytes],
) -> None:
    clock = time.perf_counter
    began: deque[float] = deque()
    room = asyncio.Semaphore(window)
    stream = open_stream(timeout=deadline - clock() + CALL_TIMEOUT_SECONDS)

    async def write() -> None:
        for request in source:
            await room.acquire()
            now = clock()
            if now >= deadline:
                break
            began.append(now)
            await stream.write(request)
        await stream.done_writing()

    async def read() -> None:
        while isinstance(answer := await stream.read(), bytes):  # aio.EOF ends it
            measured.latencies_ms.append((clock() - began.popleft()) * 1000)
            answers.append(answer)
            room.release()

    writing = asyncio.ensure_future(write())
    try:
        await read()
    except aio.AioRpcError as error:
        measured.failures[_failure_text(error)] += max(1, len(began))
    else:
        if began:
            measured.failures["a message without an answer on its stream"] += len(began)
    finally:
        # A stream that the server ended leaves the writer waiting for room for ever.
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


class _Clock:
    """Times the block, in wall and own CPU seconds, and keeps the collector from walking the requests."""

    def __init__(self, measured: Measurement) -> None:
        self._measured = measured

    def __enter__(self) -> None:
        gc.collect()
        gc.freeze()
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._measured.seconds = time.perf_counter() - self._wall
        self._measured.client_cpu_seconds = time.process_time() - self._cpu
        gc.unfreeze()


def _count_accepted(answers: Sequence[bytes], failures: Counter[str]) -> int:
    accepted = 0
    for answer in answers:
        for result in SubmitResponse.FromString(answer).results:
            if _is_accepted(result, failures):
                accepted += 1
    return accepted


def _count_streamed_refusals(answers: Sequence[bytes], failures: Counter[str]) -> None:
    for answer in answers:
        _is_accepted(SubmitStreamResponse.FromString(answer).result, failures)


def _is_accepted(result: OperationResult, failures: Counter[str]) -> bool:
    kind = result.WhichOneof("result")
    if kind == "refusal":
        failures[f"{Reason.Name(result.refusal.reason)}: {result.refusal.message}"] += 1
    elif kind is None:
        failures["an answer without a result"] += 1
    return kind not in ("refusal", None)


def _failure_text(error: aio.AioRpcError) -> str:
    code: grpc.StatusCode = error.code()
    return f"{code.name}: {error.details()}"
