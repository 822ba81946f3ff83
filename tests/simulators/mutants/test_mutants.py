"""A node without one of its guards is found by the simulation, and the page says of each how soon."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.mutants.command import HEAD, MUTANTS, SEEDS, row
from simulators.mutants.mutant import Mutant, find
from simulators.mutants.patches import Patches
from simulators.sim.shop import Shop

PAGE = Path(__file__).resolve().parents[3] / "docs" / "simulation.md"


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: f"{one.kind}-{one.change.__name__}")
def test_the_simulation_finds_a_node_that(mutant: Mutant) -> None:
    assert find(mutant, SEEDS) is not None, f"no seed of {SEEDS} finds it"


def test_the_page_has_a_row_for_each_of_them_and_says_how_many_seeds_it_took() -> None:
    page = PAGE.read_text("utf-8")
    rows = page.partition(HEAD)[2].partition("<!-- /mutants -->")[0].strip().splitlines()[1:]
    told = [[cell.strip() for cell in one.strip("|").split("|")] for one in rows]
    assert [(name, world) for name, world, *_ in told] == [(one.name, one.kind) for one in MUTANTS]
    assert all(0 < int(seeds) <= len(SEEDS) for _, _, seeds, *_ in told)


def test_every_shortcut_says_what_it_does_and_leaves_the_node_as_it_was() -> None:
    for mutant in MUTANTS:
        assert mutant.words
        with Patches() as patches:
            mutant.change(patches)
    assert Shop(1).run().violations == ()


def test_a_mutant_that_nobody_finds_is_said_so() -> None:
    mutant = Mutant(lambda patch: None, "node", Shop)
    assert find(mutant, range(1, 2)) is None
    assert "none of" in row(mutant, None)
