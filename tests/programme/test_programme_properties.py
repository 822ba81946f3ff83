"""What holds for every programme and every purchase, whatever they are."""

from __future__ import annotations

import random
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from node.ledger.account import Account, Counter
from node.ledger.awards import Award
from node.ledger.purchase import Activity, Line, Purchase
from node.ledger.purses import PurseDefinition, PurseKind
from node.programme.arithmetic import ROUNDERS, split
from node.programme.compile import compile_programme
from node.programme.evaluate import CompiledProgramme, UnknownActivity
from node.programme.explain import explain
from node.programme.model import (
    ActivityRule,
    EarningRule,
    Exclusion,
    Fixed,
    Grant,
    LineSelector,
    Multiplier,
    Programme,
    Rate,
    Rounding,
    TimeWindow,
)

NOON_MS = 1_773_995_400_000
DAY_MS = 86_400_000
_PURSES = ("points", "stamps")
_GROUPS = ("food", "food/dairy", "food/meat", "home")
_TAGS = ("organic", "promo")

_grants: st.SearchStrategy[Grant] = st.one_of(
    st.builds(Rate, st.integers(1, 500), st.integers(1, 2_000), st.sampled_from(Rounding)),
    st.builds(Fixed, st.integers(1, 1_000)),
    st.builds(Multiplier, st.integers(1_001, 100_000)),
    st.just(Exclusion()),
)
_selectors = st.none() | st.builds(
    LineSelector,
    st.lists(st.sampled_from(_GROUPS), max_size=2, unique=True).map(tuple),
    st.lists(st.sampled_from(_TAGS), max_size=1).map(tuple),
)
_conditions = st.sampled_from(
    ["", "", "purchase.total > 500", "'A' in purchase.codes", "purchase.codes[2] == 'A'"]
)
_windows = st.none() | st.builds(
    TimeWindow, weekdays=st.sampled_from([(), (5,), (1, 2)]), start_minute=st.sampled_from([0, 600, 1_000])
)
_caps = st.sampled_from([0, 0, 1, 7, 100])


@st.composite
def programmes(draw: st.DrawFn) -> CompiledProgramme:
    count = draw(st.integers(0, 6))
    rules = []
    for at in range(count):
        grant = draw(_grants)
        purse = "" if isinstance(grant, Exclusion) else draw(st.sampled_from(_PURSES))
        cap = 0 if isinstance(grant, Exclusion) else draw(_caps)
        selector, window, condition = draw(_selectors), draw(_windows), draw(_conditions)
        rules.append(EarningRule(f"rule-{at}", grant, purse, selector, window, condition, cap))
    purses = tuple(PurseDefinition(code, PurseKind.POINTS) for code in _PURSES)
    activity = ActivityRule("visit", "points", draw(st.integers(1, 20)), draw(st.integers(0, 3)))
    programme = Programme(1, "any", purses=purses, rules=tuple(rules), activities=(activity,))
    return compile_programme(programme, tz="Asia/Tehran", currency="IRR")


@st.composite
def purchases(draw: st.DrawFn) -> Purchase:
    nets = draw(st.lists(st.integers(-500, 5_000) | st.integers(0, 10**12), max_size=6))
    lines = tuple(
        Line(
            number,
            f"sku-{number}",
            tuple(draw(st.sampled_from(_GROUPS)).split("/")),
            1_000,
            net,
            tags=draw(st.sampled_from([(), ("organic",), _TAGS])),
        )
        for number, net in enumerate(nets, 1)
    )
    total = (
        draw(st.sampled_from([sum(nets), max(0, sum(nets) - 300)])) if nets else draw(st.integers(-5, 10**15))
    )
    return Purchase("s", "r", total, "IRR", lines=lines, codes=draw(st.sampled_from([(), ("A",)])))


def account(*counters: Counter) -> Account:
    return Account(b"a" * 16, counters=counters)


@given(st.integers(0, 10**15), st.lists(st.integers(1, 10**12), max_size=20))
def test_shares_sum_to_the_award_and_differ_from_the_exact_part_by_less_than_one(
    units: int, weights: list[int]
) -> None:
    numbered = list(enumerate(weights, 1))
    shares = split(units, numbered)
    if not weights:
        assert shares == ()
        return
    assert sum(share for _, share in shares) == units
    given = dict(shares)
    for number, weight in numbered:
        assert abs(given.get(number, 0) - Fraction(units * weight, sum(weights))) < 1


@given(st.sampled_from(Rounding), st.integers(0, 10**18), st.integers(1, 10**9))
def test_rounding_stays_within_one_and_halves_go_where_the_rule_says(
    rounding: Rounding, numerator: int, denominator: int
) -> None:
    exact = Fraction(numerator, denominator)
    rounded = ROUNDERS[rounding](numerator, denominator)
    assert abs(rounded - exact) < 1
    match rounding:
        case Rounding.DOWN:
            assert rounded <= exact
        case Rounding.UP:
            assert rounded >= exact
        case Rounding.HALF_EVEN:
            assert rounded == round(exact)
        case Rounding.HALF_UP:
            assert rounded == (exact + Fraction(1, 2)).__floor__()


@settings(max_examples=400, deadline=None)
@given(programmes(), purchases(), st.sampled_from([NOON_MS, NOON_MS + DAY_MS]))
def test_awards_are_above_zero_and_their_shares_sum_and_lie_on_real_lines(
    programme: CompiledProgramme, purchase: Purchase, occurred_ms: int
) -> None:
    awards = programme.evaluate(purchase, account(), occurred_ms)
    positive = {line.number for line in purchase.lines if line.net_minor > 0}
    for award in awards:
        assert award.units > 0
        assert all(share > 0 and number in positive for number, share in award.line_shares)
        assert len({number for number, _ in award.line_shares}) == len(award.line_shares)
        assert sum(share for _, share in award.line_shares) == (award.units if purchase.lines else 0)
    assert len({award.rule for award in awards}) == len(awards)


@settings(max_examples=200, deadline=None)
@given(programmes(), purchases(), st.randoms(use_true_random=False))
def test_the_order_of_the_lines_changes_nothing_but_the_order_of_the_shares(
    programme: CompiledProgramme, purchase: Purchase, chance: random.Random
) -> None:
    lines = list(purchase.lines)
    chance.shuffle(lines)

    def shape(awards: tuple[Award, ...]) -> list[Award]:
        return [replace(award, line_shares=tuple(sorted(award.line_shares))) for award in awards]

    shuffled = replace(purchase, lines=tuple(lines))
    assert shape(programme.evaluate(purchase, None, NOON_MS)) == shape(
        programme.evaluate(shuffled, None, NOON_MS)
    )


@settings(max_examples=200, deadline=None)
@given(programmes(), st.lists(st.tuples(purchases(), st.integers(0, 1)), max_size=8))
def test_no_sequence_of_purchases_passes_a_daily_cap(
    programme: CompiledProgramme, sequence: list[tuple[Purchase, int]]
) -> None:
    counted: dict[tuple[str, int], int] = {}
    for purchase, day in sequence:
        counters = [Counter(name, on, units) for (name, on), units in counted.items()]
        for award in programme.evaluate(purchase, account(*counters), NOON_MS + day * DAY_MS):
            if award.counter:
                key = (award.counter, award.day)
                counted[key] = counted.get(key, 0) + award.units
    caps = {rule.code: rule.daily_cap_units for rule in programme.programme.rules}
    assert all(units <= caps[name] for (name, _), units in counted.items())


@settings(deadline=None)
@given(programmes(), st.integers(1, 8))
def test_an_activity_is_rewarded_as_often_a_day_as_it_says(programme: CompiledProgramme, times: int) -> None:
    [rule] = programme.programme.activities
    counters: tuple[Counter, ...] = ()
    rewarded = 0
    for _ in range(times):
        awards = programme.evaluate_activity(Activity("visit"), account(*counters), NOON_MS)
        assert not isinstance(awards, UnknownActivity)
        for award in awards:
            rewarded += 1
            assert award.units == rule.units
            counters += (Counter(award.counter, award.day, award.units),)
    assert rewarded == (min(times, rule.daily_limit) if rule.daily_limit else times)


@settings(max_examples=300, deadline=None)
@given(programmes(), purchases(), st.sampled_from([NOON_MS, NOON_MS + DAY_MS]))
def test_an_explanation_says_of_every_rule_what_evaluation_does(
    programme: CompiledProgramme, purchase: Purchase, occurred_ms: int
) -> None:
    awards = {award.rule: award.units for award in programme.evaluate(purchase, None, occurred_ms)}
    faults = programme.condition_faults()
    explained = explain(programme, purchase, None, occurred_ms)
    assert programme.condition_faults() == faults
    assert [each.rule for each in explained] == [rule.code for rule in programme.programme.rules]
    exclusions = {rule.code for rule in programme.programme.rules if isinstance(rule.grant, Exclusion)}
    for each in explained:
        assert each.reason
        assert each.units == awards.get(each.rule, 0)
        if each.rule not in exclusions:
            assert each.applied == (each.rule in awards)
