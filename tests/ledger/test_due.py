"""What is due happens by itself, once, and in the right order."""

from __future__ import annotations

from msgspec.structs import replace

from node.ledger.account import Purse, Taken
from node.ledger.due import settle
from node.ledger.events import Expired, HoldClosed, Matured
from node.ledger.lots import GRACE_MS, Lot
from node.ledger.postings import BREAKAGE
from node.ledger.purses import SpentReturnPolicy
from node.ledger.transactions import TransactionKind
from tests.ledger.ledger_shop import CASH, POINTS, Shop, award, day


def test_nothing_happens_before_its_time() -> None:
    shop = Shop()
    shop.earn(award(10, 5), award(10, 9, available_ms=day(3)))
    shop.authorize(seconds=86_400, points=4)

    assert settle(shop.account, day(1) - 1) is None
    assert settle(shop.account, day(1)) is not None


def test_points_expire_to_the_merchant_at_their_instant() -> None:
    shop = Shop()
    shop.earn(award(10, 5), award(7, 9))

    due = settle(shop.account, day(5))

    assert due is not None
    assert due.kind is TransactionKind.EXPIRY
    assert due.events == (Expired("points", (Lot(10, day(5)),)),)
    shop.on_day(5)
    assert shop.purse().spendable == 7
    assert shop.world.books.units[BREAKAGE, "points"] == 10


def test_pending_points_can_be_spent_from_their_day_on_and_keep_their_expiry() -> None:
    shop = Shop()
    shop.earn(award(10, 9, available_ms=day(3)), award(5, 9, available_ms=day(4)))
    assert (shop.purse().spendable, shop.purse().pending) == (0, 15)

    shop.on_day(3)

    assert shop.purse().lots == (Lot(10, day(9), day(3)),)
    assert shop.purse().pending == 5


def test_a_hold_that_nobody_captures_ends_by_itself_and_gives_the_units_back() -> None:
    shop = Shop()
    shop.earn(award(10, 9))
    hold = shop.authorize(seconds=86_400, points=4)

    due = settle(shop.account, day(1))

    assert due is not None
    assert due.events == (HoldClosed(hold, (), (Taken("points", (Lot(4, day(9)),)),)),)
    shop.on_day(1)
    assert shop.purse() == Purse(lots=(Lot(10, day(9)),), spendable=10)


def test_a_hold_that_ends_after_its_units_expired_gives_them_back_for_seven_days() -> None:
    shop = Shop()
    shop.earn(award(10, 2))
    shop.authorize(seconds=4 * 86_400, points=10)

    shop.on_day(4)
    assert shop.purse().lots == (Lot(10, day(4) + GRACE_MS),)
    shop.on_day(11)
    assert shop.purse() == Purse()


def test_pending_points_that_expire_before_anyone_looks_mature_and_expire_in_one_go() -> None:
    shop = Shop()
    shop.earn(award(10, 5, available_ms=day(3)))

    due = settle(shop.account, day(6))

    lot = Lot(10, day(5), day(3))
    assert due is not None
    assert due.events == (Matured("points", (lot,)), Expired("points", (lot,)))


def test_maturing_points_first_make_good_what_is_below_zero() -> None:
    shop = Shop(replace(POINTS, credit_limit=10))
    shop.earn(award(10, 9, available_ms=day(3)))
    shop.redeem(points=6)

    shop.on_day(3)

    assert shop.purse() == Purse(lots=(Lot(4, day(9), day(3)),), spendable=4)


def test_every_purse_is_looked_after_in_the_same_entry() -> None:
    shop = Shop(POINTS, CASH, replace(CASH, code="gifts", spent_return_policy=SpentReturnPolicy.CLIP))
    shop.earn(award(1, 5), award(2, 5, "cash"), award(3, 6, "gifts"))

    shop.on_day(5)

    assert [shop.purse(code).owned for code in ("points", "cash", "gifts")] == [0, 0, 3]
    assert len(shop.world.entries) == 2
