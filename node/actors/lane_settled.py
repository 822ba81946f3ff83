"""What a payment takes off the caps: records of a lane that were settled and paid count against them no more.

A cap is the most that one merchant may owe another before it is settled. Each lane remembers up to which
record that is done, so that asking again takes nothing off twice, and a shard that came back from a backup
can be told once more.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from node.actors.acquirer_lanes import AcquirerLanes
from node.actors.home_lanes import HomeLanes
from node.actors.turn import Opening
from node.coalition import caps
from node.coalition.messages import MessageType, Posted
from node.storage import coalition_keys as keys
from node.storage.coalition_keys import Role
from node.wire.coalition_bodies import ENCODER
from node.wire.coalition_store import LANE_ENTRY
from node.wire.commands import Answer, Op, done, encode
from node.wire.settlement_wishes import SETTLED, SettledAnswer, SettledWish

MOST_RECORDS = 2_000
"""Records of one turn; what is left is asked for again."""


class HomeSettled:
    """Command HOME_SETTLED: a lane on which this node is at home. A wish up to record 0 only looks."""

    def __init__(self, lanes: HomeLanes) -> None:
        self._lanes = lanes
        self.ops: dict[int, Callable[[Opening], Answer | None]] = {Op.HOME_SETTLED: self._settled}

    def _settled(self, opening: Opening) -> Answer | None:
        wish = SETTLED.decode(opening.command.body)
        life = self._lanes.life(opening.partition.number, wish.partner_id, opening.work)
        record = life.record
        number, units = _owed(opening, Role.HOME, wish, record.settled_number)
        if number > record.settled_number:
            usage = replace(record.usage, settled=record.usage.settled + units)
            self._lanes.keep(life, replace(record, usage=usage, settled_number=number), opening.work)
        return done(encode(SettledAnswer(number, life.record.usage)))


class AcquirerSettled:
    """Command ACQUIRER_SETTLED: the same for a lane of a home node's."""

    def __init__(self, lanes: AcquirerLanes) -> None:
        self._lanes = lanes
        self.ops: dict[int, Callable[[Opening], Answer | None]] = {Op.ACQUIRER_SETTLED: self._settled}

    def _settled(self, opening: Opening) -> Answer | None:
        wish = SETTLED.decode(opening.command.body)
        partner = self._lanes.partner(opening.partition.number, wish.partner_id, opening.work)
        record = partner.record
        known = dict(record.settled_numbers)
        before = known.get(wish.lane, 0)
        number, units = _owed(opening, Role.ACQUIRER, wish, before)
        if number > before:
            known[wish.lane] = number
            usage = replace(record.usage, settled=record.usage.settled + units)
            record = replace(record, usage=usage, settled_numbers=tuple(sorted(known.items())))
            self._lanes.keep_record(partner, record, opening.work)
        return done(encode(SettledAnswer(number, partner.usage)))


def _owed(opening: Opening, role: Role, wish: SettledWish, before: int) -> tuple[int, int]:
    """How far a turn comes after record `before`, and what those records make the home node owe, net."""
    if wish.number <= before:
        return before, 0
    span = keys.lane_records_range(
        opening.partition.number, role, wish.partner_id, wish.lane, before + 1, wish.number
    )
    number, units = before, 0
    for key, data in opening.work.scan(*span, MOST_RECORDS):
        number = keys.parse_lane_record(key)[4]
        body = ENCODER.read(MessageType.POSTED, LANE_ENTRY.decode(data).posted.body)
        assert isinstance(body, Posted), "the type says what the body is"
        units += caps.owed_by_home(body.core.kind, body.core.units)
    return number, units
