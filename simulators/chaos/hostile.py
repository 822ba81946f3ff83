"""The world of a hostile partner: two honest merchants, and a third whose keys somebody misuses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from node.identity.caller import Caller, Role
from node.wire.coalition_records import DisputeAnswer
from simulators.chaos import hostile_checks
from simulators.chaos.hostile_histories import CONTRADICTIONS, HISTORIES
from simulators.chaos.hostile_partner import Attack, Thief
from simulators.chaos.hostile_spending import SPENDING
from simulators.sim import checks
from simulators.sim.asking import Sent
from simulators.sim.bazaar import PARTITIONS, TILLS, Bazaar
from simulators.sim.coalition import CARD_PREFIX, MERCHANTS, card
from simulators.sim.faults import FaultKind
from simulators.sim.partner import PartnerGateway, PartnerNode
from simulators.sim.staff import Staff
from simulators.sim.tills import Till

THIEF = MERCHANTS[-1]
HONEST = MERCHANTS[:-1]
THIEFS_MEMBERS = 6
"""Enough for records on most lanes."""
ATTACKS = 8
"""Of all kinds, in one seed."""
BUYS = 14
AFTERWARDS = 4
"""Visits at each honest till when it is over."""
PAUSE_SECONDS = (0.5, 9.0)


class Buyer(Till):
    """A till at which the hostile merchant's members only buy: what they earn waits as long as it must."""

    async def _visit(self, card: str) -> None:
        await self._buy(card)


class Hostile(Bazaar):
    """The world. `attacks` are what the hostile partner does; drawn from the seed if they are not given."""

    old_keys = True
    faults = (0, 8)
    hold_seconds_max = 60
    settle_seconds = 180.0

    def __init__(
        self,
        seed: int,
        show: Callable[[str], None] | None = None,
        weights: dict[FaultKind, int] | None = None,
        attacks: Sequence[Attack] | None = None,
    ) -> None:
        self.buyers: list[Buyer] = []
        self.disputes: dict[tuple[str, int], DisputeAnswer] = {}
        """Why honest merchants have set lanes with the hostile one's members aside."""
        self.afterwards: list[Sent] = []
        super().__init__(seed, show, weights)
        chance = random.Random(f"{seed}/thief")
        drawn = chance.sample((*SPENDING, *HISTORIES, *CONTRADICTIONS), ATTACKS)
        self.attacks = drawn if attacks is None else list(attacks)
        self.thief = Thief(self, THIEF, chance)

    def _staffed(self, node: PartnerNode) -> None:
        """Honest members shop everywhere; the hostile merchant's buy at the honest tills."""
        merchant, seed, clock = node.plan.merchant, self.seed, self.clock_ms
        honest = [one for one in self.cards if not one.startswith(CARD_PREFIX[THIEF])]
        own = [card(merchant, number) for number in range(THIEFS_MEMBERS if merchant == THIEF else 2)]
        self.cards += [one for one in own if one not in self.cards]
        for number in range(TILLS):
            caller = Caller(Role.TILL, merchant, f"till-{number}", "main")
            self.tills.append(Till(caller, node.call, honest, seed, clock, self.trace, self.prove))
        if merchant != THIEF:
            theirs = [card(THIEF, number) for number in range(THIEFS_MEMBERS)]
            caller = Caller(Role.TILL, merchant, "till-9", "main")
            self.buyers.append(Buyer(caller, node.call, theirs, seed, clock, self.trace, self.prove))
        staff = Caller(Role.STAFF, merchant, "maryam")
        self.staff.append(Staff(staff, node.call, own, checks.POINTS, seed, clock, self.trace))

    @property
    def honest(self) -> list[PartnerNode]:
        """The honest merchants' nodes."""
        return [node for node in self.partners if node.plan.merchant != THIEF]

    async def live(self) -> None:
        """Everybody shops while the hostile partner is at work; then honest people go on shopping."""
        await asyncio.gather(super().live(), self._buying(), self.thief.work(self.attacks))
        count = {till: len(till.sent) for till in self.tills}
        honest = [till for till in self.tills if till.caller.merchant != THIEF]
        await asyncio.gather(*(till.shop(AFTERWARDS, PAUSE_SECONDS) for till in honest))
        self.afterwards = [one for till in honest for one in till.sent[count[till] :]]
        await self._ask_for_disputes()

    async def _buying(self) -> None:
        await self.everybody_enrolled()
        await asyncio.gather(*(buyer.shop(BUYS, PAUSE_SECONDS) for buyer in self.buyers))

    async def everybody_enrolled(self) -> None:
        """Returns once all members are there."""
        while not self.enrolled:  # noqa: ASYNC110 - the simulated clock jumps
            await asyncio.sleep(PAUSE_SECONDS[1])

    async def _ask_for_disputes(self) -> None:
        """What the honest nodes say of lanes that they have set aside, as `vafa lane proof` asks."""
        for node in self.honest:
            for lane in range(PARTITIONS):
                found = await self._dispute(node, lane)
                if found.why:
                    self.disputes[node.plan.merchant, lane] = found

    async def _dispute(self, node: PartnerNode, lane: int) -> DisputeAnswer:
        while True:
            if isinstance(node.gateway, PartnerGateway):
                found = await node.gateway.exchanging.dispute(THIEF, lane, home=False)
                if isinstance(found, DisputeAnswer):
                    return found
            await asyncio.sleep(1.0)

    def violations(self) -> Sequence[str]:
        """Everything that is not as it must be; the hostile merchant's own books are its own business."""
        return hostile_checks.problems(self)
