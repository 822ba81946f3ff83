"""Leases of caps in a shard: a look at them, and the two durable steps by which a share moves to another
partition.
"""

from __future__ import annotations

from collections.abc import Callable

from node.actors.home_lanes import HomeLanes, Life
from node.actors.turn import Opening
from node.coalition import leases
from node.coalition.caps import Slice
from node.coalition.home_facts import HomeFacts, HomeStep
from node.coalition.leases import LeaseView
from node.coalition.messages import Accrue, Body, ExchangeReason, Reserve
from node.wire.coalition_records import LANE_WISH
from node.wire.commands import Answer, Op
from node.wire.lease_wishes import GIVE, HEAR


class HomeLeases:
    """Commands LEASE_*; each answers with the lease as it then stands, durable when the answer is seen."""

    def __init__(self, lanes: HomeLanes) -> None:
        self._lanes = lanes
        self.ops: dict[int, Callable[[Opening], Answer | None]] = {
            Op.LEASE_LOOK: self._look,
            Op.LEASE_GIVE: self._give,
            Op.LEASE_HEAR: self._hear,
        }

    def _look(self, opening: Opening) -> Answer | None:
        for partner_id in LANE_WISH.decode(opening.command.body).partner_ids:
            self._show(opening, self._life(opening, partner_id))
        return None

    def _give(self, opening: Opening) -> Answer | None:
        wish = GIVE.decode(opening.command.body)
        life, lanes = self._life(opening, wish.partner_id), self._lanes
        if wish.taker != life.partition:
            after = leases.give(
                life.lease,
                lanes.parts(life),
                wish.taker,
                wish.wanted,
                wish.before,
                life.record.usage,
                lanes.cap(life.partner_id),
            )
            if after is not None:
                lanes.lease(life, after, opening.work)
        self._show(opening, life)
        return None

    def _hear(self, opening: Opening) -> Answer | None:
        wish = HEAR.decode(opening.command.body)
        life = self._life(opening, wish.partner_id)
        heard = leases.hear(life.lease, wish.other, wish.lease, life.partition)
        if heard != life.lease and wish.other != life.partition:
            self._lanes.lease(life, heard, opening.work)
        self._show(opening, life)
        return None

    def _life(self, opening: Opening, partner_id: str) -> Life:
        return self._lanes.life(opening.partition.number, partner_id, opening.work)

    def _show(self, opening: Opening, life: Life) -> None:
        slices = self._lanes.slices(life)
        opening.leases.append(LeaseView(life.partner_id, life.lease, life.record.usage, slices))


def note_short(opening: Opening, facts: HomeFacts, asked: Body, step: HomeStep) -> None:
    """Notes that a partition comes near its slice, or has refused for want of one."""
    declined = step.exchange is not None and step.exchange.reason is ExchangeReason.CAP_EXCEEDED
    if not declined and step.usage is None and step.refused is not ExchangeReason.CAP_EXCEEDED:
        return
    if isinstance(asked, Reserve):
        wanted = Slice(home_units=asked.units)
    elif isinstance(asked, Accrue):
        wanted = Slice(acquirer_units=asked.units)
    else:
        return
    short = leases.short(facts.usage, facts.slices, wanted)
    if short != Slice():
        opening.short.append((facts.partner_id, short))
