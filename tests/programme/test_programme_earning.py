"""What a purchase earns: rates, fixed numbers, exclusions, multipliers, caps, shares, instants."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from node.ledger.account import COUNTER_DAYS, Counter
from node.ledger.events import ActivityEarned
from node.ledger.evolve import evolve
from node.ledger.purchase import Activity
from node.ledger.purses import MAX_UNITS
from node.programme.model import (
    EarningRule,
    Exclusion,
    Fixed,
    LineSelector,
    Multiplier,
    Rate,
    Rounding,
)
from tests.programme.shop import BASE, DAIRY, NOON, at, line, member, programme, sale, units


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        (Rounding.DOWN, (1, 2, 2, 3)),
        (Rounding.UP, (2, 3, 3, 4)),
        (Rounding.HALF_UP, (1, 3, 3, 4)),
        (Rounding.HALF_EVEN, (1, 2, 3, 4)),
    ],
)
def test_a_rate_is_rounded_once_as_its_rule_says(rounding: Rounding, expected: tuple[int, ...]) -> None:
    made = programme(EarningRule("base", Rate(1, 100, rounding), "points"))
    given = tuple(made.evaluate(sale(total), None, NOON)[0].units for total in (149, 250, 251, 350))
    assert given == expected


def test_the_sum_of_the_lines_is_rounded_and_not_each_line() -> None:
    awards = programme(BASE).evaluate(sale(150, line(1, 50), line(2, 50), line(3, 50)), None, NOON)
    assert units(awards) == {"base": 1}


def test_base_rules_add_up() -> None:
    made = programme(
        BASE, EarningRule("dairy", Rate(1, 50), "points", DAIRY), EarningRule("gift", Fixed(7), "points")
    )
    awards = made.evaluate(sale(300, line(1, 100), line(2, 200, "food/meat")), None, NOON)
    assert units(awards) == {"base": 3, "dairy": 2, "gift": 7}


def test_lines_never_earn_on_more_than_is_paid_in_all() -> None:
    assert units(programme(BASE).evaluate(sale(500, line(1, 900)), None, NOON)) == {"base": 5}


def test_nothing_is_earned_where_the_lines_sum_to_nothing_or_less() -> None:
    made = programme(BASE, EarningRule("dairy", Fixed(5), "points", DAIRY))
    refund = sale(100, line(1, 300, "food/meat"), line(2, -200))
    assert units(made.evaluate(refund, None, NOON)) == {"base": 1}
    assert made.evaluate(sale(0, line(1, 0)), None, NOON) == ()
    assert made.evaluate(sale(-100), None, NOON) == ()


def test_where_nothing_is_paid_not_even_a_fixed_number_is_earned() -> None:
    made = programme(EarningRule("gift", Fixed(5), "points"))
    assert made.evaluate(sale(0, line(1, 300)), None, NOON) == ()


def test_a_purchase_in_another_currency_earns_nothing() -> None:
    assert programme(BASE).evaluate(sale(1_000, currency="USD"), None, NOON) == ()


def test_without_lines_rules_for_all_lines_count_on_the_total_and_others_do_not_match() -> None:
    made = programme(BASE, EarningRule("dairy", Rate(1, 1), "points", DAIRY))
    awards = made.evaluate(sale(1_000), None, NOON)
    assert units(awards) == {"base": 10}
    assert awards[0].line_shares == ()


def test_excluded_lines_earn_by_no_rule() -> None:
    tobacco = EarningRule("tobacco", Exclusion(), lines=LineSelector(groups=("tobacco",)))
    made = programme(BASE, EarningRule("gift", Fixed(3), "points"), tobacco)
    basket = sale(1_000, line(1, 400), line(2, 600, "tobacco/cigarettes"))
    awards = made.evaluate(basket, None, NOON)
    assert units(awards) == {"base": 4, "gift": 3}
    assert awards[0].line_shares == ((1, 4),)
    assert made.evaluate(sale(600, line(1, 600, "tobacco")), None, NOON) == ()
    assert units(made.evaluate(sale(600), None, NOON)) == {"base": 6, "gift": 3}


def test_an_exclusion_of_all_lines_takes_out_a_purchase_with_or_without_lines() -> None:
    staff = EarningRule("staff", Exclusion(), condition="'STAFF' in purchase.codes")
    made = programme(BASE, staff)
    for basket in (sale(600), sale(600, line(1, 600))):
        assert units(made.evaluate(basket, None, NOON)) == {"base": 6}
        assert made.evaluate(replace(basket, codes=("STAFF",)), None, NOON) == ()


@pytest.mark.parametrize(
    ("selector", "matched"),
    [
        (LineSelector(groups=("food",)), {1, 2}),
        (LineSelector(groups=("food/dairy",)), {1}),
        (LineSelector(groups=("foo", "food/dai", "dairy")), set()),
        (LineSelector(groups=("home", "food/meat")), {2, 3}),
        (LineSelector(tags=("organic", "promo")), {1, 3}),
        (LineSelector(skus=("sku-2", "sku-3")), {2, 3}),
        (LineSelector(brands=("کاله",)), {1}),
        (LineSelector(tags=("organic",), groups=("food",)), {1}),
        (LineSelector(tags=("organic",), groups=("food/meat",)), set()),
    ],
)
def test_a_selector_matches_the_lines_it_names(selector: LineSelector, matched: set[int]) -> None:
    basket = sale(
        300,
        line(1, 100, tags=("organic",), brand="کاله"),
        line(2, 100, "food/meat"),
        line(3, 100, "home", tags=("promo",)),
    )
    made = programme(EarningRule("all", Rate(1, 1), "points", selector))
    shares = [award.line_shares for award in made.evaluate(basket, None, NOON)]
    assert {number for share in shares for number, _ in share} == matched


def test_shares_follow_what_the_lines_cost_and_sum_to_the_award() -> None:
    made = programme(EarningRule("gift", Fixed(10), "points"))
    [award] = made.evaluate(sale(300, line(1, 100), line(2, 100), line(3, 100), line(4, -5)), None, NOON)
    assert award.line_shares == ((1, 4), (2, 3), (3, 3))


def test_doubling_a_whole_receipt_gives_exactly_the_base_once_more() -> None:
    made = programme(
        BASE,
        EarningRule("x", Rate(3, 7, Rounding.UP), "points"),
        EarningRule("double", Multiplier(2_000), "points"),
    )
    for total in range(1, 400):
        given = units(made.evaluate(sale(total, line(1, total)), None, NOON))
        assert given["double"] == given.get("base", 0) + given["x"]


def test_a_bonus_is_worked_out_before_the_base_is_rounded() -> None:
    made = programme(BASE, EarningRule("triple", Multiplier(3_000), "points"))
    assert units(made.evaluate(sale(150), None, NOON)) == {"base": 1, "triple": 3}


def test_the_largest_multiplier_that_matches_a_line_has_it_alone() -> None:
    made = programme(
        BASE,
        EarningRule("double", Multiplier(2_000), "points"),
        EarningRule("dairy-triple", Multiplier(3_000), "points", DAIRY, funder="dairy-co", campaign="milk"),
    )
    basket = sale(1_000, line(1, 400), line(2, 600, "food/meat"))
    awards = made.evaluate(basket, None, NOON)
    assert units(awards) == {"base": 10, "dairy-triple": 8, "double": 6}
    triple = next(award for award in awards if award.rule == "dairy-triple")
    assert (triple.funder, triple.campaign, triple.line_shares) == ("dairy-co", "milk", ((1, 8),))
    assert units(made.evaluate(sale(1_000), None, NOON)) == {"base": 10, "double": 10}


def test_a_bonus_is_never_on_more_than_the_base_counted_on() -> None:
    made = programme(BASE, EarningRule("dairy", Multiplier(2_000), "points", DAIRY))
    exchange = sale(100, line(1, 300), line(2, -200, "food/meat"))
    assert units(made.evaluate(exchange, None, NOON)) == {"base": 1, "dairy": 1}


def test_a_multiplier_raises_its_own_purse_only() -> None:
    made = programme(
        BASE,
        EarningRule("back", Rate(1, 10), "cash"),
        EarningRule("cash-double", Multiplier(2_000), "cash"),
        EarningRule("points-triple", Multiplier(3_000), "points"),
    )
    awards = {award.rule: (award.purse, award.units) for award in made.evaluate(sale(1_000), None, NOON)}
    assert awards["cash-double"] == ("cash", 100)
    assert awards["points-triple"] == ("points", 20)


def test_what_a_cap_took_from_the_base_is_not_multiplied() -> None:
    made = programme(replace(BASE, daily_cap_units=4), EarningRule("double", Multiplier(2_000), "points"))
    assert units(made.evaluate(sale(1_000, line(1, 1_000)), member(), NOON)) == {"base": 4, "double": 4}


def test_a_daily_cap_leaves_what_the_day_has_left_and_the_next_day_starts_anew() -> None:
    made = programme(replace(BASE, daily_cap_units=10))
    [award] = made.evaluate(sale(800, line(1, 200), line(2, 600)), member(), NOON)
    assert (award.units, award.counter) == (8, "base")
    counted = member(Counter("base", award.day, 8))
    [rest] = made.evaluate(sale(800, line(1, 200), line(2, 600)), counted, NOON)
    assert (rest.units, rest.line_shares) == (2, ((1, 1), (2, 1)))
    assert made.evaluate(sale(800), member(Counter("base", award.day, 10)), NOON) == ()
    assert made.evaluate(sale(800), member(Counter("base", award.day, 99)), NOON) == ()
    [tomorrow] = made.evaluate(sale(800), counted, at("2026-03-21T00:00"))
    assert (tomorrow.units, tomorrow.day) == (8, award.day + 1)


def test_a_cap_leaves_nothing_of_a_day_whose_counters_are_forgotten_and_other_rules_go_on() -> None:
    made = programme(replace(BASE, daily_cap_units=10), EarningRule("free", Fixed(3), "points"))
    day = made.evaluate(sale(800), member(), NOON)[0].day
    still = member(Counter("base", day + COUNTER_DAYS, 1))
    assert units(made.evaluate(sale(800), still, NOON)) == {"base": 8, "free": 3}
    gone = member(Counter("base", day + COUNTER_DAYS + 1, 1))
    assert units(made.evaluate(sale(800), gone, NOON)) == {"free": 3}


def test_however_late_and_in_whatever_order_sales_come_no_day_exceeds_its_cap() -> None:
    made = programme(replace(BASE, daily_cap_units=10))
    account = member()
    brought: dict[int, int] = {}
    for days in (0, 0, 200, 100, 139, 140, 141, 100, 0, 365, 200, 304, 306, 306, 305, 305, 141, 365):
        awards = made.evaluate(sale(800), account, NOON + days * 86_400_000)
        account = evolve(account, ActivityEarned(Activity("x"), awards), NOON)
        brought[days] = brought.get(days, 0) + sum(award.units for award in awards)
    assert max(brought.values()) == 10
    assert brought[365] == 10
    assert brought[304] == 0  # 61 days behind the newest


def test_an_anonymous_sale_shows_what_one_day_could_bring_at_most() -> None:
    assert units(programme(replace(BASE, daily_cap_units=5)).evaluate(sale(9_000), None, NOON)) == {"base": 5}


def test_an_award_never_exceeds_what_the_ledger_moves() -> None:
    made = programme(
        EarningRule("mad", Rate(1_000, 1), "points"), EarningRule("x", Multiplier(100_000), "points")
    )
    awards = made.evaluate(sale(10**15, line(1, 10**15)), None, NOON)
    assert [award.units for award in awards] == [MAX_UNITS, MAX_UNITS]
    assert all(sum(share for _, share in award.line_shares) == award.units for award in awards)
