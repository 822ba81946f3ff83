"""Where this node's records of a lane and a partner's part: the search over the wire, and what is shown for
it.
"""

from __future__ import annotations

from collections.abc import Callable

from node.actors.settling_ports import Asking, LaneBooks
from node.coalition.directory import Directory
from node.identity.signers import Signer
from node.settlement.disputes import Bisection, Contradiction, Shown, begin, classify, held_back, narrow
from node.settlement.documents import DisputedLane, LaneClose, Mismatch, MismatchClass, PairClose
from node.settlement.peer_messages import (
    HashesWish,
    LaneHashes,
    RecordShown,
    RecordWish,
    SignedLaneHashes,
)
from node.wire.coalition_frames import lane_record_bytes
from node.wire.coalition_store import LaneEntry, envelope_bytes
from node.wire.settlement_evidence import RecordSignatures
from node.wire.settlement_fields import DocumentUnreadable
from node.wire.settlement_peer import hashes_bytes
from node.wire.settlement_scan import entry_of, hash_of, place_of
from node.wire.settlement_signing import HASHES_TYPE, holds, signed_by


class Disputes:
    """Searches as home node, answers as either."""

    def __init__(
        self,
        own_id: str,
        directory: Callable[[], Directory],
        signer: Callable[[], Signer],
        lanes: LaneBooks,
        partners: Asking,
    ) -> None:
        self._own_id = own_id
        self._directory = directory
        self._signer = signer
        self._lanes = lanes
        self._partners = partners

    # --- searching -----------------------------------------------------------------------------------------

    async def search(
        self, mine: PairClose, theirs: PairClose, keep: Callable[[Mismatch], None]
    ) -> tuple[DisputedLane, ...] | None:
        """The lanes that differ, each with what is wrong at its first difference, handed to `keep`.

        None where the partner stops answering, or answers as no honest side does; nothing is settled with
        it then, and its own signed words are the evidence.
        """
        other = {one.lane: one for one in theirs.lanes}
        found = []
        for lane in sorted({one.lane for one in mine.lanes} | other.keys()):
            own_close = next((one for one in mine.lanes if one.lane == lane), None)
            if own_close == other.get(lane):
                continue
            mismatch = await self._search_lane(mine, lane, own_close, other.get(lane))
            if mismatch is None:
                return None
            keep(mismatch)
            search = Bisection(
                mismatch.agreed_number,
                mismatch.agreed_hash,
                mismatch.agreed_number + 1,
                mismatch.agreed_number,
            )
            found.append(
                held_back(lane, search, mismatch.home_number, mismatch.acquirer_number, mismatch.mismatch)
            )
        return tuple(found)

    async def _search_lane(
        self, close: PairClose, lane: int, mine: LaneClose | None, theirs: LaneClose | None
    ) -> Mismatch | None:
        known = mine or theirs
        assert known is not None
        start = known.from_number - 1
        if mine and theirs and (mine.from_number, mine.start_hash) != (theirs.from_number, theirs.start_hash):
            return None  # one of the two has not taken over a statement yet: that is no dispute
        ends = (mine.to_number if mine else start, theirs.to_number if theirs else start)
        search = begin(start, known.start_hash, *ends)
        while not search.found:
            after = await self._ask(close, lane, search)
            if after is None:
                return None
            search = after
        return await self._look(close, lane, search, ends)

    async def _ask(self, close: PairClose, lane: int, search: Bisection) -> Bisection | None:
        questions = search.questions()
        wish = HashesWish(close.window, *close.pair, lane, tuple(questions))
        answer = await self._partners.ask(close.acquirer_id, wish)
        if not isinstance(answer, SignedLaneHashes) or not self._fits(answer, wish, close.acquirer_id):
            return None
        entries = await self._lanes.entries(close.acquirer_id, lane, questions, home=True)
        own = {
            number: hash_of(entry) if entry else b"" for number, entry in zip(questions, entries, strict=True)
        }
        after = narrow(search, own, dict(answer.hashes.hashes))
        return None if isinstance(after, Contradiction) else after

    def _fits(self, answer: SignedLaneHashes, wish: HashesWish, partner_id: str) -> bool:
        said = answer.hashes
        named = (said.window, said.home_id, said.acquirer_id, said.lane) == (
            wish.window, wish.home_id, wish.acquirer_id, wish.lane,
        )  # fmt: skip
        by = answer.signature.signer_id == partner_id
        return named and by and holds(answer.signature, HASHES_TYPE, answer.hashes_bytes)

    async def _look(
        self, close: PairClose, lane: int, search: Bisection, ends: tuple[int, int]
    ) -> Mismatch | None:
        """Both sides' record at the first difference, and what is wrong with them."""
        number = search.differs
        answer = await self._partners.ask(close.acquirer_id, RecordWish(*close.pair, lane, number))
        if not isinstance(answer, RecordShown):
            return None
        (own,) = await self._lanes.entries(close.acquirer_id, lane, [number], home=True)
        mine = own if number <= ends[0] else None
        shown = answer.record if number <= ends[1] else b""
        place = (lane, number)
        mismatch = classify(self._judged(mine, close, place), self._judged_bytes(shown, close, place))
        return Mismatch(
            close.coalition_id,
            close.window,
            *close.pair,
            lane,
            search.agreed,
            search.agreed_hash,
            *ends,
            mismatch or MismatchClass.UNSIGNED,
            record_bytes(mine) if mine else b"",
            shown,
        )

    def _judged(self, entry: LaneEntry | None, close: PairClose, place: tuple[int, int]) -> Shown | None:
        """A record as it counts at its (lane, number). One that both signed for another place was signed by
        nobody for this one: else an old record, shown here, would be proof of a fork.
        """
        if entry is None:
            return None
        try:
            if place_of(entry) == place:
                return RecordSignatures(self._directory()).check(entry, *close.pair)
        except DocumentUnreadable:
            pass
        return Shown(b"", home_signed=False, acquirer_signed=False)

    def _judged_bytes(self, record: bytes, close: PairClose, place: tuple[int, int]) -> Shown | None:
        if not record:
            return None
        try:
            return self._judged(entry_of(record), close, place)
        except DocumentUnreadable:
            return Shown(b"", home_signed=False, acquirer_signed=False)

    # --- answering -----------------------------------------------------------------------------------------

    async def hashes(self, partner_id: str, wish: HashesWish) -> SignedLaneHashes | None:
        """This node's hashes of a lane with the partner, signed; None for a lane that is not theirs."""
        home = self._role(partner_id, wish.home_id, wish.acquirer_id)
        if home is None:
            return None
        entries = await self._lanes.entries(partner_id, wish.lane, wish.numbers, home=home)
        said = LaneHashes(
            self._directory().coalition_id,
            wish.window,
            wish.home_id,
            wish.acquirer_id,
            wish.lane,
            max((number for number, one in zip(wish.numbers, entries, strict=True) if one), default=0),
            tuple(
                (number, hash_of(entry) if entry else b"")
                for number, entry in zip(wish.numbers, entries, strict=True)
            ),
        )
        data = hashes_bytes(said)
        return SignedLaneHashes(said, data, signed_by(self._signer(), self._own_id, HASHES_TYPE, data))

    async def record(self, partner_id: str, wish: RecordWish) -> bytes:
        """One record of a lane with the partner, as a LaneRecord; empty where there is none."""
        home = self._role(partner_id, wish.home_id, wish.acquirer_id)
        if home is None:
            return b""
        (entry,) = await self._lanes.entries(partner_id, wish.lane, [wish.number], home=home)
        return record_bytes(entry) if entry else b""

    def _role(self, partner_id: str, home_id: str, acquirer_id: str) -> bool | None:
        """Whether this node is the lane's home node; None where the lane is not between the two."""
        if (home_id, acquirer_id) == (self._own_id, partner_id):
            return True
        return False if (home_id, acquirer_id) == (partner_id, self._own_id) else None


def record_bytes(entry: LaneEntry) -> bytes:
    """A stored record as a LaneRecord."""
    request = envelope_bytes(entry.request) if entry.request else b""
    return lane_record_bytes(request, envelope_bytes(entry.posted))
