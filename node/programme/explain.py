"""Why each rule of a programme did or did not apply to a purchase: for the merchant who tries a draft.

It goes the way of `CompiledProgramme.evaluate`, with the same functions, and says at each rule what it met.
"""

from __future__ import annotations

from msgspec import Struct

from node.ledger.account import Account
from node.ledger.awards import Award
from node.ledger.purchase import Purchase
from node.programme.earning import Base, Basket, Till, base_awards, bases_of, bonus_awards
from node.programme.evaluate import CompiledProgramme, basket_of
from node.programme.judging import Faults, Judge
from node.programme.plan import DayPlan, RuleToday
from node.programme.variables import Scene


class Explanation(Struct, frozen=True):
    """What became of one rule: whether it applied, the units that it gave (0 for an exclusion), and why."""

    rule: str
    applied: bool
    units: int
    reason: str


def explain(
    programme: CompiledProgramme, purchase: Purchase, account: Account | None, occurred_ms: int
) -> tuple[Explanation, ...]:
    """One explanation a rule, in the programme's order. The units are those of `evaluate`.

    Conditions that cannot be judged are not counted as faults of the programme here.
    """
    codes = [rule.code for rule in programme.programme.rules]
    if purchase.currency != programme.currency:
        return _all(codes, f"the purchase is in {purchase.currency}, and rates are in {programme.currency}")
    if purchase.total_minor <= 0:
        return _all(codes, "nothing is paid")
    plan = programme.seasons.plan(occurred_ms)
    found = _Walk(programme, plan, purchase, account, occurred_ms).explanations()
    closed = "the rule's dates or weekdays leave this day out, or its purse's last day is over"
    return tuple(found.get(code, Explanation(code, False, 0, closed)) for code in codes)


def _all(codes: list[str], reason: str) -> tuple[Explanation, ...]:
    return tuple(Explanation(code, False, 0, reason) for code in codes)


class _Walk:
    def __init__(
        self,
        programme: CompiledProgramme,
        plan: DayPlan,
        purchase: Purchase,
        account: Account | None,
        occurred_ms: int,
    ) -> None:
        self._plan = plan
        self._purchase = purchase
        judge = Judge(Scene(purchase, account, occurred_ms, programme.tz), plan.fields, Faults())
        in_season = (*plan.exclusions, *plan.bases, *plan.multipliers)
        self._objections = {today.rule.code: judge.objection(today) for today in in_season}
        self._till = Till(account, plan.number, "")
        self._basket = basket_of(purchase, self._open(plan.exclusions))
        self._before = basket_of(purchase, ())
        self._bases: dict[str, Base] = {}
        self._awards: dict[str, Award] = {}
        if self._basket is not None:
            bases = bases_of(self._open(plan.bases), self._basket, self._till)
            self._bases = {base.today.rule.code: base for base in bases}
            awards = base_awards(bases, self._basket, self._till)
            awards += bonus_awards(self._open(plan.multipliers), bases, self._basket, self._till)
            self._awards = {award.rule: award for award in awards}

    def explanations(self) -> dict[str, Explanation]:
        found = {}
        for today in (*self._plan.exclusions, *self._plan.bases, *self._plan.multipliers):
            code = today.rule.code
            applied, reason = False, self._objections[code]
            if not reason and today in self._plan.exclusions:
                applied, reason = self._exclusion(today)
            elif not reason:
                applied, reason = code in self._awards, self._earning(today)
            units = self._awards[code].units if code in self._awards else 0
            found[code] = Explanation(code, applied, units, reason)
        return found

    def _open(self, rules: tuple[RuleToday, ...]) -> list[RuleToday]:
        return [today for today in rules if not self._objections[today.rule.code]]

    def _exclusion(self, today: RuleToday) -> tuple[bool, str]:
        lines = _count(self._before, today)
        if lines == 0:
            return False, "no line matches"
        if not self._purchase.lines:
            return True, "takes the whole purchase out"
        return True, f"takes {lines} of {len(self._purchase.lines)} lines out"

    def _earning(self, today: RuleToday) -> str:
        rule = today.rule
        if rule.test is not None and not self._purchase.lines:
            return "the rule is about certain lines, and the purchase has none"
        if _count(self._before, today) == 0:
            return "no line matches"
        if _count(self._basket, today) == 0:
            return "every line that matches is excluded"
        if rule.milli:
            return self._multiplier(today)
        base = self._bases.get(rule.code)
        if base is None:
            return "the lines that match do not sum to more than zero"
        if base.units == 0:
            return "the amount is too small for one unit"
        if base.given == 0:
            return "the daily cap is used up"
        if base.given < base.units:
            return f"the daily cap leaves {base.given} of {base.units} units"
        return f"counts on {base.amount} of {self._purchase.total_minor} paid"

    def _multiplier(self, today: RuleToday) -> str:
        rule = today.rule
        if rule.code in self._awards:
            return f"raises what the base rules give to {rule.milli / 1000:g} times"
        if self._till.left(rule, 1) == 0:
            return "the daily cap is used up"
        if not any(base.given and base.today.rule.purse == rule.purse for base in self._bases.values()):
            return "no base rule gives units that it could raise"
        return "a larger multiplier has its lines, or the bonus is too small for one unit"


def _count(basket: Basket | None, today: RuleToday) -> int:
    """How many lines of the basket the rule is about; a purchase without lines counts as one."""
    if basket is None or (today.rule.test is not None and not basket.itemised):
        return 0
    return len(basket.of(today.rule))
