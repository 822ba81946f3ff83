"""Points and money are exchanged without a fraction lost on either side's account."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.ledger.purses import PurseDefinition, PurseKind, RedemptionRate

rates = st.builds(RedemptionRate, st.integers(1, 10_000), st.integers(1, 10_000))


@given(rates, st.integers(0, 10**15))
def test_units_asked_for_money_always_pay_it_in_full_and_one_fewer_would_not(
    rate: RedemptionRate, money: int
) -> None:
    units = rate.units_for(money)

    assert units * rate.money_minor >= money * rate.units
    assert (units - 1) * rate.money_minor < money * rate.units


@given(rates, st.integers(-(10**15), 10**15))
def test_units_are_never_worth_more_than_the_rate_says_on_either_side_of_zero(
    rate: RedemptionRate, units: int
) -> None:
    worth = rate.worth_minor(units)

    assert abs(worth) * rate.units <= abs(units) * rate.money_minor < (abs(worth) + 1) * rate.units
    assert worth == -rate.worth_minor(-units)


@pytest.mark.parametrize(
    ("channels", "stores", "spendable"),
    [
        ((), (), True),
        (("web", "store"), (), True),
        (("web",), (), False),
        ((), ("s2", "s1"), True),
        ((), ("s2",), False),
        (("store",), ("s2",), False),
    ],
)
def test_a_purse_is_spent_only_in_its_channels_and_stores(
    channels: tuple[str, ...], stores: tuple[str, ...], spendable: bool
) -> None:
    definition = PurseDefinition("points", PurseKind.POINTS, channels=channels, stores=stores)

    assert definition.spendable_at("store", "s1") is spendable
