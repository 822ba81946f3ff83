"""What members do at partners' tills moves their purses as at home, and other books."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from node.ledger import abroad
from node.ledger.account import Status
from node.ledger.decision import Accepted, Decision
from node.ledger.events import Credited, Debited, StatusSet
from node.ledger.lots import NEVER_MS, Lot
from node.ledger.postings import payable, receivable
from node.ledger.purses import MAX_UNITS, PurseDefinition
from node.ledger.refusals import Reason
from node.ledger.transactions import Entry, TransactionKind
from tests.ledger.ledger_shop import CLIP, POINTS, RECOVER, Shop, award, day, reason


class Abroad(Shop):
    """A member of this node's at the tills of a partner called north."""

    def __init__(self, *purses: PurseDefinition) -> None:
        super().__init__(*(purses or (POINTS,)))

    def earning(self, units: int, available: int = 0, expires: int = 0) -> Decision:
        return abroad.credit(self.account, "points", units, available, expires, "north", self.context)

    def earns(self, units: int, available: int = 0, expires: int = 0) -> Entry:
        return self.do(self.earning(units, available, expires))

    def holding(self, units: int, seconds: int = 900) -> Decision:
        return abroad.hold(self.account, "points", units, "market", seconds, self.context)

    def spends(self, units: int, held: int = 0) -> Entry:
        hold = self.do(self.holding(held or units)).sequence
        return self.do(abroad.spend(self.account, hold, "points", units, "north", self.context))

    def taking_back(self, entry: Entry, units: int, partner: str = "north") -> Decision:
        return abroad.take_back(self.account, entry, self.amended(entry), units, partner, self.context)

    def giving_back(self, entry: Entry, units: int, partner: str = "north") -> Decision:
        return abroad.give_back(self.account, entry, self.amended(entry), units, partner, self.context)

    def sets(self, status: Status) -> None:
        self.do(Accepted(TransactionKind.ACCOUNT, (StatusSet(status),)))

    def book(self, name: str) -> int:
        return self.world.books.units.get((name, "points"), 0)


@pytest.fixture
def member() -> Abroad:
    return Abroad()


def test_what_is_earned_abroad_is_owed_by_the_partner_who_funds_its_lot(member: Abroad) -> None:
    member.earns(40, expires=day(9))
    assert member.purse().lots == (Lot(40, day(9), 0, "north"),)
    assert member.book(receivable("north")) == -40


def test_what_is_earned_abroad_for_later_waits_as_at_home(member: Abroad) -> None:
    member.earns(40, available=day(3))
    assert (member.purse().spendable, member.purse().pending) == (0, 40)
    member.on_day(3)
    assert member.purse().spendable == 40


def test_what_is_spent_abroad_is_owed_to_the_partner_and_the_rest_of_the_hold_comes_back(
    member: Abroad,
) -> None:
    member.earn(award(100))
    member.spends(30, held=50)
    assert member.purse().spendable == 70
    assert member.book(payable("north")) == 30
    assert member.book("redeemed") == 0


def test_a_hold_abroad_is_refused_for_what_it_would_be_refused_for_at_home(member: Abroad) -> None:
    member.earn(award(100))
    assert reason(member.holding(101)) is Reason.INSUFFICIENT_BALANCE
    assert reason(member.holding(0)) is Reason.INVALID_ARGUMENT
    member.sets(Status.BLOCKED)
    assert reason(member.holding(1)) is Reason.ACCOUNT_BLOCKED


def test_a_purse_that_names_its_channels_is_spent_abroad_only_where_it_names_that() -> None:
    for channels, refused in ((("store",), True), (("store", abroad.CHANNEL), False)):
        member = Abroad(replace(POINTS, channels=channels))
        member.earn(award(10))
        decision = member.holding(5)
        assert isinstance(decision, Accepted) is not refused
        if refused:
            assert reason(decision) is Reason.NOT_SPENDABLE_HERE


def test_a_blocked_member_earns_abroad_and_one_whose_account_is_closed_does_not(member: Abroad) -> None:
    member.sets(Status.BLOCKED)
    member.earns(5)
    member.sets(Status.CLOSED)
    assert reason(member.earning(5)) is Reason.ACCOUNT_CLOSED


@pytest.mark.parametrize("units", [0, -1, MAX_UNITS + 1])
def test_no_partner_credits_nothing_less_than_nothing_or_without_measure(member: Abroad, units: int) -> None:
    assert reason(member.earning(units)) is Reason.INVALID_ARGUMENT


def test_no_partner_fills_a_purse_beyond_what_a_purse_holds(member: Abroad) -> None:
    member.earns(MAX_UNITS)
    assert reason(member.earning(1)) is Reason.LIMIT_EXCEEDED


def test_goods_that_come_back_take_their_very_lot_first(member: Abroad) -> None:
    member.earn(award(10, expires=5))
    earned = member.earns(40, expires=day(9))
    decision = member.taking_back(earned, 15)
    assert isinstance(decision, Accepted)
    assert abroad.taken_back(decision) == 15
    member.do(decision)
    assert member.purse().lots == (Lot(10, day(5)), Lot(25, day(9), 0, "north"))
    assert member.book(receivable("north")) == -25


def test_goods_that_come_back_take_what_still_waits(member: Abroad) -> None:
    earned = member.earns(40, available=day(3))
    member.do(member.taking_back(earned, 40))
    assert member.purse().pending == 0


def test_of_points_that_are_spent_the_partner_gets_back_only_what_was_really_taken() -> None:
    for policy, taken, left in ((POINTS, 40, -30), (CLIP, 10, 0), (RECOVER, 10, 0)):
        member = Abroad(policy)
        earned = member.earns(40)
        member.redeem(points=30)
        decision = member.taking_back(earned, 40)
        assert isinstance(decision, Accepted)
        assert abroad.taken_back(decision) == taken
        member.do(decision)
        assert member.purse().spendable == left
        assert member.book(receivable("north")) == -40 + taken


def test_points_that_have_expired_are_taken_from_nobody(member: Abroad) -> None:
    earned = member.earns(40, expires=day(2))
    member.on_day(3)
    decision = member.taking_back(earned, 40)
    assert isinstance(decision, Accepted)
    assert abroad.taken_back(decision) == 0


def test_returns_of_an_earning_never_pass_what_was_earned(member: Abroad) -> None:
    earned = member.earns(40)
    member.do(member.taking_back(earned, 25))
    assert reason(member.taking_back(earned, 16)) is Reason.RETURN_EXCEEDS_PURCHASE
    member.do(member.taking_back(earned, 15))
    assert member.book(receivable("north")) == 0


def test_an_earning_at_one_partner_is_not_returned_at_another(member: Abroad) -> None:
    earned = member.earns(40)
    assert reason(member.taking_back(earned, 1, "south")) is Reason.WRONG_TRANSACTION_KIND


def test_goods_paid_with_points_give_the_points_back_with_their_expiry(member: Abroad) -> None:
    member.earn(award(100, expires=9))
    spent = member.spends(30)
    member.do(member.giving_back(spent, 12))
    assert member.purse().lots == (Lot(82, day(9)),)
    assert member.book(payable("north")) == 18
    assert reason(member.giving_back(spent, 19)) is Reason.RETURN_EXCEEDS_PURCHASE


def test_what_was_spent_abroad_is_given_back_there_and_at_no_till_of_the_home_nodes(member: Abroad) -> None:
    member.earn(award(100))
    spent = member.spends(30)
    assert reason(member.returning(spent)) is Reason.WRONG_TRANSACTION_KIND
    assert reason(member.reversing(spent)) is Reason.WRONG_TRANSACTION_KIND
    assert reason(member.giving_back(spent, 1, "south")) is Reason.WRONG_TRANSACTION_KIND
    at_home = member.redeem(points=5)
    assert reason(member.giving_back(at_home, 5)) is Reason.WRONG_TRANSACTION_KIND


def test_a_record_that_was_lost_is_taken_below_zero_if_need_be(member: Abroad) -> None:
    member.earn(award(10))
    events = abroad.imported_spend(member.account, "points", 30, payable("north"))
    assert events == (Debited("points", payable("north"), (Lot(10),), (), 20),)
    member.do(Accepted(TransactionKind.REDEMPTION, events))
    assert member.purse().spendable == -20
    assert member.book(payable("north")) == 30


def test_goods_of_a_record_that_was_lost_can_come_back(member: Abroad) -> None:
    member.earn(award(10))
    events = abroad.imported_spend(member.account, "points", 30, payable("north"))
    spent = member.do(Accepted(TransactionKind.REDEMPTION, events))
    assert reason(member.returning(spent)) is Reason.WRONG_TRANSACTION_KIND
    member.do(member.giving_back(spent, 25))
    assert member.purse().spendable == 5
    assert member.book(payable("north")) == 5


def test_an_earning_that_was_lost_comes_back_on_its_terms(member: Abroad) -> None:
    lot = Lot(7, NEVER_MS, 0, "north")
    events = abroad.imported_credit("points", 7, receivable("north"), lot)
    assert events == (Credited("points", (lot,), receivable("north")),)
    assert abroad.imported_credit("points", 0, receivable("north"), lot) == ()
    member.do(Accepted(TransactionKind.ACCRUAL, events))
    assert member.purse().lots == (lot,)
