"""What somebody does that is not honest, or loses, in a seed: who, to whom, in which window."""

from __future__ import annotations

import random
from enum import StrEnum

from msgspec import Struct

from node.settlement.documents import MismatchClass
from simulators.sim.coalition import MERCHANTS


class ActKind(StrEnum):
    """What is done. The names are those of the reports."""

    ACQUIRER_LOST = "acquirer lost records of a window"
    HOME_LOST = "home node lost records of a window"
    FORKED = "home node signed another record in the place of one"
    FORGED = "acquirer shows a record that nobody signed"
    OVERSTATED = "merchant hands in a close that the other side did not sign"
    SILENT = "merchant silent at a cut"
    TWO_STATEMENTS = "operator signed two statements of a window"
    MOVED_NET = "operator signed a statement with another net"


FOUND_AS = {
    ActKind.ACQUIRER_LOST: MismatchClass.MISSING_AT_ACQUIRER,
    ActKind.HOME_LOST: MismatchClass.MISSING_AT_HOME,
    ActKind.FORKED: MismatchClass.FORK,
    ActKind.FORGED: MismatchClass.UNSIGNED,
}
"""Acts upon records, and how the two sides must find them."""

FIRST_WINDOW, LAST_WINDOW = 1, 4
"""In these there is traffic."""
NONE_IN = 4
"""One seed in so many has nobody who cheats."""
MOST = 3


class Act(Struct):
    """One act: `who` does or suffers it, towards `partner`. Its place is chosen once it can happen."""

    kind: ActKind
    who: str
    partner: str
    window: int
    draw: int
    lane: int = -1
    number: int = 0
    end: int = 0
    over: bool = False
    happened: bool = False

    @property
    def home(self) -> bool:
        """Whether, on the lane that it is about, `who` is the home node."""
        return self.kind in (ActKind.HOME_LOST, ActKind.FORKED)

    @property
    def pair(self) -> tuple[str, str]:
        """(home, acquirer) of that lane."""
        return (self.who, self.partner) if self.home else (self.partner, self.who)


def plan_acts(seed: int) -> list[Act]:
    """The acts of a seed, no two on records of the same pair and window."""
    chance = random.Random(f"{seed}/acts")
    acts: dict[tuple[object, ...], Act] = {}
    for _ in range(chance.randint(1, MOST) if chance.randrange(NONE_IN) else 0):
        who, partner = chance.sample(MERCHANTS, 2)
        kind, window = chance.choice(list(ActKind)), chance.randint(FIRST_WINDOW, LAST_WINDOW)
        act = Act(kind, who, partner, window, chance.randrange(1 << 30))
        place = (window, act.pair) if kind in FOUND_AS else (window, kind)
        acts.setdefault(place, act)
    return list(acts.values())
