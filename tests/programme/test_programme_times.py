"""When what a purchase earns can be spent and expires, when rules count, what the receipt says."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from node.ledger.lots import NEVER_MS
from node.programme.model import (
    AfterDays,
    EarningRule,
    Expiry,
    MonthsEnd,
    OnDate,
    Rate,
    TimeWindow,
)
from tests.programme.shop import BASE, NOON, at, programme, sale


@pytest.mark.parametrize(
    ("expiry", "last_day"),
    [
        (AfterDays(0), "2026-03-21T00:00"),
        (AfterDays(30), "2026-04-20T00:00"),
        (MonthsEnd(0), "2026-04-01T00:00"),
        (MonthsEnd(12), "2027-04-01T00:00"),
        (OnDate("2026-03-20"), "2026-03-21T00:00"),
        (OnDate("2026-12-31"), "2027-01-01T00:00"),
    ],
)
def test_units_expire_at_the_end_of_a_local_day(expiry: Expiry, last_day: str) -> None:
    for moment in ("2026-03-20T00:00", "2026-03-20T12:00", "2026-03-20T23:59"):
        [award] = programme(BASE, expiry=expiry).evaluate(sale(100), None, at(moment))
        assert award.expires_ms == at(last_day)


def test_units_that_do_not_expire_say_never() -> None:
    [award] = programme(BASE).evaluate(sale(100), None, NOON)
    assert (award.expires_ms, award.available_ms) == (NEVER_MS, 0)


def test_a_purse_whose_last_day_is_over_earns_nothing() -> None:
    made = programme(BASE, expiry=OnDate("2026-03-19"))
    assert made.evaluate(sale(100), None, NOON) == ()
    assert made.evaluate(sale(100), None, at("2026-03-19T23:59")) != ()


def test_pending_units_can_be_spent_as_the_day_begins_that_is_so_many_days_later() -> None:
    [award] = programme(BASE, pending_days=14).evaluate(sale(100), None, at("2026-03-20T23:59"))
    assert award.available_ms == at("2026-04-03T00:00")


def test_the_day_is_the_merchants_and_follows_its_clock_changes() -> None:
    cairo = "Africa/Cairo"  # clocks jump from 00:00 to 01:00 on 24 April 2026
    [award] = programme(BASE, expiry=AfterDays(1), tz=cairo).evaluate(
        sale(100), None, at("2026-04-22T12:00", cairo)
    )
    assert award.expires_ms == at("2026-04-24T01:00", cairo)


# --- windows ---------------------------------------------------------------------------------------------


def open_at(window: TimeWindow, moment: str) -> bool:
    return programme(replace(BASE, window=window)).evaluate(sale(100), None, at(moment)) != ()


def test_a_window_counts_from_its_first_day_to_the_end_of_its_last() -> None:
    spring = TimeWindow("2026-03-20", "2026-03-21")
    assert [open_at(spring, day) for day in ("2026-03-19T23:59", "2026-03-20T00:00")] == [False, True]
    assert [open_at(spring, day) for day in ("2026-03-21T23:59", "2026-03-22T00:00")] == [True, False]


def test_weekdays_run_from_monday_to_sunday() -> None:
    friday = TimeWindow(weekdays=(5,))
    assert [open_at(friday, f"2026-03-{day}T12:00") for day in (19, 20, 21)] == [False, True, False]


def test_a_window_of_hours_is_open_from_its_first_minute_to_before_its_end() -> None:
    hours = TimeWindow(start_minute=600, end_minute=720)
    moments = ("09:59", "10:00", "11:59", "12:00")
    assert [open_at(hours, f"2026-03-20T{moment}") for moment in moments] == [False, True, True, False]
    until_midnight = TimeWindow(start_minute=1_380)
    assert [open_at(until_midnight, f"2026-03-20T{moment}") for moment in ("22:59", "23:59", "00:00")] == [
        False,
        True,
        False,
    ]


def test_the_hours_after_midnight_belong_to_the_evening_before() -> None:
    friday_night = TimeWindow("2026-03-20", "2026-03-20", (5,), 1_320, 120)
    open_moments = ("2026-03-20T22:00", "2026-03-20T23:59", "2026-03-21T00:00", "2026-03-21T01:59")
    closed_moments = ("2026-03-20T01:00", "2026-03-20T21:59", "2026-03-21T02:00", "2026-03-21T22:00")
    assert all(open_at(friday_night, moment) for moment in open_moments)
    assert not any(open_at(friday_night, moment) for moment in closed_moments)


# --- what the receipt says, what else is asked -----------------------------------------------------------


def test_the_receipt_speaks_the_nearest_language_and_names_the_units() -> None:
    texts = (("en", "You earned {units}"), ("fa", "{units} امتیاز"), ("ar-EG", "{units} نقطة"))
    made = programme(replace(BASE, receipt_text=texts))
    said = {
        locale: made.evaluate(sale(1_200), None, NOON, locale)[0].receipt_text
        for locale in ("", "fa", "FA-ir", "ar", "ar-EG", "de", "-", "en-")
    }
    assert said == {
        "": "You earned 12",
        "fa": "12 امتیاز",
        "FA-ir": "12 امتیاز",
        "ar": "12 نقطة",
        "ar-EG": "12 نقطة",
        "de": "You earned 12",
        "-": "You earned 12",
        "en-": "You earned 12",
    }


def test_the_receipt_writes_units_with_the_purses_decimals() -> None:
    made = programme(EarningRule("back", Rate(1, 10), "cash", receipt_text=(("en", "{units} back"),)))
    assert made.evaluate(sale(1_050), None, NOON)[0].receipt_text == "1.05 back"


def test_purses_come_in_the_order_of_spending() -> None:
    made = programme(BASE)
    assert [purse.code for purse in made.purses] == ["cash", "points"]
    assert made.purse("points") == made.purses[1]
    assert made.purse("gold") is None
