"""A draft with a mistake is refused with the mistake's place; one without mistakes can be judged."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from node.ledger.purses import MAX_UNITS, PurseDefinition, PurseKind, RedemptionRate, SpentReturnPolicy
from node.programme.default import starter_programme
from node.programme.model import (
    ActivityRule,
    AfterDays,
    EarningRule,
    Exclusion,
    Expiry,
    Fixed,
    Limits,
    LineSelector,
    MonthsEnd,
    Multiplier,
    OnDate,
    Programme,
    PurseTerms,
    Rate,
    TimeWindow,
)
from node.programme.problems import Problem
from node.programme.validate import validate

PURSE = PurseDefinition("points", PurseKind.POINTS, unit="امتیاز")
BASE = EarningRule("base", Rate(1, 100), "points")
GOOD = Programme(name="باشگاه مشتریان", purses=(PURSE,), rules=(BASE,), activities=(ActivityRule("visit"),))


def paths(programme: Programme) -> list[str]:
    problems = validate(programme)
    assert all(isinstance(problem, Problem) and problem.message.endswith(".") for problem in problems)
    return [problem.path for problem in problems]


def test_a_good_draft_has_no_problems() -> None:
    assert validate(GOOD) == ()


@pytest.mark.parametrize("exponent", range(5))
def test_the_starter_programme_has_no_problems(exponent: int) -> None:
    assert validate(starter_programme(exponent, name="فروشگاه")) == ()


@pytest.mark.parametrize(
    ("draft", "expected"),
    [
        (replace(GOOD, name=" "), ["name"]),
        (replace(GOOD, name="x" * 121), ["name"]),
        (replace(GOOD, name="two\nlines"), ["name"]),
        (replace(GOOD, version=-1, effective_ms=-1), ["version", "effective_time"]),
        (replace(GOOD, purses=(PURSE, PURSE)), ["purses[1].code"]),
        (replace(GOOD, rules=(BASE, BASE)), ["rules[1].code"]),
        (replace(GOOD, activities=GOOD.activities * 2), ["activities[1].code"]),
        (replace(GOOD, purses=tuple(replace(PURSE, code=f"p{at}") for at in range(33))), ["purses"]),
        (replace(GOOD, rules=tuple(replace(BASE, code=f"r{at}") for at in range(201))), ["rules"]),
        (replace(GOOD, activities=tuple(ActivityRule(f"a{at}") for at in range(201))), ["activities"]),
        (replace(GOOD, terms=(PurseTerms("gold"),)), ["terms[0].purse"]),
        (
            replace(GOOD, limits=Limits(-1, MAX_UNITS + 1)),
            ["limits.single_approver_units", "limits.daily_transfer_units"],
        ),
    ],
)
def test_a_mistake_in_the_whole_is_found_at_its_place(draft: Programme, expected: list[str]) -> None:
    assert paths(draft) == expected


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"unit": "x" * 41}, "unit"),
        ({"exponent": 7}, "exponent"),
        ({"exponent": -1}, "exponent"),
        ({"spend_order": 10**7}, "spend_order"),
        ({"channels": ("web", "")}, "channels[1]"),
        ({"stores": ("a", "a")}, "stores[1]"),
        ({"stores": tuple(str(at) for at in range(501))}, "stores"),
        ({"credit_limit": -1}, "credit_limit"),
        ({"rate": RedemptionRate(0, 1)}, "redemption_rate.units"),
        ({"rate": RedemptionRate(1, -1)}, "redemption_rate.money_minor"),
        ({"spent_return_policy": SpentReturnPolicy.RECOVER}, "spent_return_policy"),
        ({"goal": 10}, "goal"),
        ({"kind": PurseKind.STAMPS, "goal": -1}, "goal"),
    ],
)
def test_a_mistake_in_a_purse_is_found_at_its_place(change: dict[str, object], field: str) -> None:
    assert paths(replace(GOOD, purses=(replace(PURSE, **change),))) == [f"purses[0].{field}"]


@pytest.mark.parametrize("code", ["", "Points", "امتیاز", "a" * 25, "a-b", "points\n"])
def test_a_purses_code_is_short_and_plain(code: str) -> None:
    draft = replace(GOOD, purses=(PURSE, replace(PURSE, code=code)))
    assert paths(draft) == ["purses[1].code"]


@pytest.mark.parametrize(
    ("expiry", "pending_days", "field"),
    [
        (AfterDays(-1), 0, "expiry.days"),
        (AfterDays(36_501), 0, "expiry.days"),
        (MonthsEnd(-1), 0, "expiry.months_end"),
        (MonthsEnd(1_201), 0, "expiry.months_end"),
        (OnDate("2026-02-30"), 0, "expiry.on_date"),
        (OnDate("20260101"), 0, "expiry.on_date"),
        (OnDate("۲۰۲۶-۰۱-۰۱"), 0, "expiry.on_date"),
        (OnDate("9999-12-31"), 0, "expiry.on_date"),
        (None, -1, "pending_days"),
        (None, 3_651, "pending_days"),
        (AfterDays(14), 15, "pending_days"),
        (MonthsEnd(1), 29, "pending_days"),
    ],
)
def test_terms_that_cannot_be_kept_are_found(expiry: Expiry | None, pending_days: int, field: str) -> None:
    draft = replace(GOOD, terms=(PurseTerms("points", expiry, pending_days),))
    assert f"purses[0].{field}" in paths(draft)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"code": "Base"}, "code"),
        ({"code": "x" * 41}, "code"),
        ({"purse": ""}, "purse"),
        ({"purse": "gold"}, "purse"),
        ({"grant": Rate(0, 100)}, "rate.units"),
        ({"grant": Rate(1, 0)}, "rate.money_minor"),
        ({"grant": Rate(-1, 100)}, "rate.units"),
        ({"grant": Rate(1_001, 1)}, "rate"),
        ({"grant": Rate(MAX_UNITS + 1, MAX_UNITS)}, "rate.units"),
        ({"grant": Fixed(0)}, "fixed_units"),
        ({"grant": Fixed(MAX_UNITS + 1)}, "fixed_units"),
        ({"grant": Multiplier(2_000)}, "multiplier_milli"),
        ({"lines": LineSelector()}, "lines"),
        ({"lines": LineSelector(groups=("food/",))}, "lines.groups[0]"),
        ({"lines": LineSelector(tags=("a", "a"))}, "lines.tags[1]"),
        ({"lines": LineSelector(skus=("",))}, "lines.skus[0]"),
        ({"lines": LineSelector(brands=tuple(str(at) for at in range(501)))}, "lines.brands"),
        ({"window": TimeWindow("2026-13-01")}, "window.start_date"),
        ({"window": TimeWindow("2026-01-02", "2026-01-01")}, "window.end_date"),
        ({"window": TimeWindow(weekdays=(0,))}, "window.weekdays"),
        ({"window": TimeWindow(weekdays=(1, 1))}, "window.weekdays"),
        ({"window": TimeWindow(start_minute=1_440)}, "window.start_minute"),
        ({"window": TimeWindow(end_minute=1_441)}, "window.end_minute"),
        ({"window": TimeWindow(start_minute=60, end_minute=60)}, "window.end_minute"),
        ({"condition": "purchase.totl > 1"}, "condition"),
        ({"condition": "purchase.total"}, "condition"),
        ({"condition": "purchase.total > 'much'"}, "condition"),
        ({"condition": "activity.code == 'x'"}, "condition"),
        ({"condition": "x" * 1_001}, "condition"),
        ({"daily_cap_units": -1}, "daily_cap_units"),
        ({"funder": "x" * 65}, "funder"),
        ({"campaign": "a\tb"}, "campaign"),
        ({"receipt_text": (("", "x"),)}, "receipt_text"),
        ({"receipt_text": (("en", "x"), ("EN", "y"))}, "receipt_text"),
        ({"receipt_text": (("fa", "x" * 201),)}, "receipt_text.fa"),
        ({"receipt_text": tuple((f"x{'a' * at}", "x") for at in range(1, 22))}, "receipt_text"),
    ],
)
def test_a_mistake_in_a_rule_is_found_at_its_place(change: dict[str, object], field: str) -> None:
    assert paths(replace(GOOD, rules=(replace(BASE, **change),))) == [f"rules[0].{field}"]


@pytest.mark.parametrize("milli", [-1, 0, 1_000, 100_001])
def test_a_multiplier_raises_and_by_no_absurd_number(milli: int) -> None:
    draft = replace(GOOD, rules=(BASE, EarningRule("more", Multiplier(milli), "points")))
    assert paths(draft) == ["rules[1].multiplier_milli"]


def test_an_exclusion_gives_nothing_and_says_nothing_on_the_receipt() -> None:
    plain = EarningRule("no", Exclusion())
    assert paths(replace(GOOD, rules=(plain,))) == []
    full = replace(plain, purse="points", daily_cap_units=1, receipt_text=(("en", "x"),))
    assert paths(replace(GOOD, rules=(full,))) == [
        "rules[0].purse",
        "rules[0].daily_cap_units",
        "rules[0].receipt_text",
    ]


@pytest.mark.parametrize(
    ("activity", "field"),
    [
        (ActivityRule("Visit!"), "code"),
        (ActivityRule("visit", "gold", 1), "purse"),
        (ActivityRule("visit", "points", 0), "units"),
        (ActivityRule("visit", "", 5), "units"),
        (ActivityRule("visit", "", 0, 3), "daily_limit"),
        (ActivityRule("visit", "points", 5, -1), "daily_limit"),
        (ActivityRule("visit", condition="purchase.total > 1"), "condition"),
        (ActivityRule("visit", condition="activity.attributes.score > 5"), "condition"),
        (ActivityRule("visit", receipt_text=(("fa", " "),)), "receipt_text.fa"),
    ],
)
def test_a_mistake_in_an_activity_is_found_at_its_place(activity: ActivityRule, field: str) -> None:
    assert paths(replace(GOOD, activities=(activity,))) == [f"activities[0].{field}"]


@pytest.mark.parametrize(
    "condition",
    [
        "purchase.codes[0] == 'A'",
        "'A' in purchase.codes && purchase.tenders[1] == 'points'",
        "10000 / (purchase.total - 2) > 1",
    ],
)
def test_a_condition_that_some_purchases_cannot_satisfy_is_no_mistake(condition: str) -> None:
    assert validate(replace(GOOD, rules=(replace(BASE, condition=condition),))) == ()


def test_texts_of_all_scripts_and_their_invisible_marks_are_welcome() -> None:
    words = "می\u200cتوانید \u200f{units}\u200f امتیاز خرج کنید"
    draft = replace(GOOD, rules=(replace(BASE, receipt_text=(("fa-IR", words), ("ar", "نقاط"))),))
    assert validate(draft) == ()


def test_all_mistakes_are_told_at_once() -> None:
    bad = tuple(replace(BASE, code=f"r{at}", purse="gold") for at in range(3))
    assert paths(replace(GOOD, rules=bad)) == [f"rules[{at}].purse" for at in range(3)]
