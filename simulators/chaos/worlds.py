"""The worlds that can be simulated, by name, and how one seed of one of them is lived through."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Protocol

from simulators.chaos.hostile import Hostile
from simulators.sim.bazaar import Bazaar, Restored
from simulators.sim.shop import Shop
from simulators.sim.world import Outcome


class Livable(Protocol):
    """A world that can be run once."""

    def run(self) -> Outcome:
        """Lives through it, then looks at what is left."""
        ...


Show = Callable[[str], None] | None

WORLDS: dict[str, Callable[[int, Show], Livable]] = {
    "node": Shop,
    "coalition": Bazaar,
    "restored": Restored,
    "hostile": Hostile,
}
"""By the name that the command line knows."""


def live(name: str, seed: int, show: Show = None) -> Outcome:
    """One seed of one world. A fault of the simulation itself is a violation too: nothing was proven."""
    try:
        return WORLDS[name](seed, show).run()
    except Exception:
        return Outcome(seed, 0.0, 0, {}, (f"the simulation faulted:\n{traceback.format_exc()}",), "")
