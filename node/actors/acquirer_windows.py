"""Windows that are closed: what an acquirer signs the close of, no lane of it takes a record of any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from node.actors.acquirer_lanes import AcquirerLanes
from node.actors.turn import Opening
from node.coalition.messages import ExchangeReason
from node.wire import settlement_wishes as wishes
from node.wire.commands import Answer, Op

if TYPE_CHECKING:
    from node.actors.abroad import Abroad


class AcquirerWindows:
    """Command ACQUIRER_SHUT. `ops` gives its method."""

    def __init__(self, abroad: Abroad, lanes: AcquirerLanes) -> None:
        self._abroad = abroad
        self._lanes = lanes
        self.ops: dict[int, Callable[[Opening], Answer | None]] = {Op.ACQUIRER_SHUT: self._shut}

    def _shut(self, opening: Opening) -> Answer | None:
        """Shuts a window, durably, before its close is signed.

        WRONG_WINDOW, and nothing is shut, where a record came that the close does not have: it is computed
        anew.
        """
        wish = wishes.SHUT.decode(opening.command.body)
        partner = self._lanes.partner(opening.partition.number, wish.partner_id, opening.work)
        ends = dict(wish.ends)
        for lane in partner.lanes.values():
            may_grow = lane.window <= wish.window and lane.lane not in wish.carried
            if may_grow and lane.number != ends.get(lane.lane, 0):
                opening.refused = ExchangeReason.WRONG_WINDOW
                return None
        if wish.window > partner.record.closed_window:
            record = replace(partner.record, closed_window=wish.window, carried=wish.carried)
            self._lanes.keep_record(partner, record, opening.work)
        return None
