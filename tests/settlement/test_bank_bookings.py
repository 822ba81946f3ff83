"""A booking counts once in however many of a bank's files it comes, and two equal ones count twice."""

from __future__ import annotations

from itertools import permutations

import pytest

from node.settlement.documents import Payment, StatementFacts
from node.settlement.payments import Booked, PaymentState
from node.wire.settlement_camt import Matched, matched, read_bank_file
from tests.settlement.test_operator_payments import _now, _payments, _published, _reports

FACTS = StatementFacts("demo", 7, 1, bytes(32), 1, "IRR", 0)
PAYMENT = Payment("m000", "m001", 100, "demo-7-1")


def _booked(
    amount: str,
    *,
    entry: str = "",
    details: str = "",
    day: str = "<Dt>2026-10-01</Dt>",
    direction: str = "CRDT",
    number: str = "1",
    reference: str = PAYMENT.reference,
) -> str:
    """An entry; `details` are its transaction's other references, `number` the bank's own."""
    own = f"<AcctSvcrRef>{entry}</AcctSvcrRef>" if entry else ""
    refs = f"<Refs><EndToEndId>{reference}</EndToEndId>{details}</Refs>"
    transaction = f'<TxDtls>{refs}<Amt Ccy="IRR">{amount}</Amt></TxDtls>'
    return (
        f'<Ntry><NtryRef>{number}</NtryRef><Amt Ccy="IRR">{amount}</Amt><CdtDbtInd>{direction}</CdtDbtInd>'
        f"<Sts><Cd>BOOK</Cd></Sts><BookgDt>{day}</BookgDt>{own}<NtryDtls>{transaction}</NtryDtls></Ntry>"
    )


def _statement(*entries: str) -> str:
    return f"<Stmt><Id>1</Id>{''.join(entries)}</Stmt>"


def _day(*statements: str) -> bytes:
    """A camt.053 with these statements."""
    return f"<Document><BkToCstmrStmt>{''.join(statements)}</BkToCstmrStmt></Document>".encode()


def _notice(*entries: str) -> bytes:
    """A camt.054."""
    inner = f"<Ntfctn>{''.join(entries)}</Ntfctn>"
    return f"<Document><BkToCstmrDbtCdtNtfctn>{inner}</BkToCstmrDbtCdtNtfctn></Document>".encode()


def _names(data: bytes) -> list[str]:
    return [one.bank_reference for one in read_bank_file(data)]


def _found(data: bytes) -> Matched:
    return matched(read_bank_file(data), [PAYMENT], FACTS, "m001")


# --- names -------------------------------------------------------------------------------------------------


def test_the_banks_reference_of_the_entry_names_a_booking_then_the_transactions_then_the_uetr() -> None:
    transaction, uetr = "<AcctSvcrRef>T</AcctSvcrRef>", "<UETR>U</UETR>"
    assert _names(_notice(_booked("5", entry="E", details=transaction + uetr))) == ["E"]
    assert _names(_notice(_booked("5", details=transaction + uetr))) == ["T"]
    assert _names(_notice(_booked("5", entry="NOTPROVIDED", details=uetr))) == ["U"]


def test_a_booking_without_a_reference_has_one_name_in_a_notice_and_in_the_days_statement() -> None:
    notice = _notice(_booked("50.0", day="<DtTm>2026-10-01T11:12:13+03:30</DtTm>", number="1"))
    day = _day(_statement(_booked("7", reference="other", number="1"), _booked("50", number="2")))
    assert _names(notice)[0] == _names(day)[1] != ""


@pytest.mark.parametrize(
    "other",
    [
        _booked("50", day="<Dt>2026-10-02</Dt>"),
        _booked("51"),
        _booked("50", direction="DBIT"),
        _booked("50", reference="demo-7-2"),
        _booked("50"),  # the same once more in the same statement
    ],
)
def test_what_differs_in_day_amount_direction_or_payment_or_is_there_twice_is_another_booking(
    other: str,
) -> None:
    assert len(set(_names(_day(_statement(_booked("50"), other))))) == 2


@pytest.mark.parametrize("entry", ["", "E"])
def test_two_statements_of_one_message_that_have_the_same_booking_have_it_once(entry: str) -> None:
    one = _statement(_booked("50", entry=entry))
    assert len(read_bank_file(_day(one, one))) == 1


def test_transactions_of_one_entry_are_bookings_of_one_name() -> None:
    two = (
        _booked("50", entry="E").replace("</NtryDtls></Ntry>", "") + _booked("50").partition("<NtryDtls>")[2]
    )
    assert _names(_day(_statement(two))) == ["E", "E"]


# --- what a file says is paid ------------------------------------------------------------------------------


def test_parts_in_one_file_that_add_up_are_paid_and_all_of_them_are_told() -> None:
    found = _found(_day(_statement(_booked("60"), _booked("40"))))
    assert ([one.units for one in found.paid], found.wrong) == ([60, 40], ())
    found = _found(_day(_statement(_booked("60"), _booked("39"))))
    assert (found.paid, [one.units for one, _ in found.wrong]) == ((), [60, 39])


def test_parts_that_add_up_only_with_another_currency_are_not_paid() -> None:
    euros = _booked("40").replace('"IRR"', '"EUR"')
    found = _found(_day(_statement(_booked("60"), euros)))
    assert (found.paid, [why for _, why in found.wrong]) == (
        (),
        ["it is of 60, not of 100", "it is in EUR, not IRR"],
    )


def test_what_came_and_was_sent_back_is_not_paid_and_the_rest_is_told() -> None:
    found = _found(_day(_statement(_booked("100"), _booked("100", direction="DBIT"))))
    assert (found.paid, sum(one.units for one, _ in found.wrong)) == ((), 0)
    assert sorted(why for _, why in found.wrong) == ["it was sent back", "it went the other way"]
    again = _day(_statement(_booked("100"), _booked("100", direction="DBIT"), _booked("100", entry="E")))
    assert [one.units for one in _found(again).paid] == [100]
    part = _day(_statement(_booked("60"), _booked("40"), _booked("40", direction="DBIT")))
    assert [one.units for one, _ in _found(part).wrong if one.units] == [60]


def test_what_came_anew_after_it_was_sent_back_is_told_under_its_own_name() -> None:
    first, back, anew = _booked("40", entry="E1"), _booked("40", direction="DBIT"), _booked("40", entry="E2")
    for entries, told in (
        ([first, back, anew], ["E2"]),
        ([first, anew, back], ["E1"]),
        ([back, first], []),
    ):
        found = _found(_day(_statement(*entries)))
        assert [one.booking.bank_reference for one, _ in found.wrong if one.units] == told


def test_where_another_amount_was_sent_back_nothing_of_the_payment_is_told() -> None:
    found = _found(_day(_statement(_booked("100"), _booked("30", direction="DBIT"))))
    assert (found.paid, sum(one.units for one, _ in found.wrong)) == ((), 0)
    assert "some of it was sent back" in str([why for _, why in found.wrong])


def test_a_notice_of_what_came_anew_is_the_booking_that_the_days_statement_has_after_one_sent_back() -> None:
    part, back = _booked("40"), _booked("40", direction="DBIT")
    [(noticed, _)] = _found(_notice(part)).wrong
    told = [one for one, _ in _found(_day(_statement(part, back, part))).wrong if one.units]
    assert told == [noticed]


def test_what_stands_between_two_may_go_either_way_in_one_file_and_nothing_of_it_is_sent_back() -> None:
    file = read_bank_file(_day(_statement(_booked("140", direction="DBIT"), _booked("100"))))
    found = matched(file, [PAYMENT], FACTS, "m001", {PAYMENT.reference})
    assert [one.units for one in found.paid] == [100]
    assert matched(file, [PAYMENT], FACTS, "m001").paid == ()


# --- files, one after another ------------------------------------------------------------------------------


def _after(files: list[bytes], reference: str, creditor: str) -> tuple[PaymentState, int]:
    """How a payment stands after these files, each of which is one report."""
    operator, statement = _published()
    payment = _payments(statement)[0]
    assert (payment.reference, payment.creditor_id) == (reference, creditor)
    for at, file in enumerate(files):
        found = matched(read_bank_file(file), [payment], statement.facts, creditor)
        told = [*found.paid, *(one for one, _ in found.wrong if one.units)]
        bookings = [Booked(reference, one.units, one.booking.bank_reference) for one in told]
        _reports(operator, f"file {at}", creditor, *bookings)
    [shown] = [one for one in _now(operator).payments if one.payment == payment]
    return shown.state, shown.booked


def test_unnamed_parts_in_several_files_add_up_in_any_order_and_each_counts_once() -> None:
    payment = _payments(_published()[1])[0]
    name = payment.reference
    first, second = _booked("3", reference=name), _booked("3", reference=name, day="<Dt>2026-10-02</Dt>")
    rest = _booked(str(payment.amount - 6), reference=name, day="<Dt>2026-10-02</Dt>")
    files = [_notice(first), _day(_statement(first)), _notice(second), _day(_statement(second, rest))]
    for order in permutations(files):
        assert _after(list(order), name, payment.creditor_id) == (PaymentState.PAID, payment.amount)
    assert _after(files[:3], name, payment.creditor_id) == (PaymentState.DIFFERENT, 6)


def test_equal_parts_of_one_day_in_two_notices_count_once_until_the_days_statement_has_both() -> None:
    payment = _payments(_published()[1])[0]
    name, creditor = payment.reference, payment.creditor_id
    part = _booked("3", reference=name)
    assert _after([_notice(part), _notice(part)], name, creditor) == (PaymentState.DIFFERENT, 3)
    files = [_notice(part), _notice(part), _day(_statement(part, part))]
    assert _after(files, name, creditor) == (PaymentState.DIFFERENT, 6)
