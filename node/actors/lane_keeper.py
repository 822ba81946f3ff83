"""Opening lanes, and whatever of the coalition is due by time: on one node, for all partners.

After every start of either side, a lane carries nothing before HELLO: the home node proposes, and goes on
proposing until its acquirer has answered. What an acquirer has to send again lies in its shards with the time
at which it is due; here is the clock that asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

import structlog

from node.actors.cap_leases import CapLeases
from node.actors.exchanging import Exchanging
from node.coalition.messages import ExchangeReason
from node.ledger.refusals import Refused
from node.storage.keyspace import partner_partition
from node.wire.coalition_records import LaneWish, Outcome
from node.wire.commands import Op, encode

HELLO_FIRST_SECONDS = 0.5
HELLO_LONGEST_SECONDS = 30.0
TICK_SECONDS = 30.0
"""How often lanes without traffic are looked at for a cut marker, and all exchanges for what is due."""
IDLE_SECONDS = 5.0
"""The longest pause between two looks at what is due."""
FAULT_SECONDS = 1.0

log = structlog.get_logger()


class LaneKeeper:
    """Keeps lanes open and due work moving. `start` once the node serves; `stop` before its shards close."""

    def __init__(self, exchanging: Exchanging, chance: random.Random) -> None:
        self._exchanging = exchanging
        self._chance = chance
        self._due_ms: dict[int, int] = {}
        self._wake = asyncio.Event()
        self._opening: dict[str, asyncio.Task[None]] = {}
        self._home_ready: dict[str, set[int]] = {}
        self._heard: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self.leases = CapLeases(exchanging)
        exchanging.greeted = self.greet
        exchanging.noted = self.note
        exchanging.unopened = self.listen

    def start(self) -> None:
        """Begins to look at what is due: all of it, since what was due before a start is not known."""
        for partner_id in self._partners():
            self._due_ms[self._partition(partner_id)] = 0
        loop = asyncio.get_running_loop()
        work = (self._repeat(self._due), self._repeat(self._tick), self.leases.run())
        self._tasks = [loop.create_task(one) for one in work]

    async def stop(self) -> None:
        """Opens nothing more, and sends nothing more by itself."""
        tasks = [*self._tasks, *self._opening.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def greet(self, partner_id: str) -> None:
        """A connection with the partner stands: its lanes are opened, and what waits is due at once."""
        if self._exchanging.directories.known is None:
            return
        self._due_ms[self._partition(partner_id)] = 0
        self._wake.set()
        task = self._opening.get(partner_id)
        if task is not None and not task.done():
            task.cancel()
        loop = asyncio.get_running_loop()
        self._opening[partner_id] = loop.create_task(self._open(partner_id))

    def note(self, partition: int, outcome: Outcome, by_home: bool = True) -> None:
        """What a shard said of itself beside an answer: what is due when, and which lanes are open.

        `by_home`: it may have said so as a home node; the refusals of an acquirer's are heard by `listen`.
        """
        if by_home and outcome.refused == ExchangeReason.LANE_NOT_READY:  # its shard has started anew
            for partner_id in {said.partner_id for said in outcome.says}:
                ready = self._home_ready.get(partner_id, set())
                if partition in ready:
                    ready.discard(partition)
                    self.greet(partner_id)
        for partner_id in outcome.ready:
            self._home_ready.setdefault(partner_id, set()).add(partition)
        self.leases.want(partition, outcome.short)
        if outcome.due_ms and outcome.due_ms < self._due_ms.get(partition, 1 << 62):
            self._due_ms[partition] = outcome.due_ms
            self._wake.set()

    def listen(self, partner_id: str) -> None:
        """The partner has spoken on a lane of its members for which our shard has heard no HELLO: where it
        had, it has started anew, and asks for another at once.
        """
        if partner_id in self._heard:
            self._heard.discard(partner_id)
            self.greet(partner_id)

    def lanes_open(self, partner_id: str) -> int:
        """How many of this node's lanes with the partner have been opened in this life of the process."""
        return len(self._home_ready.get(partner_id, ()))

    async def _open(self, partner_id: str) -> None:
        """HELLO on all lanes that are not open, and again with longer pauses while the connection stands."""
        pause_seconds = HELLO_FIRST_SECONDS
        own, links = self._exchanging, self._exchanging.links
        heard = False
        while links is not None and links.connected(partner_id):
            try:
                closed = set(range(own.router.partitions)) - self._home_ready.get(partner_id, set())
                body = encode(LaneWish((partner_id,)))
                await asyncio.gather(*(own.do(Op.HOME_HELLO, at, body) for at in sorted(closed)))
                if not heard:
                    outcome = await own.do(Op.ACQUIRER_HELLO, self._partition(partner_id), body)
                    heard = isinstance(outcome, Outcome) and partner_id in outcome.ready
                    self._heard |= {partner_id} if heard else set()
                if not closed and heard:
                    return
            except Exception as fault:
                log.error("lane_opening_faulted", partner=partner_id, exc_info=fault)
            await asyncio.sleep(pause_seconds * self._chance.uniform(0.5, 1.0))
            pause_seconds = min(pause_seconds * 2, HELLO_LONGEST_SECONDS)

    async def _due(self) -> None:
        """Sends again what is due, and sleeps until more is."""
        own = self._exchanging
        self._wake.clear()
        now_ms = own.clock_ms()
        due = [partition for partition, at_ms in self._due_ms.items() if at_ms <= now_ms]
        for partition in due:
            del self._due_ms[partition]
            outcome = await own.do(Op.ACQUIRER_DUE, partition, encode(LaneWish()))
            if isinstance(outcome, Refused):
                self._due_ms.setdefault(partition, now_ms + int(FAULT_SECONDS * 1000))
        next_ms = min(self._due_ms.values(), default=now_ms + int(IDLE_SECONDS * 1000))
        seconds = min(max(next_ms - own.clock_ms(), 0) / 1000, IDLE_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _tick(self) -> None:
        """Cut markers that nothing else reminds of, and what the restart of a shard leaves: lanes that are
        shut, and exchanges of which nobody here has heard when they are due.
        """
        await asyncio.sleep(TICK_SECONDS)
        own, links = self._exchanging, self._exchanging.links
        partners = tuple(self._partners())
        for partner_id in partners:
            self._due_ms.setdefault(self._partition(partner_id), 0)
        self._wake.set()
        reached = tuple(name for name in partners if links is not None and links.connected(name))
        for partition in range(own.router.partitions):
            await own.do(Op.HOME_TICK, partition, encode(LaneWish(partners)))
            await own.do(Op.HOME_HELLO, partition, encode(LaneWish(reached)))
        for partner_id in reached:
            await own.do(Op.ACQUIRER_HELLO, self._partition(partner_id), encode(LaneWish((partner_id,))))

    async def _repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception as fault:
                log.error("lane_keeper_faulted", exc_info=fault)
                await asyncio.sleep(FAULT_SECONDS)

    def _partners(self) -> list[str]:
        known = self._exchanging.directories.known
        everyone = known.newest.partners if known else ()
        return [one.partner_id for one in everyone if one.partner_id != self._exchanging.own_id]

    def _partition(self, partner_id: str) -> int:
        return partner_partition(partner_id, self._exchanging.router.partitions)
