"""Partners that fall silent, leave or pay ahead: each outcome is defined and none holds up the others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.coalition.directory import CoalitionPurse, Directory, Funding, Partner, PartnerStatus
from node.settlement.partners import SILENT_WINDOWS_MAX, advice_of, silent_after
from node.settlement.prepaid import (
    Balance,
    Standing,
    alerts_between,
    covered_caps,
    line_of,
    standing,
    status_due,
    topped_up,
    used,
)

ALERTS = (50, 20, 5)


def _partner(
    name: str,
    status: PartnerStatus = PartnerStatus.ACTIVE,
    funding: Funding = Funding.POSTPAID,
    last: int = 0,
) -> Partner:
    return Partner(name, name.upper(), status, funding=funding, last_window=last)


def test_who_signs_nothing_for_some_windows_is_to_be_suspended_and_signing_once_forgives() -> None:
    directory = Directory("test", 1, 0, (_partner("a"), _partner("b")), CoalitionPurse("points"))
    silent: dict[str, int] = {}
    for window in range(1, SILENT_WINDOWS_MAX + 1):
        assert advice_of(directory, window, silent) == []
        silent = silent_after(directory, window, ["a"], silent)
    [advice] = advice_of(directory, SILENT_WINDOWS_MAX, silent)
    assert (advice.partner_id, advice.status) == ("b", PartnerStatus.SUSPENDED)
    assert silent_after(directory, 9, ["a", "b"], silent) == {}


def test_who_has_left_is_not_waited_for() -> None:
    partners = (_partner("a"), _partner("gone", PartnerStatus.LEFT, last=3))
    directory = Directory("test", 1, 0, partners, CoalitionPurse("points"))
    assert silent_after(directory, 4, ["a"], {"gone": 1}) == {}
    assert silent_after(directory, 3, ["a"], {}) == {"gone": 1}


def test_a_prepaid_partner_is_warned_once_at_each_threshold_and_then_suspended() -> None:
    balance = topped_up(Balance(), 1_000)
    seen = []
    for amount in (400, 200, 250, 100, 100, 10):
        after = used(balance, amount)
        seen.append(alerts_between(balance, after, ALERTS))
        balance = after
    assert seen == [[], [50], [20], [5], [0], []]
    partner = _partner("p", funding=Funding.PREPAID)
    assert balance.left == -60
    assert status_due(partner, balance) is PartnerStatus.SUSPENDED
    assert status_due(partner, topped_up(balance, 61)) is PartnerStatus.ACTIVE
    assert status_due(partner, topped_up(balance, 60)) is PartnerStatus.SUSPENDED


def test_paying_ahead_changes_nothing_for_who_pays_afterwards_or_has_left() -> None:
    assert status_due(_partner("p"), Balance()) is PartnerStatus.ACTIVE
    gone = _partner("p", PartnerStatus.LEFT, Funding.PREPAID)
    assert status_due(gone, Balance(5, 5)) is PartnerStatus.LEFT


def test_standing_is_in_percent_of_the_newest_top_up() -> None:
    assert standing(Balance(51, 100), ALERTS) == Standing(100, False)
    assert standing(Balance(50, 100), ALERTS) == Standing(50, False)
    assert standing(Balance(3, 100), ALERTS) == Standing(5, False)
    assert standing(Balance(0, 100), ALERTS) == Standing(0, True)


@pytest.mark.parametrize("amount", [0, -1])
def test_a_top_up_adds(amount: int) -> None:
    with pytest.raises(ValueError, match="above 0"):
        topped_up(Balance(), amount)


@given(st.integers(-(10**12), 10**12), st.integers(0, 10**6), st.integers(0, 50))
def test_caps_together_are_never_more_than_the_balance(left: int, dearest: int, creditors: int) -> None:
    ids = [f"m{number}" for number in range(creditors)]
    caps = covered_caps(Balance(left, left), 1_000_000, dearest, ids)
    assert set(caps) == set(ids)
    assert sum(caps.values()) * dearest <= max(left, 0) * 1_000_000
    assert all(units >= 0 for units in caps.values())


def test_a_net_that_is_received_fills_a_prepaid_balance() -> None:
    line = line_of("p", 100, 50, 30)
    assert (line.used, line.closing) == (-30, 180)
