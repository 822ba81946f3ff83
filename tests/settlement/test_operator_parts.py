"""Payments that come in parts: they add up, each counts once; what came of a late one lessens what stands."""

from __future__ import annotations

from node.actors.operator_money import NotDone, Why
from node.actors.operator_parts import MAX_PARTS
from node.coalition.directory import OPERATOR_ID
from node.settlement.documents import Payment
from node.settlement.payments import Booked, PaymentState
from node.settlement.windows import WindowState
from node.wire.settlement_store import WindowRecord
from tests.settlement.test_operator_books import CUT, Operator
from tests.settlement.test_operator_payments import (
    LATE,
    _now,
    _payments,
    _position,
    _published,
    _reports,
    _state,
)


def _booked(payment: Payment, amount: int, bank: str) -> Booked:
    return Booked(payment.reference, amount, bank)


def _stands(operator: Operator, debtor: str, creditor: str) -> int:
    """What the one owes the other outside the net; below 0 the other way round."""
    owed = {(one.debtor_id, one.creditor_id): one.amount for one in _now(operator).standing}
    return owed.get((debtor, creditor), 0) - owed.get((creditor, debtor), 0)


def test_parts_that_the_receiver_reports_add_up_and_the_last_one_settles_the_window() -> None:
    operator, statement = _published()
    first, *others = _payments(statement)
    for other in others:
        _reports(operator, other.reference, other.creditor_id, _booked(other, other.amount, "B"))
    half = first.amount // 2
    for request_id in ("one", "one", "the same file again"):
        [shown] = _reports(operator, request_id, first.creditor_id, _booked(first, half, "B1"))
        assert shown is not None
        assert (shown.state, shown.booked) == (PaymentState.DIFFERENT, half)
    [shown] = _reports(operator, "two", first.creditor_id, _booked(first, first.amount - half, "B2"))
    assert shown is not None
    assert shown.state is PaymentState.PAID
    record = operator.again().window(1)
    assert isinstance(record, WindowRecord)
    assert record.state is WindowState.SETTLED


def test_what_came_in_part_is_off_what_both_sides_still_await_and_too_much_changes_nothing() -> None:
    operator, statement = _published()
    payment = _payments(statement)[0]
    debtor, creditor = payment.debtor_id, payment.creditor_id
    before = _position(operator, debtor).unpaid, _position(operator, creditor).awaited
    _reports(operator, "one", creditor, _booked(payment, 3, "B1"))
    assert _position(operator, debtor).unpaid == before[0] - 3
    assert _position(operator, creditor).awaited == before[1] - 3
    _reports(operator, "two", creditor, _booked(payment, payment.amount + 1, "B2"))
    assert (_position(operator, debtor).unpaid, _position(operator, creditor).awaited) == before


def test_two_bookings_of_one_file_that_the_bank_calls_the_same_are_one_part() -> None:
    operator, statement = _published()
    payment = _payments(statement)[0]
    parts = [_booked(payment, payment.amount - 1, "B"), _booked(payment, 1, "B")]
    _reports(operator, "one file", payment.creditor_id, *parts)
    assert _state(operator, payment) is PaymentState.PAID


def test_parts_without_a_name_of_the_banks_are_the_same_one_and_are_not_added_up() -> None:
    operator, statement = _published()
    payment = _payments(statement)[0]
    _reports(operator, "one", payment.creditor_id, _booked(payment, payment.amount - 1, ""))
    [shown] = _reports(operator, "two", payment.creditor_id, _booked(payment, 1, ""))
    assert shown is not None
    assert (shown.state, shown.booked) == (PaymentState.DIFFERENT, 1)


def test_a_part_without_a_name_is_not_added_to_those_with_one_the_larger_counts() -> None:
    operator, statement = _published()
    payment = _payments(statement)[0]
    for request_id, amount, bank, shown_amount in (
        ("one", 3, "", 3),
        ("two", 2, "B1", 3),
        ("three", 2, "B2", 4),
    ):
        [shown] = _reports(operator, request_id, payment.creditor_id, _booked(payment, amount, bank))
        assert shown is not None
        assert shown.booked == shown_amount


def test_what_the_receiver_and_the_operator_say_of_the_same_money_is_not_added_up() -> None:
    operator, statement = _published()
    payment = _payments(statement)[0]
    half = payment.amount - payment.amount // 2
    assert payment.creditor_id != OPERATOR_ID
    _reports(operator, "theirs", payment.creditor_id, _booked(payment, half, "at their bank"))
    [shown] = _reports(operator, "ours", OPERATOR_ID, _booked(payment, payment.amount - half, "at ours"))
    assert shown is not None
    assert (shown.state, shown.booked) == (PaymentState.DIFFERENT, half)


def test_the_payers_parts_add_up_to_nothing() -> None:
    operator, statement = _published()
    payment = _payments(statement)[0]
    for bank, amount in (("B1", 1), ("B2", payment.amount - 1)):
        _reports(operator, bank, payment.debtor_id, _booked(payment, amount, bank))
    assert _state(operator, payment) is PaymentState.SAID


def test_what_comes_late_in_parts_lessens_what_stands_part_by_part() -> None:
    operator, statement = _published(4)
    payment = _payments(statement)[0]
    debtor, creditor = payment.debtor_id, payment.creditor_id
    operator.books.payments.default("d1", 1, debtor, "why", LATE)
    before, third = _stands(operator, debtor, creditor), payment.amount // 3
    for request_id in ("one", "the same file again"):
        [shown] = _reports(operator, request_id, creditor, _booked(payment, third, "B1"))
        assert shown is not None
        assert (shown.state, shown.booked) == (PaymentState.REPLACED, third)
        assert _stands(operator, debtor, creditor) == before - third
    [shown] = _reports(operator, "two", creditor, _booked(payment, payment.amount - third, "B2"))
    assert shown is not None
    assert shown.state is PaymentState.PAID
    assert _stands(operator, debtor, creditor) == before - payment.amount


def test_what_the_one_in_default_says_that_it_paid_lessens_nothing() -> None:
    operator, statement = _published(4)
    payment = _payments(statement)[0]
    _reports(operator, "early", payment.debtor_id, _booked(payment, 1, "B0"))
    operator.books.payments.default("d1", 1, payment.debtor_id, "why", LATE)
    before = _now(operator).standing
    _reports(operator, "late", payment.debtor_id, _booked(payment, payment.amount, "B1"))
    now = _now(operator)
    assert now.standing == before
    [shown] = [one for one in now.payments if one.payment == payment]
    assert (shown.state, shown.booked) == (PaymentState.REPLACED, 0)


def test_a_part_that_came_before_another_was_in_default_is_taken_off_what_is_paid_in_its_place() -> None:
    def still_pays(part: int) -> tuple[int, int]:
        operator, statement = _published(6)
        payments = _payments(statement)
        debtor = payments[0].debtor_id
        between = next(one for one in payments if debtor not in (one.debtor_id, one.creditor_id))
        if part:
            _reports(operator, "part", between.creditor_id, _booked(between, part, "B1"))
        operator.books.payments.default("d1", 1, debtor, "why", LATE)
        due = [one.payment for one in _now(operator).payments if one.state is PaymentState.DUE]
        pays = sum(one.amount for one in due if one.debtor_id == between.debtor_id)
        gets = sum(one.amount for one in due if one.creditor_id == between.debtor_id)
        return pays - gets, between.amount

    without_part, amount = still_pays(0)
    assert still_pays(amount // 2)[0] == without_part - amount // 2


def test_a_payment_in_more_parts_than_are_kept_is_refused_with_what_to_do() -> None:
    operator, statement = _published()
    payment = _payments(statement)[0]
    assert payment.amount > MAX_PARTS + 2
    parts = [_booked(payment, 1, f"B{number}") for number in range(MAX_PARTS)]
    _reports(operator, "many", payment.creditor_id, *parts)
    one_more = [_booked(payment, 1, "one more")]
    refused = operator.again().payments.report("more", 1, payment.creditor_id, one_more, CUT)
    assert isinstance(refused, NotDone)
    assert (refused.why, payment.reference in refused.text) == (Why.INVALID, True)
    assert "vafa operator paid 1" in refused.text
    [shown] = [one for one in _now(operator).payments if one.payment == payment]
    assert shown.booked == MAX_PARTS
