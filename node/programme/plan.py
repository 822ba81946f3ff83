"""Compiled rules and what of them is in season on a local day.

What depends only on the local day (which rules are open, when units can be spent and expire) is worked out
once a day and kept, so that judging a purchase touches no calendar.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from node.ledger.days import add_months, day_end_ms, end_of_month, local_date
from node.ledger.lots import NEVER_MS
from node.programme.arithmetic import ROUNDERS, Rounder
from node.programme.conditions import Condition
from node.programme.model import AfterDays, Expiry, MonthsEnd, PurseTerms, Rounding
from node.programme.receipts import ReceiptWords
from node.programme.selectors import LineTest
from node.programme.variables import FieldName
from node.programme.windows import WHOLE_DAY, OpenHours, Spans

MAX_CACHED_DAYS = 512
_EPOCH = date(1970, 1, 1)
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """An earning rule or an activity, compiled.

    A rate gives `units` for every `money_minor`; a fixed rule or an activity gives `units` and has
    `money_minor` 0; a multiplier has `milli` above 0. `broken`: the condition did not compile, so the rule
    never applies. `whole_only`: what the daily cap does not leave room for whole is not granted in part.
    """

    code: str
    words: ReceiptWords
    purse: str = ""
    units: int = 0
    money_minor: int = 0
    rounder: Rounder = ROUNDERS[Rounding.DOWN]
    milli: int = 0
    test: LineTest | None = None
    hours: OpenHours | None = None
    condition: Condition | None = None
    broken: bool = False
    cap_units: int = 0
    counter: str = ""
    whole_only: bool = False
    funder: str = ""
    campaign: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class RuleToday:
    """A rule on one local day: what it grants becomes a lot of these terms. `spans` None: open all day.

    `always`: it applies at any time of the day and without a condition, so there is nothing to judge.
    """

    rule: Rule
    available_ms: int
    expires_ms: int
    spans: Spans | None
    always: bool


@dataclass(frozen=True, slots=True, eq=False)
class DayPlan:
    """What is in season on one local day; `number` counts days since 1970-01-01.

    `guarded` says that some earning rule has hours or a condition; `fields` are what those conditions read.
    """

    number: int
    exclusions: tuple[RuleToday, ...]
    bases: tuple[RuleToday, ...]
    multipliers: tuple[RuleToday, ...]
    activities: Mapping[str, RuleToday]
    guarded: bool
    fields: frozenset[FieldName]


class Seasons:
    """The compiled rules of a programme in one time zone; multipliers stand with the largest first."""

    def __init__(
        self,
        tz: str,
        terms: Mapping[str, PurseTerms],
        *,
        exclusions: tuple[Rule, ...],
        bases: tuple[Rule, ...],
        multipliers: tuple[Rule, ...],
        activities: tuple[Rule, ...],
    ) -> None:
        self._tz = tz
        self._terms = terms
        self._exclusions = exclusions
        self._bases = bases
        self._multipliers = multipliers
        self._activities = activities
        self._plans: dict[date, DayPlan] = {}

    def plan(self, at_ms: int) -> DayPlan:
        """The plan of the local day of an instant; ValueError beyond the years that `ledger.days` answers."""
        day = local_date(at_ms, self._tz)
        plan = self._plans.get(day)
        if plan is None:
            if len(self._plans) >= MAX_CACHED_DAYS:
                self._plans.clear()
            plan = self._plans[day] = self._plan_for(day)
        return plan

    def _plan_for(self, day: date) -> DayPlan:
        exclusions, bases = self._open(self._exclusions, day), self._open(self._bases, day)
        multipliers, activities = self._open(self._multipliers, day), self._open(self._activities, day)
        earning = [*exclusions, *bases, *multipliers]
        conditions = [today.rule.condition for today in earning]
        return DayPlan(
            number=(day - _EPOCH).days,
            exclusions=exclusions,
            bases=bases,
            multipliers=multipliers,
            activities={today.rule.code: today for today in activities},
            guarded=not all(today.always for today in earning),
            fields=frozenset(name for condition in conditions if condition for name in condition.fields),
        )

    def _open(self, rules: Iterable[Rule], day: date) -> tuple[RuleToday, ...]:
        found = []
        for rule in rules:
            terms = self._terms.get(rule.purse, PurseTerms(rule.purse))
            spans = rule.hours.spans_on(day) if rule.hours else WHOLE_DAY
            expires_ms = _expires_ms(terms.expiry, day, self._tz)
            if not spans or expires_ms < day_end_ms(day, self._tz):
                continue  # closed all day, or the purse's last day is over
            available_ms = _available_ms(terms.pending_days, day, self._tz)
            hours = None if spans == WHOLE_DAY else spans
            always = hours is None and rule.condition is None and not rule.broken
            found.append(RuleToday(rule, available_ms, expires_ms, hours, always))
        return tuple(found)


def _available_ms(pending_days: int, day: date, tz: str) -> int:
    """When a day's earnings can be spent: as the day begins that is so many days later. 0: at once."""
    return day_end_ms(day + (pending_days - 1) * _ONE_DAY, tz) if pending_days else 0


def _expires_ms(expiry: Expiry | None, day: date, tz: str) -> int:
    """When a day's earnings expire: at the end of a local day."""
    if expiry is None:
        return NEVER_MS
    if isinstance(expiry, AfterDays):
        last = day + expiry.days * _ONE_DAY
    elif isinstance(expiry, MonthsEnd):
        last = end_of_month(add_months(day, expiry.months))
    else:
        last = date.fromisoformat(expiry.date)
    return day_end_ms(last, tz)
