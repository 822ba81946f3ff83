"""A window that this node is about to close as home node: no lane of a partition takes a record of it then.

The gateway's clock says that the cut has passed; a shard on another machine, or a clock that was set back
after the close, may say otherwise. What was signed would then grow a record, and the acquirer would set the
lane aside. So the lanes are told, durably, before the close is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from node.actors.turn import Opening
from node.wire.commands import Answer, Op
from node.wire.settlement_wishes import HOME_SHUT

if TYPE_CHECKING:
    from node.actors.home import HomeSide


class HomeShut:
    """Command HOME_SHUT, for one partition's lane with a partner; with the cut marker where one is due."""

    def __init__(self, side: HomeSide) -> None:
        self._side = side
        self.ops: dict[int, Callable[[Opening], Answer | None]] = {Op.HOME_SHUT: self._shut}

    def _shut(self, opening: Opening) -> Answer | None:
        wish, lanes = HOME_SHUT.decode(opening.command.body), self._side.lanes
        life = lanes.life(opening.partition.number, wish.partner_id, opening.work)
        if opening.now_ms is not None and life.ready and not life.record.lane.disputed:
            self._side.cut(opening, life)
        lane = life.record.lane
        if lane.window <= wish.window:
            lanes.keep(life, replace(life.record, lane=replace(lane, window=wish.window + 1)), opening.work)
        return None
