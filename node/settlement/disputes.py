"""Where two sides' records of a lane part, and what is wrong there.

Both chains begin alike, and a chain's hash at a record stands for all records before it, so the first
difference is found by asking for a few hashes again and again between the last record known alike and the
first known to differ. What is before it is settled; what is after it waits. A dispute never holds up a
window.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from node.settlement.documents import DisputedLane, MismatchClass

QUESTIONS_MAX = 64
"""Hashes asked for at once; ten million records take four calls."""
CALLS_MAX = 16
"""The most calls that a search can take: 64 bits of record numbers, six at a time, and some to spare."""


class Bisection(Struct, frozen=True):
    """A search: both agree at `agreed`, and differ, or one has nothing, at `differs`."""

    agreed: int
    agreed_hash: bytes
    differs: int
    common_end: int
    """The last number that both sides say they have."""

    @property
    def found(self) -> bool:
        """Whether the first difference is known: it is `differs`."""
        return self.differs == self.agreed + 1

    def questions(self) -> list[int]:
        """The numbers to ask for next: at most QUESTIONS_MAX, evenly between; none once it is found."""
        width = self.differs - self.agreed
        count = min(QUESTIONS_MAX, width - 1)
        return sorted({self.agreed + width * at // (count + 1) for at in range(1, count + 1)})


class Contradiction(StrEnum):
    """An answer that no honest side gives."""

    UNANSWERED = "it left out a record that it says it has"
    IMPOSSIBLE = "it agrees on a record and differs on one before it; hashes of a chain cannot do that"


def begin(agreed: int, agreed_hash: bytes, own_end: int, their_end: int) -> Bisection:
    """The search in a lane that is alike at `agreed`, where the sides say that the window ends differently,
    or end with different hashes.

    Everything up to the shorter end is compared; if it is alike, the difference is the record after it.
    """
    common = max(agreed, min(own_end, their_end))
    return Bisection(agreed, agreed_hash, common + 1, common)


def narrow(
    search: Bisection, own: Mapping[int, bytes], theirs: Mapping[int, bytes]
) -> Bisection | Contradiction:
    """The search after an answer; `own` and `theirs` are the hashes of the numbers in `questions()`."""
    agreed, agreed_hash, differs = search.agreed, search.agreed_hash, search.differs
    for number in search.questions():
        if not theirs.get(number):
            return Contradiction.UNANSWERED
        if own[number] != theirs[number]:
            differs = min(differs, number)
        elif differs < number:
            return Contradiction.IMPOSSIBLE
        else:
            agreed, agreed_hash = number, own[number]
    return Bisection(agreed, agreed_hash, differs, search.common_end)


class Shown(Struct, frozen=True):
    """A record as one side shows it, after its signatures were checked.

    `acquirer_signed` is true of a cut, which answers nothing.
    """

    hash: bytes
    home_signed: bool
    acquirer_signed: bool

    @property
    def sound(self) -> bool:
        """Whether both sides signed it."""
        return self.home_signed and self.acquirer_signed


def classify(home: Shown | None, acquirer: Shown | None) -> MismatchClass | None:
    """What is wrong at the first difference, by what each side shows there; None where they are alike after
    all.

    A record without both signatures counts for nothing, whoever shows it. Two sound records of one number
    that differ were both signed by the home node, which is fraud or a restored backup; see
    `lanes.is_fork_proof`.
    """
    if (home is not None and not home.sound) or (acquirer is not None and not acquirer.sound):
        return MismatchClass.UNSIGNED
    if home is None:
        return MismatchClass.MISSING_AT_HOME if acquirer is not None else None
    if acquirer is None:
        return MismatchClass.MISSING_AT_ACQUIRER
    return MismatchClass.FORK if home.hash != acquirer.hash else None


def held_back(
    lane: int, search: Bisection, home_end: int, acquirer_end: int, mismatch: MismatchClass
) -> DisputedLane:
    """How a close names the lane: settled is what is agreed, the rest is carried forward."""
    return DisputedLane(lane, search.agreed, home_end, acquirer_end, mismatch)
