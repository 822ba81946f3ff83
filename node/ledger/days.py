"""Local days: date, weekday and minute at an instant in an IANA zone, and the instant at which a day ends.

Points expire at the end of the merchant's local day, and caps count by it. A local day is not 24 hours, may
begin at 01:00 (Cairo's clocks jump at midnight), and may be missing (Apia had no 30 December 2011).

Zone data come from `zoneinfo`: the machine's own if it has them, else the tzdata package. Governments change
them at short notice, so what was decided by them is recorded as an instant and never computed again.

Instants are epoch milliseconds UTC, and answers are cached by UTC day: a call costs well under a microsecond.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

DAY_MS = 86_400_000
_MINUTE_MS = 60_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

MIN_MS = (datetime(1900, 1, 1, tzinfo=UTC) - _EPOCH) // _MILLISECOND
MAX_MS = (datetime(2200, 1, 1, tzinfo=UTC) - _EPOCH) // _MILLISECOND
"""Instants from `MIN_MS` to before `MAX_MS` are answered; ValueError for all others."""

MAX_CACHED_DAYS = 8_192
# Clocks that change and change back within this time would be missed; none ever did.
_PROBE_MS = 3_600_000


class _Stretch(NamedTuple):
    """A span within one UTC day in which neither the local date nor the offset from UTC changes."""

    until_ms: int
    offset_ms: int
    day: date
    day_end_ms: int


def is_zone(tz_name: str) -> bool:
    """Whether this is the name of an IANA time zone. Check configuration by it: the others raise KeyError."""
    return tz_name in available_timezones()


def local_date(at_ms: int, tz_name: str) -> date:
    """The date on the wall at an instant."""
    return _stretch(at_ms, tz_name).day


def local_weekday(at_ms: int, tz_name: str) -> int:
    """The ISO 8601 weekday at an instant: 1 is Monday, 7 is Sunday."""
    return _stretch(at_ms, tz_name).day.isoweekday()


def local_minute_of_day(at_ms: int, tz_name: str) -> int:
    """The minute on the clock at an instant, 0 to 1439. Where clocks go back, an hour of them comes twice."""
    return (at_ms + _stretch(at_ms, tz_name).offset_ms) % DAY_MS // _MINUTE_MS


def local_day_end_ms(at_ms: int, tz_name: str) -> int:
    """The instant at which the local date of ``at_ms`` is over, always after it. See `day_end_ms`."""
    return _stretch(at_ms, tz_name).day_end_ms


@lru_cache(maxsize=MAX_CACHED_DAYS)
def day_end_ms(day: date, tz_name: str) -> int:
    """The instant from which on every local date is later than ``day``: where the next day begins for good.

    Where midnight is skipped, that is the moment of the jump. Where clocks go back over midnight (St John's
    did, from 00:01 to 23:01), it is the second midnight: the member gets the repeated minutes. For a date
    that a zone left out, it is the end of the day before.
    """
    zone = ZoneInfo(tz_name)
    midnight = datetime.combine(day + timedelta(days=1), time.min, zone)
    first, second = _instant_ms(midnight), _instant_ms(midnight.replace(fold=1))
    if first == second:
        return first
    if first > second:
        # Midnight was skipped. PEP 495: then fold=1 gives an instant before the jump, fold=0 one after it.
        return _first_ms_where(lambda at_ms: _clock(at_ms, zone).date() > day, second, first)
    # Midnight comes twice. If the clocks went back to midnight itself, the day had ended at the first.
    return second if _clock(second - 1, zone).date() <= day else first


def add_months(day: date, months: int) -> date:
    """The same day of a later (or, negative, earlier) Gregorian month; its last where that month is shorter.

    31 January and one month is 28 or 29 February. ValueError beyond the years 1 to 9999.
    """
    year, month_index = divmod(day.year * 12 + day.month - 1 + months, 12)
    first = date(year, month_index + 1, 1)
    return first.replace(day=min(day.day, end_of_month(first).day))


def end_of_month(day: date) -> date:
    """The last day of the Gregorian month of ``day``."""
    return day.replace(day=monthrange(day.year, day.month)[1])


# --- stretches -------------------------------------------------------------------------------------------


def _stretch(at_ms: int, tz_name: str) -> _Stretch:
    for stretch in _stretches(tz_name, at_ms // DAY_MS):
        if at_ms < stretch.until_ms:
            return stretch
    raise AssertionError("the stretches of a UTC day cover it")


@lru_cache(maxsize=MAX_CACHED_DAYS)
def _stretches(tz_name: str, utc_day: int) -> tuple[_Stretch, ...]:
    """The stretches of one UTC day, in order; two in most zones, one more where the clocks change."""
    at_ms, end_ms = utc_day * DAY_MS, (utc_day + 1) * DAY_MS
    if at_ms < MIN_MS or end_ms > MAX_MS:
        raise ValueError("an instant lies between the years 1900 and 2200")
    zone = ZoneInfo(tz_name)
    stretches = []
    while at_ms < end_ms:
        offset_ms = _offset_ms(at_ms, zone)
        midnight_ms = at_ms + DAY_MS - (at_ms + offset_ms) % DAY_MS
        until_ms = _next_change_ms(at_ms, min(midnight_ms, end_ms), zone)
        day = _clock(at_ms, zone).date()
        stretches.append(_Stretch(until_ms, offset_ms, day, day_end_ms(day, tz_name)))
        at_ms = until_ms
    return tuple(stretches)


def _next_change_ms(at_ms: int, until_ms: int, zone: ZoneInfo) -> int:
    """The first instant after ``at_ms`` with another offset, or ``until_ms`` when none comes before it."""
    offset_ms = _offset_ms(at_ms, zone)
    probe_ms = at_ms
    while probe_ms < until_ms - 1:
        probe_ms, calm_ms = min(probe_ms + _PROBE_MS, until_ms - 1), probe_ms
        if _offset_ms(probe_ms, zone) != offset_ms:
            return _first_ms_where(lambda ms: _offset_ms(ms, zone) != offset_ms, calm_ms, probe_ms)
    return until_ms


def _first_ms_where(holds: Callable[[int], bool], before_ms: int, after_ms: int) -> int:
    """The first instant at which ``holds``, which it does not at ``before_ms`` and does at ``after_ms``."""
    while after_ms - before_ms > 1:
        middle_ms = (before_ms + after_ms) // 2
        if holds(middle_ms):
            after_ms = middle_ms
        else:
            before_ms = middle_ms
    return after_ms


def _clock(at_ms: int, zone: ZoneInfo) -> datetime:
    return (_EPOCH + at_ms * _MILLISECOND).astimezone(zone)


def _offset_ms(at_ms: int, zone: ZoneInfo) -> int:
    offset = _clock(at_ms, zone).utcoffset()
    assert offset is not None, "a ZoneInfo always knows its offset"
    return offset // _MILLISECOND


def _instant_ms(clock: datetime) -> int:
    return (clock - _EPOCH) // _MILLISECOND
