"""How much merchants may come to owe each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.coalition import caps
from node.coalition.caps import Usage
from node.coalition.messages import RecordKind

UNITS = st.integers(0, 10_000)
MANY = st.dictionaries(st.integers(0, 63), UNITS, min_size=1, max_size=16)


def test_what_is_reserved_counts_as_owed_until_it_is_let_go() -> None:
    usage = caps.reserve(Usage(position=50), 40)
    assert caps.may_reserve(usage, 100, 10)
    assert not caps.may_reserve(usage, 100, 11)
    assert caps.may_reserve(caps.reserve(usage, -40), 100, 50)


def test_what_the_acquirer_owes_is_capped_the_other_way_and_what_is_queued_counts() -> None:
    usage = caps.queue(Usage(position=-50), 40)
    assert caps.may_accrue(usage, 100, 10)
    assert not caps.may_accrue(usage, 100, 11)


def test_a_debt_the_other_way_gives_room() -> None:
    assert caps.may_reserve(Usage(position=-500), 100, 600)
    assert not caps.may_reserve(Usage(position=-500), 100, 601)


def test_every_kind_of_record_moves_the_position_its_own_way() -> None:
    moved = {kind: caps.post(Usage(), kind, 7).position for kind in RecordKind}
    assert moved == {
        RecordKind.ACCRUAL: -7,
        RecordKind.REDEMPTION: 7,
        RecordKind.ACCRUAL_RETURN: 7,
        RecordKind.REDEMPTION_RETURN: -7,
        RecordKind.CUT: 0,
    }


def test_an_alert_is_raised_once_for_each_mark_that_is_reached() -> None:
    assert caps.alert(79, 80, 100) == 80
    assert caps.alert(80, 85, 100) is None
    assert caps.alert(10, 100, 100) == 100
    assert caps.alert(100, 90, 100) is None


@given(st.integers(0, 10**9), st.integers(1, 64))
def test_slices_are_together_exactly_the_cap(cap: int, partitions: int) -> None:
    slices = caps.even_slices(cap, partitions)
    assert sum(slices) == cap
    assert max(slices) - min(slices) <= 1


@given(MANY, MANY, MANY)
def test_partitions_give_what_they_do_not_use_until_nothing_is_missing(
    slices: dict[int, int], used: dict[int, int], wanted: dict[int, int]
) -> None:
    smaller = caps.shrunk(slices, used, wanted)
    assert not smaller.keys() & wanted.keys()
    assert all(slices[number] > units for number, units in smaller.items())
    assert all(units >= used.get(number, 0) for number, units in smaller.items()), "nobody gives what it uses"
    given = sum(slices[number] - units for number, units in smaller.items())
    unused = sum(max(0, slices[at] - used.get(at, 0)) for at in slices if at not in wanted)
    assert given == min(unused, sum(wanted.values())), "all that is wanted, where there is as much"
