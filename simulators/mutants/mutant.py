"""What a mutant is, and how long it takes a world to find it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from msgspec import Struct

from simulators.mutants.patches import Patches
from simulators.sim.world import Outcome


class Lived(Protocol):
    """A world that can be run once."""

    def run(self) -> Outcome:
        """Lives through it, then looks at what is left."""
        ...


class Mutant(Struct, frozen=True):
    """A node without one guard. `change` takes it out, and its docstring says what the node then does;
    `world` makes the world of a seed, of the kind `kind`, in which that is found.
    """

    change: Callable[[Patches], None]
    kind: str
    world: Callable[[int], Lived]

    @property
    def name(self) -> str:
        """What it does, in short."""
        return self.change.__name__.replace("_", " ")

    @property
    def words(self) -> str:
        """What it does."""
        return (self.change.__doc__ or "").strip().split("\n\n")[0]


class Found(Struct, frozen=True):
    """How a mutant was found: by the how-manieth seed, and the first thing that was not as it must be."""

    mutant: Mutant
    seeds: int
    violation: str


def find(mutant: Mutant, seeds: Iterable[int]) -> Found | None:
    """Lives through seeds until one finds the mutant, and nothing where the guard is there; else None."""
    for count, seed in enumerate(seeds, 1):
        with Patches() as patches:
            mutant.change(patches)
            violations = mutant.world(seed).run().violations
        if violations and not mutant.world(seed).run().violations:
            return Found(mutant, count, violations[0])
    return None
