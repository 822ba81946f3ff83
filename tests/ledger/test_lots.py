"""Units are consumed in a fair order, and no bound on their number ever takes any from a member."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.ledger.lots import (
    GRACE_MS,
    MAX_LOTS,
    NEVER_MS,
    Lot,
    LotMissing,
    Lots,
    add,
    add_all,
    remove,
    revived,
    split_due,
    take,
    take_like,
    total,
)
from tests.ledger.ledger_world import check_lots, tokens

terms = st.tuples(
    st.integers(1, 6), st.integers(0, 2), st.sampled_from(["", "acme"]), st.sampled_from(["", "c"])
)
any_lots = st.lists(st.builds(lambda units, of: Lot(units, *of), st.integers(1, 9), terms), max_size=12)


@given(any_lots)
def test_lots_of_the_same_terms_are_one_and_all_stand_in_the_order_of_consumption(drawn: list[Lot]) -> None:
    lots = add_all((), drawn)

    check_lots(lots)
    assert tokens(lots) == sorted(tokens(tuple(drawn)))


def test_nothing_is_added_for_no_units() -> None:
    assert add((), Lot(0, 5)) == ()
    assert add((Lot(3, 5),), Lot(0, 7)) == (Lot(3, 5),)


@given(any_lots, st.integers(0, 60))
def test_what_expires_first_is_taken_first_and_no_unit_is_lost(drawn: list[Lot], units: int) -> None:
    lots = add_all((), drawn)

    taken, left = take(lots, units)

    assert tokens(taken) + tokens(left) == tokens(lots)
    assert total(taken) == min(units, total(lots))
    check_lots(left)


def test_of_two_lots_that_expire_together_the_one_available_longer_goes_first() -> None:
    lots = add_all((), [Lot(5, 9, available_ms=4), Lot(5, 9, available_ms=2), Lot(5, 8, available_ms=7)])

    assert take(lots, 11)[0] == (Lot(5, 8, 7), Lot(5, 9, 2), Lot(1, 9, 4))


@given(any_lots, st.integers(0, 20), terms)
def test_taking_alike_leaves_every_lot_of_other_terms_alone(
    drawn: list[Lot], units: int, of: tuple[int, int, str, str]
) -> None:
    lots = add_all((), drawn)

    taken, left = take_like(lots, Lot(units, *of))

    assert all(lot.terms() == of and lot.units for lot in taken)
    assert total(taken) == min(units, total(lot for lot in lots if lot.terms() == of))
    assert sorted(tokens(taken) + tokens(left)) == tokens(lots)


def test_an_event_that_takes_what_is_not_there_is_a_fault_and_no_silent_loss() -> None:
    lots = (Lot(5, 9), Lot(5, 10))

    assert remove(lots, [Lot(5, 9), Lot(2, 10)]) == (Lot(3, 10),)
    with pytest.raises(LotMissing, match="6 units of a lot that holds 5"):
        remove(lots, [Lot(6, 9)])
    with pytest.raises(LotMissing):
        remove(lots, [Lot(1, 11)])


def test_a_lot_expires_at_its_instant_and_not_before() -> None:
    lots = (Lot(1, 10), Lot(2, 10, 3), Lot(4, 11))

    assert split_due(lots, 9) == ((), lots)
    assert split_due(lots, 10) == (lots[:2], lots[2:])
    assert split_due(lots, 99) == (lots, ())


def test_a_lot_that_comes_back_after_its_expiry_has_seven_days_and_any_other_its_own() -> None:
    assert GRACE_MS == 7 * 24 * 3_600_000
    assert revived([Lot(1, 100), Lot(2, 101), Lot(3)], 100) == (
        Lot(1, 100 + GRACE_MS),
        Lot(2, 101),
        Lot(3, NEVER_MS),
    )


def crowd(funders: list[str], gap: int = 10) -> Lots:
    """As many lots as a purse may hold, `gap` apart."""
    return add_all((), (Lot(1, 1_000 + at * gap, 0, funders[at % len(funders)]) for at in range(MAX_LOTS)))


def test_beyond_256_lots_the_two_closest_merge_into_the_later_expiry() -> None:
    full = crowd(["acme"])

    lots = add(full, Lot(5, 1_003, 0, "acme"))

    assert len(lots) == MAX_LOTS
    assert lots[0] == Lot(6, 1_003, 0, "acme"), "1000 and 1003 are the closest"
    assert lots[1:] == full[1:]


def test_lots_of_one_funder_merge_rather_than_closer_ones_of_two() -> None:
    full = add_all(crowd(["acme", "zeta"]), ())

    lots = add(full, Lot(5, full[0].expires_ms + 11, 0, "acme"))

    assert {lot.funder for lot in lots} == {"acme", "zeta"}
    assert total(lot for lot in lots if lot.funder == "zeta") == MAX_LOTS // 2


def test_where_no_neighbours_share_a_funder_the_merchant_bears_the_merged_lot() -> None:
    lots = add(crowd(["acme", "zeta"]), Lot(5, 1, 0, "zeta"))

    merged = [lot for lot in lots if not lot.funder]
    assert [lot.units for lot in merged] == [2]
    assert total(lots) == MAX_LOTS + 5


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2_000), st.integers(0, 5)), min_size=1, max_size=40)
)
def test_merging_never_takes_a_unit_nor_brings_an_expiry_forward(drawn: list[tuple[int, int, int]]) -> None:
    extras = [Lot(units, 1_000 + at, available) for units, at, available in drawn]
    before = sorted(tokens(crowd([""])) + tokens(tuple(extras)))

    lots = add_all(crowd([""]), extras)

    check_lots(lots)
    after = tokens(lots)
    assert len(after) == len(before)
    assert all(new[0] >= old[0] for new, old in zip(after, before, strict=True)), "unit by unit"
    waits = zip(sorted(new[1] for new in after), sorted(old[1] for old in before), strict=True)
    assert all(new <= old for new, old in waits), "nor makes one wait longer"
