"""A merchant who tries a draft is told of every rule why it did or did not apply."""

from __future__ import annotations

from msgspec.structs import replace

from node.ledger.account import Account, Counter
from node.ledger.purchase import Line, Purchase
from node.ledger.purses import PurseDefinition, PurseKind
from node.programme.compile import compile_programme
from node.programme.evaluate import CompiledProgramme
from node.programme.explain import explain
from node.programme.model import (
    EarningRule,
    Exclusion,
    LineSelector,
    Multiplier,
    Programme,
    Rate,
    TimeWindow,
)

NOON_MS = 1_773_995_400_000  # Friday 20 March 2026, 12:00 in Tehran
DAY = 20_532
MILK = Line(1, "milk", ("food", "dairy"), 1_000, 400)
SMOKE = Line(2, "smoke", ("tobacco",), 1_000, 600)
BASKET = Purchase("s", "r", 1_000, "IRR", lines=(MILK, SMOKE))
RULES = (
    EarningRule("base", Rate(1, 100), "points"),
    EarningRule("no-tobacco", Exclusion(), lines=LineSelector(groups=("tobacco",))),
    EarningRule("tobacco", Rate(1, 1), "points", LineSelector(groups=("tobacco",))),
    EarningRule("meat", Rate(1, 1), "points", LineSelector(groups=("meat",))),
    EarningRule("big", Rate(1, 1_000_000), "points"),
    EarningRule("capped", Rate(1, 100), "points", daily_cap_units=3),
    EarningRule("monday", Rate(1, 1), "points", window=TimeWindow(weekdays=(1,))),
    EarningRule("night", Rate(1, 1), "points", window=TimeWindow(start_minute=1_320, end_minute=120)),
    EarningRule("rich", Rate(1, 1), "points", condition="purchase.total > 5000"),
    EarningRule("coupon", Rate(1, 1), "points", condition="purchase.codes[0] == 'A'"),
    EarningRule("double", Multiplier(2_000), "points"),
    EarningRule("triple", Multiplier(3_000), "points", LineSelector(groups=("food",))),
)


def compiled() -> CompiledProgramme:
    purses = (PurseDefinition("points", PurseKind.POINTS),)
    programme = Programme(1, "test", purses=purses, rules=RULES)
    return compile_programme(programme, tz="Asia/Tehran", currency="IRR")


def told(purchase: Purchase, account: Account | None = None) -> dict[str, tuple[bool, int, str]]:
    explanations = explain(compiled(), purchase, account, NOON_MS)
    return {each.rule: (each.applied, each.units, each.reason) for each in explanations}


def test_each_rule_says_what_it_met() -> None:
    assert told(BASKET) == {
        "base": (True, 4, "counts on 400 of 1000 paid"),
        "no-tobacco": (True, 0, "takes 1 of 2 lines out"),
        "tobacco": (False, 0, "every line that matches is excluded"),
        "meat": (False, 0, "no line matches"),
        "big": (False, 0, "the amount is too small for one unit"),
        "capped": (True, 3, "the daily cap leaves 3 of 4 units"),
        "monday": (
            False,
            0,
            "the rule's dates or weekdays leave this day out, or its purse's last day is over",
        ),
        "night": (False, 0, "outside the rule's hours"),
        "rich": (False, 0, "the condition is not met"),
        "coupon": (False, 0, "the condition reads beyond the end of a list"),
        "double": (False, 0, "a larger multiplier has its lines, or the bonus is too small for one unit"),
        "triple": (True, 14, "raises what the base rules give to 3 times"),
    }


def test_a_purchase_without_lines_is_explained_as_such() -> None:
    explained = told(replace(BASKET, lines=()))
    assert explained["meat"][2] == "the rule is about certain lines, and the purchase has none"
    assert explained["no-tobacco"] == (False, 0, "no line matches")
    assert explained["double"][:2] == (True, 13)


def test_a_cap_that_is_used_up_is_named() -> None:
    account = Account(b"a" * 16, counters=(Counter("capped", DAY, 3),))
    assert told(BASKET, account)["capped"] == (False, 0, "the daily cap is used up")


def test_a_purchase_that_cannot_earn_says_why_for_every_rule() -> None:
    assert {reason for _, _, reason in told(replace(BASKET, total_minor=0)).values()} == {"nothing is paid"}
    reasons = {reason for _, _, reason in told(replace(BASKET, currency="USD")).values()}
    assert reasons == {"the purchase is in USD, and rates are in IRR"}
    assert not told(replace(BASKET, lines=(SMOKE,)))["base"][0]
