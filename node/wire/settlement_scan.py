"""Lane records as a close takes them: read no deeper than it needs, the chain checked record by record.

This is where a merchant's recomputation spends its time: one parse for a record and one for its core, one
hash for the chain; `settlement.merkle` adds two for the tree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from google.protobuf.message import DecodeError

from node.coalition.lanes import CHAIN_TAG
from node.proto.vafa.coalition.v1 import envelope_pb2, exchange_pb2
from node.proto.vafa.settlement.v1 import scan_pb2
from node.settlement.closes import CHUNK_RECORDS, LaneFault, LanePart, LaneStart, LaneTally

_LENGTHS = [length.to_bytes(8, "big") for length in range(4_096)]
"""By length of a header or core; none is as long as the list."""


class LaneBroken(Exception):
    """Stored records of a lane are not the chain that they must be; `number` is the record."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"record {number} of the lane: {what}")
        self.number = number


def lane_part(
    start: LaneStart, window: int, records: Iterable[bytes], *, until: int | None = None
) -> LanePart | LaneFault:
    """A lane's part of a close from its LaneRecords after `start`, as far as the window goes or record
    `until`.

    LaneBroken where the chain does not hold, a LaneFault where it holds and is no honest lane all the same.
    """
    record_of, core_of = scan_pb2.RecordScan.FromString, scan_pb2.CoreScan.FromString
    sha256, lengths = hashlib.sha256, _LENGTHS
    tally = LaneTally(start)
    sums, hashes, lane = tally.sums, tally.hashes, start.lane
    digest, number, current, final = start.hash, start.number, 0, b""
    limit = -1 if until is None else until
    for data in records:
        if number == limit:
            break
        try:
            record = record_of(data)
            header, body = record.request.header, record.posted.body
            core_bytes = body.core
            core = core_of(core_bytes)
            sizes = lengths[len(header)], lengths[len(core_bytes)]
        except (DecodeError, IndexError):
            raise LaneBroken(number + 1, "its bytes cannot be read") from None
        if core.window != current:
            if core.window > window:
                break
            if core.window < current:
                return LaneFault.WINDOW_WENT_BACK
            current = core.window
        number += 1
        # h_n as `coalition.lanes.chain` defines it; a test compares the two.
        digest = sha256(CHAIN_TAG + digest + sizes[0] + header + sizes[1] + core_bytes).digest()
        if digest != body.hash:
            raise LaneBroken(number, "its hash does not follow from the chain")
        if core.number != number or core.lane != lane:
            return LaneFault.GAP
        key = (core.kind, core.purse, core.rate_version)
        entry = sums.get(key)
        if entry is None:
            sums[key] = entry = [0, 0]
        units = core.units
        if units < 0:
            return LaneFault.NEGATIVE_UNITS
        entry[0] += 1
        entry[1] += units
        hashes.append(digest)
        if len(hashes) >= CHUNK_RECORDS:
            tally.hash_chunk()
        final = data
    return tally.part(digest, epoch_of(final) if final else 0)


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
