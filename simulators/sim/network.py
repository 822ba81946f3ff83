"""A simulated network between nodes: it loses, repeats, delays, reorders and cuts, as the faults say.

`SimLinks` is a node's `node.peering.ports.Links` for one life of its gateway. A link behaves as the real one:
while the partner is away, messages wait in a bounded outbox, and when it is back whoever waits is told. A cut
is not noticed at once; until then what is sent is gone, and so is what is on its way when a process ends.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from msgspec import Struct

from node.peering.ports import Exchanging
from node.telemetry import PEER_REFUSED, Figures
from node.wire.coalition_frames import RecordsWish
from simulators.sim.loop import SimLoop
from simulators.sim.process import Process
from simulators.sim.trace import Trace

OUTBOX_MESSAGES = 200
"""Messages that wait for one partner; then `send` says no."""
NOTICE_SECONDS = (1.0, 8.0)
"""Until a link knows that its partner is cut off or gone."""
RECONNECT_SECONDS = (0.2, 3.0)
"""Until it knows that the partner is back."""
WITHHELD_SECONDS = (5.0, 60.0)
"""How long a relay keeps a message that it withholds: longer than a node takes to come back on a backup."""
CALL_SECONDS = 10.0
"""How long a unary call waits."""
UNDER_WAY = 64
"""Messages of one partner that a node works on at a time, as in `node.peering.link`; more is not read yet."""

Tap = Callable[[str, str, bytes], Sequence[bytes]]
"""Sees what one node sends to another, and says what arrives instead: forging, withholding, replaying."""


class Weather(Struct):
    """How the network is between all nodes. `withheld`: the chance that a relay keeps a message for long."""

    loss: float = 0.0
    duplicate: float = 0.0
    delay_seconds: tuple[float, float] = (0.002, 0.05)
    withheld: float = 0.0


class SimLinks:
    """The links of one life of a node's gateway."""

    def __init__(
        self, network: Network, own_id: str, process: Process, exchanging: Exchanging, figures: Figures
    ) -> None:
        self.own_id = own_id
        self.process = process
        self.exchanging = exchanging
        self.under_way: Counter[str] = Counter()
        self._figures = figures
        self._unread: dict[str, deque[bytes]] = {}
        self._network = network
        self._outboxes: dict[str, deque[bytes]] = {}
        self.reached: dict[str, bool] = {}
        """Whether the link to a partner stands, as far as this side knows."""

    def connected(self, partner_id: str) -> bool:
        """Whether a message could leave now."""
        return self.reached.get(partner_id, False)

    async def send(self, partner_id: str, carried: bytes) -> bool:
        """Sends a message, or queues it while the partner is away; False where the queue is full."""
        if not self._network.knows(partner_id):
            return False
        if self.connected(partner_id):
            self._network.carry(self.own_id, partner_id, carried)
            return True
        outbox = self._outboxes.setdefault(partner_id, deque())
        if len(outbox) >= OUTBOX_MESSAGES:
            return False
        outbox.append(carried)
        return True

    async def list_records(self, partner_id: str, wish: RecordsWish) -> Sequence[bytes] | None:
        """LaneRecords from the partner; None where they were lost on the way."""
        own_id = self.own_id
        return await self._network.call(
            own_id, partner_id, lambda exchanging: exchanging.lane_records(own_id, wish)
        )

    def read(self, partner_id: str, carried: bytes) -> None:
        """A message has come on the stream; it is worked on once fewer than the bound are under way."""
        if self.under_way[partner_id] >= UNDER_WAY:
            self._unread.setdefault(partner_id, deque()).append(carried)
            return
        self._begin(partner_id)
        task = self.process.spawn(self.exchanging.received(partner_id, carried))
        task.add_done_callback(lambda _: self._done(partner_id))

    def _begin(self, partner_id: str) -> None:
        self.under_way[partner_id] += 1
        most, pair = self._network.most_under_way, (self.own_id, partner_id)
        most[pair] = max(most[pair], self.under_way[partner_id])

    def _done(self, partner_id: str) -> None:
        self.under_way[partner_id] -= 1
        if waiting := self._unread.get(partner_id):
            self.read(partner_id, waiting.popleft())

    def handle(
        self, partner_id: str, work: Callable[[Exchanging], Coroutine[Any, Any, Sequence[bytes]]]
    ) -> asyncio.Task[Sequence[bytes]] | None:
        """Works on a call of a partner's; None, counted as OVERLOADED, where too much of it is under way."""
        if self.under_way[partner_id] >= UNDER_WAY:
            self._figures.count(PEER_REFUSED, partner_id, "OVERLOADED").add()
            return None
        self._begin(partner_id)
        task = self.process.spawn(work(self.exchanging))
        task.add_done_callback(lambda _: self._done(partner_id))
        return task

    def up(self, partner_id: str) -> None:
        """The partner is reached again."""
        if self.reached.get(partner_id):
            return
        self.reached[partner_id] = True
        outbox = self._outboxes.pop(partner_id, deque())
        for carried in outbox:
            self._network.carry(self.own_id, partner_id, carried)
        self.process.spawn(self.exchanging.connected(partner_id))

    def down(self, partner_id: str) -> None:
        """The partner is away."""
        self.reached[partner_id] = False


class Network:
    """All nodes' links. `cut` and `weather` are put on it by faults, `tap` by hostile partners."""

    def __init__(self, loop: SimLoop, chance: random.Random, trace: Trace) -> None:
        self.weather = Weather()
        self.tap: Tap | None = None
        self.most_under_way: Counter[tuple[str, str]] = Counter()
        """The most messages that a node has worked on at a time, of a partner."""
        self._loop = loop
        self._chance = chance
        self._trace = trace
        self._links: dict[str, SimLinks] = {}
        self._names: set[str] = set()
        self._cuts: set[tuple[str, str]] = set()
        self._around = Process(loop, "network")

    def knows(self, partner_id: str) -> bool:
        """Whether a node of that id was ever there."""
        return partner_id in self._names

    def join(self, own_id: str, process: Process, exchanging: Exchanging, figures: Figures) -> SimLinks:
        """The links of a node whose gateway has started; its partners notice in a while."""
        links = self._links[own_id] = SimLinks(self, own_id, process, exchanging, figures)
        self._names.add(own_id)
        self._look_around()
        return links

    def left(self, own_id: str) -> None:
        """A node's gateway has ended; its partners notice in a while."""
        self._links.pop(own_id, None)
        self._look_around()

    def cut(self, sender: str, receiver: str) -> None:
        """Nothing passes from one to the other any more; the other way is another."""
        self._cuts.add((sender, receiver))
        self._look_around()

    def mend(self, sender: str, receiver: str) -> None:
        """What is sent from one to the other passes again."""
        self._cuts.discard((sender, receiver))
        self._look_around()

    def passes(self, sender: str, receiver: str) -> bool:
        """Whether what is sent now arrives, but for bad weather."""
        return receiver in self._links and (sender, receiver) not in self._cuts

    def _look_around(self) -> None:
        """Every link learns in its time whether its partner is there: both directions must pass."""
        for own_id in list(self._links):
            for partner_id in sorted(self._names - {own_id}):
                there = self._both_ways(own_id, partner_id)
                seconds = self._chance.uniform(*(RECONNECT_SECONDS if there else NOTICE_SECONDS))
                self._around.call_later(seconds, self._notice, own_id, partner_id)

    def _both_ways(self, own_id: str, partner_id: str) -> bool:
        return self.passes(own_id, partner_id) and self.passes(partner_id, own_id)

    def _notice(self, own_id: str, partner_id: str) -> None:
        links = self._links.get(own_id)
        if links is not None:
            (links.up if self._both_ways(own_id, partner_id) else links.down)(partner_id)

    def carry(self, sender: str, receiver: str, carried: bytes) -> None:
        """Takes a message on its way, once, twice or not at all, each time with another delay."""
        arriving = [carried] if self.tap is None else self.tap(sender, receiver, carried)
        for message in arriving:
            self.inject(sender, receiver, message)

    def inject(self, sender: str, receiver: str, carried: bytes) -> None:
        """The same behind the tap: what a hostile partner puts on the wire."""
        weather, chance = self.weather, self._chance
        copies = 1 + (chance.random() < weather.duplicate)
        for _ in range(copies):
            if not self.passes(sender, receiver) or chance.random() < weather.loss:
                continue
            held = weather.withheld and chance.random() < weather.withheld
            seconds = chance.uniform(*(WITHHELD_SECONDS if held else weather.delay_seconds))
            self._around.call_later(seconds, self._arrive, sender, receiver, carried)

    def _arrive(self, sender: str, receiver: str, carried: bytes) -> None:
        links = self._links.get(receiver)
        if links is None or (sender, receiver) in self._cuts:
            return
        self._trace.note(receiver, f"from {sender}", carried)
        links.read(sender, carried)

    async def call(
        self,
        sender: str,
        receiver: str,
        work: Callable[[Exchanging], Coroutine[Any, Any, Sequence[bytes]]],
    ) -> Sequence[bytes] | None:
        """A call from one node to another, both ways over this network."""
        await asyncio.sleep(self._chance.uniform(*self.weather.delay_seconds))
        links = self._links.get(receiver)
        if not self.passes(sender, receiver) or links is None or self._chance.random() < self.weather.loss:
            await asyncio.sleep(CALL_SECONDS)
            return None
        task = links.handle(sender, work)
        if task is None:
            return None
        done, _ = await asyncio.wait({task}, timeout=CALL_SECONDS)
        await asyncio.sleep(self._chance.uniform(*self.weather.delay_seconds))
        if not done or not self.passes(receiver, sender) or self._chance.random() < self.weather.loss:
            return None
        return task.result()
