"""One simulated world: nodes, tills, and what goes wrong. The same seed gives the same world."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import structlog
from msgspec import Struct

from node.actors import linking
from node.ledger.purses import PurseDefinition, PurseKind
from node.programme.model import EarningRule, Programme, Rate
from simulators.sim import checks
from simulators.sim.asking import Sent
from simulators.sim.faults import WEIGHTS, Fault, FaultKind, plan_faults
from simulators.sim.loop import Stuck, new_loop
from simulators.sim.node import START_MS, SimNode
from simulators.sim.process import Process
from simulators.sim.staff import Staff
from simulators.sim.tills import MINOR_A_POINT, Till
from simulators.sim.trace import Trace

PROGRAMME = Programme(
    version=1,
    name="club",
    effective_ms=1,
    purses=(PurseDefinition(checks.POINTS, PurseKind.POINTS, transferable=True),),
    rules=(EarningRule("base", Rate(1, MINOR_A_POINT), checks.POINTS),),
)
PAUSE_SECONDS = (0.5, 12.0)
FAULTY_SECONDS = 110.0
"""How long faults begin; each lasts at most as long again as `plan_faults` says."""
DEADLINE_SECONDS = 3_600.0
"""By then everything must have ended, however it was disturbed: nothing lasts so long but a fault."""
SETTLE_SECONDS = 60.0
"""After the last till has gone home: what the node does by itself is done."""
STALE_MS = 2 * linking.STALE_MS
"""So much later the node looks into what a crash left claimed: a rare pass, which nobody waits for here."""

MAX_VIOLATIONS = 20


class Outcome(Struct, frozen=True):
    """What became of one seed."""

    seed: int
    seconds: float
    requests: int
    faults: dict[str, int]
    violations: tuple[str, ...]
    digest: str
    lines: tuple[str, ...] = ()


class World(ABC):
    """Nodes, tills and staff under the faults of a seed. `run` it once.

    `weights` says which faults, and how often each among them. What is in the world, and what must be true of
    it afterwards, is for those that are built on this one.
    """

    visits = 14
    tasks = 8
    faults = (4, 14)
    settle_seconds = SETTLE_SECONDS

    def __init__(
        self,
        seed: int,
        show: Callable[[str], None] | None = None,
        weights: dict[FaultKind, int] | None = None,
    ) -> None:
        self.seed = seed
        self.weights = self.usual_weights() if weights is None else weights
        self.loop = new_loop(seed)
        self.trace = Trace(self.loop.time, show)
        self.chance = random.Random(f"{seed}/world")
        self.outside = Process(self.loop, "outside")
        self.nodes: list[SimNode] = []
        self.tills: list[Till] = []
        self.staff: list[Staff] = []
        self.enrolled: dict[str, Sent] = {}
        """By card, what enrolled its member."""

    def usual_weights(self) -> dict[FaultKind, int]:
        """What goes wrong in such a world."""
        return WEIGHTS

    def clock_ms(self) -> int:
        """The right time."""
        return START_MS + int(self.loop.time() * 1000)

    @property
    def sent(self) -> list[Sent]:
        """Everything that was asked."""
        return [one for asker in (*self.tills, *self.staff) for one in asker.sent]

    # --- what happens ---------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Lives through it, then looks at what is left."""
        violations: list[str] = []
        with quiet():
            try:
                for node in self.nodes:
                    self.outside.call_soon(node.start)
                for fault in plan_faults(self.seed, FAULTY_SECONDS, self.weights, self.faults):
                    self.outside.call_later(fault.at_seconds, self.strike, fault)
                self.loop.run_until(self.outside.spawn(self.live()), DEADLINE_SECONDS)
                self.loop.run_until_time(self.loop.time() + self.settle_seconds)
                self._look_into_claims()
                self.loop.run_until_time(self.loop.time() + SETTLE_SECONDS)
            except Stuck as stuck:
                violations.append(str(stuck))
            self.loop.tidy()
            violations += [problem for node in self.nodes for problem in node.broken]
            violations += [f"nobody caught: {fault}" for fault in self.loop.faults]
            violations += self.violations()
            self.loop.close()
        return Outcome(
            self.seed,
            self.loop.time(),
            len(self.sent),
            dict(sorted(self.trace.faults.items())),
            tuple(violations[:MAX_VIOLATIONS]),
            self.trace.digest(),
            tuple(self.trace.lines) if violations else (),
        )

    async def live(self) -> None:
        """Everybody is enrolled, and then shops."""
        enrolled = await asyncio.gather(*(one.enrol(card) for one, card in self.enrolments()))
        self.enrolled = {sent.card: sent for sent in enrolled}
        await asyncio.gather(
            *(till.shop(self.visits, PAUSE_SECONDS) for till in self.tills),
            *(one.work(self.tasks, PAUSE_SECONDS) for one in self.staff),
        )

    @abstractmethod
    def enrolments(self) -> Sequence[tuple[Staff, str]]:
        """Who enrols which card."""

    @abstractmethod
    def violations(self) -> Sequence[str]:
        """Everything that is not as it must be."""

    def _look_into_claims(self) -> None:
        """Has nodes do now what they do every ten minutes, with claims that have become old enough: once, and
        so no fault that waits for its moment may come in between.
        """
        for node in self.nodes:
            node.disarm()
            if node.gateway is not None:
                node.set_skew(STALE_MS)
                node.gateway.process.spawn(node.gateway.linking.sweep())

    def strike(self, fault: Fault) -> None:
        """Puts a fault on the world, and has it end in its time."""
        node = self.nodes[fault.draw % len(self.nodes)]
        kind, later, draw = fault.kind, self.outside.call_later, fault.draw // len(self.nodes)
        shard = draw % len(node.shards)
        till = self.tills[draw % len(self.tills)]
        self.trace.fault(node.plan.merchant, kind.value)
        match kind:
            case FaultKind.KILL_SHARD:
                node.end_shard(shard)
            case FaultKind.KILL_NODE | FaultKind.POWER_CUT:
                node.end(power=kind is FaultKind.POWER_CUT)
            case FaultKind.KILL_AT_STEP | FaultKind.POWER_AT_STEP:
                node.arm(1 + draw % 40, power=kind is FaultKind.POWER_AT_STEP)
            case FaultKind.KILL_THEN_POWER:
                node.arm(1 + draw % 12, power=False, then_power=True)
            case FaultKind.DISK_FAILS:
                node.fail_disk(shard, "write" if draw % 2 else "sync")
            case FaultKind.STOPPED:
                node.stop_for(fault.seconds)
            case FaultKind.CLOCK:
                node.set_skew(draw % 240_000 - 120_000)
                later(fault.seconds, node.set_skew, 0)
            case FaultKind.TILL_CUT:
                till.line.cut = True
                later(fault.seconds, setattr, till.line, "cut", False)
            case FaultKind.TILL_LOSSY:
                till.line.loss = 0.3
                later(fault.seconds, setattr, till.line, "loss", 0.0)


class quiet:  # noqa: N801 - used as a function is
    """Keeps the node's own log lines to itself for a while."""

    def __enter__(self) -> None:
        self._before = structlog.get_config()
        structlog.configure(
            processors=[_drop], wrapper_class=structlog.BoundLogger, cache_logger_on_first_use=False
        )

    def __exit__(self, *_: object) -> None:
        structlog.configure(**self._before)


def _drop(_logger: object, _method: str, _event: object) -> str:
    raise structlog.DropEvent
