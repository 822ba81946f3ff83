"""A programme made ready to judge: what does not depend on the purchase is worked out once a version."""

from __future__ import annotations

from collections.abc import Mapping

from node.programme.arithmetic import ROUNDERS
from node.programme.conditions import BadCondition, Condition, compile_condition
from node.programme.evaluate import CompiledProgramme
from node.programme.model import (
    ActivityRule,
    EarningRule,
    Exclusion,
    Fixed,
    Multiplier,
    Programme,
    Rate,
    Rounding,
)
from node.programme.plan import Rule, Seasons
from node.programme.receipts import ReceiptWords
from node.programme.selectors import line_test
from node.programme.variables import ACTIVITY_FIELDS, RULE_FIELDS
from node.programme.windows import open_hours


def compile_programme(programme: Programme, *, tz: str, currency: str) -> CompiledProgramme:
    """Compiles a programme that `validate` has nothing against. `tz` is an IANA zone.

    Versions outlive the checks under which they were published, so a condition that would be refused today
    does not stop the node: its rule never applies, and each time is counted as a condition fault.
    """
    exponents = {purse.code: purse.exponent for purse in programme.purses}
    rules = [(rule.grant, _earning(rule, exponents.get(rule.purse, 0))) for rule in programme.rules]
    activities = tuple(
        _rewarded(activity, exponents.get(activity.purse, 0)) for activity in programme.activities
    )
    multipliers = [rule for grant, rule in rules if isinstance(grant, Multiplier)]
    seasons = Seasons(
        tz,
        {terms.purse: terms for terms in programme.terms},
        exclusions=tuple(rule for grant, rule in rules if isinstance(grant, Exclusion)),
        bases=tuple(rule for grant, rule in rules if isinstance(grant, (Rate, Fixed))),
        multipliers=tuple(sorted(multipliers, key=lambda rule: -rule.milli)),
        activities=activities,
    )
    return CompiledProgramme(
        programme,
        tz=tz,
        currency=currency,
        seasons=seasons,
        activities={rule.code: rule for rule in activities},
    )


def _earning(rule: EarningRule, exponent: int) -> Rule:
    condition, broken = _condition(rule.condition, RULE_FIELDS)
    grant = rule.grant
    return Rule(
        code=rule.code,
        purse=rule.purse,
        units=grant.units if isinstance(grant, (Rate, Fixed)) else 0,
        money_minor=grant.money_minor if isinstance(grant, Rate) else 0,
        rounder=ROUNDERS[grant.rounding if isinstance(grant, Rate) else Rounding.DOWN],
        milli=grant.milli if isinstance(grant, Multiplier) else 0,
        test=line_test(rule.lines) if rule.lines else None,
        hours=open_hours(rule.window) if rule.window else None,
        condition=condition,
        broken=broken,
        cap_units=rule.daily_cap_units,
        counter=rule.code if rule.daily_cap_units else "",
        funder=rule.funder,
        campaign=rule.campaign,
        words=ReceiptWords(rule.receipt_text, exponent),
    )


def _rewarded(activity: ActivityRule, exponent: int) -> Rule:
    condition, broken = _condition(activity.condition, ACTIVITY_FIELDS)
    return Rule(
        code=activity.code,
        purse=activity.purse,
        units=activity.units,
        condition=condition,
        broken=broken,
        # The ledger counts units, so "three times a day" is kept as three times the units. The colon keeps
        # the counter apart from that of a rule with the same code.
        cap_units=activity.daily_limit * activity.units,
        counter=f"activity:{activity.code}" if activity.daily_limit else "",
        whole_only=True,
        words=ReceiptWords(activity.receipt_text, exponent),
    )


def _condition(source: str, known: Mapping[str, frozenset[str]]) -> tuple[Condition | None, bool]:
    """The compiled condition, if there is one, and whether it is broken."""
    if not source:
        return None, False
    try:
        return compile_condition(source, known), False
    except BadCondition:
        return None, True
