"""Three merchants of one coalition, whose members shop everywhere."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from node.coalition import proofs
from node.coalition.directory import Directory
from node.identity.caller import Caller, Role
from node.identity.coalition_secrets import CoalitionSecrets
from node.identity.keys import SecretKey
from node.proto.vafa.coalition.v1.envelope_pb2 import MemberProof
from node.proto.vafa.member.v1.member_service_pb2 import EnrolResponse
from node.wire.coalition_trust import Rejected, first
from node.wire.commands import Op
from simulators.sim import checks, lane_checks
from simulators.sim.coalition import CARD_PREFIX, MERCHANTS, OPERATOR, Terms, card, directory, signed
from simulators.sim.faults import BETWEEN_MERCHANTS, WITH_ROLLBACKS, Fault, FaultKind
from simulators.sim.network import Network, Weather
from simulators.sim.node import START_MS, SimNode
from simulators.sim.partner import PartnerNode, plan_of
from simulators.sim.staff import Staff
from simulators.sim.tills import Till
from simulators.sim.world import PROGRAMME, World

PARTITIONS = 4
MEMBERS = 2
TILLS = 2
STORM = Weather(loss=0.25, duplicate=0.2, delay_seconds=(0.01, 4.0))
RELAYED = Weather(duplicate=0.2, withheld=0.3)
FAIR = Weather()


class Bazaar(World):
    """The world of a coalition."""

    hold_seconds_max = 300
    old_keys = False
    visits = 9
    tasks = 2
    faults = (6, 22)
    settle_seconds = 420.0
    """A hold nobody captured ends, and what was sent last has come or is sent again."""

    def __init__(
        self,
        seed: int,
        show: Callable[[str], None] | None = None,
        weights: dict[FaultKind, int] | None = None,
    ) -> None:
        super().__init__(seed, show, weights)
        self.network = Network(self.loop, random.Random(f"{seed}/network"), self.trace)
        self.terms = Terms(
            freshness_seconds=self.chance.choice((60, 300)),
            hold_seconds_max=self.hold_seconds_max,
            old_keys=self.old_keys,
        )
        self.directory = signed(self.founding())
        self.partners = [self._partner(merchant) for merchant in MERCHANTS]
        self.nodes.extend(self.partners)
        self.cards = [card(merchant, number) for merchant in MERCHANTS for number in range(MEMBERS)]
        for node in self.partners:
            self._staffed(node)

    def founding(self) -> Directory:
        """What the operator publishes before anybody shops."""
        return directory(START_MS, self.terms, checks.POINTS, PARTITIONS)

    def _partner(self, merchant: str) -> PartnerNode:
        plan = plan_of(merchant, PROGRAMME, self.directory, self.chance.choice((1, 2)), PARTITIONS)
        return PartnerNode(self.loop, plan, self.seed, self.trace, self.network, self.directory)

    def _staffed(self, node: PartnerNode) -> None:
        merchant, seed, clock = node.plan.merchant, self.seed, self.clock_ms
        for number in range(TILLS):
            caller = Caller(Role.TILL, merchant, f"till-{number}", "main")
            self.tills.append(Till(caller, node.call, self.cards, seed, clock, self.trace, self.prove))
        own = [one for one in self.cards if one.startswith(CARD_PREFIX[merchant])]
        staff = Caller(Role.STAFF, merchant, "maryam")
        self.staff.append(Staff(staff, node.call, own, checks.POINTS, seed, clock, self.trace))

    def usual_weights(self) -> dict[FaultKind, int]:
        """What goes wrong among merchants."""
        return BETWEEN_MERCHANTS

    def enrolments(self) -> Sequence[tuple[Staff, str]]:
        """Each merchant's staff enrol its own members."""
        return [
            (staff, one)
            for staff in self.staff
            for one in self.cards
            if one.startswith(CARD_PREFIX[staff.caller.merchant])
        ]

    def prove(self, shown: str, merchant: str, units: int, chance: random.Random) -> MemberProof | None:
        """The member's app answers the till, at another merchant; its clock is right."""
        home = self._home(shown)
        if home.plan.merchant == merchant:
            return None
        enrolled = EnrolResponse.FromString(self.enrolled[shown].answer or b"")
        secrets = CoalitionSecrets(SecretKey(home.secret("master")))
        step, nonce = self.clock_ms() // proofs.STEP_MS, chance.randbytes(proofs.NONCE_BYTES)
        code = proofs.app_answer(
            secrets.app(bytes.fromhex(enrolled.account_id)), merchant, units, nonce, step
        )
        proof = MemberProof()
        proof.app_answer.code, proof.app_answer.nonce = code, nonce
        proof.app_answer.ceiling_units, proof.app_answer.time_step = units, step
        return proof

    def _home(self, shown: str) -> PartnerNode:
        return next(node for node in self.partners if shown.startswith(CARD_PREFIX[node.plan.merchant]))

    def strike(self, fault: Fault) -> None:
        """Faults between merchants, beside those of one."""
        names, draw = list(MERCHANTS), fault.draw
        one = names.pop(draw % 3)
        other = names.pop(draw // 3 % 2)
        match fault.kind:
            case FaultKind.PARTITION:
                self._cut(fault, [(one, other), (other, one)])
            case FaultKind.ONE_WAY:
                self._cut(fault, [(one, other)])
            case FaultKind.ISOLATED:
                self._cut(fault, [pair for name in (other, *names) for pair in ((one, name), (name, one))])
            case FaultKind.STORM | FaultKind.WITHHELD:
                self.trace.fault("network", fault.kind.value)
                self.network.weather = STORM if fault.kind is FaultKind.STORM else RELAYED
                self.outside.call_later(fault.seconds, setattr, self.network, "weather", FAIR)
            case _:
                super().strike(fault)

    def _cut(self, fault: Fault, ways: list[tuple[str, str]]) -> None:
        self.trace.fault("network", fault.kind.value, f"{ways[0][0]} to {ways[0][1]}")
        for way in ways:
            self.network.cut(*way)
            self.outside.call_later(fault.seconds, self.network.mend, *way)

    def violations(self) -> Sequence[str]:
        """Everything that is not as it must be."""
        known = first(self.directory, OPERATOR.public_uri, self.clock_ms())
        assert not isinstance(known, Rejected), known
        all_books = {node.plan.merchant: checks.Books(node) for node in self.partners}
        sides = [lane_checks.Side(books, PARTITIONS) for books in all_books.values()]
        found = [
            *lane_checks.chains(sides, PARTITIONS, known),
            *lane_checks.positions(sides, PARTITIONS, checks.POINTS),
            *lane_checks.ended(sides),
        ]
        found += lane_checks.goods(sides, self.spends())
        for books in all_books.values():
            found += [*checks.replay(books), *checks.delivered(books), *checks.index(books)]
        return [*found, *self._asked(all_books)]

    def _asked(self, all_books: dict[str, checks.Books]) -> list[str]:
        """What callers know of it all."""
        return [problem for merchant, books in all_books.items() for problem in self.asked(merchant, books)]

    def asked(self, merchant: str, books: checks.Books) -> list[str]:
        """What callers know of a merchant's members."""
        own = {one: sent.request_id for one, sent in self.enrolled.items() if self._is_of(one, merchant)}
        here = [
            one
            for asker in (*self.tills, *self.staff)
            for one in asker.sent
            if asker.caller.merchant == merchant and self._is_of(one.card, merchant)
        ]
        return [*checks.requests(books, here), *checks.balances(books, own, self.sent)]

    def spends(self) -> Iterator[lane_checks.Spend]:
        """Every redemption and capture abroad whose outcome its till knows."""
        for till in self.tills:
            acquirer = till.caller.merchant
            node = next(node for node in self.partners if node.plan.merchant == acquirer)
            secrets = CoalitionSecrets(SecretKey(node.secret("master")))
            for one in till.sent:
                home = self._home(one.card).plan.merchant
                if home == acquirer or one.op not in (Op.REDEEM, Op.CAPTURE) or not one.known:
                    continue
                own_id = secrets.exchange_id(one.scope, one.request_id)
                if one.op is Op.CAPTURE:
                    assert one.operation is not None
                    exchange_id = bytes.fromhex(one.operation.capture.authorization_id.split("@")[0])
                else:
                    exchange_id = own_id
                has_goods = one.answer is not None and not one.undone
                yield lane_checks.Spend(acquirer, home, exchange_id, -one.units, has_goods, own_id)

    def _is_of(self, shown: str, merchant: str) -> bool:
        return shown.startswith(CARD_PREFIX[merchant])


class Restored(Bazaar):
    """The same with backups, and disks that are put back to them, on whichever side and however often.

    What a merchant's own tills did since the backup is gone, as they were told when it was restored; what
    two merchants have signed to each other is not.
    """

    faults = (14, 30)

    def __init__(
        self,
        seed: int,
        show: Callable[[str], None] | None = None,
        weights: dict[FaultKind, int] | None = None,
    ) -> None:
        super().__init__(seed, show, weights)
        self.lost: set[bytes] = set()
        """Exchanges of which a record, or that they were let go, was on no disk any more after one was put
        back.
        """

    def usual_weights(self) -> dict[FaultKind, int]:
        """Rollbacks among all the rest."""
        return WITH_ROLLBACKS

    def strike(self, fault: Fault) -> None:
        """Backups, and what comes of them."""
        node = self.nodes[fault.draw % len(self.nodes)]
        if fault.kind is FaultKind.BACKUP:
            if self.enrolled:
                node.back_up()
        elif fault.kind is FaultKind.ROLLBACK:
            before, let_go = self._recorded(), self._let_go(node)
            draw = fault.draw // len(self.nodes)
            if node.roll_back(draw % 3, marked=draw // 3 % 4 > 0):
                self.trace.fault(node.plan.merchant, fault.kind.value)
                self._forget(before)
                self.lost |= self._unheard(node, let_go - self._let_go(node))
        else:
            super().strike(fault)

    def _recorded(self) -> dict[bytes, bytes]:
        return lane_checks.recorded(checks.Books(node) for node in self.partners)

    def _forget(self, before: dict[bytes, bytes]) -> None:
        """What no disk holds any more is lost, and no backup with it is put back: both sides go on without
        it, and it would be another history of the lane.
        """
        after = self._recorded()
        gone = before.keys() - after.keys()
        self.lost |= {before[one] for one in gone} - set(after.values())
        if gone:
            for node in self.nodes:
                node.backups = [one for one in node.backups if not gone & lane_checks.backed_up(one).keys()]

    def _let_go(self, node: SimNode) -> set[tuple[str, bytes]]:
        return lane_checks.let_go(lane_checks.Side(checks.Books(node), PARTITIONS))

    def _unheard(self, acquirer: SimNode, forgotten: set[tuple[str, bytes]]) -> set[bytes]:
        """Of what an acquirer has forgotten to have let go, that of which no home node has heard."""
        name = acquirer.plan.merchant
        sides = [lane_checks.Side(checks.Books(node), PARTITIONS) for node in self.partners]
        heard = {(side.own_id, one) for side in sides for one in lane_checks.heard_of(side, name)}
        return {exchange_id for _, exchange_id in forgotten - heard}

    def spends(self) -> Iterator[lane_checks.Spend]:
        """What both sides have lost, one after the other, nobody can bring back.

        Nor is an acquirer asked that was put back without its knowledge: it may have told a till that nothing
        was spent before the home node could show it what it had forgotten.
        """
        unaware = {node.plan.merchant for node in self.partners if node.unaware}
        for one in super().spends():
            forgotten = not one.goods and one.acquirer_id in unaware
            if self.lost.isdisjoint((one.exchange_id, one.reference)) and not forgotten:
                yield one

    def _asked(self, all_books: dict[str, checks.Books]) -> list[str]:
        """Of a merchant whose disks were put back only what others know can be asked."""
        if any(node.rolled_back for node in self.partners):
            return []
        return super()._asked(all_books)
