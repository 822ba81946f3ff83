"""What stands between two after a default is paid under a reference of its own, and ends the suspension."""

from __future__ import annotations

from node.actors.operator_money import NotDone
from node.coalition.directory import OPERATOR_ID
from node.settlement.defaults import StandingDebt
from node.settlement.payments import Booked, PaymentState
from node.wire.settlement_store import WindowRecord
from tests.settlement.test_operator_books import CUT, Operator
from tests.settlement.test_operator_payments import LATE, _now, _payments, _position, _published, _reports


def _defaulted() -> tuple[Operator, str]:
    operator, statement = _published(4)
    debtor = _payments(statement)[0].debtor_id
    assert isinstance(operator.books.payments.default("d", 1, debtor, "why", LATE), WindowRecord)
    return operator, debtor


def _debts(operator: Operator, debtor: str) -> list[StandingDebt]:
    return [one for one in _now(operator).standing if one.debtor_id == debtor]


def _booked(debt: StandingDebt, amount: int, bank: str = "B") -> Booked:
    return Booked(debt.reference, amount, bank)


def test_who_pays_all_that_stands_is_suspended_no_more() -> None:
    operator, debtor = _defaulted()
    debts = _debts(operator, debtor)
    assert len(debts) > 1
    for debt in debts:
        assert _position(operator, debtor).suspend
        [shown] = _reports(operator, debt.reference, debt.creditor_id, _booked(debt, debt.amount))
        assert shown is not None
        assert (shown.state, shown.booked) == (PaymentState.PAID, debt.amount)
    assert _debts(operator, debtor) == []
    position = _position(operator, debtor)
    assert (position.suspend, position.defaulted_windows) == (False, ())


def test_a_debt_may_be_paid_in_parts_and_a_file_that_is_read_again_counts_once() -> None:
    operator, debtor = _defaulted()
    debt = _debts(operator, debtor)[0]
    part = debt.amount // 3
    for request_id in ("one", "one", "again"):
        [shown] = _reports(operator, request_id, debt.creditor_id, _booked(debt, part, "B1"))
        assert shown is not None
        assert (shown.state, shown.booked) == (PaymentState.DIFFERENT, part)
        assert _debts(operator, debtor)[0] == StandingDebt(
            debtor, debt.creditor_id, debt.amount - part, debt.reference
        )
    _reports(operator, "rest", debt.creditor_id, _booked(debt, debt.amount - part, "B2"))
    assert debt.creditor_id not in {one.creditor_id for one in _debts(operator, debtor)}


def test_nobody_but_the_creditor_says_that_a_debt_was_paid() -> None:
    operator, debtor = _defaulted()
    debt = _debts(operator, debtor)[0]
    other = next(
        one for one in operator.world.coalition.ids if one not in (debtor, debt.creditor_id, OPERATOR_ID)
    )
    [told] = _reports(operator, "p", debtor, _booked(debt, debt.amount))
    assert told is not None
    assert told.state is PaymentState.DUE
    assert _reports(operator, "s", other, _booked(debt, debt.amount)) == [None]
    assert debt in _debts(operator, debtor)


def test_what_came_beyond_a_debt_is_owed_back_under_the_same_reference() -> None:
    operator, debtor = _defaulted()
    debt = _debts(operator, debtor)[0]
    _reports(operator, "more", debt.creditor_id, _booked(debt, debt.amount + 5))
    [back] = [one for one in _now(operator).standing if one.reference == debt.reference]
    assert (back.debtor_id, back.creditor_id, back.amount) == (debt.creditor_id, debtor, 5)
    _reports(operator, "back", debtor, _booked(back, 5))
    assert [one for one in _now(operator).standing if one.reference == debt.reference] == []


def test_the_operator_marks_a_debt_as_paid_in_its_creditors_place() -> None:
    operator, debtor = _defaulted()
    debt = _debts(operator, debtor)[0]
    _reports(operator, "part", debt.creditor_id, _booked(debt, 1, "B1"))
    payments = operator.again().payments
    refused = payments.confirm("c", 1, debt.reference, debt.amount, "X", CUT)  # it is not that much any more
    assert isinstance(refused, NotDone)
    for _ in range(2):  # the second time it is done already
        done = operator.again().payments.confirm("c", 1, debt.reference, debt.amount - 1, "X", CUT)
        assert isinstance(done, WindowRecord), done
    assert debt.reference not in {one.reference for one in _now(operator).standing}


def test_who_gives_back_what_it_got_by_the_operators_account_before_its_default_owes_it_no_more() -> None:
    operator, statement = _published(4, agent=True)
    payments = _payments(statement)
    got = next(one for one in payments if one.debtor_id == OPERATOR_ID)
    _reports(operator, "got", got.creditor_id, Booked(got.reference, got.amount, "B1"))
    debtor = next(one for one in payments if one.creditor_id == OPERATOR_ID).debtor_id
    for late in (debtor, got.creditor_id):
        operator.books.payments.default(f"d {late}", 1, late, "why", LATE)
    [back] = [one for one in _debts(operator, got.creditor_id) if one.creditor_id == OPERATOR_ID]
    for at, amount in enumerate((1, back.amount - 1)):
        _reports(operator, f"back {at}", OPERATOR_ID, _booked(back, amount, f"B{at}"))
    assert back.reference not in {one.reference for one in _now(operator).standing}
