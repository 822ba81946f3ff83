"""What the gateway does by itself, again and again: sweeps, clean-up, figures, deliveries.

Each task is a loop with a pause of its own; a fault in one round is logged and the next round comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from node.actors.card_keys import LOOK_SECONDS, CardKeys
from node.actors.delivery import Delivery
from node.actors.erasing import Erasing
from node.actors.linking import Linking
from node.actors.ports import ShardGone, ShardHandle, ShardLost
from node.actors.router import Router
from node.actors.shard import MAX_SWEPT
from node.telemetry import QUEUE_DEPTH, Exporter, Figures

SWEEP_SECONDS = 1.0
FORGET_SECONDS = 5.0
FIGURES_SECONDS = 1.0
CLAIMS_SECONDS = 600.0
"""A pass over the whole index, so a rare one: a crash leaves at most a number that cannot be linked yet."""
ERASURES_SECONDS = 60.0
"""What a restore brought back is erased before the node serves; this is for an account that was set aside."""
DELIVERY_SECONDS = 1.0
"""The pause before the delivery runs, and before it runs again after a fault."""

log = structlog.get_logger()


class Upkeep:
    """The background tasks of a node.

    `report` is told again and again whether every shard answers, and why one of them cannot come back.
    """

    def __init__(
        self,
        shards: Sequence[ShardHandle],
        router: Router,
        linking: Linking,
        delivery: Delivery,
        erasing: Erasing,
        exporter: Exporter,
        figures: Figures,
        report: Callable[[bool, str], Awaitable[None]],
        card_keys: CardKeys | None = None,
    ) -> None:
        self._shards = shards
        self._router = router
        self._linking = linking
        self._delivery = delivery
        self._erasing = erasing
        self._exporter = exporter
        self._figures = figures
        self._report = report
        self._card_keys = card_keys
        self._cursors = [b""] * len(shards)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Starts the tasks."""
        rounds: list[tuple[str, float, Callable[[], Awaitable[None]]]] = [
            ("sweep", SWEEP_SECONDS, self._sweep),
            ("forget", FORGET_SECONDS, self._forget),
            ("figures", FIGURES_SECONDS, self._collect),
            ("claims", CLAIMS_SECONDS, self._finish_claims),
            ("erasures", ERASURES_SECONDS, self._erasing.run),
            ("delivery", DELIVERY_SECONDS, self._delivery.run),
            ("card_keys", LOOK_SECONDS, self._look_at_card_keys),
        ]
        self._tasks = [asyncio.create_task(self._repeat(*one)) for one in rounds]

    async def stop(self) -> None:
        """Ends the tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _repeat(self, name: str, pause_seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(pause_seconds)
            try:
                await work()
            except ShardGone as gone:
                log.warning("upkeep_waits", task=name, fault=str(gone))
            except Exception as fault:
                log.error("upkeep_faulted", task=name, fault=type(fault).__name__, exc_info=fault)

    async def _sweep(self) -> None:
        """Settles what is due on every shard, one bounded batch at a time."""
        for shard in self._shards:
            settled = MAX_SWEPT
            while settled == MAX_SWEPT:
                settled = await shard.call("sweep")

    async def _forget(self) -> None:
        """One bounded step of dropping old request records on every shard."""
        for at, shard in enumerate(self._shards):
            self._cursors[at] = await shard.call("forget_old_requests", self._cursors[at])

    async def _finish_claims(self) -> None:
        """Confirms or ends the identifier claims that a crash left half-way."""
        await self._linking.sweep()

    async def _look_at_card_keys(self) -> None:
        """Takes new keys for chip cards into use."""
        if self._card_keys is not None:
            await self._card_keys.look(self._shards)

    async def _collect(self) -> None:
        """Takes the shards' figures over into the node's metrics, and reports whether all of them answer."""
        whole, lost = True, ""
        for shard, lane in zip(self._shards, self._router.lanes, strict=True):
            self._figures.count(QUEUE_DEPTH, str(shard.number)).set(lane.queued)
            try:
                self._exporter.put(str(shard.number), await shard.call("figures"))
            except ShardGone as gone:
                whole = False
                if isinstance(gone, ShardLost):
                    lost = str(gone)
                log.warning("shard_silent", shard=shard.number, fault=str(gone))
        await self._report(whole, lost)
