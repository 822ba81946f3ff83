"""What points pay for at the tills of an acquirer whose own programme does not say it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from node.actors.abroad_trade import Trade
from node.actors.programmes import Programmes
from node.coalition.directory import CoalitionPurse, Rate
from node.identity.coalition_secrets import CoalitionSecrets
from node.programme.default import starter_programme
from tests.actors.abroad_merchants import MASTER

NOW_MS = 1_000_000
RIAL = Rate(1, 1, 0, 2_500_000, "IRR")  # a point pays two and a half rials


def trade(*rates: Rate, currency: str = "IRR", exponent: int = 0) -> Trade:
    """A merchant with a programme that does not know the coalition's purse."""
    made = starter_programme(exponent, name="Nile")
    programmes = Programmes([replace(made, version=1)], tz="Asia/Tehran", currency=currency)

    def rate_at(at_ms: int) -> Rate | None:
        return next((one for one in reversed(rates) if one.effective_time_ms <= at_ms), None)

    directory = SimpleNamespace(purse=CoalitionPurse("union"), rate_at=rate_at)
    known = SimpleNamespace(newest=directory)
    exchanging: Any = SimpleNamespace(directories=SimpleNamespace(known=known), clock_ms=lambda: NOW_MS)
    return Trade(
        exchanging, CoalitionSecrets(MASTER), lambda: programmes,
        currency=currency, currency_exponent=exponent, language="en",
    )  # fmt: skip


def errand(occurred_ms: int = 0) -> Any:
    return SimpleNamespace(route=SimpleNamespace(occurred_ms=occurred_ms))


@pytest.mark.parametrize(("exponent", "minor"), [(0, 7), (2, 750)])
def test_the_directorys_rate_is_said_in_the_digits_of_the_till_and_rounded_down(
    exponent: int, minor: int
) -> None:
    spent = trade(RIAL, exponent=exponent).looks(errand()).spent(3)
    assert (spent.worth.currency, spent.worth.minor) == ("IRR", minor)


@pytest.mark.parametrize("rates", [(), (Rate(1, 1, 0, 2_500_000, "USD"),), (Rate(1, 1, 0, 0, "IRR"),)])
def test_without_a_rate_in_the_tills_currency_nothing_is_said_of_the_worth(rates: tuple[Rate, ...]) -> None:
    assert not trade(*rates).looks(errand()).spent(3).HasField("worth")


def test_the_rate_is_that_of_when_it_occurred_so_that_a_retry_is_told_the_same() -> None:
    raised = Rate(2, 500_000, 0, 9_000_000, "IRR")
    looks = trade(RIAL, raised).looks
    assert looks(errand(499_999)).spent(2).worth.minor == 5
    assert looks(errand(500_000)).spent(2).worth.minor == 18
    assert looks(errand()).spent(2).worth.minor == 18  # a question without a time is about now
