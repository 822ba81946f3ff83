"""One merchant: a node, its tills, its staff and its members."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from node.identity.caller import Caller, Role
from simulators.sim import checks
from simulators.sim.faults import FaultKind
from simulators.sim.node import Plan, SimNode
from simulators.sim.staff import Staff
from simulators.sim.tills import Till
from simulators.sim.world import PROGRAMME, World

MERCHANT = "north-shop"
MEMBERS = 6
TILLS = 3


class Shop(World):
    """The world of one node."""

    def __init__(
        self,
        seed: int,
        show: Callable[[str], None] | None = None,
        weights: dict[FaultKind, int] | None = None,
    ) -> None:
        super().__init__(seed, show, weights)
        plan = Plan(MERCHANT, (PROGRAMME,), shards=self.chance.choice((1, 2)))
        self.node = SimNode(self.loop, plan, seed, self.trace)
        self.nodes = [self.node]
        self.cards = [f"6273000011{number:06d}" for number in range(MEMBERS)]
        for number in range(TILLS):
            caller = Caller(Role.TILL, MERCHANT, f"till-{number}", "north")
            self.tills.append(Till(caller, self.node.call, self.cards, seed, self.clock_ms, self.trace))
        for name in ("maryam", "naser"):
            caller = Caller(Role.STAFF, MERCHANT, name)
            self.staff.append(
                Staff(caller, self.node.call, self.cards, checks.POINTS, seed, self.clock_ms, self.trace)
            )

    def enrolments(self) -> Sequence[tuple[Staff, str]]:
        """One of the staff enrols everybody."""
        return [(self.staff[0], card) for card in self.cards]

    def violations(self) -> Sequence[str]:
        """Everything that is not as it must be."""
        books, sent = checks.Books(self.node), self.sent
        enrolments = {card: one.request_id for card, one in self.enrolled.items()}
        return [
            *checks.replay(books),
            *checks.delivered(books),
            *checks.index(books),
            *checks.requests(books, sent),
            *checks.receipts(books, sent),
            *checks.balances(books, enrolments, sent),
        ]
