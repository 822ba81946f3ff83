"""How this node stands with each partner: links, lanes, caps, what waits, and whose clock is wrong.

It asks the shards when somebody wants to know, and now and then by itself: then what comes near a cap is told
before anything is refused, whoever of the two would come to owe it.
"""

from __future__ import annotations

import asyncio
import contextlib

import structlog
from msgspec import Struct

from node.actors.exchanging import Exchanging
from node.coalition.caps import ALERT_PERCENTS, Usage, together
from node.storage.keyspace import partner_partition
from node.telemetry import (
    CAP_ALERTS,
    CAP_USED,
    EXCHANGES_OLDEST,
    EXCHANGES_WAITING,
    LANES_ASIDE,
    LANES_SHUT,
    PEER_CLOCK_AHEAD,
    Figures,
)
from node.wire.coalition_records import LaneWish
from node.wire.commands import AnswerKind, Command, Op, encode
from node.wire.lane_states import LANE_STATES, LaneState, LaneStates

LOOK_SECONDS = 15.0
SOON_SECONDS = 1.0
"""How soon it looks after something was refused, or came near a partition's share of a cap."""
OWN, PARTNER = "own", "partner"
"""Who would owe: the values of the metrics' label `debtor`."""

log = structlog.get_logger()


class CapUse(Struct, frozen=True):
    """The most that one of two merchants may owe the other, and what it owes with what is under way.

    The cap holds for what it owes as home node, and for what it owes as acquirer: the larger is shown.
    """

    cap_units: int
    used_units: int

    @property
    def percent(self) -> int:
        """How much of the cap is used, rounded down; 100 where nothing may be owed and something is."""
        if self.used_units <= 0:
            return 0
        return self.used_units * 100 // self.cap_units if self.cap_units > 0 else 100


class Standing(Struct, frozen=True):
    """How this node stands with one partner.

    `oldest_ms` is when the oldest of `waiting` exchanges was begun, 0 for none; `clock_ahead_ms` is None
    where too little was heard of late.
    """

    partner_id: str
    lanes: tuple[LaneState, ...]
    own: CapUse
    partner: CapUse
    waiting: int = 0
    oldest_ms: int = 0
    clock_ahead_ms: int | None = None


class Standings:
    """Looks at all partners. `start` once the node serves; `stop` before its shards close."""

    def __init__(self, exchanging: Exchanging, figures: Figures) -> None:
        self._exchanging = exchanging
        self._figures = figures
        self._reached: dict[tuple[str, str], int] = {}
        self._soon = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        exchanging.near_cap = self._soon.set

    def start(self) -> None:
        """Begins to look by itself."""
        self._task = asyncio.get_running_loop().create_task(self._repeat())

    async def stop(self) -> None:
        """Looks no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> list[Standing]:
        """How it stands with every partner now, by id; what a shard does not answer about is left out."""
        own, known = self._exchanging, self._exchanging.directories.known
        partners = known.newest.partners if known else ()
        others = [one.partner_id for one in partners if one.partner_id != own.own_id]
        home_wish = encode(LaneWish(tuple(others), home=True))
        partitions = range(own.router.partitions) if others else range(0)
        at_home = await asyncio.gather(*(self._ask(at, home_wish) for at in partitions))
        return [await self._standing(partner_id, at_home) for partner_id in sorted(others)]

    async def _standing(self, partner_id: str, at_home: list[LaneStates]) -> Standing:
        own = self._exchanging
        at = partner_partition(partner_id, own.router.partitions)
        abroad = await self._ask(at, encode(LaneWish((partner_id,))))
        home = together(one for states in at_home for name, one in states.usage if name == partner_id)
        acquirer = next((one for name, one in abroad.usage if name == partner_id), Usage())
        waiting, oldest_ms = next(((many, ms) for _, many, ms in abroad.waiting), (0, 0))
        directory = own.directories.known
        assert directory is not None, "there are no partners without one"
        newest = directory.newest
        lanes = [lane for states in at_home for lane in states.lanes if lane.partner_id == partner_id]
        return Standing(
            partner_id,
            (*lanes, *abroad.lanes),
            CapUse(newest.cap(own.own_id, partner_id), max(home.home_owes, acquirer.acquirer_owes)),
            CapUse(newest.cap(partner_id, own.own_id), max(home.acquirer_owes, acquirer.home_owes)),
            waiting,
            oldest_ms,
            own.clocks.ahead_ms(partner_id, own.clock_ms()),
        )

    async def _ask(self, partition: int, body: bytes) -> LaneStates:
        command = Command(Op.LANE_STATES, partition, b"", b"", "", "", "", "", body)
        answer = await self._exchanging.router.ask(command)
        return LANE_STATES.decode(answer.body) if answer.kind == AnswerKind.DONE else LaneStates()

    def tell(self, standing: Standing) -> None:
        """Figures for Prometheus, and a word in the log when a cap has come nearer than before."""
        name, figures = standing.partner_id, self._figures
        for debtor, use in ((OWN, standing.own), (PARTNER, standing.partner)):
            figures.count(CAP_USED, name, debtor).set(use.percent / 100)
            level = max((percent for percent in ALERT_PERCENTS if use.percent >= percent), default=0)
            if level > self._reached.get((name, debtor), 0):
                figures.count(CAP_ALERTS, name, str(level)).add()
                log.warning(
                    "cap_nearly_reached",
                    partner=name,
                    debtor=debtor,
                    percent=level,
                    used_units=use.used_units,
                    cap_units=use.cap_units,
                )
            self._reached[name, debtor] = level
        shut = sum(not one.is_open and not one.dispute for one in standing.lanes)
        figures.count(LANES_SHUT, name).set(shut)
        figures.count(LANES_ASIDE, name).set(sum(bool(one.dispute) for one in standing.lanes))
        figures.count(EXCHANGES_WAITING, name).set(standing.waiting)
        age_ms = self._exchanging.clock_ms() - standing.oldest_ms if standing.oldest_ms else 0
        figures.count(EXCHANGES_OLDEST, name).set(age_ms / 1000)
        if standing.clock_ahead_ms is not None:
            figures.count(PEER_CLOCK_AHEAD, name).set(standing.clock_ahead_ms / 1000)

    async def _repeat(self) -> None:
        while True:
            try:
                for standing in await self.look():
                    self.tell(standing)
            except Exception as fault:
                log.error("standing_faulted", exc_info=fault)
            await asyncio.sleep(SOON_SECONDS)  # whatever happens, no more often
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS - SOON_SECONDS):
                    await self._soon.wait()
            self._soon.clear()
