"""An operator that signs two statements for one window is caught by any two merchants that compare heads.

A window has one statement, ever. Two heads of it that the operator signed and that are not the same bytes
prove that it cheats, to anyone with the directory, whatever else it says.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from node.settlement.documents import SignedHead

HEADS_MAX = 64
"""Heads that are exchanged at once: the newest ones."""


class Equivocation(Struct, frozen=True, array_like=True):
    """Two heads of one window; that the operator signed both was checked by who made this."""

    first: SignedHead
    second: SignedHead

    @property
    def window(self) -> int:
        """The window with two statements."""
        return self.first.head.window


def conflicts(one: SignedHead, other: SignedHead) -> bool:
    """Whether two heads cannot both be honest."""
    same = (one.head.coalition_id, one.head.window) == (other.head.coalition_id, other.head.window)
    return same and one.head_bytes != other.head_bytes


def compare(mine: Iterable[SignedHead], theirs: Iterable[SignedHead]) -> list[Equivocation]:
    """A proof for each window of which the sides have different heads; at most HEADS_MAX are compared."""
    known = {(head.head.coalition_id, head.head.window): head for head in mine}
    found = []
    for other in list(theirs)[:HEADS_MAX]:
        own = known.get((other.head.coalition_id, other.head.window))
        if own is not None and conflicts(own, other):
            found.append(Equivocation(own, other))
    return found
