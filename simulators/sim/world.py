"""One simulated world: nodes, tills, and what goes wrong. The same seed gives the same world."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import structlog
from msgspec import Struct

from node.actors import linking
from node.identity.caller import Caller, Role
from node.ledger.purses import PurseDefinition, PurseKind
from node.programme.model import EarningRule, Programme, Rate
from simulators.sim import checks
from simulators.sim.asking import Sent
from simulators.sim.faults import WEIGHTS, Fault, FaultKind, plan_faults
from simulators.sim.loop import Stuck, new_loop
from simulators.sim.node import START_MS, Plan, SimNode
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
MEMBERS = 6
TILLS = 3
VISITS = 14
TASKS = 8
PAUSE_SECONDS = (0.5, 12.0)
FAULTY_SECONDS = 110.0
"""How long faults begin; each lasts at most as long again as `plan_faults` says."""
FAULTS = (4, 14)
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


class World:
    """A merchant's node, its tills and its members, under the faults of a seed. `run` it once.

    `weights` says which faults, and how often each among them.
    """

    def __init__(
        self,
        seed: int,
        show: Callable[[str], None] | None = None,
        weights: dict[FaultKind, int] | None = None,
    ) -> None:
        self.seed = seed
        self._weights = WEIGHTS if weights is None else weights
        self.loop = new_loop(seed)
        self.trace = Trace(self.loop.time, show)
        self.chance = random.Random(f"{seed}/world")
        self.node = SimNode(
            self.loop, Plan("north-shop", (PROGRAMME,), shards=self.chance.choice((1, 2))), seed, self.trace
        )
        self.cards = [f"6273000011{number:06d}" for number in range(MEMBERS)]
        self.enrolments: dict[str, str] = {}
        self.tills = [
            Till(
                Caller(Role.TILL, "north-shop", f"till-{number}", "north"),
                self.node.call,
                self.cards,
                seed,
                self.clock_ms,
                self.trace,
            )
            for number in range(TILLS)
        ]
        self.staff = [
            Staff(
                Caller(Role.STAFF, "north-shop", name),
                self.node.call,
                self.cards,
                checks.POINTS,
                seed,
                self.clock_ms,
                self.trace,
            )
            for name in ("maryam", "naser")
        ]
        self._outside = Process(self.loop, "outside")

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
                self._outside.call_soon(self.node.start)
                for fault in plan_faults(self.seed, FAULTY_SECONDS, self._weights, FAULTS):
                    self._outside.call_later(fault.at_seconds, self.strike, fault)
                self.loop.run_until(self._outside.spawn(self._live()), DEADLINE_SECONDS)
                self.loop.run_until_time(self.loop.time() + SETTLE_SECONDS)
                self._look_into_claims()
                self.loop.run_until_time(self.loop.time() + SETTLE_SECONDS)
            except Stuck as stuck:
                violations.append(str(stuck))
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

    async def _live(self) -> None:
        enrolled = await asyncio.gather(*(self.staff[0].enrol(card) for card in self.cards))
        self.enrolments = {sent.card: sent.request_id for sent in enrolled}
        await asyncio.gather(
            *(till.shop(VISITS, PAUSE_SECONDS) for till in self.tills),
            *(one.work(TASKS, PAUSE_SECONDS) for one in self.staff),
        )

    def _look_into_claims(self) -> None:
        """Has the node do now what it does every ten minutes, with claims that have become old enough."""
        gateway = self.node.gateway
        if gateway is not None:
            self.node.set_skew(STALE_MS)
            gateway.process.spawn(gateway.linking.sweep())

    def strike(self, fault: Fault) -> None:
        """Puts a fault on the world, and has it end in its time."""
        node, kind, later = self.node, fault.kind, self._outside.call_later
        shard = fault.draw % len(node.shards)
        till = self.tills[fault.draw % len(self.tills)]
        self.trace.fault(node.plan.merchant, kind.value)
        match kind:
            case FaultKind.KILL_SHARD:
                node.end_shard(shard)
            case FaultKind.KILL_NODE | FaultKind.POWER_CUT:
                node.end(power=kind is FaultKind.POWER_CUT)
            case FaultKind.KILL_AT_STEP | FaultKind.POWER_AT_STEP:
                node.arm(1 + fault.draw % 40, power=kind is FaultKind.POWER_AT_STEP)
            case FaultKind.KILL_THEN_POWER:
                node.arm(1 + fault.draw % 12, power=False, then_power=True)
            case FaultKind.DISK_FAILS:
                node.fail_disk(shard, "write" if fault.draw % 2 else "sync")
            case FaultKind.STOPPED:
                node.stop_for(fault.seconds)
            case FaultKind.CLOCK:
                node.set_skew(fault.draw % 240_000 - 120_000)
                later(fault.seconds, node.set_skew, 0)
            case FaultKind.TILL_CUT:
                till.line.cut = True
                later(fault.seconds, setattr, till.line, "cut", False)
            case FaultKind.TILL_LOSSY:
                till.line.loss = 0.3
                later(fault.seconds, setattr, till.line, "loss", 0.0)

    # --- what must be true ----------------------------------------------------------------------

    def violations(self) -> list[str]:
        """Everything that is not as it must be."""
        self.loop.tidy()
        books = checks.Books(self.node)
        sent = self.sent
        return [
            *self.node.broken,
            *(f"nobody caught: {fault}" for fault in self.loop.faults),
            *checks.replay(books),
            *checks.delivered(books),
            *checks.index(books),
            *checks.requests(books, sent),
            *checks.receipts(books, sent),
            *checks.balances(books, self.enrolments, sent),
        ]


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
