"""A member spends what is there, all of what was asked or nothing, and a reservation never costs a unit."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from node.ledger import spending
from node.ledger.account import Purse, Status, Taken
from node.ledger.decision import Decision
from node.ledger.events import HoldClosed, HoldPlaced, Spent
from node.ledger.lots import GRACE_MS, Lot
from node.ledger.purses import MAX_UNITS, PurseDefinition, PurseKind, RedemptionRate
from node.ledger.refusals import Reason
from node.ledger.spending import MAX_HOLDS, MAX_SPENDS, Place, SpendRequest
from node.ledger.transactions import TransactionKind
from tests.ledger.ledger_shop import CASH, PLACE, POINTS, Shop, award, day, reason

CREDIT = replace(CASH, credit_limit=20)
RATED = replace(POINTS, rate=RedemptionRate(3, 10))


def redeeming(shop: Shop, *spends: SpendRequest, place: Place = PLACE) -> Decision:
    return spending.redeem(shop.account, spends, place, "r2", shop.context)


def authorizing(shop: Shop, *spends: SpendRequest, seconds: int = 900) -> Decision:
    return spending.authorize(shop.account, spends, PLACE, seconds, shop.context)


def capturing(shop: Shop, hold: int, *spends: SpendRequest) -> Decision:
    return spending.capture(shop.account, hold, spends, "r3", shop.context)


def test_what_expires_first_is_spent_first() -> None:
    shop = Shop()
    shop.earn(award(10), award(10, 9), award(10, 5))

    entry = shop.redeem(points=15)

    assert entry.kind is TransactionKind.REDEMPTION
    assert entry.events == (Spent((Taken("points", (Lot(10, day(5)), Lot(5, day(9)))),), "s1", "r2"),)
    assert shop.purse().lots == (Lot(5, day(9)), Lot(10))


def test_exactly_the_balance_can_be_spent_and_not_one_unit_more() -> None:
    shop = Shop()
    shop.earn(award(10), award(5, available_ms=day(1)))

    refused = redeeming(shop, SpendRequest("points", 11))
    assert reason(refused) is Reason.INSUFFICIENT_BALANCE
    shop.redeem(points=10)
    assert shop.purse().spendable == 0
    assert reason(redeeming(shop, SpendRequest("points", 1))) is Reason.INSUFFICIENT_BALANCE


def test_a_spend_from_several_purses_takes_all_of_them_or_nothing() -> None:
    shop = Shop()
    shop.earn(award(10), award(10, purse="cash"))

    short = redeeming(shop, SpendRequest("points", 5), SpendRequest("cash", 11))
    assert reason(short) is Reason.INSUFFICIENT_BALANCE
    shop.redeem(points=5, cash=10)
    assert (shop.purse().spendable, shop.purse("cash").spendable) == (5, 0)


def test_a_purse_that_is_named_twice_in_a_request_is_asked_for_the_sum() -> None:
    shop = Shop()
    shop.earn(award(10, 5), award(10))

    twice = [SpendRequest("points", 12), SpendRequest("points", 9)]
    assert reason(redeeming(shop, *twice)) is Reason.INSUFFICIENT_BALANCE
    entry = shop.do(redeeming(shop, SpendRequest("points", 12), SpendRequest("points", 3)))
    assert entry.events[0].taken == (Taken("points", (Lot(10, day(5)), Lot(5))),)  # type: ignore[union-attr]  # a SPENT


def test_money_is_paid_with_units_at_the_redemption_rate_rounded_up() -> None:
    shop = Shop(RATED)
    shop.earn(award(100))

    shop.do(redeeming(shop, SpendRequest("points", money_minor=11)))

    assert shop.purse().spendable == 96, "11 of money at 3 units for 10 is 3.3 units"


@pytest.mark.parametrize(
    ("spend", "why"),
    [
        (SpendRequest("points"), Reason.INVALID_ARGUMENT),
        (SpendRequest("points", -1), Reason.INVALID_ARGUMENT),
        (SpendRequest("points", -(2**63)), Reason.INVALID_ARGUMENT),
        (SpendRequest("points", MAX_UNITS + 1), Reason.INVALID_ARGUMENT),
        (SpendRequest("points", money_minor=-5), Reason.INVALID_ARGUMENT),
        (SpendRequest("points", money_minor=2**63 - 1), Reason.INVALID_ARGUMENT),
        (SpendRequest("cash", money_minor=5), Reason.NOT_SPENDABLE_HERE),
        (SpendRequest("gold", 5), Reason.UNKNOWN_PURSE),
    ],
)
def test_absurd_spends_are_refused_by_redeem_authorize_and_capture_alike(
    spend: SpendRequest, why: Reason
) -> None:
    shop = Shop(RATED, CASH)
    shop.earn(award(50), award(50, purse="cash"))
    hold = shop.authorize(points=5, cash=5)

    assert reason(redeeming(shop, spend)) is why
    assert reason(authorizing(shop, spend)) is why
    assert reason(capturing(shop, hold, spend)) is why


def test_a_request_names_at_least_one_spend_and_not_too_many() -> None:
    shop = Shop()
    shop.earn(award(MAX_SPENDS * 2))

    assert reason(redeeming(shop)) is Reason.INVALID_ARGUMENT
    assert reason(redeeming(shop, *[SpendRequest("points", 1)] * (MAX_SPENDS + 1))) is Reason.INVALID_ARGUMENT
    shop.do(redeeming(shop, *[SpendRequest("points", 1)] * MAX_SPENDS))


def test_a_purse_is_not_spent_where_its_definition_does_not_allow_it() -> None:
    shop = Shop(replace(POINTS, channels=("web",)))
    shop.earn(award(50))
    spend = SpendRequest("points", 5)

    assert reason(redeeming(shop, spend)) is Reason.NOT_SPENDABLE_HERE
    assert reason(authorizing(shop, spend)) is Reason.NOT_SPENDABLE_HERE
    shop.do(redeeming(shop, spend, place=Place("s1", "web")))


def test_a_purse_with_credit_is_spent_below_zero_to_its_limit() -> None:
    shop = Shop(CREDIT)
    shop.earn(award(10, purse="cash"))

    assert reason(redeeming(shop, SpendRequest("cash", 31))) is Reason.INSUFFICIENT_BALANCE
    shop.redeem(cash=30)
    assert shop.purse("cash") == Purse(debt=20, spendable=-20)
    shop.earn(award(25, purse="cash"))
    assert shop.purse("cash") == Purse(lots=(Lot(5),), spendable=5), "earning makes it good first"


def test_a_balance_far_below_zero_leaves_nothing_to_spend_on_credit() -> None:
    assert spending.spendable_units(Purse(debt=50, spendable=-50), CREDIT) == 0
    assert spending.spendable_units(Purse(debt=5, spendable=-5), CREDIT) == 15
    assert spending.spendable_units(Purse(lots=(Lot(5),), spendable=5), CREDIT) == 25


def test_reserved_units_cannot_be_spent_twice_and_are_still_owned() -> None:
    shop = Shop()
    shop.earn(award(10))

    hold = shop.authorize(points=7)

    assert (shop.purse().spendable, shop.purse().held, shop.purse().owned) == (3, 7, 10)
    assert shop.account.hold(hold) is not None
    assert reason(redeeming(shop, SpendRequest("points", 4))) is Reason.INSUFFICIENT_BALANCE


def test_holds_of_one_account_have_ids_of_their_own_and_a_time_to_end() -> None:
    shop = Shop()
    shop.earn(award(10))

    first, second = shop.authorize(seconds=60, points=1), shop.authorize(seconds=90, points=1)

    assert first != second
    assert [hold.expires_ms - day(0) for hold in shop.account.holds] == [60_000, 90_000]


def test_capturing_a_hold_spends_all_of_it() -> None:
    shop = Shop()
    shop.earn(award(10, 9), award(10, purse="cash"))
    hold = shop.authorize(points=7, cash=2)

    entry = shop.capture(hold)

    assert entry.kind is TransactionKind.CAPTURE
    assert (shop.purse().owned, shop.purse("cash").owned) == (3, 8)
    assert shop.account.holds == ()


def test_a_partial_capture_gives_the_rest_back_with_its_own_expiry() -> None:
    shop = Shop()
    shop.earn(award(5, 5), award(5, 9), award(10, purse="cash"))
    hold = shop.authorize(points=10, cash=4)

    entry = shop.capture(hold, points=6)

    assert entry.events == (
        HoldClosed(
            hold,
            (Taken("points", (Lot(5, day(5)), Lot(1, day(9)))),),
            (Taken("points", (Lot(4, day(9)),)), Taken("cash", (Lot(4),))),
            "r3",
        ),
    )
    assert shop.purse() == Purse(lots=(Lot(4, day(9)),), spendable=4)
    assert shop.purse("cash").spendable == 10


def test_a_capture_never_takes_more_than_was_reserved() -> None:
    shop = Shop()
    shop.earn(award(50), award(50, purse="cash"))
    hold = shop.authorize(points=10)

    for spends in (
        [SpendRequest("points", 11)],
        [SpendRequest("points", 6), SpendRequest("points", 5)],
        [SpendRequest("points", 10), SpendRequest("cash", 1)],
    ):
        assert reason(capturing(shop, hold, *spends)) is Reason.CAPTURE_EXCEEDS_AUTHORIZATION
    shop.do(capturing(shop, hold, SpendRequest("points", 6), SpendRequest("points", 4)))
    assert shop.purse().owned == 40


def test_a_hold_on_credit_is_captured_from_the_lots_first_and_its_rest_is_made_good() -> None:
    shop = Shop(CREDIT)
    shop.earn(award(10, 9, "cash"))
    hold = shop.authorize(cash=25)
    assert shop.purse("cash") == Purse(debt=15, spendable=-15, held=25)

    shop.capture(hold, cash=4)

    assert shop.purse("cash") == Purse(lots=(Lot(6, day(9)),), spendable=6)


def test_a_voided_hold_gives_everything_back_as_it_was() -> None:
    shop = Shop(CREDIT, POINTS)
    shop.earn(award(10, 5), award(10, 9), award(5, 9, "cash"))
    before = shop.account.purses
    hold = shop.authorize(points=15, cash=20)

    entry = shop.do(spending.void(shop.account, hold, shop.context))

    assert entry.kind is TransactionKind.VOID
    assert shop.account.purses == before
    assert reason(spending.void(shop.account, hold, shop.context)) is Reason.AUTHORIZATION_NOT_OPEN
    assert reason(capturing(shop, hold)) is Reason.AUTHORIZATION_NOT_OPEN


def test_units_that_expire_while_they_are_reserved_come_back_with_seven_days() -> None:
    shop = Shop()
    shop.earn(award(10, 2), award(10, 9))
    hold = shop.authorize(seconds=5 * 86_400, points=15)
    shop.on_day(3)

    shop.do(spending.void(shop.account, hold, shop.context))

    assert shop.purse().lots == (Lot(10, day(9)), Lot(10, day(3) + GRACE_MS))


def test_units_that_expire_while_they_are_reserved_can_still_be_captured() -> None:
    shop = Shop()
    shop.earn(award(10, 2))
    hold = shop.authorize(seconds=5 * 86_400, points=10)
    shop.on_day(3)

    shop.capture(hold)

    assert shop.purse() == Purse()


def test_a_blocked_account_spends_nothing_but_captures_what_was_promised() -> None:
    shop = Shop()
    shop.earn(award(10))
    hold = shop.authorize(points=4)
    blocked = replace(shop.account, status=Status.BLOCKED)

    spend = [SpendRequest("points", 1)]
    assert reason(spending.redeem(blocked, spend, PLACE, "r", shop.context)) is Reason.ACCOUNT_BLOCKED
    assert reason(spending.authorize(blocked, spend, PLACE, 60, shop.context)) is Reason.ACCOUNT_BLOCKED
    shop.do(spending.capture(blocked, hold, [], "r", shop.context))


def test_a_closed_account_spends_nothing() -> None:
    shop = Shop()
    shop.earn(award(10))
    closed = replace(shop.account, status=Status.CLOSED)

    spend = [SpendRequest("points", 1)]
    assert reason(spending.redeem(closed, spend, PLACE, "r", shop.context)) is Reason.ACCOUNT_CLOSED
    assert reason(spending.authorize(closed, spend, PLACE, 60, shop.context)) is Reason.ACCOUNT_CLOSED
    assert reason(spending.capture(closed, 7, [], "r", shop.context)) is Reason.ACCOUNT_CLOSED


def test_an_account_has_only_so_many_open_authorizations() -> None:
    shop = Shop()
    shop.earn(award(1_000))
    for _ in range(MAX_HOLDS):
        hold = shop.authorize(points=1)

    assert reason(authorizing(shop, SpendRequest("points", 1))) is Reason.LIMIT_EXCEEDED
    shop.capture(hold)
    shop.authorize(points=1)


def test_a_hold_says_what_it_holds_by_purse_also_where_a_purse_was_named_twice() -> None:
    """Two parts of one purse on credit would pay each other's debt when they come back."""
    shop = Shop(CREDIT)
    shop.earn(award(10, 9, "cash"))
    before = shop.purse("cash")

    entry = shop.do(authorizing(shop, SpendRequest("cash", 12), SpendRequest("cash", 3)))
    placed = entry.events[0]
    assert isinstance(placed, HoldPlaced)
    assert placed.hold.taken == (Taken("cash", (Lot(10, day(9)),), 5),)

    shop.do(spending.void(shop.account, entry.sequence, shop.context))
    assert shop.purse("cash") == before


def test_stamps_are_spent_like_any_other_purse() -> None:
    shop = Shop(PurseDefinition("stamps", PurseKind.STAMPS, goal=10))
    shop.earn(award(10, purse="stamps"))

    shop.redeem(stamps=10)

    assert shop.purse("stamps") == Purse()
