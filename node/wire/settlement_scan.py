"""Lane records as a close takes them: read no deeper than it needs, the chain checked record by record.

This is where a merchant's recomputation spends its time: one parse for a record and one for its core, one
hash for the chain; `settlement.merkle` adds two for the tree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from google.protobuf.message import DecodeError
from msgspec.structs import replace

from node.coalition.lanes import CHAIN_TAG
from node.coalition.messages import RecordKind
from node.proto.vafa.coalition.v1 import envelope_pb2, exchange_pb2
from node.proto.vafa.settlement.v1 import scan_pb2
from node.settlement.closes import Fact, LaneFault, LanePart, LaneStart, sum_lane

_KINDS = {int(kind): kind for kind in RecordKind}
_LENGTHS = [length.to_bytes(8, "big") for length in range(4_096)]


class LaneBroken(Exception):
    """Stored records of a lane are not the chain that they must be; `number` is the record."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"record {number} of the lane: {what}")
        self.number = number


def facts(records: Iterable[bytes], start: LaneStart) -> Iterator[Fact]:
    """What a close takes of the LaneRecords that follow `start`; LaneBroken where the chain does not hold."""
    record_of, core_of = scan_pb2.RecordScan.FromString, scan_pb2.CoreScan.FromString
    sha256, kinds, lengths, longest = hashlib.sha256, _KINDS, _LENGTHS, len(_LENGTHS)
    previous, expected = start.hash, start.number
    for data in records:
        expected += 1
        try:
            record = record_of(data)
            header, body = record.request.header, record.posted.body
            core_bytes, digest = body.core, body.hash
            core = core_of(core_bytes)
        except DecodeError:
            raise LaneBroken(expected, "its bytes cannot be read") from None
        header_size, core_size = len(header), len(core_bytes)
        if header_size >= longest or core_size >= longest:
            raise LaneBroken(expected, "it is longer than any record")
        # h_n as `coalition.lanes.chain` defines it; a test compares the two.
        computed = sha256(
            CHAIN_TAG + previous + lengths[header_size] + header + lengths[core_size] + core_bytes
        ).digest()
        if computed != digest:
            raise LaneBroken(expected, "its hash does not follow from the chain")
        previous = digest
        kind = kinds.get(core.kind)
        if kind is None or core.lane != start.lane:
            raise LaneBroken(expected, "it is of no known kind, or of another lane")
        yield Fact(core.number, core.window, kind, core.purse, core.units, core.rate_version, digest)


class _Watched:
    """Records on their way through, with the last two kept: the one after a window is read to see that it
    is.
    """

    def __init__(self, records: Iterable[bytes], until: int | None, start: int) -> None:
        self._records, self._left = records, None if until is None else until - start
        self.last = self.before = b""

    def __iter__(self) -> Iterator[bytes]:
        for data in self._records:
            if self._left is not None:
                if not self._left:
                    return
                self._left -= 1
            self.before, self.last = self.last, data
            yield data


def lane_part(
    start: LaneStart, window: int, records: Iterable[bytes], *, until: int | None = None
) -> LanePart | LaneFault:
    """A lane's part of a close from its LaneRecords after `start`, as far as the window goes or record
    `until`.

    LaneBroken, or a fault of the records' numbers and windows.
    """
    watched = _Watched(records, until, start.number)
    part = sum_lane(start, window, facts(watched, start))
    if isinstance(part, LaneFault) or not part.close.record_count:
        return part
    final = watched.last
    if number_of(final) != part.close.to_number:
        final = watched.before
    return replace(part, close=replace(part.close, epoch=epoch_of(final)))


def number_of(record: bytes) -> int:
    """A LaneRecord's number."""
    return scan_pb2.CoreScan.FromString(scan_pb2.RecordScan.FromString(record).posted.body.core).number


def hash_of(record: bytes) -> bytes:
    """The chain's hash at a LaneRecord, as it says itself."""
    return scan_pb2.RecordScan.FromString(record).posted.body.hash


def epoch_of(record: bytes) -> int:
    """The epoch in which a LaneRecord was posted."""
    posted = exchange_pb2.LaneRecord.FromString(record).posted
    return envelope_pb2.Header.FromString(posted.header).epoch
