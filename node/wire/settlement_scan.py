"""Lane records as a close takes them: read no deeper than it needs, the chain checked record by record.

This is where a merchant's recomputation spends its time: one look at a record's bytes
(`wire.settlement_layout`), one hash for the chain and two for the tree. What is not laid out as usual is read
by protobuf.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice

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
    SumKey,
    begin_tally,
)
from node.settlement.merkle import LEAF_PREFIX, Tree, leaf_hash
from node.wire.coalition_store import LANE_ENTRY, LaneEntry
from node.wire.records import RecordUnreadable
from node.wire.settlement_fields import parsed
from node.wire.settlement_layout import AROUND_BODY, BEFORE_BODY, SHORT, number_in, usual, varints

_LENGTHS = [length.to_bytes(8, "big") for length in range(4_096)]
"""By length of a header or core; none is as long as the list."""

_UNREADABLE = "its bytes cannot be read"

# A hash that was begun is copied for less than a new one costs.
_CHAIN = hashlib.sha256(CHAIN_TAG).copy
_LEAF = hashlib.sha256(LEAF_PREFIX).copy


class LaneBroken(Exception):
    """Stored records of a lane are not the chain that they must be; `number` is the record."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"record {number} of the lane: {what}")
        self.number = number


def lane_part(
    start: LaneStart, window: int, stored: Iterable[bytes], *, until: int | None = None
) -> LanePart | LaneFault:
    """A lane's part of a close from its stored records after `start`, as far as the window goes or `until`.

    LaneBroken where the chain does not hold, a LaneFault where it holds and is no honest lane all the same.
    """
    tally = take(begin_tally(start), window, stored, until=until)
    return tally if isinstance(tally, LaneFault) else tally.part()


def take(
    tally: LaneTally, window: int, stored: Iterable[bytes], *, until: int | None = None
) -> LaneTally | LaneFault:
    """The tally with more records: those that follow its last one, in their order, as they are stored.

    `done` once a record of a later window came, or record `until` is taken; if the records merely end, it
    is not.
    """
    left = None if until is None else max(until - tally.number, 0)
    taking, records = _Taking(tally, window), islice(stored, left)
    while not taking.done:
        before = taking.number
        odd = taking.swiftly(islice(records, CHUNK_RECORDS))
        if odd is not None:
            fault = taking.slowly(odd)
            if fault is not None:
                return fault
        elif taking.number - before < CHUNK_RECORDS:
            break
        if taking.waiting >= CHUNK_RECORDS:
            taking.grow()
    taking.grow()
    return taking.tally(done=taking.done or taking.number == until)


class _Taking:
    """A tally while records are added to it."""

    def __init__(self, tally: LaneTally, window: int) -> None:
        self.start, self.number, self.digest = tally.start, tally.number, tally.hash
        self.done = False
        self._limit, self._window, self._epoch = window, tally.window, tally.epoch
        self._sums = {key[:3]: list(key[3:]) for key in tally.sums}
        self._purse = tally.sums[0][1] if tally.sums else ""
        self._tree = Tree(self.number - self.start.number, tally.peaks)
        self._leaves: list[bytes] = []
        self._last = b""

    @property
    def waiting(self) -> int:
        """How many are taken that are not in the tree yet."""
        return len(self._leaves)

    def swiftly(self, records: Iterator[bytes]) -> bytes | None:
        """Takes records while they are laid out as usual and follow; gives the first that does not."""
        if not self._purse:
            return next(records, None)
        window = self._window or self._limit
        match, lengths = usual(self._purse, self.start.lane, window).match, _LENGTHS
        digest, leaves, last, taken = self.digest, self._leaves, self._last, len(self._leaves)
        sums: defaultdict[tuple[bytes, bytes], list[int]] = defaultdict(lambda: [0, 0])
        try:
            for record, number in zip(records, varints(self.number + 1), strict=False):
                size = record[4]
                found = match(record, BEFORE_BODY + size)
                if found is None or record[3] != SHORT:
                    break
                core_size, core, kind, units, said, version, stated = found.groups()
                end = found.end()
                if (
                    said != number
                    or core_size[0] != len(core)
                    or end - size - record[size + 6] != AROUND_BODY
                ):
                    break
                header = record[end : end + record[end - 1]]
                # h_n as `coalition.lanes.chain` defines it; a test compares the two.
                hashing = _CHAIN()
                hashing.update(digest + lengths[len(header)] + header + lengths[len(core)] + core)
                if hashing.digest() != stated:
                    break
                digest, last = stated, record
                hashing = _LEAF()
                hashing.update(stated)
                leaves.append(hashing.digest())
                total = sums[kind, version]
                total[0] += 1
                total[1] += number_in(units)
            else:
                record = None
        except IndexError:
            pass  # shorter than any record: what it is, is for `slowly` to say
        if len(leaves) > taken:
            self._window, self.digest, self._last = window, digest, last
            self.number += len(leaves) - taken
        for (kind, version), (count, moved) in sums.items():
            self._add((kind[0], self._purse, version[0]), count, moved)
        return record

    def slowly(self, record: bytes) -> LaneFault | None:
        """Takes one record as protobuf reads it; `done` where it is of a later window."""
        try:
            entry = LANE_ENTRY.decode(record)
            body = scan_pb2.PostedBodyScan.FromString(entry.posted.body)
            core = scan_pb2.CoreScan.FromString(body.core)
            header = entry.request.header if entry.request is not None else b""
            sizes = _LENGTHS[len(header)], _LENGTHS[len(body.core)]
        except (RecordUnreadable, DecodeError, IndexError):
            raise LaneBroken(self.number + 1, _UNREADABLE) from None
        if core.window > self._limit:
            self.done = True
            return None
        if core.window < self._window:
            return LaneFault.WINDOW_WENT_BACK
        self._window = core.window
        self.number += 1
        hashing = _CHAIN()
        hashing.update(self.digest + sizes[0] + header + sizes[1] + body.core)
        self.digest = hashing.digest()
        if self.digest != body.hash:
            raise LaneBroken(self.number, "its hash does not follow from the chain")
        if (core.number, core.lane) != (self.number, self.start.lane):
            return LaneFault.GAP
        if core.units < 0:
            return LaneFault.NEGATIVE_UNITS
        self._add((core.kind, core.purse, core.rate_version), 1, core.units)
        self._purse = core.purse or self._purse
        self._leaves.append(leaf_hash(self.digest))
        self._last = record
        return None

    def _add(self, key: SumKey, records: int, units: int) -> None:
        total = self._sums.setdefault(key, [0, 0])
        total[0] += records
        total[1] += units

    def grow(self) -> None:
        """Puts what was taken into the tree, where it is kept as no more than an edge."""
        self._tree.extend_hashed(self._leaves)
        self._leaves = []

    def tally(self, *, done: bool) -> LaneTally:
        """What it has come to."""
        if self._last:
            try:
                self._epoch = epoch_of(LANE_ENTRY.decode(self._last))
            except (RecordUnreadable, DecodeError):
                raise LaneBroken(self.number, _UNREADABLE) from None
        totals = tuple((*key, records, units) for key, (records, units) in self._sums.items())
        return LaneTally(
            self.start, self.number, self.digest, self._window, self._epoch, totals, self._tree.peaks, done
        )


def stored_of(record: bytes) -> bytes:
    """A LaneRecord's bytes as they are stored; raises DocumentUnreadable."""
    return LANE_ENTRY.encode(entry_of(record))


def entry_of(record: bytes) -> LaneEntry:
    """A LaneRecord's bytes as it is stored; raises DocumentUnreadable."""
    message = parsed(exchange_pb2.LaneRecord, record)
    request = message.request if message.HasField("request") else None
    return LaneEntry(_envelope(message.posted), None if request is None else _envelope(request))


def _envelope(message: envelope_pb2.Envelope) -> Envelope:
    return Envelope(message.header, message.body, message.signature)


def number_of(entry: LaneEntry) -> int:
    """A record's number; raises DocumentUnreadable."""
    return place_of(entry)[1]


def place_of(entry: LaneEntry) -> tuple[int, int]:
    """(lane, number) that a record's core names; raises DocumentUnreadable."""
    core = parsed(scan_pb2.CoreScan, parsed(scan_pb2.PostedBodyScan, entry.posted.body).core)
    return core.lane, core.number


def hash_of(entry: LaneEntry) -> bytes:
    """The chain's hash at a record, as it says itself; raises DocumentUnreadable."""
    return parsed(scan_pb2.PostedBodyScan, entry.posted.body).hash


def epoch_of(entry: LaneEntry) -> int:
    """The epoch in which a record was posted."""
    return envelope_pb2.Header.FromString(entry.posted.header).epoch
