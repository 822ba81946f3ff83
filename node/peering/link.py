"""The link to one partner: whatever connections stand, one outbox, one bound on what is under way.

Either side may dial. Where both did, both keep the connection that the smaller id dialled, so that they
agree without a word; what is on the other one already is read to its end. A partner that sends faster than
this node works is not read until it has caught up: its own outbox fills and refuses, and nobody else is
slowed down.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import structlog

from node.peering.connection import Connection, read_from
from node.peering.outbox import Outbox
from node.peering.ports import Exchanging
from node.telemetry import PEER_CONNECTED, PEER_FAULTS, PEER_MESSAGES, Figures
from node.wire.coalition_frames import (
    MAX_FRAME_BYTES,
    MAX_FRAME_MESSAGES,
    Frame,
    FrameUnreadable,
    RecordsWish,
    frame_bytes,
    read_frame,
)

UNDER_WAY = 256
"""Messages of one partner that this node works on at a time; beyond it the partner is not read."""
AT_ONCE = 8
"""Messages of a frame that are begun before others have their turn: while the next ones are verified, which
is dear, the shards work on the first.
"""
OPEN_CALLS = 64
"""Questions for records that wait for one partner's answer."""
CALL_SECONDS = 30.0
HANDOVER_SECONDS = 5.0
"""How long a connection that another one replaces is still read; its ends stop writing at once."""
LINGER_SECONDS = 5.0
"""How long work on messages that came may take when the link is closed."""

log = structlog.get_logger()


class PeerLink:
    """One partner. `act` is what a message is handed to: this node's own work, or the relay's."""

    def __init__(
        self,
        own_id: str,
        partner_id: str,
        exchanging: Exchanging,
        act: Callable[[str, bytes], Awaitable[None]],
        figures: Figures,
        *,
        outbox: Outbox | None = None,
        under_way: int = UNDER_WAY,
    ) -> None:
        self.partner_id = partner_id
        self.outbox = outbox or Outbox()
        self._own_id = own_id
        self._exchanging = exchanging
        self._act = act
        self.by_calls = False
        """Whether no stream stands and calls reach the partner (`calls`)."""
        self.filled = asyncio.Event()
        """Set whenever a message is queued; whoever waits for one clears it."""
        self._current: Connection | None = None
        self._replaced: list[Connection] = []  # still read, and to be finished by the pump, which writes
        self._changed = asyncio.Event()  # the connection, or something to send
        self._gone = asyncio.Event()
        self._gone.set()
        self._window = asyncio.Semaphore(under_way)
        self._working: set[asyncio.Task[None]] = set()
        self._calls: dict[int, asyncio.Future[tuple[bytes, ...] | None]] = {}
        self._next_call = 0
        self._to_ask: deque[tuple[int, RecordsWish]] = deque()
        self._to_reply: deque[tuple[int, tuple[bytes, ...]]] = deque()
        self._sent = figures.count(PEER_MESSAGES, partner_id, "sent")
        self.called = figures.count(PEER_MESSAGES, partner_id, "called")
        """Messages that went by calls."""
        self._came = figures.count(PEER_MESSAGES, partner_id, "received")
        self._faults = figures.count(PEER_FAULTS, partner_id)
        self._stands = figures.count(PEER_CONNECTED, partner_id)
        self._pump = asyncio.get_running_loop().create_task(self._send_on())

    @property
    def connected(self) -> bool:
        """Whether a connection stands."""
        return self._current is not None

    @property
    def reached(self) -> bool:
        """Whether a message could leave now: by the connection, or by calls."""
        return self.connected or self.by_calls

    async def reached_by_calls(self) -> None:
        """Calls reach the partner while no stream does: what waits for it can be sent again."""
        self.by_calls = True
        await self._greet()

    async def disconnected(self) -> None:
        """Returns once no connection stands."""
        await self._gone.wait()

    def send(self, carried: bytes) -> bool:
        """Queues a message; False where the outbox is full."""
        taken = self.outbox.put(carried)
        self._changed.set()
        self.filled.set()
        return taken

    async def list_records(self, wish: RecordsWish) -> tuple[bytes, ...] | None:
        """Asks for records over the connection; None where none stands, or no answer comes in time."""
        if self._current is None or len(self._calls) >= OPEN_CALLS:
            return None
        self._next_call += 1
        call_id = self._next_call
        future: asyncio.Future[tuple[bytes, ...] | None] = asyncio.get_running_loop().create_future()
        self._calls[call_id] = future
        self._to_ask.append((call_id, wish))
        self._changed.set()
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await future
        except TimeoutError:
            return None
        finally:
            del self._calls[call_id]

    def admits(self, dialler_id: str) -> bool:
        """Whether a connection that this side dialled would be kept beside the one that stands."""
        standing = self._current
        return standing is None or dialler_id <= standing.dialler_id

    async def run(self, connection: Connection) -> None:
        """Runs a connection until it ends; where the one that stands is to be kept, until it is read out.

        Of two by one dialler the newer is kept: the older may be half dead without anybody knowing.
        """
        if not self.admits(connection.dialler_id):
            await self._read_out(connection)
            return
        replaced, self._current = self._current, connection
        if replaced is not None:
            self._replace(replaced, by=connection)
        self._gone.clear()
        self._changed.set()
        self._stands.set(1)
        log.info("peer_connected", partner=self.partner_id, dialled_by=connection.dialler_id)
        greeting = asyncio.get_running_loop().create_task(self._greet())
        try:
            await self._read(connection)
        finally:
            greeting.cancel()
            if self._current is connection:
                self._lost()

    def _replace(self, replaced: Connection, *, by: Connection) -> None:
        """Ends a connection at once where its own dialler has dialled anew, else once it is read out."""
        self._give_up_calls()
        if replaced.dialler_id == by.dialler_id:
            replaced.end()
            return
        self._replaced.append(replaced)
        asyncio.get_running_loop().call_later(HANDOVER_SECONDS, replaced.end)

    async def _read_out(self, connection: Connection) -> None:
        """Reads what was written before both sides knew that another connection is kept."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HANDOVER_SECONDS):
                await connection.finish()
                await self._read(connection)

    async def handle(self, carried: bytes) -> Sequence[bytes] | None:
        """One message that came by a call of its own; None where too many are under way already."""
        if self._window.locked():
            return None
        async with self._window:
            self._came.add()
            said = await self._exchanging.answered(self.partner_id, carried)
        if self.connected:
            return said
        room = max(MAX_FRAME_MESSAGES - len(said), 0), MAX_FRAME_BYTES - sum(map(len, said))
        waiting = self.outbox.take(*room)  # no stream: this answer is the way to the partner
        self._sent.add(len(waiting))
        return [*said, *waiting]

    async def came(self, carried: bytes) -> None:
        """One message from the partner, to be worked on once fewer than the bound are under way."""
        self._came.add()
        await self._work(partial(self._act, self.partner_id, carried))

    async def close(self) -> None:
        """Ends the connection, and waits a little for what is under way."""
        if self._current is not None:
            self._current.end()
            self._lost()
        self._pump.cancel()
        if self._working:
            await asyncio.wait(set(self._working), timeout=LINGER_SECONDS)
        for task in [*self._working, self._pump]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def drop(self) -> None:
        """Ends the connection that stands: the partner's entry in the directory has changed."""
        if self._current is not None:
            self._current.end()

    def _lost(self) -> None:
        self._current = None
        self._gone.set()
        self._stands.set(0)
        self._give_up_calls()
        log.info("peer_disconnected", partner=self.partner_id, waiting=len(self.outbox))

    def _give_up_calls(self) -> None:
        """Questions for records are asked of the connection that they went out on, or not at all."""
        self._to_ask.clear()
        self._to_reply.clear()
        for future in self._calls.values():
            if not future.done():
                future.set_result(None)

    async def _greet(self) -> None:
        await self._guarded(self._exchanging.connected(self.partner_id))

    async def _send_on(self) -> None:
        """Writes frames for as long as there is something to send and a connection to send it by."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._replaced:
                with contextlib.suppress(Exception):  # it has ended by itself
                    await self._replaced.pop().finish()
            while (connection := self._current) is not None and (frame := self._next_frame()) is not None:
                try:
                    await connection.pipe.write(frame_bytes(frame))
                except Exception:  # whatever grpc calls it: the connection is gone, its reader says so too
                    self.outbox.put_back(frame.carried)
                    connection.end()
                    if self._current is connection:
                        self._lost()
                    break
                self._sent.add(len(frame.carried))

    def _next_frame(self) -> Frame | None:
        calls = _popped(self._to_ask)
        replies = (self._to_reply.popleft(),) if self._to_reply else ()
        carried = self.outbox.take(MAX_FRAME_MESSAGES, MAX_FRAME_BYTES)
        return Frame(carried, calls, replies) if calls or replies or carried else None

    async def _read(self, connection: Connection) -> None:
        while (data := await read_from(connection.pipe)) is not None:
            try:
                frame = read_frame(data)
            except FrameUnreadable as wrong:
                self._faults.add()
                log.warning("peer_frame_unreadable", partner=self.partner_id, problem=str(wrong))
                return
            for call_id, records in frame.replies:
                future = self._calls.get(call_id)
                if future is not None and not future.done():
                    future.set_result(records)
            for call_id, wish in frame.calls:
                await self._work(partial(self._reply, connection, call_id, wish))
            for number, carried in enumerate(frame.carried, 1):
                await self.came(carried)
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def _reply(self, connection: Connection, call_id: int, wish: RecordsWish) -> None:
        records = await self._exchanging.lane_records(self.partner_id, wish)
        if self._current is connection:
            self._to_reply.append((call_id, tuple(records)))
            self._changed.set()

    async def _work(self, work: Callable[[], Awaitable[None]]) -> None:
        """Starts work on something that came, once fewer than the bound are under way."""
        await self._window.acquire()
        task = asyncio.get_running_loop().create_task(self._guarded(work()))
        self._working.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        self._window.release()

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as fault:  # one message's fault is not the next one's
            self._faults.add()
            log.error("peer_message_faulted", partner=self.partner_id, exc_info=fault)


def _popped(waiting: deque[tuple[int, RecordsWish]]) -> tuple[tuple[int, RecordsWish], ...]:
    taken = tuple(waiting)
    waiting.clear()
    return taken
