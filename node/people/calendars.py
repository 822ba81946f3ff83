"""Dates in the Gregorian and the Jalali (Iranian solar) calendar, and birthdays in the calendar of the birth.

A date is kept in the calendar in which the member gave it: that is the one in which they celebrate. The lunar
Hijri calendar is not read; its years overlap those of the Jalali calendar, so it is never guessed either.
Jalali conversions are those of persiantools.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import date
from enum import IntEnum
from typing import Any

import msgspec
from persiantools.jdatetime import JalaliDate

from node.people.invalid import Invalid, InvalidReason
from node.people.text import INVISIBLE, fold_digits

FIRST_DAY = date(1821, 3, 21)
"""The first day that a date may name: 1 Farvardin 1200."""
LAST_DAY = date(2199, 12, 31)
MAX_DATE_CHARS = 32


# persiantools says that it is typed, but its constructor is not.
_jalali: Callable[..., Any] = JalaliDate


class Calendar(IntEnum):
    """The calendar a date is given in. The values are stored: never renumber them."""

    GREGORIAN = 1
    JALALI = 2


class CalendarDate(msgspec.Struct, frozen=True, array_like=True):
    """An existing day from `FIRST_DAY` to `LAST_DAY`, in the calendar in which it was given.

    Two dates are equal when calendar and numbers are; compare `to_gregorian()` to compare days. Making one
    that does not exist raises ValueError, also when a stored record is read; `parse_date` refuses by value.
    """

    calendar: Calendar
    year: int
    month: int
    day: int

    def __post_init__(self) -> None:
        if not FIRST_DAY <= self.to_gregorian() <= LAST_DAY:
            raise ValueError(f"a date lies between {FIRST_DAY} and {LAST_DAY}")

    def to_gregorian(self) -> date:
        """The day as a Gregorian date."""
        if self.calendar is Calendar.GREGORIAN:
            return date(self.year, self.month, self.day)
        gregorian: date = _jalali(self.year, self.month, self.day).to_gregorian()
        return gregorian

    def isoformat(self) -> str:
        """``YYYY-MM-DD`` in the date's own calendar, with ASCII digits; `parse_date` reads it back."""
        return f"{self.year:04}-{self.month:02}-{self.day:02}"


def in_calendar(day: date, calendar: Calendar) -> CalendarDate:
    """A Gregorian day in the given calendar. ValueError outside `FIRST_DAY` to `LAST_DAY`."""
    if calendar is Calendar.GREGORIAN:
        return CalendarDate(calendar, day.year, day.month, day.day)
    jalali = _jalali(day)
    return CalendarDate(calendar, jalali.year, jalali.month, jalali.day)


# --- reading ---------------------------------------------------------------------------------------------

_read = re.compile(r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})").fullmatch
_NOT_WRITTEN = dict.fromkeys((*INVISIBLE, ord(" ")), None)
# Where no calendar is named the year tells: nobody alive was born in Jalali 1700 or in the year 1600.
_JALALI_YEARS = range(1200, 1600)


def parse_date(text: str, calendar: Calendar | None = None) -> CalendarDate | Invalid:
    """The date that ``YYYY-MM-DD`` names; ``/`` and ``.`` separate as well, digits may be Persian or Arabic.

    Without a ``calendar`` the year decides: 1200 to 1599 is Jalali, all others are Gregorian. Refused are
    other orders (``5/12/1989`` is two different days in two countries) and days that do not exist.
    """
    match = _read(fold_digits(text).translate(_NOT_WRITTEN)) if len(text) <= MAX_DATE_CHARS else None
    if match is None:
        return Invalid(InvalidReason.NOT_A_DATE, "Write the date as year-month-day, such as 1368-05-12.")
    year, month, day = int(match[1]), int(match[3]), int(match[4])
    if calendar is None:
        calendar = Calendar.JALALI if year in _JALALI_YEARS else Calendar.GREGORIAN
    return make_date(calendar, year, month, day)


def make_date(calendar: Calendar, year: int, month: int, day: int) -> CalendarDate | Invalid:
    """The date of these numbers, or why there is none: `NOT_A_DATE`, or `DATE_OUT_OF_RANGE`."""
    try:
        days = days_in_month(calendar, year, month)
    except ValueError:
        return Invalid(InvalidReason.NOT_A_DATE, "There is no such month. Write the date as year-month-day.")
    if not 1 <= day <= days:
        return Invalid(
            InvalidReason.NOT_A_DATE, f"That month has {days} days. Check the day and the calendar."
        )
    try:
        return CalendarDate(calendar, year, month, day)
    except ValueError:
        return Invalid(
            InvalidReason.DATE_OUT_OF_RANGE,
            f"Dates from {FIRST_DAY} to {LAST_DAY} are kept. Check the year and the calendar.",
        )


def days_in_month(calendar: Calendar, year: int, month: int) -> int:
    """How many days a month has. ValueError for a month that no year has."""
    if calendar is Calendar.GREGORIAN:
        return monthrange(year, month)[1]
    if not 1 <= month <= 12:
        raise ValueError("month must be in 1..12")
    days: int = JalaliDate.days_in_month(month, year)
    return days


# --- birthdays -------------------------------------------------------------------------------------------


def birthday_in(birth: CalendarDate, year: int) -> CalendarDate:
    """The day on which the birthday is celebrated in a year of the birth's own calendar.

    Born on 29 February or 30 Esfand: in a year without that day it is celebrated on the last day of the same
    month (28 February, 29 Esfand). So everybody has one birthday in each year, and a reward for birthdays of
    the month reaches them in the month of their birth.
    """
    day = min(birth.day, days_in_month(birth.calendar, year, birth.month))
    return CalendarDate(birth.calendar, year, birth.month, day)


def is_birthday(birth: CalendarDate, today: date) -> bool:
    """Whether the (Gregorian) day ``today`` is a day on which the birthday is celebrated."""
    here = in_calendar(today, birth.calendar)
    return here == birthday_in(birth, here.year)
