"""Shares of a cap: together never more than the whole, whatever is lost, repeated or rolled back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.coalition import leases
from node.coalition.caps import Slice, Usage
from node.coalition.leases import WHOLE, Lease, Parts

PARTITIONS = 4
CAP = Slice(1_000, 600)
UNUSED = Usage()
NUMBERS = st.integers(0, PARTITIONS - 1)
STEPS = st.lists(
    st.tuples(st.sampled_from(["give", "hear"]), NUMBERS, NUMBERS, st.integers(0, 1_200)), max_size=40
)


def parts(all_: list[Lease]) -> list[Parts]:
    return [leases.parts_of(one, number, PARTITIONS) for number, one in enumerate(all_)]


def given_by(all_: list[Lease], giver: int, taker: int, units: int, usage: Usage = UNUSED) -> Lease | None:
    before = all_[giver].given.get(taker, Parts())
    wanted = Slice(units, units)
    return leases.give(all_[giver], parts(all_)[giver], taker, wanted, before, usage, CAP)


@given(STEPS)
def test_slices_are_never_more_together_than_the_caps_whatever_comes_late_or_twice(
    steps: list[tuple[str, int, int, int]],
) -> None:
    all_ = [Lease()] * PARTITIONS
    for step, one, other, units in steps:
        if one == other:
            continue
        if step == "give":
            all_[one] = given_by(all_, one, other, units) or all_[one]
        else:
            all_[other] = leases.hear(all_[other], one, all_[one], other)
        shares = parts(all_)
        assert sum(one.home for one in shares) <= WHOLE
        assert sum(one.acquirer for one in shares) <= WHOLE
        assert all(one.home >= 0 and one.acquirer >= 0 for one in shares)
        slices = [leases.slice_of(one, CAP) for one in shares]
        assert sum(one.home_units for one in slices) <= CAP.home_units
        assert sum(one.acquirer_units for one in slices) <= CAP.acquirer_units


def test_a_giver_keeps_what_it_uses_and_a_move_that_comes_twice_moves_once() -> None:
    all_ = [Lease()] * PARTITIONS
    after = given_by(all_, 0, 1, 1_000, Usage(position=100, reserved=50))
    assert after is not None
    kept = leases.slice_of(leases.parts_of(after, 0, PARTITIONS), CAP)
    assert kept == Slice(150, 0)
    again = leases.give(after, leases.parts_of(after, 0, PARTITIONS), 1, Slice(10, 10), Parts(), Usage(), CAP)
    assert again is None
    heard = leases.hear(leases.hear(Lease(), 0, after, 1), 0, after, 1)
    assert leases.slice_of(leases.parts_of(heard, 1, PARTITIONS), CAP) == Slice(350, 300)


def test_a_partition_from_an_old_backup_learns_again_what_it_gave_and_what_it_took() -> None:
    all_ = [Lease()] * PARTITIONS
    giver = given_by(all_, 0, 1, 200)
    assert giver is not None
    taker = leases.hear(Lease(), 0, giver, 1)
    assert leases.hear(Lease(), 1, taker, 0) == giver
    assert leases.hear(Lease(), 0, giver, 1) == taker


def test_one_partition_may_come_to_have_all_of_a_cap_and_a_lower_cap_lowers_every_slice() -> None:
    all_ = [Lease()] * PARTITIONS
    for giver in (1, 2, 3):
        after = given_by(all_, giver, 0, 1_000)
        assert after is not None
        all_[giver] = after
        all_[0] = leases.hear(all_[0], giver, after, 0)
    assert [leases.slice_of(one, CAP).home_units for one in parts(all_)] == [1_000, 0, 0, 0]
    assert leases.slice_of(parts(all_)[0], Slice(10, 6)) == Slice(10, 6)


def test_a_partition_asks_for_more_before_it_must_refuse() -> None:
    slices = Slice(100, 100)
    assert leases.short(Usage(reserved=70), slices, Slice(home_units=10)) == Slice()
    assert leases.short(Usage(reserved=70), slices, Slice(home_units=11)) == Slice(home_units=2)
    assert leases.short(Usage(position=-90), slices, Slice(acquirer_units=90)) == Slice(acquirer_units=125)
