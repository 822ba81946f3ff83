"""A node that takes part in the coalition: its gateway speaks with partners over the simulated network."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from typing import Any

from node import telemetry
from node.actors import abroad_earning, abroad_spending
from node.actors.abroad_trade import Errand, Member, Trade
from node.actors.coalition_spec import CoalitionSpec
from node.actors.counter import ask_of, origin_of
from node.actors.directories import Directories
from node.actors.exchanging import Exchanging
from node.actors.lane_keeper import LaneKeeper
from node.actors.programmes import Programmes
from node.identity.caller import Caller
from node.identity.coalition_secrets import CoalitionSecrets
from node.identity.exchange_keys import ExchangeKeys
from node.identity.keys import SecretKey
from node.ledger.refusals import Refused
from node.people.identifiers import IdentifierKind, normalise
from node.people.invalid import Invalid
from node.programme.model import Programme
from node.storage.memory import MemoryStore
from node.wire.coalition import EnvelopeSealer
from node.wire.commands import Answer, Op, refused
from node.wire.routes import opened, route_of
from simulators.sim.coalition import COALITION, OPERATOR, SIGNERS, signing_pem
from simulators.sim.loop import SimLoop
from simulators.sim.network import Network
from simulators.sim.node import CURRENCY, TIME_ZONE, Gateway, Plan, SimNode
from simulators.sim.process import Process
from simulators.sim.trace import Trace

_ABROAD: dict[Op, Callable[[Trade, Errand], Coroutine[Any, Any, Answer]]] = {
    Op.ACCRUE: abroad_earning.accrue,
    Op.RETURN: abroad_earning.give_back,
    Op.REVERSE: abroad_earning.reverse,
    Op.AUTHORIZE: abroad_spending.authorize,
    Op.CAPTURE: abroad_spending.capture,
    Op.VOID: abroad_spending.void,
    Op.REDEEM: abroad_spending.redeem,
}


class PartnerGateway(Gateway):
    """The gateway's parts with those of `node.rpc.coalition_side`, but for gRPC and files."""

    def __init__(self, node: PartnerNode, process: Process) -> None:
        super().__init__(node, process)
        own_id = node.plan.merchant
        directories = Directories(MemoryStore())
        adopted = directories.adopt(node.directory, node.clock_ms(), OPERATOR.public_uri)
        assert not isinstance(adopted, Refused), adopted
        keys = ExchangeKeys({SIGNERS[own_id].public_uri: SIGNERS[own_id]})
        self.exchanging = Exchanging(
            own_id,
            self.router,
            self.resolver,
            directories,
            lambda: EnvelopeSealer(COALITION, own_id, lambda at_ms: keys.newest),
            telemetry.Figures(),
            clock_ms=node.clock_ms,
        )
        self.keeper = LaneKeeper(self.exchanging, random.Random(node.chance.random()))
        self._node = node
        programmes = Programmes(node.plan.programmes, tz=TIME_ZONE, currency=CURRENCY)
        self.trade = Trade(
            self.exchanging,
            CoalitionSecrets(SecretKey(node.secret("master"))),
            lambda: programmes,
            currency=CURRENCY,
            language="en",
        )

    async def answer(self, caller: Caller, op: Op, body: bytes) -> Answer:
        """A request of a till's or of staff: members of other merchants are served abroad."""
        work = _ABROAD.get(op)
        if work is None:
            return await super().answer(caller, op, body)
        message = opened(op, body)
        way = message if isinstance(message, Refused) else route_of(op, message)
        assert not isinstance(way, Refused), way
        member = self._member(way.identifier_kind, way.identifier_value)
        if member is None:
            return await super().answer(caller, op, body)
        origin = origin_of(caller, way.terminal_id, lambda gateway: frozenset())
        assert not isinstance(origin, Refused), origin

        async def locally(said: Any) -> Answer:
            said.ClearField("identifier")
            asked = ask_of(op, said, said.SerializeToString())
            return refused(asked) if isinstance(asked, Refused) else await self.counter.ask(caller, asked, "")

        return await work(self.trade, Errand(op, origin, way, message, member, "", locally))

    def _member(self, kind: int, value: str) -> Member | None:
        known = self.exchanging.directories.known
        normal = normalise(IdentifierKind(kind), value, region="IR") if kind else None
        if known is None or normal is None or isinstance(normal, Invalid):
            return None
        home = known.newest.home_of(kind, normal.text)
        if home is None or home.partner_id == self._node.plan.merchant:
            return None
        return Member(home.partner_id, kind, normal.text)

    async def run(self) -> None:
        """What goes on by itself, and the links, which the partners notice in a while."""
        await super().run()
        self.keeper.start()
        self.exchanging.links = self._node.network.join(
            self._node.plan.merchant, self.process, self.exchanging
        )


class PartnerNode(SimNode):
    """A merchant's node in the coalition. `directory` are the signed directory's bytes."""

    def __init__(
        self, loop: SimLoop, plan: Plan, seed: int, trace: Trace, network: Network, directory: bytes
    ) -> None:
        self.network = network
        self.directory = directory
        super().__init__(loop, plan, seed, trace)

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
