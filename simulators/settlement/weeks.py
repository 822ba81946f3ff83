"""A world of settlement windows: merchants trade under faults, windows are cut, closed, netted, published."""

from __future__ import annotations

import random
import traceback
from collections import Counter
from collections.abc import Callable, Sequence

from msgspec import field
from msgspec.structs import asdict, replace

from node.coalition.directory import Directory, Fee, FeeSide, PaymentAccount, SettlementTerms
from node.wire.coalition_trust import KnownDirectories, Rejected, first
from simulators.settlement import checks
from simulators.settlement.acts import Act, plan_acts
from simulators.settlement.bank import SimBank
from simulators.settlement.merchant import SettlingNode
from simulators.settlement.operator import SimOperator
from simulators.settlement.paid_checks import Paid
from simulators.settlement.payers import Payers
from simulators.sim.bazaar import PARTITIONS, Bazaar
from simulators.sim.coalition import CURRENCY, OPERATOR
from simulators.sim.faults import FaultKind
from simulators.sim.partner import PartnerNode, plan_of
from simulators.sim.world import FAULTY_SECONDS, PROGRAMME, Outcome

CALM_SECONDS = FAULTY_SECONDS + 40.0
"""From then on nothing goes wrong any more: what faults left behind is settled in the windows that follow."""
GRACE_SECONDS = (15, 40, 90)
PAYMENT_DUE_SECONDS = 40


class SettledOutcome(Outcome, frozen=True):
    """What became of one seed, with what was settled in it."""

    settled: dict[str, int] = field(default_factory=dict)


class Weeks(Bazaar):
    """A coalition whose windows are weeks of forty seconds."""

    settle_seconds = 420.0
    """A window that nobody could close at once waits for its time to sign, and the next ones for it."""

    def __init__(
        self,
        seed: int,
        show: Callable[[str], None] | None = None,
        weights: dict[FaultKind, int] | None = None,
    ) -> None:
        self.acts = plan_acts(seed)
        self.counts: Counter[str] = Counter()
        self._operator: SimOperator | None = None
        self._paying = False
        super().__init__(seed, show, weights)

    @property
    def operator(self) -> SimOperator:
        """The operator; made with the first merchant, which needs the calendar."""
        if self._operator is None:
            known = first(self.directory, OPERATOR.public_uri, self.clock_ms())
            assert not isinstance(known, Rejected), known
            self.known: KnownDirectories = known
            self._operator = SimOperator(
                self.loop, known, self.clock_ms, self.seed, self.trace, self.acts, self.happens, CALM_SECONDS
            )
            exponent = known.newest.settlement_terms[0].currency_exponent
            # The names a bank gives are drawn apart: what happens before anybody pays is as it was without.
            names = random.Random(f"{self.seed}/bank").random() < 0.5
            self.bank = SimBank(self.clock_ms, exponent, names=names)
            self.payers = Payers(self.bank, self._operator, self.seed)
            self._operator.all_told = self.payers.all_told
            self._operator.when_it_is_paid = self._pay
        return self._operator

    def founding(self) -> Directory:
        """The calendar with terms, which differ from seed to seed."""
        chance = self.chance
        fees = (
            Fee("commission", volume_ppm=12_345, side=FeeSide.ACQUIRER),
            Fee("seat", window_micro=1_000_001),
        )
        terms = SettlementTerms(
            1,
            CURRENCY,
            chance.choice((0, 2)),
            fees=fees if chance.random() < 0.5 else (),
            close_grace_seconds=chance.choice(GRACE_SECONDS),
            payment_due_seconds=PAYMENT_DUE_SECONDS,
            agent_account=PaymentAccount("Agent", other_id="1") if chance.random() < 0.3 else None,
        )
        return replace(super().founding(), settlement_terms=(terms,))

    def _partner(self, merchant: str) -> PartnerNode:
        plan = plan_of(merchant, PROGRAMME, self.directory, self.chance.choice((1, 2)), PARTITIONS)
        operator = self.operator
        return SettlingNode(
            self.loop, plan, self.seed, self.trace, self.network, self.directory, self.known, operator,
            self.acts, self.happens, CALM_SECONDS,
        )  # fmt: skip

    def _pay(self) -> None:
        """Everybody begins to pay: not by a timer, which would change the order of what comes before it."""
        if not self._paying:
            self._paying = True
            self.outside.spawn(self.payers.live())

    def happens(self, act: Act) -> None:
        """An act has become one."""
        if not act.happened:
            act.happened = True
            self.trace.fault(act.who, act.kind.value, f"window {act.window}, lane {act.lane}")

    def run(self) -> SettledOutcome:
        """Lives through it, then looks at what is left."""
        self.outside.call_soon(self.operator.start)
        outcome = super().run()
        return SettledOutcome(**asdict(outcome), settled=dict(sorted(self.counts.items())))

    def violations(self) -> Sequence[str]:
        """Everything that is not as it must be, in the books and in what was settled."""
        merchants = [node for node in self.partners if isinstance(node, SettlingNode)]
        found = checks.Settled(self.operator, merchants, self.directory, self.acts, PARTITIONS)
        violations = [*super().violations(), *found.violations(self.clock_ms())]
        paid = Paid(self.operator, self.bank, merchants, self.clock_ms())
        violations += paid.violations()
        self.counts.update(found.counts + paid.counts + self.payers.counts)
        return violations


def lived(_world: str, seed: int) -> Outcome:
    """One seed. A fault of the simulation itself is a violation too: nothing was proven."""
    try:
        return Weeks(seed).run()
    except Exception:
        return Outcome(seed, 0.0, 0, {}, (f"the simulation faulted:\n{traceback.format_exc()}",), "")
