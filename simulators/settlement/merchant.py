"""A simulated node that settles: the real keeper over the real shards and links, with a control store."""

from __future__ import annotations

import random
from collections.abc import Callable

from node.actors.settling import Settling
from node.actors.settling_keeper import SettlingKeeper
from node.actors.settling_lanes import PeerVoice
from node.coalition.envelopes import Message
from node.settlement.peer_messages import Said
from node.wire.coalition import Opener, Unopened
from node.wire.coalition_trust import KnownDirectories
from simulators.settlement.acts import Act, ActKind
from simulators.settlement.bent import BentLanes
from simulators.settlement.operator import Refused, SimOperator
from simulators.settlement.operator_line import OperatorLine
from simulators.sim.coalition import OPERATOR, SIGNERS
from simulators.sim.disk import Disk
from simulators.sim.loop import SimLoop
from simulators.sim.network import Network
from simulators.sim.node import Gateway, Plan
from simulators.sim.partner import PartnerGateway, PartnerNode
from simulators.sim.process import Ended, Process
from simulators.sim.trace import Trace

ENDS_AT_A_STEP = 0.01
LATE_MS = 20_000


class Keeper(SettlingKeeper):
    """The real one, but that a silent merchant's does nothing."""

    silent: Callable[[], bool]

    async def look(self) -> None:
        """One look."""
        if not self.silent():
            await super().look()


class SettlingGateway(PartnerGateway):
    """The gateway's parts with those of `node.rpc.settlement_side`."""

    def __init__(self, node: SettlingNode, process: Process) -> None:
        super().__init__(node, process)
        own_id = node.plan.merchant
        lanes = BentLanes(self.exchanging, node.acts, node.happens, node.late)
        voice = PeerVoice(self.exchanging, random.Random(node.chance.random()).randbytes)
        self.settling = Settling(
            own_id,
            node.control.open(node.control_step),
            lambda: node.known.newest,
            lambda: [OPERATOR.public_uri],
            lambda: SIGNERS[own_id],
            lanes,
            voice,
            node.open,
            node.clock_ms,
        )
        self._silent = node.silent
        voice.answer = self._answer
        self.exchanging.settling = voice.heard
        line = OperatorLine(node.operator, own_id)
        directory = node.known.newest
        self.settling_keeper = Keeper(
            self.settling, lanes, lambda: line, lambda: directory, node.clock_ms, (Refused,)
        )
        self.settling_keeper.silent = node.silent

    async def _answer(self, partner_id: str, said: Said) -> Said | None:
        return None if self._silent() else await self.settling.answer(partner_id, said)

    async def run(self) -> None:
        """What goes on by itself."""
        await super().run()
        self.settling_keeper.start()


class SettlingNode(PartnerNode):
    """A merchant's node that settles. `control` is the disk that outlives it."""

    def __init__(
        self,
        loop: SimLoop,
        plan: Plan,
        seed: int,
        trace: Trace,
        network: Network,
        directory: bytes,
        known: KnownDirectories,
        operator: SimOperator,
        acts: list[Act],
        happens: Callable[[Act], None],
        calm_at_seconds: float,
    ) -> None:
        self.known = known
        self.operator = operator
        self.acts = [act for act in acts if act.who == plan.merchant]
        self.happens = happens
        self.settlement_chance = random.Random(f"{seed}/{plan.merchant}/settlement")
        self.control = Disk(self.settlement_chance)
        self._opener = Opener(plan.merchant, lambda: known)
        self._calm_at = calm_at_seconds
        super().__init__(loop, plan, seed, trace, network, directory)

    def new_gateway(self, process: Process) -> Gateway:
        """The gateway's parts for one life of it."""
        return SettlingGateway(self, process)

    def open(self, envelope: bytes) -> Message | None:
        """An envelope of whomever's, verified."""
        found = self._opener.evidence(envelope)
        return None if isinstance(found, Unopened) else found

    def silent(self) -> bool:
        """Whether it says and does nothing about windows now: until others may settle without it."""
        for act in self.acts:
            window = self.known.newest.window(act.window)
            assert window is not None
            if act.kind is ActKind.SILENT and not act.over and self.clock_ms() >= window.cut_time_ms:
                self.happens(act)
                act.over = self.late(act)
                return not act.over
        return False

    def late(self, act: Act) -> bool:
        """Whether the time in which an act has an effect is over: others may have settled without it."""
        directory = self.known.newest
        window, terms = directory.window(act.window), directory.settlement_terms[0]
        assert window is not None
        return self.clock_ms() >= window.cut_time_ms + terms.close_grace_seconds * 1_000 + LATE_MS

    def end(self, *, power: bool, away_seconds: float | None = None) -> None:
        """The control store is the gateway's, and what becomes of it too."""
        served = self.gateway is not None
        super().end(power=power, away_seconds=away_seconds)
        if served:
            (self.control.cut_power if power else self.control.let_go)()

    def control_step(self, step: str) -> None:
        """A durable step of settlement's, at which the node may end."""
        rough = self.loop.time() < self._calm_at
        if rough and self.gateway is not None and self.settlement_chance.random() < ENDS_AT_A_STEP:
            power = self.settlement_chance.random() < 0.5
            self.trace.fault(self.plan.merchant, f"node ended {step} of settlement")
            self.end(power=power)
            raise Ended
