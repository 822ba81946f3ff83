"""What one ordered pair of merchants did in a window: the close that both compute from their own records.

A close goes on where the one before ended, lane by lane, so that every record is settled once, and what a
dispute held back comes into a later one. Both sides hold the same records and therefore make the same
bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from node.coalition.lanes import GENESIS
from node.coalition.messages import RecordKind
from node.settlement.documents import CloseBasis, CloseSum, DisputedLane, LaneClose, PairClose
from node.settlement.merkle import Tree, root_of

CHUNK_RECORDS = 1_024
"""So many records are hashed into the tree at a time; it bounds the memory and costs least a record."""


class LaneFault(StrEnum):
    """Why the records of a lane cannot be closed; the words are for who looks after the node."""

    GAP = "a record is missing, or of another lane"
    WINDOW_WENT_BACK = "a record names an earlier window than the one before it"
    UNKNOWN_KIND = "a record moves something that this software does not know"
    NEGATIVE_UNITS = "a record moves less than nothing"


class LaneStart(Struct, frozen=True, array_like=True):
    """Where the last close of a lane ended: its last record and the chain's hash at it."""

    lane: int
    number: int = 0
    hash: bytes = GENESIS


class PairNames(Struct, frozen=True, array_like=True):
    """Whose close it is, and of which window."""

    coalition_id: str
    window: int
    home_id: str
    acquirer_id: str


class LanePart(Struct, frozen=True, array_like=True):
    """One lane's part of a close with its sums, computed where the lane's records are."""

    close: LaneClose
    sums: tuple[CloseSum, ...]


_KINDS = frozenset(int(kind) for kind in RecordKind)
SumKey = tuple[int, str, int]
"""Kind (a RecordKind's number), purse, rate version."""


class LaneTally(Struct, array_like=True):
    """A lane's records summed so far: sums and the tree's edge, never the records.

    It can be put down and taken up again, so that a long lane is summed in short turns beside the node's
    other work. `number`, `hash`, `window` and `epoch` are those of the last record taken.
    """

    start: LaneStart
    number: int
    hash: bytes
    window: int = 0
    epoch: int = 0
    sums: tuple[tuple[int, str, int, int, int], ...] = ()
    """(kind's number, purse, rate version, records, units), as they came up."""
    peaks: tuple[bytes, ...] = ()
    done: bool = False
    """Whether the window's last record has been taken."""

    def part(self) -> LanePart | LaneFault:
        """The lane's part of a close. Cut markers are in no sum."""
        if any(kind not in _KINDS for kind, *_ in self.sums):
            return LaneFault.UNKNOWN_KIND
        start = self.start
        root = Tree(self.number - start.number, self.peaks).root()
        close = LaneClose(start.lane, start.number + 1, self.number, self.epoch, start.hash, self.hash, root)
        sums = {
            (kind, purse, version): (records, units)
            for kind, purse, version, records, units in self.sums
            if kind != RecordKind.CUT
        }
        return LanePart(close, _sorted_sums(sums))


def begin_tally(start: LaneStart) -> LaneTally:
    """The tally of a lane before its first record after `start`."""
    return LaneTally(start, start.number, start.hash)


def _sorted_sums(sums: Mapping[SumKey, Sequence[int]]) -> tuple[CloseSum, ...]:
    return tuple(
        CloseSum(RecordKind(kind), purse, version, count, units)
        for (kind, purse, version), (count, units) in sorted(sums.items())
    )


def pair_close(
    names: PairNames,
    parts: Iterable[LanePart],
    *,
    disputed: Iterable[DisputedLane] = (),
    basis: CloseBasis = CloseBasis.AGREED,
) -> PairClose:
    """The close of a pair from its lanes' parts, in any order; lanes without records or dispute are left
    out.
    """
    held = {one.lane: one for one in disputed}
    lanes, sums = [], dict[SumKey, list[int]]()
    for part in sorted(parts, key=lambda part: part.close.lane):
        if not part.close.record_count and part.close.lane not in held:
            continue
        lanes.append(part.close)
        for one in part.sums:
            entry = sums.setdefault((one.kind, one.purse, one.rate_version), [0, 0])
            entry[0] += one.record_count
            entry[1] += one.units
    return PairClose(
        names.coalition_id,
        names.window,
        names.home_id,
        names.acquirer_id,
        basis,
        tuple(lanes),
        _sorted_sums(sums),
        sum(one.record_count for one in lanes),
        root_of([one.record_root for one in lanes]),
        tuple(held[lane] for lane in sorted(held)),
    )


def zero_close(coalition_id: str, window: int, home_id: str, acquirer_id: str) -> PairClose:
    """The close of a pair without records."""
    return pair_close(PairNames(coalition_id, window, home_id, acquirer_id), ())


class CloseFault(StrEnum):
    """Why a close is not one; the words are for who handed it in."""

    UNSORTED = "lanes or sums are not in their order, or one is there twice"
    BAD_RANGE = "a lane ends before it begins, or begins before its first record"
    BAD_HASH = "a hash has not 32 bytes, or a lane without records moves its hash"
    BAD_ROOT = "its Merkle root is not that of its lanes"
    BAD_COUNT = "the number of records is not that of the lanes, or the sums count more"
    BAD_SUM = "a sum is of no known kind, counts nothing or is negative"
    BAD_DISPUTE = "a disputed lane is not in the close, or does not end where both agree"
    SAME_SIDES = "home node and acquirer are one"


def fault_in(close: PairClose) -> CloseFault | None:
    """What is wrong with a close by itself; None where nothing is."""
    if close.home_id == close.acquirer_id:
        return CloseFault.SAME_SIDES
    lanes = [one.lane for one in close.lanes]
    keys = [(one.kind, one.purse, one.rate_version) for one in close.sums]
    if lanes != sorted(set(lanes)) or keys != sorted(set(keys)):
        return CloseFault.UNSORTED
    if any(one.from_number < 1 or one.to_number < one.from_number - 1 for one in close.lanes):
        return CloseFault.BAD_RANGE
    for one in close.lanes:
        if not len(one.start_hash) == len(one.end_hash) == len(one.record_root) == len(GENESIS):
            return CloseFault.BAD_HASH
        if one.to_number < one.from_number and one.start_hash != one.end_hash:
            return CloseFault.BAD_HASH
    if close.record_root != root_of([one.record_root for one in close.lanes]):
        return CloseFault.BAD_ROOT
    if any(one.kind is RecordKind.CUT or one.record_count < 1 or one.units < 0 for one in close.sums):
        return CloseFault.BAD_SUM
    records = sum(one.record_count for one in close.lanes)
    if close.record_count != records or sum(one.record_count for one in close.sums) > records:
        return CloseFault.BAD_COUNT
    ends = {one.lane: one.to_number for one in close.lanes}
    disputed = [one.lane for one in close.disputed]
    if disputed != sorted(set(disputed)) or any(
        ends.get(one.lane) != one.agreed_number for one in close.disputed
    ):
        return CloseFault.BAD_DISPUTE
    return None


def follows(close: PairClose, before: Mapping[int, LaneStart]) -> bool:
    """Whether each lane goes on where the pair's last close left it; a lane never closed begins at record
    1.
    """
    return all(
        (one.from_number - 1, one.start_hash) == (last.number, last.hash)
        for one in close.lanes
        for last in (before.get(one.lane) or LaneStart(one.lane),)
    )


def starts_after(close: PairClose, before: Mapping[int, LaneStart]) -> dict[int, LaneStart]:
    """Where each lane of the pair stands after this close."""
    moved = {one.lane: LaneStart(one.lane, one.to_number, one.end_hash) for one in close.lanes}
    return {**before, **moved}
