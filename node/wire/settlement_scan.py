"""Lane records as a close takes them: read no deeper than it needs, the chain checked record by record.

This is where a merchant's recomputation spends its time: one parse for a record and one for its core, one
hash for the chain; `settlement.merkle` adds two for the tree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from google.protobuf.message import DecodeError

from node.coalition.envelopes import Envelope
from node.coalition.lanes import CHAIN_TAG
from node.proto.vafa.coalition.v1 import envelope_pb2, exchange_pb2
from node.proto.vafa.settlement.v1 import scan_pb2
from node.settlement.closes import (
    CHUNK_RECORDS,
    LaneFault,
    LanePart,
    LaneStart,
    LaneTally,
    begin_tally,
)
from node.settlement.merkle import Tree
from node.wire.coalition_store import LaneEntry
from node.wire.settlement_fields import parsed

_LENGTHS = [length.to_bytes(8, "big") for length in range(4_096)]
"""By length of a header or core; none is as long as the list."""


class LaneBroken(Exception):
    """Stored records of a lane are not the chain that they must be; `number` is the record."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"record {number} of the lane: {what}")
        self.number = number


def lane_part(
    start: LaneStart, window: int, entries: Iterable[LaneEntry], *, until: int | None = None
) -> LanePart | LaneFault:
    """A lane's part of a close from its records after `start`, as far as the window goes or record `until`.

    LaneBroken where the chain does not hold, a LaneFault where it holds and is no honest lane all the same.
    """
    tally = take(begin_tally(start), window, entries, until=until)
    return tally if isinstance(tally, LaneFault) else tally.part()


def take(
    tally: LaneTally, window: int, entries: Iterable[LaneEntry], *, until: int | None = None
) -> LaneTally | LaneFault:
    """The tally with more records: those that follow its last one, in their order.

    `done` once a record of a later window came, or record `until` is taken; if the entries merely end, it
    is not.
    """
    body_of, core_of = scan_pb2.PostedBodyScan.FromString, scan_pb2.CoreScan.FromString
    sha256, lengths = hashlib.sha256, _LENGTHS
    start, digest, number, current = tally.start, tally.hash, tally.number, tally.window
    sums = {key[:3]: list(key[3:]) for key in tally.sums}
    tree, hashes, lane = Tree(number - start.number, tally.peaks), list[bytes](), start.lane
    limit, done, final = -1 if until is None else until, False, None
    for entry in entries:
        if number == limit:
            done = True
            break
        try:
            body = body_of(entry.posted.body)
            core_bytes = body.core
            core = core_of(core_bytes)
            header = entry.request.header if entry.request is not None else b""
            sizes = lengths[len(header)], lengths[len(core_bytes)]
        except (DecodeError, IndexError):
            raise LaneBroken(number + 1, "its bytes cannot be read") from None
        if core.window != current:
            if core.window > window:
                done = True
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
        total = sums.get(key)
        if total is None:
            sums[key] = total = [0, 0]
        units = core.units
        if units < 0:
            return LaneFault.NEGATIVE_UNITS
        total[0] += 1
        total[1] += units
        hashes.append(digest)
        if len(hashes) >= CHUNK_RECORDS:
            tree.extend(hashes)
            hashes.clear()
        final = entry
    tree.extend(hashes)
    epoch = epoch_of(final) if final is not None else tally.epoch
    totals = tuple((*key, records, units) for key, (records, units) in sums.items())
    done = done or number == limit
    return LaneTally(start, number, digest, current, epoch, totals, tree.peaks, done)


def entry_of(record: bytes) -> LaneEntry:
    """A LaneRecord's bytes as it is stored; raises DocumentUnreadable."""
    message = parsed(exchange_pb2.LaneRecord, record)
    request = message.request if message.HasField("request") else None
    return LaneEntry(_envelope(message.posted), None if request is None else _envelope(request))


def _envelope(message: envelope_pb2.Envelope) -> Envelope:
    return Envelope(message.header, message.body, message.signature)


def number_of(entry: LaneEntry) -> int:
    """A record's number."""
    return scan_pb2.CoreScan.FromString(scan_pb2.PostedBodyScan.FromString(entry.posted.body).core).number


def hash_of(entry: LaneEntry) -> bytes:
    """The chain's hash at a record, as it says itself."""
    return scan_pb2.PostedBodyScan.FromString(entry.posted.body).hash


def epoch_of(entry: LaneEntry) -> int:
    """The epoch in which a record was posted."""
    return envelope_pb2.Header.FromString(entry.posted.header).epoch
