"""Judging a purchase or an activity by a compiled programme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from node.ledger.account import Account
from node.ledger.awards import Award
from node.ledger.purchase import Activity, Line, Purchase
from node.ledger.purses import PurseDefinition
from node.programme.earning import Basket, Till, base_awards, bases_of, bonus_awards
from node.programme.judging import ConditionFault, Faults, Judge, Verdicts
from node.programme.model import Programme
from node.programme.plan import DayPlan, Rule, RuleToday, Seasons
from node.programme.variables import Scene

Open = Sequence[RuleToday]


class UnknownActivity(Struct, frozen=True):
    """The programme has no activity of that code."""

    code: str


class CompiledProgramme:
    """One version of a programme, ready to judge; made by `compile_programme`.

    Judging is a function of its arguments. What it keeps besides are caches, and a count of conditions that
    could not be judged. Not for several threads at once.
    """

    def __init__(
        self,
        programme: Programme,
        *,
        tz: str,
        currency: str,
        seasons: Seasons,
        activities: Mapping[str, Rule],
    ) -> None:
        self.programme = programme
        self.version = programme.version
        self.tz = tz
        self.currency = currency
        self.limits = programme.limits
        self.purses = tuple(sorted(programme.purses, key=lambda purse: purse.spend_order))
        self.seasons = seasons
        self._by_code = {purse.code: purse for purse in programme.purses}
        self._activities = activities
        self._faults = Faults()
        self._verdicts = Verdicts()

    def purse(self, code: str) -> PurseDefinition | None:
        """The purse of that code, or None. `purses` has all of them, in the order of spending."""
        return self._by_code.get(code)

    def condition_faults(self) -> tuple[ConditionFault, ...]:
        """Conditions that could not be judged since this was compiled; their rules did not apply."""
        return self._faults.listed()

    def evaluate(
        self, purchase: Purchase, account: Account | None, occurred_ms: int, locale: str = ""
    ) -> tuple[Award, ...]:
        """What a purchase brings: the base rules' awards in their order, then the multipliers'.

        `account` None is an anonymous sale: no caps used up, no entitlements. A purchase in another
        currency, or on which nothing is paid, brings nothing. `occurred_ms` must lie in the years that
        `ledger.days` answers (ValueError otherwise).
        """
        total = purchase.total_minor
        if total <= 0 or purchase.currency != self.currency:
            return ()
        plan = self.seasons.plan(occurred_ms)
        exclusions, bases, multipliers = self._open_rules(plan, purchase, account, occurred_ms)
        basket = basket_of(purchase, exclusions)
        if basket is None:
            return ()
        till = Till(account, plan.number, locale)
        found = bases_of(bases, basket, till)
        awards = base_awards(found, basket, till)
        if multipliers:
            awards += bonus_awards(multipliers, found, basket, till)
        return tuple(awards)

    def evaluate_activity(
        self, activity: Activity, account: Account | None, occurred_ms: int, locale: str = ""
    ) -> tuple[Award, ...] | UnknownActivity:
        """What an activity brings: one award or none, where it is known."""
        if activity.code not in self._activities:
            return UnknownActivity(activity.code)
        plan = self.seasons.plan(occurred_ms)
        today = plan.activities.get(activity.code)
        if today is None or not today.rule.units:
            return ()
        condition = today.rule.condition
        scene = Scene(activity, account, occurred_ms, self.tz)
        if not Judge(scene, condition.fields if condition else (), self._faults).admits(today):
            return ()
        till = Till(account, plan.number, locale)
        units = till.left(today.rule, today.rule.units)
        return (till.award(today, units, ()),) if units else ()

    def _open_rules(
        self, plan: DayPlan, purchase: Purchase, account: Account | None, occurred_ms: int
    ) -> tuple[Open, Open, Open]:
        if not plan.guarded:
            return plan.exclusions, plan.bases, plan.multipliers
        judge = Judge(
            Scene(purchase, account, occurred_ms, self.tz), plan.fields, self._faults, self._verdicts
        )
        return (
            [today for today in plan.exclusions if today.always or judge.admits(today)],
            [today for today in plan.bases if today.always or judge.admits(today)],
            [today for today in plan.multipliers if today.always or judge.admits(today)],
        )


def basket_of(purchase: Purchase, exclusions: Open) -> Basket | None:
    """The basket without the lines that an exclusion takes out; None where nothing is left.

    An exclusion for certain lines leaves a purchase without lines alone; one for all lines takes it out.
    """
    lines: Sequence[Line] = purchase.lines
    for today in exclusions:
        test = today.rule.test
        if test is None:
            return None
        lines = [line for line in lines if not test(line)]
    if purchase.lines and not lines:
        return None
    return Basket(lines, purchase.total_minor)
