"""A node that takes part in the coalition: its gateway speaks with partners over the simulated network."""

from __future__ import annotations

import random
from collections import Counter

from node import telemetry
from node.actors.abroad_trade import Trade
from node.actors.coalition_spec import CoalitionSpec
from node.actors.directories import Directories
from node.actors.exchanging import Exchanging
from node.actors.lane_keeper import LaneKeeper
from node.actors.programmes import Programmes
from node.actors.tills_abroad import TillsAbroad
from node.identity.coalition_secrets import CoalitionSecrets
from node.identity.exchange_keys import ExchangeKeys
from node.identity.keys import SecretKey
from node.ledger.refusals import Refused
from node.programme.model import Programme
from node.storage.memory import MemoryStore
from node.wire.coalition import EnvelopeSealer
from simulators.sim.coalition import COALITION, OPERATOR, SIGNERS, signing_pem
from simulators.sim.loop import SimLoop
from simulators.sim.network import Network
from simulators.sim.node import CURRENCY, TIME_ZONE, Gateway, Plan, SimNode
from simulators.sim.process import Process
from simulators.sim.trace import Trace


class PartnerGateway(Gateway):
    """The gateway's parts with those of `node.rpc.coalition_side`, but for gRPC and files."""

    def __init__(self, node: PartnerNode, process: Process) -> None:
        super().__init__(node, process)
        own_id = node.plan.merchant
        directories = Directories(MemoryStore())
        adopted = directories.adopt(node.directory, node.clock_ms(), OPERATOR.public_uri)
        assert not isinstance(adopted, Refused), adopted
        keys = ExchangeKeys({SIGNERS[own_id].public_uri: SIGNERS[own_id]})
        self.figures = telemetry.Figures()
        node.figures.append(self.figures)
        self.exchanging = Exchanging(
            own_id,
            self.router,
            self.resolver,
            directories,
            lambda: EnvelopeSealer(COALITION, own_id, lambda at_ms: keys.newest),
            self.figures,
            clock_ms=node.clock_ms,
        )
        self.keeper = LaneKeeper(self.exchanging, random.Random(node.chance.random()))
        self._node = node
        programmes = Programmes(node.plan.programmes, tz=TIME_ZONE, currency=CURRENCY)
        trade = Trade(
            self.exchanging,
            CoalitionSecrets(SecretKey(node.secret("master"))),
            lambda: programmes,
            currency=CURRENCY,
            currency_exponent=2,
            language="en",
            entropy=node.chance.randbytes,
        )
        self.counter.abroad = TillsAbroad(trade, "IR")

    async def run(self) -> None:
        """What goes on by itself, and the links, which the partners notice in a while."""
        await super().run()
        self.keeper.start()
        self.exchanging.links = self._node.network.join(
            self._node.plan.merchant, self.process, self.exchanging, self.figures
        )


class PartnerNode(SimNode):
    """A merchant's node in the coalition. `directory` are the signed directory's bytes."""

    def __init__(
        self, loop: SimLoop, plan: Plan, seed: int, trace: Trace, network: Network, directory: bytes
    ) -> None:
        self.network = network
        self.directory = directory
        self.figures: list[telemetry.Figures] = []
        """What each life of the gateway has counted."""
        super().__init__(loop, plan, seed, trace)

    def refused(self, partner: str) -> Counter[str]:
        """Messages of a partner that were refused, by reason, over all lives."""
        found: Counter[str] = Counter()
        for figures in self.figures:
            for labels, value in figures.snapshot().get(telemetry.PEER_REFUSED.name, []):
                if labels[0] == partner and isinstance(value, float):
                    found[labels[1]] += int(value)
        return found

    def new_gateway(self, process: Process) -> Gateway:
        """The gateway's parts for one life of it."""
        return PartnerGateway(self, process)

    def gateway_ended(self) -> None:
        """The partners notice in a while."""
        self.network.left(self.plan.merchant)


def plan_of(merchant: str, programme: Programme, directory: bytes, shards: int, partitions: int) -> Plan:
    """A partner's plan."""
    spec = CoalitionSpec(merchant, (directory,), (signing_pem(merchant),))
    return Plan(merchant, (programme,), shards=shards, partitions=partitions, coalition=spec)
