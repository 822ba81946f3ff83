"""How a shard's lanes stand: which are open, behind or set aside, what counts against caps, what waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from node.actors.acquirer_lanes import AcquirerLanes, Partner
from node.actors.home_lanes import HomeLanes
from node.actors.turn import Opening
from node.coalition.exchange import AcquirerState
from node.storage import coalition_keys as keys
from node.storage.coalition_keys import Role
from node.wire import coalition_store as store
from node.wire.coalition_records import LANE_WISH
from node.wire.commands import Answer, Op, done, encode
from node.wire.lane_states import MAX_WAITING, LaneState, LaneStates

if TYPE_CHECKING:
    from node.actors.abroad import Abroad


class ShardLaneStates:
    """Command LANE_STATES: it only reads. `home` of the wish says in which role."""

    def __init__(self, abroad: Abroad, home: HomeLanes, acquirer: AcquirerLanes) -> None:
        self._abroad = abroad
        self._home = home
        self._acquirer = acquirer
        self.ops: dict[int, Callable[[Opening], Answer | None]] = {Op.LANE_STATES: self._look}

    def _look(self, opening: Opening) -> Answer | None:
        wish = LANE_WISH.decode(opening.command.body)
        look = self._at_home if wish.home else self._abroad_
        return done(encode(look(opening, wish.partner_ids)))

    def _at_home(self, opening: Opening, partner_ids: tuple[str, ...]) -> LaneStates:
        number, work = opening.partition.number, opening.work
        lives = [self._home.life(number, partner_id, work) for partner_id in partner_ids]
        lanes = [
            LaneState(
                life.partner_id,
                True,
                number,
                life.record.lane.number,
                life.record.lane.epoch,
                life.record.lane.number - life.record.lane.acked,
                life.ready,
                self._why(opening, Role.HOME, life.partner_id, number, life.record.lane.disputed),
            )
            for life in lives
        ]
        return LaneStates(tuple(lanes), tuple((life.partner_id, life.record.usage) for life in lives))

    def _abroad_(self, opening: Opening, partner_ids: tuple[str, ...]) -> LaneStates:
        number, work = opening.partition.number, opening.work
        partners = [self._acquirer.partner(number, partner_id, work) for partner_id in partner_ids]
        lanes = [
            LaneState(
                partner.partner_id,
                False,
                lane.lane,
                lane.number,
                lane.epoch,
                max(0, lane.home_number - lane.number),
                partner.is_ready(lane.lane),
                self._why(opening, Role.ACQUIRER, partner.partner_id, lane.lane, lane.disputed),
            )
            for partner in partners
            for _, lane in sorted(partner.lanes.items())
        ]
        usage = tuple((partner.partner_id, partner.usage) for partner in partners)
        return LaneStates(tuple(lanes), usage, self._waiting(opening, partners))

    def _waiting(self, opening: Opening, partners: list[Partner]) -> tuple[tuple[str, int, int], ...]:
        """What is asked about until it is answered. What came to nothing is in the index too, and is not."""
        number = opening.partition.number
        found: dict[str, tuple[int, int]] = {}
        wanted = {partner.partner_id for partner in partners}
        for key, value in opening.work.scan(*keys.exchange_due_range(number, 1 << 62), MAX_WAITING):
            _, _, partner_id, exchange_id = keys.parse_exchange_due(key)
            if partner_id not in wanted or AcquirerState(value[0]) in _NOT_ASKED:
                continue
            data = opening.work.get(keys.acquirer_exchange_key(number, partner_id, exchange_id))
            if data is None:
                continue
            begun_ms = store.ACQUIRER_EXCHANGE.decode(data).created_ms
            count, oldest_ms = found.get(partner_id, (0, begun_ms))
            found[partner_id] = count + 1, min(oldest_ms, begun_ms)
        return tuple((partner_id, *one) for partner_id, one in sorted(found.items()))

    def _why(self, opening: Opening, role: Role, partner_id: str, lane: int, disputed: bool) -> str:
        if not disputed:
            return ""
        data = opening.work.get(keys.lane_dispute_key(opening.partition.number, role, partner_id, lane))
        return "disputed" if data is None else store.DISPUTE.decode(data).why


_NOT_ASKED = frozenset({AcquirerState.FAILED, AcquirerState.AUTHORIZED})
"""What is over, and what waits for the till rather than for the home node."""
