"""A birthday is the day the member means, in the calendar in which they said it."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.people.calendars import (
    FIRST_DAY,
    LAST_DAY,
    Calendar,
    CalendarDate,
    birthday_in,
    days_in_month,
    in_calendar,
    is_birthday,
    make_date,
    parse_date,
)
from node.people.invalid import Invalid, InvalidReason

DAYS = st.dates(FIRST_DAY, LAST_DAY)
CALENDARS = st.sampled_from(Calendar)


def jalali(year: int, month: int, day: int) -> CalendarDate:
    return CalendarDate(Calendar.JALALI, year, month, day)


def gregorian(year: int, month: int, day: int) -> CalendarDate:
    return CalendarDate(Calendar.GREGORIAN, year, month, day)


def reason_of(answer: object) -> InvalidReason:
    assert isinstance(answer, Invalid), answer
    return answer.reason


@pytest.mark.parametrize(
    ("jalali_date", "day"),
    [
        (jalali(1200, 1, 1), date(1821, 3, 21)),
        (jalali(1300, 1, 1), date(1921, 3, 21)),
        (jalali(1357, 11, 22), date(1979, 2, 11)),
        (jalali(1399, 12, 30), date(2021, 3, 20)),
        (jalali(1403, 1, 1), date(2024, 3, 20)),
        (jalali(1403, 12, 30), date(2025, 3, 20)),
        (jalali(1404, 1, 1), date(2025, 3, 21)),
    ],
)
def test_jalali_dates_are_the_days_in_the_almanac(jalali_date: CalendarDate, day: date) -> None:
    assert jalali_date.to_gregorian() == day
    assert in_calendar(day, Calendar.JALALI) == jalali_date


def test_every_day_from_1300_to_1500_goes_to_gregorian_and_back() -> None:
    day, last = jalali(1300, 1, 1).to_gregorian(), jalali(1500, 12, 29).to_gregorian()
    expected = (1300, 1, 1)
    while day <= last:
        there = in_calendar(day, Calendar.JALALI)
        assert (there.year, there.month, there.day) == expected
        assert there.to_gregorian() == day
        expected = following(there)
        day += timedelta(days=1)
    assert there == jalali(1500, 12, 29)


def following(here: CalendarDate) -> tuple[int, int, int]:
    if here.day < days_in_month(here.calendar, here.year, here.month):
        return here.year, here.month, here.day + 1
    return (here.year + 1, 1, 1) if here.month == 12 else (here.year, here.month + 1, 1)


@given(DAYS, CALENDARS)
def test_a_date_written_is_read_back_in_any_digits_and_stored_unchanged(
    day: date, calendar: Calendar
) -> None:
    there = in_calendar(day, calendar)
    text = there.isoformat()
    assert there.to_gregorian() == day
    assert parse_date(text, calendar) == there
    assert parse_date(text.translate(str.maketrans("0123456789-", "۰۱۲۳۴۵۶۷۸۹/")), calendar) == there
    assert parse_date(text.translate(str.maketrans("0123456789-", "٠١٢٣٤٥٦٧٨٩.")), calendar) == there
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(there), type=CalendarDate) == there
    if day.year >= 1900:
        assert parse_date(text) == there


def test_the_year_tells_the_calendar_where_none_is_named() -> None:
    assert parse_date("۱۳۶۸/۵/۱۲") == jalali(1368, 5, 12)
    assert parse_date("1989-08-03") == gregorian(1989, 8, 3)
    assert parse_date("\u200f ۱۳۶۸/۰۵/۱۲ ") == jalali(1368, 5, 12)
    assert jalali(1368, 5, 12).to_gregorian() == date(1989, 8, 3)


def test_a_named_calendar_is_believed_above_the_year() -> None:
    assert reason_of(parse_date("1989-08-03", Calendar.JALALI)) is InvalidReason.DATE_OUT_OF_RANGE
    assert reason_of(parse_date("1368-05-12", Calendar.GREGORIAN)) is InvalidReason.DATE_OUT_OF_RANGE


@pytest.mark.parametrize(
    "text",
    [
        *("", "1368", "12-05-1368", "5/12/1989", "1368-5/12", "1368-05-12T00:00", "13680512", "۱۳۶۸-۰۵"),
        *("1368-05-1a", "-1368-05-12", "1368-05-123", "१९८९-०८-०३", "\ud800", "1368-13-01", "1368-00-01"),
        *("1368-07-31", "1368-07-00", "1989-02-29", "1900-02-29", "2001-04-31", "1404-12-30"),
        pytest.param("1368-05-12" + " " * 2**20, id="a megabyte"),
    ],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    assert reason_of(parse_date(text)) is InvalidReason.NOT_A_DATE


@pytest.mark.parametrize(
    "text", ["0000-01-01", "0001-01-01", "1199-12-29", "1600-01-01", "1821-03-20", "2200-01-01", "9999-12-31"]
)
def test_a_date_that_nobody_alive_can_mean_is_refused(text: str) -> None:
    assert reason_of(parse_date(text)) is InvalidReason.DATE_OUT_OF_RANGE


@given(CALENDARS, st.integers(-10, 10_010), st.integers(-1, 14), st.integers(-1, 33))
def test_no_numbers_make_a_date_that_does_not_exist(
    calendar: Calendar, year: int, month: int, day: int
) -> None:
    answer = make_date(calendar, year, month, day)
    if isinstance(answer, CalendarDate):
        assert FIRST_DAY <= answer.to_gregorian() <= LAST_DAY
        assert in_calendar(answer.to_gregorian(), calendar) == answer
    else:
        with pytest.raises(ValueError, match=r".+"):
            CalendarDate(calendar, year, month, day)


def test_a_stored_date_that_does_not_exist_is_not_read() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode([2, 1404, 12, 30]), type=CalendarDate)


def test_born_on_a_leap_day_the_birthday_is_the_last_day_of_that_month() -> None:
    leapling, esfand = gregorian(2000, 2, 29), jalali(1375, 12, 30)
    assert birthday_in(leapling, 2023) == gregorian(2023, 2, 28)
    assert birthday_in(leapling, 2024) == gregorian(2024, 2, 29)
    assert birthday_in(esfand, 1404) == jalali(1404, 12, 29)
    assert birthday_in(esfand, 1403) == jalali(1403, 12, 30)
    assert is_birthday(leapling, date(2023, 2, 28))
    assert not is_birthday(leapling, date(2023, 3, 1))
    assert not is_birthday(leapling, date(2024, 2, 28))
    assert is_birthday(esfand, jalali(1404, 12, 29).to_gregorian())
    assert not is_birthday(esfand, jalali(1403, 12, 29).to_gregorian())


@given(DAYS, CALENDARS, st.integers(1950, 2100))
def test_everybody_has_one_birthday_a_year_in_the_month_of_their_birth(
    day: date, calendar: Calendar, year: int
) -> None:
    birth = in_calendar(day, calendar)
    calendar_year = year if calendar is Calendar.GREGORIAN else year - 621
    first = CalendarDate(calendar, calendar_year, 1, 1).to_gregorian()
    following_first = CalendarDate(calendar, calendar_year + 1, 1, 1).to_gregorian()
    days = [first + timedelta(days=n) for n in range((following_first - first).days)]
    birthdays = [here for here in days if is_birthday(birth, here)]
    assert [in_calendar(here, calendar).month for here in birthdays] == [birth.month]
    assert birthdays == [birthday_in(birth, calendar_year).to_gregorian()]


def test_the_stored_numbers_of_the_calendars_stay() -> None:
    assert {calendar.name: calendar.value for calendar in Calendar} == {"GREGORIAN": 1, "JALALI": 2}
