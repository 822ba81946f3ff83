"""A shard's lanes as a settlement needs them: which there are, their records summed, some of them shown.

It only reads, and never more than a short turn at a time, so that a window is closed without stopping
traffic.
"""

from __future__ import annotations

from collections.abc import Callable

from node.actors.home import HomeSide
from node.actors.home_shut import HomeShut
from node.actors.lane_mending import LaneMending
from node.actors.lane_settled import HomeSettled
from node.actors.turn import Opening
from node.settlement.closes import LaneFault
from node.settlement.disputes import QUESTIONS_MAX
from node.storage import coalition_keys as keys
from node.storage.coalition_keys import LANES_MAX, Role
from node.wire import settlement_wishes as wishes
from node.wire.coalition_store import LANE_ENTRY
from node.wire.commands import Answer, Op, done, encode
from node.wire.settlement_scan import LaneBroken, take
from node.wire.settlement_wishes import TallyAnswer

MOST_RECORDS = 5_000
"""Records of one turn: some tens of milliseconds."""


class LaneSums:
    """Commands LANE_LIST, LANE_TALLY and LANE_ENTRIES, and those of settlement on the home node's lanes."""

    def __init__(self, home: HomeSide) -> None:
        self.ops: dict[int, Callable[[Opening], Answer | None]] = {
            Op.LANE_LIST: self._list,
            Op.LANE_TALLY: self._tally,
            Op.LANE_ENTRIES: self._entries,
            **home.acks.ops,
            **LaneMending().ops,
            **HomeShut(home).ops,
            **HomeSettled(home.lanes).ops,
        }

    def _list(self, opening: Opening) -> Answer | None:
        wish = wishes.LANE_LIST.decode(opening.command.body)
        role = _role(wish.home)
        heads = opening.work.scan(
            *keys.lane_heads_range(opening.partition.number, role, wish.partner_id), LANES_MAX
        )
        return done(encode([keys.parse_lane_head(key)[3] for key, _ in heads]))

    def _tally(self, opening: Opening) -> Answer | None:
        """Nothing more to come is known by a turn that found fewer records than it would have taken."""
        wish = wishes.TALLY.decode(opening.command.body)
        most = min(wish.most, MOST_RECORDS)
        start, end = keys.lane_records_range(
            opening.partition.number, _role(wish.home), wish.partner_id, wish.tally.start.lane,
            wish.tally.number + 1,
        )  # fmt: skip
        found = opening.work.scan(start, end, most)
        until = None if wish.until < 0 else wish.until
        try:
            after = take(wish.tally, wish.window, (data for _, data in found), until=until)
        except LaneBroken as broken:
            return done(encode(TallyAnswer(None, str(broken))))
        if isinstance(after, LaneFault):
            return done(encode(TallyAnswer(None, after.value)))
        after.done = after.done or after.number - wish.tally.number < most
        return done(encode(TallyAnswer(after)))

    def _entries(self, opening: Opening) -> Answer | None:
        wish = wishes.ENTRIES.decode(opening.command.body)
        partition, role = opening.partition.number, _role(wish.home)
        found = [
            opening.work.get(keys.lane_record_key(partition, role, wish.partner_id, wish.lane, number))
            for number in wish.numbers[:QUESTIONS_MAX]
        ]
        return done(encode([None if data is None else LANE_ENTRY.decode(data) for data in found]))


def _role(home: bool) -> Role:
    return Role.HOME if home else Role.ACQUIRER
