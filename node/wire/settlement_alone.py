"""A close by one side alone, checked against the records that it rests on: each signed by both, all of them
summed.

The operator does this for a pair whose one side is silent, and for nobody else.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.coalition.directory import Directory
from node.settlement.closes import LaneFault, LanePart, LaneStart, PairNames, begin_tally, pair_close
from node.settlement.documents import SignedClose
from node.wire.coalition_store import LANE_ENTRY, LaneEntry
from node.wire.settlement import close_bytes
from node.wire.settlement_evidence import RecordSignatures
from node.wire.settlement_fields import DocumentUnreadable
from node.wire.settlement_scan import LaneBroken, take


class AloneCheck:
    """Takes a close's records some at a time, by lane and number; keeps sums, not records."""

    def __init__(self, signed: SignedClose, directory: Directory) -> None:
        self.signed = signed
        self._signatures = RecordSignatures(directory)
        self._lanes = list(signed.close.lanes)
        self._parts: list[LanePart] = []
        self._tally = begin_tally(LaneStart(0))
        self._next_lane()

    def _next_lane(self) -> None:
        if self._lanes:
            lane = self._lanes[0]
            self._tally = begin_tally(LaneStart(lane.lane, lane.from_number - 1, lane.start_hash))

    def add(self, entries: Sequence[LaneEntry]) -> str:
        """Takes more records; says what is wrong with them, empty where nothing is."""
        close = self.signed.close
        for entry in entries:
            if not self._lanes:
                return "there are more records than it counts"
            try:
                if not self._signatures.check(entry, *close.pair).sound:
                    return f"a record of lane {self._tally.start.lane} is not signed by both sides"
                lane = self._lanes[0]
                after = take(self._tally, close.window, (LANE_ENTRY.encode(entry),), until=lane.to_number)
            except (DocumentUnreadable, LaneBroken) as wrong:
                return str(wrong)
            if isinstance(after, LaneFault):
                return after.value
            if after.number == self._tally.number:
                return "a record is of a later window"
            self._tally = after
            if after.number == lane.to_number:
                part = after.part()
                if isinstance(part, LaneFault):
                    return part.value
                self._parts.append(part)
                self._lanes.pop(0)
                self._next_lane()
        return ""

    def end(self) -> str:
        """What is wrong with the whole, empty where nothing is."""
        close = self.signed.close
        if any(lane.record_count for lane in self._lanes):
            return "records that it counts were not shown"
        names = PairNames(close.coalition_id, close.window, *close.pair)
        made = pair_close(names, self._parts, disputed=close.disputed, basis=close.basis)
        return "" if close_bytes(made) == self.signed.close_bytes else "its sums are not those of its records"
