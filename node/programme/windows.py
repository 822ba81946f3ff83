"""When a rule counts, compiled: for a local day, the minutes in which its window is open."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from node.programme.model import TimeWindow

MINUTES_PER_DAY = 1_440

Spans = tuple[tuple[int, int], ...]
"""Stretches of a day as (first minute, minute after the last)."""

WHOLE_DAY: Spans = ((0, MINUTES_PER_DAY),)

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class OpenHours:
    """A compiled time window; see `open_hours`."""

    first: date
    last: date
    weekdays: frozenset[int]
    start_minute: int
    end_minute: int

    def spans_on(self, day: date) -> Spans:
        """The minutes of `day` in which the window is open; empty where it is closed all day.

        A window over midnight belongs to the day on which it begins: Friday from 22:00 to 02:00 is open
        on Saturday until 02:00, and on the morning after its last date.
        """
        if self.start_minute < self.end_minute:
            return ((self.start_minute, self.end_minute),) if self._covers(day) else ()
        morning: Spans = ((0, self.end_minute),) if self._covers(day - _ONE_DAY) else ()
        evening: Spans = ((self.start_minute, MINUTES_PER_DAY),) if self._covers(day) else ()
        return morning + evening

    def _covers(self, day: date) -> bool:
        return self.first <= day <= self.last and (not self.weekdays or day.isoweekday() in self.weekdays)


def open_hours(window: TimeWindow) -> OpenHours:
    """`window` compiled; its dates must be real ones (see `validate`)."""
    return OpenHours(
        date.fromisoformat(window.start_date) if window.start_date else date.min,
        date.fromisoformat(window.end_date) if window.end_date else date.max,
        frozenset(window.weekdays),
        window.start_minute,
        window.end_minute or MINUTES_PER_DAY,
    )
