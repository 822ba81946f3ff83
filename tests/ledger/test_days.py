"""A member's points live to the end of the local day, whatever the clocks of the country do."""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.ledger.days import (
    DAY_MS,
    MAX_MS,
    MIN_MS,
    add_months,
    day_end_ms,
    end_of_month,
    is_zone,
    local_date,
    local_day_end_ms,
    local_minute_of_day,
    local_weekday,
)

ZONES = [
    "Asia/Tehran",
    "Africa/Cairo",
    "Europe/London",
    "America/St_Johns",  # went back from 00:01 to 23:01
    "Pacific/Apia",  # had no 30 December 2011
    "America/Havana",  # goes back from 01:00 to midnight itself
    "Asia/Beirut",
    "America/Nuuk",  # goes forward from 23:00 to midnight
    "America/Toronto",  # went forward from 23:30 to 00:30
    "UTC",
]
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
FIRST_MS = MIN_MS  # the clocks of local mean time, to the odd second, are among the cases
LAST_MS = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) * 1000


def instant_ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1000


def clock(at_ms: int, zone: str) -> datetime:
    """What zoneinfo says, without any help of the code under test."""
    return datetime.fromtimestamp(at_ms // 1000, ZoneInfo(zone)).replace(microsecond=at_ms % 1000 * 1000)


@cache
def jumps_ms(zone: str) -> list[int]:
    """When the clocks of a zone jump, from 1900 to 2100; two jumps within five days count as none."""
    jumps = []
    for start in range(FIRST_MS // 1000, LAST_MS // 1000, 5 * 86_400):
        seconds = range(start, start + 5 * 86_400 + 1)
        before = clock(seconds[0] * 1000, zone).utcoffset()
        if clock(seconds[-1] * 1000, zone).utcoffset() != before:
            jumped = bisect_left(seconds, 1, key=lambda s: clock(s * 1000, zone).utcoffset() != before)
            jumps.append(seconds[jumped] * 1000)
    return jumps


@st.composite
def zones_and_instants(draw: st.DrawFn) -> tuple[str, int]:
    zone = draw(st.sampled_from(ZONES))
    anywhere = st.integers(FIRST_MS, LAST_MS)
    near = [
        st.builds(lambda jump, by: jump + by, st.sampled_from(jumps_ms(zone)), st.integers(-width, width))
        for width in (3, 2 * HOUR_MS, 2 * DAY_MS)
        if jumps_ms(zone)
    ]
    return zone, draw(st.one_of(anywhere, *near))


@given(zones_and_instants())
def test_date_weekday_and_minute_are_those_on_the_wall(where: tuple[str, int]) -> None:
    zone, at_ms = where
    wall = clock(at_ms, zone)
    assert local_date(at_ms, zone) == wall.date()
    assert local_weekday(at_ms, zone) == wall.isoweekday()
    assert local_minute_of_day(at_ms, zone) == wall.hour * 60 + wall.minute


@pytest.mark.parametrize("zone", ZONES)
def test_every_jump_of_the_clocks_is_seen_to_the_millisecond(zone: str) -> None:
    for jump_ms in jumps_ms(zone):
        for at_ms in (jump_ms - 1, jump_ms, jump_ms + 10 * MINUTE_MS, jump_ms + 50 * MINUTE_MS):
            wall = clock(at_ms, zone)
            assert local_date(at_ms, zone) == wall.date()
            assert local_minute_of_day(at_ms, zone) == wall.hour * 60 + wall.minute


@given(zones_and_instants())
def test_a_day_ends_at_the_instant_after_which_its_date_never_comes_back(where: tuple[str, int]) -> None:
    zone, at_ms = where
    day, end_ms = clock(at_ms, zone).date(), local_day_end_ms(at_ms, zone)
    assert end_ms > at_ms
    assert end_ms == day_end_ms(day, zone)
    assert clock(end_ms - 1, zone).date() <= day
    later = [end_ms, *range(end_ms, end_ms + 3 * HOUR_MS, MINUTE_MS), end_ms + DAY_MS, end_ms + 2 * DAY_MS]
    assert all(clock(ms, zone).date() > day for ms in later)


@given(st.sampled_from(ZONES), st.dates(date(1900, 1, 2), date(2099, 12, 31)))
def test_the_days_of_a_zone_follow_each_other_without_gap(zone: str, day: date) -> None:
    end_ms, following_end_ms = day_end_ms(day, zone), day_end_ms(day + timedelta(days=1), zone)
    assert following_end_ms - end_ms <= 25 * HOUR_MS
    assert following_end_ms > end_ms or (zone == "Pacific/Apia" and day == date(2011, 12, 29))


@pytest.mark.parametrize(
    ("zone", "day", "end"),
    [
        ("UTC", date(2026, 2, 28), "2026-03-01T00:00:00+00:00"),
        ("Asia/Tehran", date(2026, 3, 20), "2026-03-21T00:00:00+03:30"),
        # Tehran went forward at the midnight that began 2 Farvardin, and back at that ending 30 Shahrivar.
        ("Asia/Tehran", date(2022, 3, 21), "2022-03-22T00:00:00+03:30"),
        ("Asia/Tehran", date(2022, 9, 21), "2022-09-22T00:00:00+03:30"),
        # Cairo goes forward at a midnight that does not exist, and back from midnight to 23:00.
        ("Africa/Cairo", date(2024, 4, 25), "2024-04-26T01:00:00+03:00"),
        ("Africa/Cairo", date(2024, 10, 31), "2024-11-01T00:00:00+02:00"),
        ("Europe/London", date(2024, 3, 31), "2024-04-01T00:00:00+01:00"),
        # One minute of Sunday, then 59 of Saturday again: Saturday ends at its second midnight.
        ("America/St_Johns", date(2005, 10, 29), "2005-10-30T00:00:00-03:30"),
        # The first hour of Sunday comes twice, so Saturday ends at its first midnight.
        ("America/Havana", date(2024, 11, 2), "2024-11-03T00:00:00-04:00"),
        ("Pacific/Apia", date(2011, 12, 29), "2011-12-31T00:00:00+14:00"),
        ("Pacific/Apia", date(2011, 12, 30), "2011-12-31T00:00:00+14:00"),
        # A jump over midnight that began before it: 23:30 became 00:30.
        ("America/Toronto", date(1919, 3, 30), "1919-03-31T00:30:00-04:00"),
    ],
)
def test_the_hard_days_end_when_the_law_of_the_land_says(zone: str, day: date, end: str) -> None:
    assert day_end_ms(day, zone) == instant_ms(end)


def test_the_minute_of_sunday_before_the_clocks_go_back_to_saturday_is_a_sunday() -> None:
    sunday_ms = instant_ms("2005-10-30T00:00:30-02:30")
    instants = [sunday_ms + minutes * MINUTE_MS for minutes in (-1, 0, 1, 59, 60)]
    assert [local_date(at_ms, "America/St_Johns").day for at_ms in instants] == [29, 30, 29, 29, 30]
    assert local_day_end_ms(sunday_ms, "America/St_Johns") == instant_ms("2005-10-31T00:00:00-03:30")


@pytest.mark.parametrize("at_ms", [MIN_MS - 1, MAX_MS, -(2**63), 2**63 - 1])
def test_an_absurd_instant_is_refused_by_name(at_ms: int) -> None:
    with pytest.raises(ValueError, match="1900 and 2200"):
        local_date(at_ms, "Asia/Tehran")


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("at_ms", [MIN_MS, -1, 0, MAX_MS - 1])
def test_the_ends_of_the_range_are_answered(at_ms: int, zone: str) -> None:
    assert local_date(at_ms, zone) == clock(at_ms, zone).date()


def test_only_names_of_zones_are_zones() -> None:
    assert all(is_zone(zone) for zone in ZONES)
    for name in (
        "",
        "Tehran",
        "asia/tehran",
        "Asia/Tehran ",
        "../../etc/passwd",
        "Asia",
        "right/Asia/Tehran",
        "IRST",
        "تهران",
    ):
        assert not is_zone(name)


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2024, 1, 31), 1, date(2024, 2, 29)),
        (date(2024, 2, 29), 12, date(2025, 2, 28)),
        (date(2026, 12, 15), 1, date(2027, 1, 15)),
        (date(2026, 11, 30), 3, date(2027, 2, 28)),
        (date(2026, 3, 31), -1, date(2026, 2, 28)),
        (date(2026, 1, 1), -1, date(2025, 12, 1)),
        (date(2026, 5, 5), 0, date(2026, 5, 5)),
        (date(9999, 11, 30), 1, date(9999, 12, 30)),
    ],
)
def test_months_are_added_and_a_shorter_month_gives_its_last_day(
    day: date, months: int, expected: date
) -> None:
    assert add_months(day, months) == expected


def test_months_beyond_the_calendar_are_refused() -> None:
    for day, months in ((date(9999, 12, 1), 1), (date(1, 1, 1), -1), (date(2026, 1, 1), 10**9)):
        with pytest.raises(ValueError, match=r"year .*out of range"):
            add_months(day, months)


@given(st.dates(), st.integers(-240, 240))
def test_adding_months_lands_in_that_month_on_that_day_or_its_last(day: date, months: int) -> None:
    index = day.year * 12 + day.month - 1 + months
    if 12 <= index < 12 * 10_000:
        later = add_months(day, months)
        assert later.year * 12 + later.month - 1 == index
        assert later.day == day.day or (later.day < day.day and later == end_of_month(later))


@given(st.dates(max_value=date(9999, 12, 30)))
def test_after_the_last_day_of_a_month_comes_a_first(day: date) -> None:
    last = end_of_month(day)
    assert (last.year, last.month) == (day.year, day.month)
    assert last == date.max or (last + timedelta(days=1)).day == 1
