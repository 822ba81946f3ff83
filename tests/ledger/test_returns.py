"""A return undoes exactly what came back, and no sequence of returns undoes more or less than was earned."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from node.ledger.account import Purse
from node.ledger.awards import Award
from node.ledger.events import Earned, Returned, ReturnUndone, Sold
from node.ledger.lots import Lot
from node.ledger.purchase import MAX_LINES
from node.ledger.refusals import Reason, Refused
from node.ledger.returns import LineBack, Part, amend, part_of_purchase
from node.ledger.transactions import Amendment, TransactionKind
from tests.ledger.ledger_shop import Shop, award, day, line, purchase, reason

TWO_LINES = purchase(0, line(1, 60), line(2, 40))


def returned(entry: object) -> Returned:
    event = entry.events[0]  # type: ignore[attr-defined]  # an entry
    assert isinstance(event, Returned)
    return event


def test_a_line_that_comes_back_takes_back_what_it_earned() -> None:
    shop = Shop()
    sale = shop.earn(award(10, 9, line_shares=((1, 7), (2, 3))), purchase=TWO_LINES)

    entry = shop.give_back(sale, 2)

    assert entry.kind is TransactionKind.RETURN
    assert returned(entry) == Returned(sale.sequence, ((2, 1000),), 40, (3,))
    assert shop.purse().lots == (Lot(7, day(9)),)


def test_without_lines_named_everything_that_is_still_out_comes_back() -> None:
    shop = Shop()
    sale = shop.earn(award(10, line_shares=((1, 7), (2, 3))), award(2), purchase=TWO_LINES)
    shop.give_back(sale, 2)

    entry = shop.give_back(sale)

    assert returned(entry).lines == ((1, 1000),)
    assert shop.purse() == Purse()
    assert reason(shop.returning(sale)) is Reason.RETURN_EXCEEDS_PURCHASE


def test_a_purchase_without_lines_comes_back_by_amount_in_proportion() -> None:
    shop = Shop()
    sale = shop.earn(award(10))

    assert returned(shop.give_back(sale, minor=25)).award_units == (2,)
    assert returned(shop.give_back(sale, minor=25)).award_units == (3,), "of 50 in all, 5 in all"
    assert reason(shop.returning(sale, minor=51)) is Reason.RETURN_EXCEEDS_PURCHASE
    assert returned(shop.give_back(sale)).minor == 50
    assert shop.purse() == Purse()


@pytest.mark.parametrize(
    ("backs", "why"),
    [
        ([LineBack(3, 0)], Reason.INVALID_ARGUMENT),
        ([LineBack(1, 1001)], Reason.RETURN_EXCEEDS_PURCHASE),
        ([LineBack(1, -1)], Reason.RETURN_EXCEEDS_PURCHASE),
        ([LineBack(1, 600), LineBack(1, 500)], Reason.RETURN_EXCEEDS_PURCHASE),
        ([LineBack(1, 0), LineBack(1, 0)], Reason.RETURN_EXCEEDS_PURCHASE),
        ([LineBack(1, 2**63 - 1)], Reason.RETURN_EXCEEDS_PURCHASE),
    ],
)
def test_no_more_of_a_line_comes_back_than_was_bought(backs: list[LineBack], why: Reason) -> None:
    shop = Shop()
    sale = shop.earn(award(10), purchase=TWO_LINES)

    assert reason(shop.returning(sale, *backs)) is why
    shop.give_back(sale, LineBack(1, 600))
    assert reason(shop.returning(sale, LineBack(1, 401))) is Reason.RETURN_EXCEEDS_PURCHASE
    shop.give_back(sale, LineBack(1, 400))
    assert reason(shop.returning(sale, 1)) is Reason.RETURN_EXCEEDS_PURCHASE


def test_lines_and_amounts_are_named_only_where_they_suit_the_purchase() -> None:
    shop = Shop()
    with_lines, without = shop.earn(award(10), purchase=TWO_LINES), shop.earn(award(10))

    assert reason(shop.returning(with_lines, minor=5)) is Reason.INVALID_ARGUMENT
    assert reason(shop.returning(without, 1)) is Reason.INVALID_ARGUMENT
    assert reason(shop.returning(without, minor=-5)) is Reason.RETURN_EXCEEDS_PURCHASE


def test_a_line_without_quantity_comes_back_once_and_as_a_whole() -> None:
    shop = Shop()
    bag = purchase(0, line(1, 60), line(2, 40, quantity_milli=0))
    sale = shop.earn(award(10, line_shares=((1, 7), (2, 3))), purchase=bag)

    assert reason(shop.returning(sale, LineBack(2, 1))) is Reason.RETURN_EXCEEDS_PURCHASE
    assert returned(shop.give_back(sale, 2)) == Returned(sale.sequence, ((2, 0),), 40, (3,))
    assert reason(shop.returning(sale, 2)) is Reason.RETURN_EXCEEDS_PURCHASE
    assert returned(shop.give_back(sale)).lines == ((1, 1000),)


def test_a_discount_line_never_makes_a_return_worth_more_than_the_purchase() -> None:
    shop = Shop()
    coupon = purchase(0, line(1, 100), line(2, -20))
    sale = shop.earn(award(8, line_shares=((1, 10), (2, -2))), award(4), purchase=coupon)

    first = returned(shop.give_back(sale, 1))
    second = returned(shop.give_back(sale, 2))

    assert (first.minor, first.award_units) == (80, (8, 4)), "all that was paid and all that was earned"
    assert (second.minor, second.award_units) == (0, (0, 0))
    assert shop.purse() == Purse()


def test_a_discount_line_that_comes_back_late_makes_no_return_below_zero() -> None:
    shop = Shop()
    coupon = purchase(0, line(1, 100), line(2, -20), line(3, 50))
    sale = shop.earn(award(13, line_shares=((1, 10), (2, -2), (3, 5))), purchase=coupon)

    backs = [returned(shop.give_back(sale, number)) for number in (1, 2, 3)]

    assert [(back.minor, back.award_units) for back in backs] == [(100, (10,)), (0, (0,)), (30, (3,))]


def test_the_purchase_of_nothing_has_no_part_that_could_come_back() -> None:
    shop = Shop()

    assert reason(shop.returning(shop.earn(award(5), purchase=purchase(0)))) is Reason.RETURN_EXCEEDS_PURCHASE
    free = purchase(0, line(1, 10), line(2, -10))
    sale = shop.earn(award(5), purchase=free)
    assert returned(shop.give_back(sale, 1)).award_units == (0,), "until all of it is back"
    assert returned(shop.give_back(sale, 2)).award_units == (5,)


@st.composite
def earnings(draw: st.DrawFn) -> Earned:
    quantities = st.sampled_from([0, 1, 333, 1000, 3000])
    drawn = draw(st.lists(st.tuples(quantities, st.integers(-50, 200)), max_size=5))
    lines = tuple(line(number, net, quantity) for number, (quantity, net) in enumerate(drawn, 1))
    total = sum(one.net_minor for one in lines) if lines else draw(st.integers(0, 500))
    assume(total >= 0)
    awards = []
    for spread in draw(st.lists(st.booleans(), min_size=1, max_size=3)):
        shares = tuple((one.number, draw(st.integers(-3, 20))) for one in lines) if spread else ()
        units = sum(share for _, share in shares) if shares else draw(st.integers(0, 40))
        assume(units >= 0)
        awards.append(Award("rule", "points", units, line_shares=shares))
    return Earned(purchase(total, *lines), tuple(awards))


@given(earnings(), st.data())
def test_whatever_comes_back_in_whatever_steps_all_of_it_takes_back_exactly_what_was_earned(
    earned: Earned, data: st.DataObject
) -> None:
    amended, sale = Amendment(1), earned.purchase
    for _ in range(data.draw(st.integers(0, 5))):
        if sale.lines:
            number = data.draw(st.integers(1, len(sale.lines)))
            quantity = sale.lines[number - 1].quantity_milli - amended.lines.get(number, 0)
            backs, minor = [LineBack(number, data.draw(st.integers(0, quantity)))], 0
        else:
            backs, minor = [], data.draw(st.integers(0, sale.total_minor))
        part = part_of_purchase(1, earned, amended, backs, minor)
        if isinstance(part, Refused):
            assert part.reason is Reason.RETURN_EXCEEDS_PURCHASE
            continue
        amended = amend(amended, Returned(1, part.lines, part.minor, part.award_units), 5)
        assert_never_too_much(earned, amended)
    rest = part_of_purchase(1, earned, amended, [], 0)
    if isinstance(rest, Part):
        amended = amend(amended, Returned(1, rest.lines, rest.minor, rest.award_units), 5)
    if sale.lines or sale.total_minor:
        assert amended.award_units == tuple(award.units for award in earned.awards)
        assert amended.minor == sale.total_minor


def assert_never_too_much(earned: Earned, amended: Amendment) -> None:
    """On the way no more comes back than the exact share of the lines, and never more than was granted."""
    sale = earned.purchase
    assert 0 <= amended.minor <= sale.total_minor
    for one_award, units in zip(earned.awards, amended.award_units, strict=True):
        assert 0 <= units <= one_award.units
        if one_award.line_shares and all(share >= 0 for _, share in one_award.line_shares):
            parts = [
                share * (Fraction(amended.lines[number], one.quantity_milli) if one.quantity_milli else 1)
                for (number, share), one in zip(one_award.line_shares, sale.lines, strict=True)
                if number in amended.lines
            ]
            assert units <= sum(parts), "rounding favours the member"


@given(earnings(), st.data())
def test_a_return_that_is_undone_leaves_no_trace_in_what_came_back(
    earned: Earned, data: st.DataObject
) -> None:
    amended, sale = Amendment(1), earned.purchase
    undoable: list[Returned] = []
    for _ in range(data.draw(st.integers(1, 5))):
        backs = [LineBack(data.draw(st.integers(1, len(sale.lines))), 0)] if sale.lines else []
        minor = 0 if sale.lines else data.draw(st.integers(1, 100))
        part = part_of_purchase(1, earned, amended, backs, minor)
        if isinstance(part, Part):
            undoable.append(Returned(1, part.lines, part.minor, part.award_units))
            amended = amend(amended, undoable[-1], 5)
    for event in data.draw(st.permutations(undoable)):
        amended = amend(amended, ReturnUndone(1, event.lines, event.minor, event.award_units), 6)
        assert_never_too_much(earned, amended)

    assert (amended.lines, amended.minor, set(amended.award_units) <= {0}) == ({}, 0, True)


def test_an_anonymous_sale_comes_back_too() -> None:
    part = part_of_purchase(1, Sold(TWO_LINES), Amendment(1), [LineBack(2, 500)], 0)

    assert part == Part(1, ((2, 500),), 20, ())


def test_half_of_a_wholesale_receipt_takes_back_half_of_what_it_earned() -> None:
    lines = tuple(line(number, 10) for number in range(1, MAX_LINES + 1))
    shares = tuple((one.number, 2) for one in lines)
    earned = Earned(purchase(0, *lines), (award(2 * MAX_LINES, line_shares=shares), award(100)))

    part = part_of_purchase(1, earned, Amendment(1), [LineBack(one.number, 500) for one in lines], 0)

    assert isinstance(part, Part)
    assert (part.minor, part.award_units) == (5 * MAX_LINES, (MAX_LINES, 50))
