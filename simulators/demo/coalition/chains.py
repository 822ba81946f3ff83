"""Whether both sides of every pair hold the same signed chain: each record byte for byte, each signature."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from node.coalition.lanes import GENESIS
from node.coalition.messages import RecordKind
from node.wire.coalition_directory import read_directory
from node.wire.coalition_trust import KnownDirectories
from node.wire.lane_lines import lane_lines
from simulators.staff import Staff

EARNED, SPENT = "earned", "spent"
_SIGNED = {
    RecordKind.ACCRUAL: (EARNED, 1),
    RecordKind.ACCRUAL_RETURN: (EARNED, -1),
    RecordKind.REDEMPTION: (SPENT, 1),
    RecordKind.REDEMPTION_RETURN: (SPENT, -1),
}


@dataclass(slots=True)
class Pair:
    """What one merchant's members did at another's tills, as both hold it.

    `units` are net by EARNED and SPENT; `problems` name what differs, or does not hold.
    """

    home_id: str
    acquirer_id: str
    lanes: int = 0
    records: int = 0
    signatures: int = 0
    units: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether both sides hold the same, and all of it holds."""
        return not self.problems


async def known_to(staff: Staff) -> KnownDirectories:
    """The directory that a node follows; whose keys are whose stands in it."""
    answer = await staff.links()
    return KnownDirectories([read_directory(answer.signed_directory.SerializeToString(deterministic=True))])


async def compare_all(staffs: Mapping[str, Staff], known: KnownDirectories) -> list[Pair]:
    """Every ordered pair of merchants."""
    return [
        await compare(home_id, acquirer_id, staffs[home_id], staffs[acquirer_id], known)
        for home_id in staffs
        for acquirer_id in staffs
        if home_id != acquirer_id
    ]


async def compare(
    home_id: str, acquirer_id: str, home: Staff, acquirer: Staff, known: KnownDirectories
) -> Pair:
    """One pair: all lanes, from both nodes."""
    pair = Pair(home_id, acquirer_id)
    for lane in range(known.partitions_of(home_id)):
        held = await home.lane_records(acquirer_id, home=True, lane=lane)
        mirrored = await acquirer.lane_records(home_id, home=False, lane=lane)
        judge(pair, lane, held, mirrored, known)
    return pair


def judge(
    pair: Pair, lane: int, held: Sequence[bytes], mirrored: Sequence[bytes], known: KnownDirectories
) -> None:
    """Adds one lane to its pair: `held` by the home node, `mirrored` by the acquirer."""
    pair.lanes += bool(held or mirrored)
    pair.problems += [f"lane {lane}: {problem}" for problem in _differences(held, mirrored)]
    hash_before = GENESIS
    for line in lane_lines(held, known, pair.home_id, pair.acquirer_id, from_start=True):
        pair.problems += [f"lane {lane}, after {hash_before.hex()[:8]}: {one}" for one in line.problems]
        hash_before = line.hash
        if line.core is None:
            continue
        pair.records += 1
        pair.signatures += bool(line.home_key) + bool(line.acquirer_key)
        pair.kinds[line.core.kind.name] += 1
        if line.core.kind in _SIGNED:
            what, sign = _SIGNED[line.core.kind]
            pair.units[what] += sign * line.core.units


def _differences(held: Sequence[bytes], mirrored: Sequence[bytes]) -> Iterator[str]:
    if len(held) != len(mirrored):
        yield f"the home node holds {len(held)} records, the acquirer {len(mirrored)}"
    for number, (ours, theirs) in enumerate(zip(held, mirrored, strict=False), 1):
        if ours != theirs:
            yield f"record {number} differs"
            return
