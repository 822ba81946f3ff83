"""The router: from one command to the shard that hosts its partition, with natural batching.

A shard has one batch in flight, or two where enough waits for a second. Whatever arrives meanwhile queues
and is the next batch, so batches grow as fast as the shard is slow. Where the last one had many, the next
waits a moment for more; a lone command waits for nobody. A full queue refuses at once; it never drops what
it took.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog

from node.actors.ports import ShardGone, ShardHandle
from node.ledger.refusals import Reason, Refused, refuse
from node.wire.commands import Answer, AnswerKind, Command, decode_answers, encode, refused

IN_FLIGHT = 2
"""Batches that a shard works on or has waiting: one more than one, so that it never idles between two."""

SECOND_BATCH = 256
"""Commands that make a second batch worth its way; a full batch always is. A call to a shard costs both
processes as much as several accruals, so that on busy cores two small batches do less than one.
"""

GATHER_SECONDS = 0.002
MANY, GATHERED = 8, 64
"""After a batch of so MANY commands the next waits so long for more, or until so many have GATHERED. Where
many tills call at once the gateway has others half read, and a batch costs both processes as much as several
commands.
"""

OVERLOAD_RETRY_MS = 200
REVIVAL_SECONDS = 30.0
"""How long a batch waits for a shard that died to come back before its outcome is called unknown."""

log = structlog.get_logger()


class _Waiting:
    """Commands that were handed in together and are answered together."""

    __slots__ = ("answers", "future", "missing")

    def __init__(self, commands: int, future: asyncio.Future[None]) -> None:
        self.answers: list[Answer] = [_PENDING] * commands
        self.missing = commands
        self.future = future

    def answer(self, place: int, answer: Answer) -> None:
        self.answers[place] = answer
        self.missing -= 1
        if not self.missing and not self.future.done():
            self.future.set_result(None)


class _Alone:
    """One command that is answered by itself."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[Answer]) -> None:
        self.future = future

    def answer(self, _place: int, answer: Answer) -> None:
        if not self.future.done():
            self.future.set_result(answer)


_PENDING = Answer(AnswerKind.REFUSED)  # stands where an answer will be
_Queued = tuple[Command, _Waiting | _Alone, int]


class Lane:
    """The queue before one shard."""

    def __init__(self, number: int, shard: ShardHandle, *, queue_limit: int, batch_limit: int) -> None:
        self.number = number
        self.largest_batch = 0
        self._shard = shard
        self._queue: deque[_Queued] = deque()
        self._queue_limit = queue_limit
        self._batch_limit = batch_limit
        self._second_batch = min(SECOND_BATCH, batch_limit)
        self._gathered = min(GATHERED, batch_limit)
        self._in_flight = 0
        self._last = 1  # commands of the last batch
        self._gathering: asyncio.TimerHandle | None = None
        self._delayed = 0  # batches that wait, in their order, for the shard to come back
        self._reviving = asyncio.Lock()
        self._open = asyncio.Event()
        self._open.set()
        self._running: set[asyncio.Task[None]] = set()

    @property
    def queued(self) -> int:
        """Commands that wait for the next batch."""
        return len(self._queue)

    @property
    def busy(self) -> bool:
        """Whether anything waits or is under way."""
        return bool(self._queue or self._in_flight)

    def put(self, command: Command, waiting: _Waiting | _Alone, place: int) -> None:
        """Queues a command, or refuses it where the queue is full."""
        if len(self._queue) >= self._queue_limit:
            waiting.answer(place, refused(_overloaded(self.number)))
            return
        self._queue.append((command, waiting, place))
        self._consider()

    def _consider(self) -> None:
        """Sends what waits where that is a batch by now, or soon where it is not yet one."""
        waits = len(self._queue)
        if self._in_flight or waits >= self._gathered or self._last < MANY:
            self._send_on()
        elif waits and self._gathering is None and self._open.is_set():
            self._gathering = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._send_on)

    def _worth_sending(self, *, beside: bool) -> bool:
        """Whether what waits may be a batch; `beside` another under way it must be worth it."""
        return self._open.is_set() and len(self._queue) >= (self._second_batch if beside else 1)

    def _send_on(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        if self._in_flight >= IN_FLIGHT or not self._worth_sending(beside=self._in_flight > 0):
            return
        self._in_flight += 1
        task = asyncio.get_running_loop().create_task(self._run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self) -> None:
        """One batch, to its answers. What waits is taken only here, so that all of one turn are in it; beside
        another, that one may have taken it.
        """
        try:
            if not self._worth_sending(beside=self._in_flight > 1):
                return
            size = self._last = min(len(self._queue), self._batch_limit)
            batch = [self._queue.popleft() for _ in range(size)]
            self.largest_batch = max(self.largest_batch, size)
            for (_, waiting, place), answer in zip(batch, await self._send(batch), strict=True):
                waiting.answer(place, answer)
        finally:
            self._in_flight -= 1
            self._consider()

    async def _send(self, batch: Sequence[_Queued]) -> Sequence[Answer]:
        """One batch to the shard. A shard that died is asked again once it is back: ids make that safe.

        What was sent first is sent again first, and nothing overtakes it: operations on one account keep
        their order across a crash.
        """
        message = encode([command for command, _, _ in batch])
        answers = None
        if not self._delayed:
            answers = await self._try(message, len(batch))
        if answers is None:
            self._delayed += 1
            try:
                async with self._reviving:
                    if await self._revived():
                        answers = await self._try(message, len(batch))
            finally:
                self._delayed -= 1
        return answers or [refused(_unknown())] * len(batch)

    async def _try(self, message: bytes, commands: int) -> Sequence[Answer] | None:
        """The answers to a batch; None where the shard went with it in hand."""
        try:
            return decode_answers(await self._shard.apply(message))
        except ShardGone as gone:
            log.warning("shard_gone", shard=self.number, commands=commands, fault=str(gone))
        except Exception as fault:  # whoever waits must hear something, whatever this was
            log.error("shard_faulted", shard=self.number, commands=commands, fault=type(fault).__name__)
        return None

    async def _revived(self) -> bool:
        """Whether the shard answers again within the time that a batch waits."""
        try:
            async with asyncio.timeout(REVIVAL_SECONDS):
                await self._shard.revived()
        except (TimeoutError, ShardGone):
            return False
        return True

    async def hold(self) -> None:
        """Stops sending; returns once no batch is under way. What comes meanwhile waits in the queue."""
        self._open.clear()
        await self.idle()

    def release(self) -> None:
        """Sends on after a hold."""
        self._open.set()
        self._consider()

    async def idle(self) -> None:
        """Returns once everything that was queued has been answered, or is held."""
        while self._running or (self._queue and self._open.is_set()):
            self._send_on()
            await asyncio.wait(set(self._running))


class Router:
    """All shards of a node. `placement` maps each partition to its shard's number."""

    def __init__(
        self,
        shards: Sequence[ShardHandle],
        placement: Mapping[int, int],
        *,
        queue_limit: int,
        batch_limit: int,
    ) -> None:
        self.lanes = [
            Lane(number, shard, queue_limit=queue_limit, batch_limit=batch_limit)
            for number, shard in enumerate(shards)
        ]
        self.partitions = len(placement)
        self._lane_of = [self.lanes[placement[partition]] for partition in range(len(placement))]
        self._placement = dict(placement)

    def shard_of(self, partition: int) -> int:
        """The number of the shard that hosts a partition."""
        return self._placement[partition]

    def begin(self, command: Command) -> asyncio.Future[Answer]:
        """Hands one command to its shard, now; the answer comes later."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._lane_of[command.partition].put(command, _Alone(answer), 0)
        return answer

    async def ask(self, command: Command) -> Answer:
        """Hands one command to its shard and waits for the answer."""
        return await self.begin(command)

    async def ask_many(self, commands: Sequence[Command]) -> list[Answer]:
        """Hands many commands to their shards and waits for all answers, in the order of the commands."""
        if not commands:
            return []
        waiting = _Waiting(len(commands), asyncio.get_running_loop().create_future())
        for place, command in enumerate(commands):
            self._lane_of[command.partition].put(command, waiting, place)
        await waiting.future
        return waiting.answers

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Between two batches of every shard: all of them stand at one moment, as a backup needs it."""
        try:
            await asyncio.gather(*(lane.hold() for lane in self.lanes))
            yield
        finally:
            for lane in self.lanes:
                lane.release()

    async def drain(self) -> None:
        """Returns once nothing waits and nothing is under way."""
        for lane in self.lanes:
            await lane.idle()


def _overloaded(shard: int) -> Refused:
    return Refused(
        Reason.OVERLOADED,
        "The queue is full. Nothing was done; send the same request again after the delay.",
        (("shard", str(shard)),),
        OVERLOAD_RETRY_MS,
    )


def _unknown() -> Refused:
    return refuse(
        Reason.OUTCOME_UNKNOWN,
        "The node lost the request on its way. Send the same request again, or ask what became of it.",
    )
