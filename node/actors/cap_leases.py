"""Moves shares of caps to the partitions of this node that need them, and finishes moves that were cut short.

A move is two steps on two partitions: the giver's share becomes smaller, and once that is durable the taker
is told of it. It decides nothing that matters: both steps are safe at any time, in any number and in any
order (`coalition.leases`), so a crash between them leaves a part of the cap to nobody until the next sweep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import structlog

from node.actors.exchanging import Exchanging
from node.coalition import caps
from node.coalition.caps import Slice
from node.coalition.leases import LeaseView, Parts
from node.wire.coalition_records import LaneWish, Outcome
from node.wire.commands import Op, encode
from node.wire.lease_wishes import GiveWish, HearWish

MAX_GIVERS = 8
"""Partitions that give in one move; who still lacks something afterwards asks again."""
MAX_WANTED = 1_024
"""Pairs of partner and partition that wait for a move; beyond it they ask again."""
SWEEP_SECONDS = 120.0
"""How often leases are compared where nothing is wanted: a move that a crash cut short is finished then."""
FAULT_SECONDS = 1.0

Views = dict[int, LeaseView]

log = structlog.get_logger()


class CapLeases:
    """Leases of caps of one node. `want` may be called at any time; `run` acts on it, one move at a time."""

    def __init__(self, exchanging: Exchanging) -> None:
        self._exchanging = exchanging
        self._wanted: dict[tuple[str, int], Slice] = {}
        self._wake = asyncio.Event()

    def want(self, partition: int, short: Iterable[tuple[str, Slice]]) -> None:
        """A partition lacks so many units of the caps with partners."""
        for partner_id, units in short:
            if (partner_id, partition) in self._wanted or len(self._wanted) < MAX_WANTED:
                self._wanted[partner_id, partition] = units
                self._wake.set()

    async def run(self) -> None:
        """Compares leases at the start and now and then, and moves what is wanted; until it is cancelled."""
        loop = asyncio.get_running_loop()
        sweep_at = loop.time()
        while True:
            try:
                if loop.time() >= sweep_at:
                    await self.sweep()
                    sweep_at = loop.time() + SWEEP_SECONDS
                await self.move_wanted()
            except Exception as fault:
                log.error("cap_lease_faulted", exc_info=fault)
                sweep_at = loop.time()
                await asyncio.sleep(FAULT_SECONDS)
            await self._pause(max(0.0, sweep_at - loop.time()))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def sweep(self) -> None:
        """Finishes what was cut short, with every partner, whatever its status."""
        known = self._exchanging.directories.known
        for partner in known.newest.partners if known else ():
            if partner.partner_id != self._exchanging.own_id:
                await self._agree(partner.partner_id, await self._look(partner.partner_id))

    async def move_wanted(self) -> None:
        """One move for everything that is wanted now."""
        while self._wanted:
            (partner_id, taker), units = next(iter(self._wanted.items()))
            del self._wanted[partner_id, taker]
            await self.move(partner_id, taker, units)

    async def move(self, partner_id: str, taker: int, units: Slice) -> None:
        """Gives `taker` so many units more, as far as others can do without: at most MAX_GIVERS of them."""
        views = await self._agree(partner_id, await self._look(partner_id))
        if taker not in views:
            return
        gifts = list(_gifts(views, taker, units).items())
        for giver, wanted in gifts[:MAX_GIVERS]:
            before = views[giver].lease.given.get(taker, Parts())
            wish = GiveWish(partner_id, taker, wanted, before)
            after = await self._ask(Op.LEASE_GIVE, giver, encode(wish))
            if after is not None:
                await self._tell(partner_id, taker, giver, after)

    async def _agree(self, partner_id: str, views: Views) -> Views:
        """Tells each partition what another has given it, or has taken from it, and it does not know."""
        for one, theirs in sorted(views.items()):
            for other in sorted(views):
                own = views[other].lease
                given, taken = theirs.lease.given.get(other), theirs.lease.taken.get(other)
                if _more(given, own.taken.get(one)) or _more(taken, own.given.get(one)):
                    after = await self._tell(partner_id, other, one, views[one])
                    if after is not None:
                        views[other] = after
        return views

    async def _tell(self, partner_id: str, partition: int, other: int, view: LeaseView) -> LeaseView | None:
        wish = HearWish(partner_id, other, view.lease)
        return await self._ask(Op.LEASE_HEAR, partition, encode(wish))

    async def _look(self, partner_id: str) -> Views:
        """The leases of all partitions that answer; who does not neither gives nor takes now."""
        body, numbers = encode(LaneWish((partner_id,))), range(self._exchanging.router.partitions)
        found = await asyncio.gather(*(self._ask(Op.LEASE_LOOK, number, body) for number in numbers))
        return {number: view for number, view in zip(numbers, found, strict=True) if view is not None}

    async def _ask(self, op: Op, partition: int, body: bytes) -> LeaseView | None:
        outcome = await self._exchanging.do(op, partition, body)
        return outcome.leases[0] if isinstance(outcome, Outcome) and outcome.leases else None


def _more(one: Parts | None, other: Parts | None) -> bool:
    """Whether one number of a pair says more than the other."""
    said, known = one or Parts(), other or Parts()
    return said.home > known.home or said.acquirer > known.acquirer


def _gifts(views: Mapping[int, LeaseView], taker: int, units: Slice) -> dict[int, Slice]:
    """Which partition gives how many units, those with most to spare first."""
    home = caps.shrunk(
        {number: view.slices.home_units for number, view in views.items()},
        {number: view.usage.home_owes for number, view in views.items()},
        {taker: units.home_units},
    )
    acquirer = caps.shrunk(
        {number: view.slices.acquirer_units for number, view in views.items()},
        {number: view.usage.acquirer_owes for number, view in views.items()},
        {taker: units.acquirer_units},
    )
    return {
        number: Slice(
            views[number].slices.home_units - home.get(number, views[number].slices.home_units),
            views[number].slices.acquirer_units - acquirer.get(number, views[number].slices.acquirer_units),
        )
        for number in {**home, **acquirer}
    }
