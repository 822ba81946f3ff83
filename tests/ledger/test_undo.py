"""What is undone leaves member and merchant as they would have been, as far as units are still there."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from node.ledger import adjusting, earning, spending, undo
from node.ledger.account import Counter, Purse, Status
from node.ledger.decision import Accepted
from node.ledger.events import Claimed, Debited, Returned, ReturnUndone, Reversed
from node.ledger.lots import Lot
from node.ledger.postings import ISSUED
from node.ledger.purchase import Activity
from node.ledger.refusals import Reason
from node.ledger.returns import LineBack
from node.ledger.transactions import Amendment, TransactionKind
from tests.ledger.ledger_shop import CLIP, NEGATIVE, RECOVER, Shop, award, day, line, purchase, reason

TWO_LINES = purchase(0, line(1, 60), line(2, 40))


def test_a_reversed_purchase_leaves_the_account_as_if_it_had_not_been() -> None:
    shop = Shop()
    shop.earn(award(5, 9))
    before = shop.account.purses
    sale = shop.earn(award(10, 9), award(3), award(4, 20, available_ms=day(2)))

    entry = shop.reverse(sale)

    assert entry.kind is TransactionKind.REVERSAL
    assert entry.events[0] == Reversed(sale.sequence)
    assert shop.account.purses == before
    assert reason(shop.reversing(sale)) is Reason.ALREADY_REVERSED
    assert reason(shop.returning(sale)) is Reason.ALREADY_REVERSED


def test_a_reversed_activity_takes_back_what_it_earned() -> None:
    shop = Shop()
    visit = shop.do(earning.record_activity(shop.account, Activity("survey"), (award(10),)))

    shop.reverse(visit)

    assert shop.purse() == Purse()


def test_a_reversal_after_a_partial_return_takes_only_the_rest() -> None:
    shop = Shop()
    sale = shop.earn(award(10, line_shares=((1, 7), (2, 3))), purchase=TWO_LINES)
    shop.give_back(sale, 2)

    entry = shop.reverse(sale)

    assert entry.events[1:] == (Debited("points", ISSUED, (Lot(7),)),)
    assert shop.purse() == Purse()


def test_a_return_cannot_be_undone_once_its_purchase_was_reversed() -> None:
    """Else what the return had taken back would be given again, for goods that are not the member's."""
    shop = Shop()
    sale = shop.earn(award(10, line_shares=((1, 7), (2, 3))), purchase=TWO_LINES)
    back = shop.give_back(sale, 2)
    shop.reverse(sale)

    assert reason(shop.reversing(back)) is Reason.ALREADY_REVERSED
    assert shop.purse() == Purse()


def test_a_return_is_never_undone_without_knowing_what_became_of_its_purchase() -> None:
    shop = Shop()
    sale = shop.earn(award(10))
    back = shop.give_back(sale, minor=40)

    with pytest.raises(ValueError, match="amendment"):
        undo.reverse(shop.account, back, Amendment(back.sequence), shop.context)


def test_a_reversed_return_gives_the_points_back_and_the_goods_can_come_back_again() -> None:
    shop = Shop()
    sale = shop.earn(award(10, 9, line_shares=((1, 7), (2, 3))), purchase=TWO_LINES)
    before = shop.account.purses
    back = shop.give_back(sale, LineBack(2, 500))

    entry = shop.reverse(back)

    assert entry.events[1] == ReturnUndone(sale.sequence, ((2, 500),), 20, (1,))
    assert shop.account.purses == before
    assert shop.amended(sale) == Amendment(sale.sequence, award_units=(0,))
    shop.give_back(sale)
    assert shop.purse() == Purse()


def test_a_reversal_frees_the_daily_cap_and_a_return_does_not() -> None:
    shop = Shop()
    first, second = (shop.earn(award(5, counter="cap", day=20_000)) for _ in range(2))
    assert shop.account.counted("cap", 20_000) == 10

    shop.give_back(first)
    assert shop.account.counted("cap", 20_000) == 10, "else a member could shop around the cap"
    entry = shop.reverse(second)
    assert entry.events[0] == Reversed(second.sequence, (Counter("cap", 20_000, 5),))
    assert shop.account.counted("cap", 20_000) == 5


def test_the_cap_that_a_reversal_frees_may_be_forgotten_by_then() -> None:
    shop = Shop()
    old = shop.earn(award(5, counter="cap", day=20_000))
    shop.earn(award(5, counter="cap", day=20_061))

    shop.reverse(old)

    assert shop.account.counters == (Counter("cap", 20_061, 5),)


def spent_before_the_goods_come_back(shop: Shop) -> object:
    sale = shop.earn(award(10, line_shares=((1, 7), (2, 3))), purchase=TWO_LINES)
    shop.redeem(points=6)
    return shop.give_back(sale, 1).events[0]


def test_points_spent_before_the_goods_come_back_leave_a_balance_below_zero_by_policy() -> None:
    shop = Shop(NEGATIVE)

    event = spent_before_the_goods_come_back(shop)

    assert shop.purse() == Purse(debt=3, spendable=-3)
    assert isinstance(event, Returned)
    assert event.shortfall == ()
    shop.earn(award(5))
    assert shop.purse() == Purse(lots=(Lot(2),), spendable=2)


@pytest.mark.parametrize("definition", [CLIP, RECOVER], ids=["clip", "recover"])
def test_where_the_balance_may_not_go_below_zero_the_return_says_what_is_missing(
    definition: object,
) -> None:
    shop = Shop(definition)  # type: ignore[arg-type]  # an account of its own for each example

    event = spent_before_the_goods_come_back(shop)

    assert shop.purse() == Purse()
    assert isinstance(event, Returned)
    assert (event.award_units, event.shortfall) == ((7,), (("points", 3),))


def test_undoing_a_clipped_return_gives_back_only_what_it_really_took() -> None:
    shop = Shop(CLIP)
    sale = shop.earn(award(10))
    shop.redeem(points=6)
    back = shop.give_back(sale)

    shop.reverse(back)

    assert shop.purse() == Purse(lots=(Lot(4),), spendable=4)


def test_points_are_taken_back_from_where_they_are_first_the_very_lot_then_what_expires_first() -> None:
    shop = Shop()
    shop.earn(award(5, 3), award(5, 20))
    sale = shop.earn(award(10, 9))
    shop.redeem(points=8)  # the 5 of day 3 and 3 of this sale

    entry = shop.give_back(sale)

    assert entry.events[1] == Debited("points", ISSUED, (Lot(7, day(9)), Lot(3, day(20))))
    assert shop.purse().lots == (Lot(2, day(20)),)


def test_pending_points_are_taken_back_while_they_wait() -> None:
    shop = Shop()
    sale = shop.earn(award(10, 9, available_ms=day(2)), award(10, 9))

    entry = shop.give_back(sale, minor=50)

    assert entry.events[1] == Debited("points", ISSUED, (), (Lot(5, day(9), day(2)),))
    assert (shop.purse().pending, shop.purse().spendable) == (5, 5)


def test_points_in_a_hold_are_left_to_it_and_owed_meanwhile() -> None:
    shop = Shop()
    sale = shop.earn(award(10, 9))
    hold = shop.authorize(points=10)

    shop.give_back(sale)
    assert shop.purse() == Purse(debt=10, spendable=-10, held=10)

    shop.do(spending.void(shop.account, hold, shop.context))
    assert shop.purse() == Purse()


def test_points_that_have_expired_are_not_taken_a_second_time() -> None:
    shop = Shop()
    sale = shop.earn(award(10, 3))
    shop.earn(award(4))
    shop.on_day(3)

    shop.give_back(sale)

    assert shop.purse().spendable == 4


def test_on_a_closed_account_nothing_is_undone() -> None:
    shop = Shop()
    sale = shop.earn(award(10))
    spent = shop.redeem(points=10)
    closed = replace(shop.account, status=Status.CLOSED)

    for entry in (sale, spent):
        amended = shop.amended(entry)
        assert reason(undo.reverse(closed, entry, amended, shop.context)) is Reason.ACCOUNT_CLOSED
        assert reason(undo.return_goods(closed, entry, amended, [], 0, shop.context)) is Reason.ACCOUNT_CLOSED


def test_on_a_blocked_account_goods_still_come_back() -> None:
    shop = Shop()
    sale = shop.earn(award(10))
    blocked = replace(shop.account, status=Status.BLOCKED)

    assert isinstance(undo.return_goods(blocked, sale, shop.amended(sale), [], 0, shop.context), Accepted)


def test_an_anonymous_sale_comes_back_and_is_reversed_without_an_account() -> None:
    shop = Shop()
    decision = earning.sell(TWO_LINES)
    assert isinstance(decision, Accepted)
    sale = shop.world.post(b"", decision)

    back = undo.return_goods(None, sale, Amendment(sale.sequence), [LineBack(2, 0)], 0, shop.context)
    assert back == Accepted(TransactionKind.RETURN, (Returned(sale.sequence, ((2, 1000),), 40),))
    undone = undo.reverse(None, sale, Amendment(sale.sequence), shop.context)
    assert undone == Accepted(TransactionKind.REVERSAL, (Reversed(sale.sequence),))


def test_a_sale_that_a_member_claimed_comes_back_only_on_the_members_transaction() -> None:
    """Else the same goods could come back twice, once without taking any points."""
    shop = Shop()
    decision = earning.sell(TWO_LINES)
    assert isinstance(decision, Accepted)
    sale = shop.world.post(b"", decision)
    taken = Accepted(TransactionKind.ACCRUAL, (Claimed(sale.sequence, b"member"),))
    shop.world.post(b"", taken)
    claimed = shop.do(earning.accrue(shop.account, TWO_LINES, (award(10),), "t1"))

    amended = shop.amended(sale)
    assert amended.claimed_by == b"member"
    assert reason(undo.return_goods(None, sale, amended, [], 0, shop.context)) is Reason.ALREADY_CLAIMED
    assert reason(undo.reverse(None, sale, amended, shop.context)) is Reason.ALREADY_CLAIMED
    shop.give_back(claimed)
    assert shop.purse() == Purse()


def test_only_what_tills_do_can_be_reversed_and_only_purchases_and_spends_come_back() -> None:
    shop = Shop()
    sale = shop.earn(award(10))
    hold = shop.authorize(points=4)
    voided = shop.do(spending.void(shop.account, hold, shop.context))
    gift = shop.do(adjusting.adjust(shop.account, "points", 5, "a gift", 10, day(9), shop.context))
    sent = shop.do(adjusting.send_transfer(shop.account, b"other", "points", 5, "t1", shop.context))
    undone = shop.reverse(sale)

    for entry in (voided, gift, sent, undone):
        assert reason(shop.reversing(entry)) is Reason.WRONG_TRANSACTION_KIND
    for entry in (voided, gift, sent, undone, shop.world.entries[hold - 1]):
        assert reason(shop.returning(entry)) is Reason.WRONG_TRANSACTION_KIND


def test_a_purse_that_the_programme_no_longer_has_may_go_below_zero() -> None:
    shop = Shop(CLIP)
    sale = shop.earn(award(10))
    shop.redeem(points=6)
    without = replace(shop.context, purses={})

    decision = undo.return_goods(shop.account, sale, Amendment(sale.sequence), [], 0, without)

    assert isinstance(decision, Accepted)
    assert decision.events[1] == Debited("points", ISSUED, (Lot(4),), (), 6)


def test_units_merged_beyond_the_bound_on_lots_are_still_taken_back() -> None:
    shop = Shop()
    sales = [shop.earn(award(1, expires)) for expires in range(1, 300)]
    assert len(shop.purse().lots) == 256

    for sale in sales:
        shop.reverse(sale)

    assert shop.account == replace(shop.account, purses={"points": Purse()})
