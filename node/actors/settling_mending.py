"""Records that this node has lost, fetched back from the partner that still has them, so that what a dispute
held back is settled with the next window.
"""

from __future__ import annotations

import structlog

from node.actors.settling import Settling
from node.actors.settling_ports import LaneBooks
from node.settlement.documents import DisputedLane, MismatchClass, PairClose
from node.settlement.peer_messages import RecordShown, RecordWish
from node.wire.settlement_evidence import RecordSignatures
from node.wire.settlement_fields import DocumentUnreadable
from node.wire.settlement_scan import entry_of

MOST_RECORDS = 100
"""Records of one lane that one look fetches."""

log = structlog.get_logger()


class Mending:
    """Looks through the closes of a window for lanes of which this node is the side that lacks records."""

    def __init__(self, settling: Settling, lanes: LaneBooks) -> None:
        self._settling = settling
        self._lanes = lanes

    async def look(self, window: int) -> int:
        """Fetches what this node lacks by the closes of a window; gives how many records came back."""
        fetched = 0
        for signed in self._settling.closes(window):
            home = signed.close.home_id == self._settling.own_id
            lacks = MismatchClass.MISSING_AT_HOME if home else MismatchClass.MISSING_AT_ACQUIRER
            for lane in signed.close.disputed:
                if lane.mismatch is lacks:
                    fetched += await self._lane(signed.close, lane, home=home)
        return fetched

    async def _lane(self, close: PairClose, held: DisputedLane, *, home: bool) -> int:
        partner_id = close.acquirer_id if home else close.home_id
        last = max(held.home_number, held.acquirer_number)
        numbers = range(held.agreed_number + 1, min(last, held.agreed_number + MOST_RECORDS) + 1)
        fetched = 0
        for number in numbers:
            (own,) = await self._lanes.entries(partner_id, held.lane, [number], home=home)
            if own is not None:
                continue
            wish = RecordWish(*close.pair, held.lane, number)
            answer = await self._settling.partners.ask(partner_id, wish)
            if not isinstance(answer, RecordShown) or not answer.record:
                break
            if not await self._take(close, held.lane, answer.record, home=home):
                log.warning("record_not_mended", partner=partner_id, lane=held.lane, number=number)
                break
            fetched += 1
            log.info("record_mended", partner=partner_id, lane=held.lane, number=number)
        return fetched

    async def _take(self, close: PairClose, lane: int, record: bytes, *, home: bool) -> bool:
        """Whether a record is put back: signed by both, and what the chain here has at that place."""
        partner_id = close.acquirer_id if home else close.home_id
        try:
            entry = entry_of(record)
            shown = RecordSignatures(self._settling.directory()).check(entry, *close.pair)
        except DocumentUnreadable:
            return False
        return shown.sound and await self._lanes.mend(partner_id, lane, entry, home=home)
