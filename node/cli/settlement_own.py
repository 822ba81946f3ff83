"""A merchant's own records beside a statement: its closes computed anew, and the proof that a record is
counted.
"""

from __future__ import annotations

from collections.abc import Iterator

import grpc

from node.cli.connection import DEADLINE_SECONDS
from node.proto.vafa.coalition.v1 import coalition_service_pb2 as pb
from node.proto.vafa.coalition.v1 import coalition_service_pb2_grpc
from node.settlement.closes import LaneFault, LaneStart, PairNames, pair_close
from node.settlement.documents import PairClose, SignedClose
from node.wire.settlement import close_bytes
from node.wire.settlement_lines import ReadStatement
from node.wire.settlement_proofs import NotCounted, prove
from node.wire.settlement_scan import LaneBroken, entry_of, hash_of, lane_part, stored_of

PAGE = 500


class OwnRecords:
    """The lanes of one merchant, read from its running node."""

    def __init__(self, channel: grpc.Channel, own_id: str) -> None:
        self._stub = coalition_service_pb2_grpc.CoalitionServiceStub(channel)
        self.own_id = own_id

    def records(self, partner_id: str, lane: int, first: int, *, home: bool) -> Iterator[bytes]:
        """The LaneRecords of a lane from a number on."""
        while True:
            request = pb.ListRecordsRequest(
                partner_id=partner_id, home=home, lane=lane, from_number=first, page_size=PAGE
            )
            page = self._stub.ListRecords(request, timeout=DEADLINE_SECONDS).records
            yield from (one.SerializeToString() for one in page)
            if len(page) < PAGE:
                return
            first += len(page)

    def closes(self, statement: ReadStatement) -> dict[tuple[str, str], bytes]:
        """The closes of this merchant's pairs that a statement has, computed anew from the node's records.

        NotCounted where the records here are no chain, or begin elsewhere than the close says.
        """
        found = {}
        for line in statement.lines:
            if isinstance(line, SignedClose) and self.own_id in line.close.pair:
                found[line.close.pair] = close_bytes(self._close(line.close))
        return found

    def _close(self, close: PairClose) -> PairClose:
        home = close.home_id == self.own_id
        partner_id = close.acquirer_id if home else close.home_id
        held = {one.lane for one in close.disputed}
        parts = []
        for lane in close.lanes:
            start = LaneStart(lane.lane, lane.from_number - 1, lane.start_hash)
            records = self.records(partner_id, lane.lane, lane.from_number, home=home)
            until = lane.to_number if lane.lane in held else None
            try:
                part = lane_part(start, close.window, map(stored_of, records), until=until)
            except LaneBroken as broken:
                raise NotCounted(f"Lane {lane.lane} with {partner_id}: {broken}.") from None
            if isinstance(part, LaneFault):
                raise NotCounted(f"Lane {lane.lane} with {partner_id}: {part}.")
            parts.append(part)
        names = PairNames(close.coalition_id, close.window, *close.pair)
        return pair_close(names, parts, disputed=close.disputed, basis=close.basis)

    def proof(
        self, statement: ReadStatement, partner_id: str, lane: int, number: int, *, home: bool
    ) -> bytes:
        """The proof that a statement counts a record; NotCounted where it does not."""
        pair = (self.own_id, partner_id) if home else (partner_id, self.own_id)
        line = next(
            (one for one in statement.lines if isinstance(one, SignedClose) and one.close.pair == pair), None
        )
        found = next((one for one in line.close.lanes if one.lane == lane), None) if line else None
        if found is None or not found.from_number <= number <= found.to_number:
            raise NotCounted(
                f"Window {statement.facts.window} does not count record {number} of lane {lane} of "
                f"{pair[0]} at {pair[1]}."
            )
        hashes: list[bytes] = []
        record, previous = b"", found.start_hash
        for at, data in enumerate(
            self.records(partner_id, lane, found.from_number, home=home), found.from_number
        ):
            if at > found.to_number:
                break
            if at == number:
                record, previous = data, hashes[-1] if hashes else found.start_hash
            hashes.append(hash_of(entry_of(data)))
        if not record:
            raise NotCounted(f"This node has no record {number} of lane {lane} any more.")
        return prove(statement, pair, lane, hashes, record, previous)
