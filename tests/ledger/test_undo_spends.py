"""A spend that is undone gives back the very units that it took, with the time they had to live."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from node.ledger.account import Purse
from node.ledger.events import Credited, Debited, Returned, Reversed
from node.ledger.lots import GRACE_MS, Lot
from node.ledger.postings import REDEEMED
from node.ledger.purses import SpentReturnPolicy
from node.ledger.refusals import Reason
from tests.ledger.ledger_shop import CASH, CLIP, NEGATIVE, RECOVER, Shop, award, day, reason

CREDIT = replace(CASH, credit_limit=20)


def test_a_return_of_a_spend_cannot_be_undone_once_the_spend_was_reversed() -> None:
    shop = Shop()
    shop.earn(award(10))
    spent = shop.redeem(points=8)
    back = shop.give_back(spent, minor=3)
    shop.reverse(spent)

    assert reason(shop.reversing(back)) is Reason.ALREADY_REVERSED
    assert shop.purse().spendable == 10


def test_a_returned_spend_comes_back_with_the_expiry_it_had() -> None:
    shop = Shop()
    shop.earn(award(5, 5), award(5, 9), award(5))
    spent = shop.redeem(points=12)

    entry = shop.give_back(spent, minor=6)
    assert entry.events == (
        Returned(spent.sequence, (), 6),
        Credited("points", (Lot(2), Lot(4, day(9))), REDEEMED),
    )
    shop.give_back(spent)

    assert shop.purse().lots == (Lot(5, day(5)), Lot(5, day(9)), Lot(5))
    assert reason(shop.returning(spent)) is Reason.RETURN_EXCEEDS_PURCHASE


def test_a_spend_that_comes_back_after_its_units_expired_has_seven_days() -> None:
    shop = Shop()
    shop.earn(award(5, 5))
    spent = shop.redeem(points=5)
    shop.on_day(6)

    shop.reverse(spent)

    assert shop.purse().lots == (Lot(5, day(6) + GRACE_MS),)


def test_a_spend_on_credit_is_made_good_and_its_lots_keep_their_expiry() -> None:
    shop = Shop(CREDIT)
    shop.earn(award(10, 9, "cash"))
    before = shop.purse("cash")

    shop.reverse(shop.redeem(cash=25))

    assert shop.purse("cash") == before


def test_a_spend_on_credit_comes_back_in_parts_the_debt_first() -> None:
    shop = Shop(CREDIT)
    shop.earn(award(10, 9, "cash"))
    spent = shop.redeem(cash=25)

    assert shop.give_back(spent, minor=12).events[1] == Credited("cash", (), REDEEMED, 12)
    assert shop.give_back(spent, minor=5).events[1] == Credited("cash", (Lot(2, day(9)),), REDEEMED, 3)
    shop.reverse(spent)

    assert shop.purse("cash") == Purse(lots=(Lot(10, day(9)),), spendable=10)


def test_a_returned_capture_gives_back_what_was_captured_and_no_more() -> None:
    shop = Shop()
    shop.earn(award(5, 5), award(5, 9))
    captured = shop.capture(shop.authorize(points=8), points=6)

    shop.give_back(captured, minor=2)
    assert reason(shop.returning(captured, minor=5)) is Reason.RETURN_EXCEEDS_PURCHASE
    shop.reverse(captured)

    assert shop.purse().lots == (Lot(5, day(5)), Lot(5, day(9)))


def test_a_spend_from_several_purses_comes_back_as_a_whole() -> None:
    shop = Shop()
    shop.earn(award(10, 5), award(10, 9, "cash"))
    before = shop.account.purses
    spent = shop.redeem(points=4, cash=3)

    assert reason(shop.returning(spent, minor=4)) is Reason.INVALID_ARGUMENT
    shop.give_back(spent)

    assert shop.account.purses == before
    assert reason(shop.returning(spent)) is Reason.RETURN_EXCEEDS_PURCHASE
    assert shop.reverse(spent).events == (Reversed(spent.sequence),), "nothing is left to give"


def test_lines_are_never_named_for_a_spend() -> None:
    """A till that takes a redemption for a purchase must not give all of it back."""
    shop = Shop()
    shop.earn(award(10))

    assert reason(shop.returning(shop.redeem(points=4), 1)) is Reason.INVALID_ARGUMENT


def test_a_reversed_hold_gives_back_what_it_reserved_unless_it_was_captured() -> None:
    shop = Shop()
    shop.earn(award(10, 5))
    hold = shop.authorize(points=4)
    placed = shop.world.entries[hold - 1]

    shop.reverse(placed)
    assert shop.purse() == Purse(lots=(Lot(10, day(5)),), spendable=10)

    second = shop.authorize(points=4)
    captured = shop.capture(second)
    assert reason(shop.reversing(shop.world.entries[second - 1])) is Reason.AUTHORIZATION_NOT_OPEN
    shop.reverse(captured)
    assert shop.purse() == Purse(lots=(Lot(10, day(5)),), spendable=10)


def test_undoing_the_return_of_a_spend_takes_the_very_units_again() -> None:
    shop = Shop()
    shop.earn(award(5, 20))
    spent = shop.redeem(points=5)
    shop.earn(award(5, 3))
    back = shop.give_back(spent)

    entry = shop.reverse(back)

    assert entry.events[2] == Debited("points", REDEEMED, (Lot(5, day(20)),))
    assert shop.purse().lots == (Lot(5, day(3)),)
    assert shop.amended(spent).minor == 0


def test_undoing_the_return_of_a_spend_takes_no_units_that_expired_meanwhile() -> None:
    shop = Shop()
    shop.earn(award(5, 3))
    spent = shop.redeem(points=5)
    back = shop.give_back(spent)
    shop.on_day(3)
    shop.earn(award(9))

    shop.reverse(back)

    assert shop.purse().spendable == 9, "those five are the merchant's already"


@pytest.mark.parametrize(("definition", "left"), [(NEGATIVE, -3), (CLIP, None), (RECOVER, None)])
def test_undoing_the_return_of_a_spend_goes_below_zero_only_by_policy(
    definition: object, left: int | None
) -> None:
    shop = Shop(definition)  # type: ignore[arg-type]  # an account of its own for each example
    shop.earn(award(5))
    back = shop.give_back(shop.redeem(points=5))
    shop.redeem(points=3)

    if left is None:
        assert reason(shop.reversing(back)) is Reason.INSUFFICIENT_BALANCE
        assert shop.purse().spendable == 2
    else:
        shop.reverse(back)
        assert shop.purse().spendable == left


def test_undoing_the_return_of_a_spend_on_credit_uses_the_credit_again() -> None:
    shop = Shop(replace(CREDIT, spent_return_policy=SpentReturnPolicy.CLIP))
    shop.earn(award(5, purse="cash"))
    back = shop.give_back(shop.redeem(cash=20))

    shop.reverse(back)

    assert shop.purse("cash") == Purse(debt=15, spendable=-15)
