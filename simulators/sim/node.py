"""A whole merchant's node in a simulation: its gateway, its shards, its clock, and how each of them ends.

The gateway is the real code (router, resolver, counter, linking, delivery, upkeep) in one process, each shard
is the real host in another, as on Ray. What outlives a process is the disks and what was promised to tills.
"""

from __future__ import annotations

import asyncio
import random
from typing import Literal

import msgspec
from msgspec import Struct

from node import telemetry
from node.actors.asks import ask_of
from node.actors.coalition_spec import CoalitionSpec, encode_spec
from node.actors.counter import Counter
from node.actors.delivery import Delivery
from node.actors.erasing import Erasing
from node.actors.host import ShardSpec
from node.actors.linking import Linking
from node.actors.member_counter import MemberCounter
from node.actors.resolver import Resolver
from node.actors.router import Router
from node.actors.settings import ShardSettings
from node.actors.upkeep import Upkeep
from node.identity.caller import Caller, Role
from node.identity.digests import IdentifierDigests, RequestDigests
from node.identity.keys import SecretKey
from node.ledger.refusals import Refused
from node.programme.model import Programme
from node.storage.store import StoreError
from node.wire.commands import Answer, Op, refused
from node.wire.routes import opened
from simulators.sim.disk import Backup
from simulators.sim.loop import SimLoop
from simulators.sim.process import Ended, Process
from simulators.sim.shard import SimShard
from simulators.sim.trace import Trace

START_MS = 1_790_000_000_000
"""The epoch milliseconds at which every simulation begins, by a clock that is right."""

BOOT_SECONDS = (0.3, 2.0)
"""From the end of a shard's process until the next one serves."""
POWER_SECONDS = (1.0, 20.0)
"""How long the power is away, or a node that ended is not started again."""
QUEUE_PER_SHARD = 200
BATCH_COMMANDS = 50
SECRET_BYTES = 32
CURRENCY = "USD"
TIME_ZONE = "Asia/Tehran"


class Plan(Struct, frozen=True):
    """What a node is: who, how many shards, how many partitions on them, by which programme it judges."""

    merchant: str
    programmes: tuple[Programme, ...]
    shards: int = 2
    partitions: int = 4
    cached_accounts: int = 3
    coalition: CoalitionSpec | None = None


class Gateway:
    """One life of a node's gateway: the real parts, wired as `node.app` wires them."""

    def __init__(self, node: SimNode, process: Process) -> None:
        self.process = process
        digests = IdentifierDigests(SecretKey(node.secret("index")))
        self.router = Router(
            node.shards, node.placement, queue_limit=QUEUE_PER_SHARD, batch_limit=BATCH_COMMANDS
        )
        self.resolver = Resolver(self.router, digests, "IR")
        self.counter = Counter(
            self.router,
            self.resolver,
            lambda gateway: frozenset(),
            CURRENCY,
            RequestDigests(SecretKey(node.secret("master"))),
        )
        self.linking = Linking(self.router, self.resolver, lambda person: None, node.clock_ms)
        self.delivery = Delivery(node.shards, self.router, self.linking)
        self.members = MemberCounter(
            self.counter,
            self.linking,
            digests,
            lambda gateway: frozenset(),
            region="IR",
            wake=self.delivery.wake,
        )
        figures = telemetry.Figures()
        restorer = Caller(Role.ADMIN, node.plan.merchant, "restore")
        erasing = Erasing(
            self.members, self.linking, lambda: (), lambda person: None, restorer, node.clock_ms
        )
        exporter = telemetry.Exporter(figures)
        self.upkeep = Upkeep(
            node.shards, self.router, self.linking, self.delivery, erasing, exporter, figures, _nobody_asks
        )

    async def run(self) -> None:
        """What goes on by itself."""
        self.upkeep.start()

    async def answer(self, caller: Caller, op: Op, body: bytes) -> Answer:
        """A request of a till's or of staff, as its bytes came."""
        if op >= Op.ENROL:
            return await self.members.ask(caller, op, body, "")
        asked = ask_of(op, opened(op, body), body)
        return refused(asked) if isinstance(asked, Refused) else await self.counter.ask(caller, asked, "")


async def _nobody_asks(*_: object) -> None:
    """Nobody asks for a simulated node's health."""


class SimNode:
    """A node through all its lives. Faults are put on it by its methods, and at its durable steps."""

    def __init__(self, loop: SimLoop, plan: Plan, seed: int, trace: Trace) -> None:
        self.plan = plan
        self.trace = trace
        self.loop = loop
        self.skew_ms = 0
        self.backups: list[list[Backup]] = []
        """Each of all shards, of one moment; the oldest first."""
        self.rolled_back = False
        self.unaware = False
        """Whether it was put back once without knowing of it."""
        self.gateway: Gateway | None = None
        self.broken: list[str] = []
        """What must never happen to a node: a store that does not open, a fault in a shard."""
        self.chance = random.Random(f"{seed}/{plan.merchant}")
        self._seed = seed
        self._armed: tuple[int, bool] | None = None
        self._then_power = False
        self._supervisor = Process(loop, f"{plan.merchant}/supervisor")
        self._powered = True
        self.placement = {number: number % plan.shards for number in range(plan.partitions)}
        self.shards = [self._shard(number) for number in range(plan.shards)]

    def _shard(self, number: int) -> SimShard:
        plan = self.plan
        settings = ShardSettings(
            plan.merchant, CURRENCY, TIME_ZONE, plan.partitions, cached_accounts=plan.cached_accounts
        )
        spec = ShardSpec(
            number,
            f"{plan.merchant}/{number}",
            self.secret(f"store {number}")[:16],
            1,
            settings,
            msgspec.msgpack.encode(plan.programmes),
            self.secret("master"),
            coalition=b"" if plan.coalition is None else encode_spec(plan.coalition),
        )
        return SimShard(
            self.loop,
            spec,
            [partition for partition, shard in self.placement.items() if shard == number],
            clock=self.clock_ms,
            on_step=self._step,
            on_end=self._ended,
            trace=self.trace,
            chance=self.chance,
        )

    def secret(self, name: str) -> bytes:
        """A secret of the node's, the same in every life."""
        return random.Random(f"{self._seed}/{self.plan.merchant}/{name}").randbytes(SECRET_BYTES)

    def clock_ms(self) -> int:
        """The node's clock, which may be wrong."""
        return START_MS + int(self.loop.time() * 1000) + self.skew_ms

    # --- its life -------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the shards, then the gateway."""
        for shard in self.shards:
            if not self._start_shard(shard):
                return
        process = Process(self.loop, f"{self.plan.merchant}/gateway")
        self.gateway = self.new_gateway(process)
        process.spawn(self.gateway.run())
        self.trace.note(self.plan.merchant, "serves")

    def new_gateway(self, process: Process) -> Gateway:
        """The gateway's parts for one life of it."""
        return Gateway(self, process)

    def gateway_ended(self) -> None:
        """For whoever must know."""

    def _start_shard(self, shard: SimShard) -> bool:
        try:
            shard.start()
        except StoreError as error:
            self.broken.append(f"{self.plan.merchant}: shard {shard.number} does not open: {error}")
            return False
        return True

    def end(self, *, power: bool, away_seconds: float | None = None) -> None:
        """Ends all processes; they come back after a while. With the power, unsynced writes are gone.

        Whoever calls this from inside one of the processes must raise `Ended` next.
        """
        if not self._powered:
            return
        self._powered = self._then_power = False
        self._armed = None
        if self.gateway is not None:
            self.gateway.process.end()
            self.gateway = None
            self.gateway_ended()
        for shard in self.shards:
            shard.end(power=power)
        away = self.chance.uniform(*POWER_SECONDS) if away_seconds is None else away_seconds
        self._supervisor.call_later(away, self._again)

    def _again(self) -> None:
        self._powered = True
        self.start()

    def end_shard(self, number: int) -> None:
        """Ends one shard's process; Ray starts it again."""
        shard = self.shards[number]
        if shard.process is None or not self._powered:
            return
        shard.end()
        self._supervisor.call_later(self.chance.uniform(*BOOT_SECONDS), self._revive, shard)

    def _revive(self, shard: SimShard) -> None:
        if not self._powered or shard.process is not None or not self._start_shard(shard):
            return
        if self._then_power and self._armed is None:
            self._then_power = False
            self._armed = (1, True)

    def _ended(self, number: int, why: str) -> None:
        if not why.startswith("the disk"):
            self.broken.append(f"{self.plan.merchant}: shard {number} ended: {why}")
        self.end_shard(number)

    # --- faults ---------------------------------------------------------------------------------

    def arm(self, steps: int, *, power: bool, then_power: bool = False) -> None:
        """Ends the process at the `steps`-th durable step from now; with the power, the whole node.

        `then_power` cuts the power as well, at the first step after the process is back: what was found then
        must have been durable before it was answered.
        """
        self._armed = (steps, power)
        self._then_power = then_power

    def disarm(self) -> None:
        """No durable step ends the process any more."""
        self._armed, self._then_power = None, False

    def _step(self, number: int, step: str) -> None:
        if self._armed is None:
            return
        steps, power = self._armed
        if steps > 1:
            self._armed = (steps - 1, power)
            return
        self._armed = None
        self.trace.note(self.plan.merchant, f"shard {number} ends {step}")
        if power:
            self.end(power=True)
        else:
            self.end_shard(number)
        raise Ended

    def fail_disk(self, number: int, step: Literal["write", "sync"]) -> None:
        """Lets the next write or sync of a shard fail, which must end its process."""
        self.shards[number].disk.fail_next(step)

    def stop_for(self, seconds: float) -> None:
        """Stands still, as a machine that swaps or is not scheduled."""
        if self.gateway is not None:
            self.gateway.process.stop_for(seconds)
        for shard in self.shards:
            if shard.process is not None:
                shard.process.stop_for(seconds)

    def back_up(self) -> None:
        """Keeps what every shard holds at one moment, as `vafa backup` does, between two batches of all."""
        gateway = self.gateway
        if gateway is not None and all(shard.process is not None for shard in self.shards):
            gateway.process.spawn(self._back_up(gateway))

    async def _back_up(self, gateway: Gateway) -> None:
        async with gateway.router.held():
            if all(shard.process is not None for shard in self.shards):
                self.backups.append([shard.disk.back_up() for shard in self.shards])
                self.trace.note(self.plan.merchant, f"backup {len(self.backups)}")

    def roll_back(self, back: int, *, marked: bool) -> bool:
        """Ends the node; it comes back on its `back`-th last backup. Says whether there was one.

        `marked`: by `vafa restore`; else without the node's knowledge.
        """
        if not self.backups or not self._powered:
            return False
        chosen = self.backups[-1 - back % len(self.backups)]
        self.end(power=True)
        for shard, backup in zip(self.shards, chosen, strict=True):
            shard.restore(backup, marked=marked)
        self.rolled_back = True
        self.unaware = self.unaware or not marked
        return True

    def set_skew(self, skew_ms: int) -> None:
        """Sets the clock off by so much."""
        self.skew_ms = skew_ms

    # --- what tills and staff do ----------------------------------------------------------------

    def call(self, caller: Caller, op: Op, body: bytes) -> asyncio.Task[Answer] | None:
        """Hands a request to the gateway: the task that gives its answer, or None where it is not there."""
        if self.gateway is None:
            return None
        return self.gateway.process.spawn(self.gateway.answer(caller, op, body))
