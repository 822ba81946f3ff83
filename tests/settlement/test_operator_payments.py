"""Payments at the operator: what banks report, partial and wrong amounts, who does not pay, and how partners
stand.
"""

from __future__ import annotations

from typing import Any

import pytest

from bench.settlement_records import make_coalition, window_start
from node.actors.operator_money import NotDone, Why
from node.actors.operator_payments import PaymentsNow
from node.actors.operator_positions import Position, positions
from node.coalition.directory import OPERATOR_ID, PaymentAccount, SettlementTerms
from node.settlement.documents import Net, Obligation, Payment
from node.settlement.payments import Booked, PaymentNow, PaymentState
from node.settlement.windows import WindowState
from node.wire.settlement_lines import ReadStatement
from node.wire.settlement_store import WindowRecord
from tests.settlement.settlement_world import World
from tests.settlement.test_operator_books import CUT, Operator, _trade

DUE_SECONDS = 3_600
LATE = CUT + DUE_SECONDS * 1000


def _published(merchants: int = 3, *, agent: bool = False, **more: Any) -> tuple[Operator, ReadStatement]:
    terms = SettlementTerms(
        1,
        "IRR",
        0,
        close_grace_seconds=86_400,
        payment_due_seconds=DUE_SECONDS,
        agent_account=PaymentAccount("Agent", other_id="AGENT-1") if agent else None,
    )
    operator = Operator(World(coalition=make_coalition(merchants, terms=terms, **more)))
    _trade(operator.world, 1)
    operator.collect(1, CUT)
    return operator, operator.settled(1, CUT)


def _payments(statement: ReadStatement) -> list[Payment]:
    return [line for line in statement.lines if isinstance(line, Payment)]


def _now(operator: Operator) -> PaymentsNow:
    found = operator.again().payments.now(1)  # as a restarted operator has it
    assert isinstance(found, PaymentsNow)
    return found


def _reports(operator: Operator, request_id: str, caller: str, *bookings: Booked) -> list[PaymentNow | None]:
    found = operator.again().payments.report(request_id, 1, caller, bookings, CUT)
    assert not isinstance(found, NotDone), found
    return found[0]


def _state(operator: Operator, payment: Payment) -> PaymentState:
    return next(one.state for one in _now(operator).payments if one.payment == payment)


def _position(operator: Operator, partner_id: str) -> Position:
    return next(one for one in positions(operator.again()) if one.partner_id == partner_id)


def test_what_the_receiver_reports_in_full_is_paid_and_the_last_one_settles_the_window() -> None:
    operator, statement = _published(4)
    payments = _payments(statement)
    assert len(payments) > 1
    for payment in payments:
        record = operator.books.window(1)
        assert isinstance(record, WindowRecord)
        assert record.state is WindowState.PENDING
        booked = Booked(payment.reference, payment.amount, "B1")
        [shown] = _reports(operator, payment.reference, payment.creditor_id, booked)
        assert shown is not None
        assert (shown.state, shown.bank_reference) == (PaymentState.PAID, "B1")
        # The same file once more, and another one with the same booking.
        for request_id in (payment.reference, "again " + payment.reference):
            assert _reports(operator, request_id, payment.creditor_id, booked) == [shown]
    record = operator.again().window(1)
    assert isinstance(record, WindowRecord)
    assert record.state is WindowState.SETTLED


def test_the_payers_word_alone_settles_nothing_and_the_receivers_makes_it_so() -> None:
    operator, statement = _published()
    payment = _payments(statement)[0]
    booked = Booked(payment.reference, payment.amount)
    _reports(operator, "r1", payment.debtor_id, booked)
    assert _state(operator, payment) is PaymentState.SAID
    assert _position(operator, payment.debtor_id).unpaid >= payment.amount
    _reports(operator, "r1", payment.creditor_id, booked)  # ids are each merchant's own
    assert _state(operator, payment) is PaymentState.PAID


@pytest.mark.parametrize("change", [-1, 1])
def test_a_partial_or_wrong_amount_is_shown_with_what_came_and_is_not_paid(change: int) -> None:
    operator, statement = _published()
    payment = _payments(statement)[0]
    wrong = Booked(payment.reference, payment.amount + change, "B7")
    [shown] = _reports(operator, "r1", payment.creditor_id, wrong)
    assert shown == PaymentNow(payment, PaymentState.DIFFERENT, payment.amount + change, "B7")
    _reports(operator, "p1", payment.debtor_id, Booked(payment.reference, payment.amount))
    assert _state(operator, payment) is PaymentState.DIFFERENT  # the payer does not talk it away
    _reports(operator, "r2", payment.creditor_id, Booked(payment.reference, payment.amount, "B8"))
    assert _state(operator, payment) is PaymentState.PAID


def test_a_booking_that_is_no_payment_of_the_callers_changes_nothing() -> None:
    operator, statement = _published()
    payment = _payments(statement)[0]
    other = next(
        one for one in operator.world.coalition.ids if one not in (payment.debtor_id, payment.creditor_id)
    )
    booked = Booked(payment.reference, payment.amount)
    assert _reports(operator, "r1", other, booked, Booked("no-such", 5)) == [None, None]
    assert _state(operator, payment) is PaymentState.DUE
    found = operator.books.payments.report("r2", 1, other, [Booked(payment.reference, 0)], CUT)
    assert isinstance(found, NotDone)


def test_who_has_not_paid_when_it_was_due_is_left_behind_and_the_others_finish_the_window() -> None:
    operator, statement = _published(4)
    debtor = _payments(statement)[0].debtor_id
    early = operator.books.payments.default("d1", 1, debtor, "no answer", LATE - 1)
    assert isinstance(early, NotDone)
    assert early.why is Why.NOT_YET
    record = operator.again().payments.default("d1", 1, debtor, "no answer", LATE)
    assert isinstance(record, WindowRecord), record
    now = _now(operator)
    assert [(one.partner_id, one.reason) for one in now.defaulted] == [(debtor, "no answer")]
    assert {one.state for one in now.payments if one.payment in _payments(statement)} == {
        PaymentState.REPLACED
    }
    due = [one.payment for one in now.payments if one.state is PaymentState.DUE]
    assert all(debtor not in (one.debtor_id, one.creditor_id) for one in due)
    # Its bilateral debts stand, to the unit.
    owed = [
        line
        for line in statement.lines
        if isinstance(line, Obligation) and debtor in (line.first_id, line.second_id) and line.payable
    ]
    assert {(one.debtor_id, one.creditor_id, one.amount) for one in now.standing} == {
        (one.first_id, one.second_id, one.payable)
        if one.payable > 0
        else (one.second_id, one.first_id, -one.payable)
        for one in owed
    }
    for payment in due:
        _reports(
            operator, f"x{payment.reference}", payment.creditor_id, Booked(payment.reference, payment.amount)
        )
    record = operator.again().window(1)
    assert isinstance(record, WindowRecord)
    assert record.state is WindowState.SETTLED
    # It is to be suspended for as long as something of it stands, and the next window goes its way.
    position = _position(operator, debtor)
    assert (position.suspend, position.defaulted_windows) == (True, (1,))
    assert "default of window 1" in position.reason
    _trade(operator.world, 2)
    operator.collect(2, window_start(3))
    operator.settled(2, window_start(3))


def test_declaring_it_twice_changes_nothing_and_one_who_owes_nothing_is_never_in_default() -> None:
    operator, statement = _published(4)
    payment = _payments(statement)[0]
    first = operator.books.payments.default("d1", 1, payment.debtor_id, "why", LATE)
    before = _now(operator)
    assert operator.again().payments.default("d2", 1, payment.debtor_id, "why", LATE) == first
    assert _now(operator) == before
    creditor = next(line.party_id for line in statement.lines if isinstance(line, Net) and line.payable > 0)
    operator, statement = _published(4)
    for party in (creditor, OPERATOR_ID, "stranger"):
        refused = operator.books.payments.default("d3", 1, party, "why", LATE)
        assert isinstance(refused, NotDone)
        assert refused.why is Why.INVALID


def test_a_payment_that_others_came_in_the_place_of_is_not_taken_for_paid() -> None:
    operator, statement = _published(6)
    payments = _payments(statement)
    debtor = payments[0].debtor_id
    between_others = [one for one in payments if debtor not in (one.debtor_id, one.creditor_id)]
    assert between_others
    assert isinstance(operator.books.payments.default("d1", 1, debtor, "why", LATE), WindowRecord)
    payment = between_others[0]
    [shown] = _reports(operator, "r", payment.creditor_id, Booked(payment.reference, payment.amount, "B2"))
    assert shown is not None
    assert shown.state is PaymentState.REPLACED  # it would be paid twice
    assert operator.books.money.paid(1) == set()


def test_what_comes_late_from_the_one_in_default_lessens_what_stands() -> None:
    operator, statement = _published(4)
    payment = _payments(statement)[0]
    operator.books.payments.default("d1", 1, payment.debtor_id, "why", LATE)
    before = {(one.debtor_id, one.creditor_id): one.amount for one in _now(operator).standing}
    [shown] = _reports(operator, "late", payment.creditor_id, Booked(payment.reference, payment.amount, "B9"))
    assert shown is not None
    assert shown.state is PaymentState.PAID
    after = {(one.debtor_id, one.creditor_id): one.amount for one in _now(operator).standing}
    pair, back = (payment.debtor_id, payment.creditor_id), (payment.creditor_id, payment.debtor_id)
    changed = (before.get(pair, 0) - before.get(back, 0)) - (after.get(pair, 0) - after.get(back, 0))
    assert changed == payment.amount


def test_a_prepaid_partner_gets_back_from_its_balance_what_it_now_owes_to_the_one_in_default() -> None:
    operator, statement = _published(5, prepaid=1)
    ahead = "m000"
    nets = {line.party_id: line.payable for line in statement.lines if isinstance(line, Net)}
    before = operator.books.money.balance(ahead).balance.left
    assert before == nets[ahead]
    debtor = next(one.debtor_id for one in _payments(statement) if one.debtor_id != OPERATOR_ID)
    operator.books.payments.default("d1", 1, debtor, "why", LATE)
    first, second = sorted((ahead, debtor))
    between = next(
        line.payable
        for line in statement.lines
        if isinstance(line, Obligation) and (line.first_id, line.second_id) == (first, second)
    )
    effect = between if first == ahead else -between
    record = operator.again().money.balance(ahead)
    assert record.balance.left == before + effect
    # The next statement begins where this one ended, and says what came since.
    assert operator.books.money.opening_balances([ahead])[ahead] == (before, effect)


def test_positions_say_what_is_unpaid_and_awaited_and_who_is_to_be_suspended() -> None:
    operator, statement = _published(3, prepaid=1)
    nets = {line.party_id: line.payable for line in statement.lines if isinstance(line, Net)}
    for one in positions(operator.books):
        assert (one.window, one.net) == (1, nets[one.partner_id])
        mine = _payments(statement)
        assert one.unpaid == sum(pay.amount for pay in mine if pay.debtor_id == one.partner_id)
        assert one.awaited == sum(pay.amount for pay in mine if pay.creditor_id == one.partner_id)
    prepaid = _position(operator, "m000")
    assert prepaid.prepaid is not None
    assert prepaid.suspend == (prepaid.prepaid.left <= 0)
    operator.books.money.top_up("t1", "m000", 10**9)
    assert not _position(operator, "m000").suspend


def test_who_has_long_been_silent_is_advised_to_be_suspended_and_is_not_by_itself() -> None:
    operator = Operator(World(coalition=make_coalition(3)))
    for window in (1, 2):
        operator.world.trade("m000", "m001", 0, window, 3)
        at = window_start(window + 1) + 86_400_000
        for signed in operator.world.all_closes(window):
            if "m002" not in signed.close.pair:
                assert operator.books.submit(signed, at) is None
        operator.settled(window, at)
    position = _position(operator, "m002")
    assert (position.suspend, position.silent_windows) == (False, 2)
    assert "signed nothing for 2 windows" in position.reason
    assert _position(operator, "m000").reason == ""
