"""Bank statements in: which payments of a settlement the bank says were made (ISO 20022 camt.053, camt.054).

Read by element names, whatever the version of the schema (001.02 to 001.12 name these alike): booked
entries, their transactions, the end-to-end reference and the amount. The reference is the statement's own,
so a payment is found without guessing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from xml.etree import ElementTree

from msgspec import Struct

from node.settlement.documents import Payment, StatementFacts

MAX_FILE_BYTES = 64 * 1024 * 1024
_FORBIDDEN = (b"<!DOCTYPE", b"<!ENTITY")
_BOOKED = "BOOK"


class BankFileUnreadable(ValueError):
    """The file is no camt.053 or camt.054; the text is for who was given it by the bank."""


class Booking(Struct, frozen=True):
    """One transaction that the bank booked. `amount` is a decimal in `currency`."""

    reference: str
    amount: str
    currency: str
    incoming: bool
    bank_reference: str


class Match(Struct, frozen=True):
    """A payment of a statement and what the bank booked for it. `units` is the booking's amount in the
    smallest amount that is paid; 0 where it is in another currency, is no such amount, or went the other
    way: money that was sent back under a payment's reference never counts as having come.
    """

    payment: Payment
    booking: Booking
    units: int = 0


class Matched(Struct, frozen=True):
    """What a bank's file says of a statement's payments."""

    paid: tuple[Match, ...]
    wrong: tuple[tuple[Match, str], ...]
    """Bookings with a payment's reference that are not it, and why: they are not marked as paid."""


def read_bank_file(data: bytes) -> list[Booking]:
    """The booked transactions of a camt.053 or camt.054; raises BankFileUnreadable."""
    if len(data) > MAX_FILE_BYTES:
        raise BankFileUnreadable(
            f"The file has more than {MAX_FILE_BYTES // 1024 // 1024} MiB. It was not read."
        )
    if any(mark in data for mark in _FORBIDDEN):
        raise BankFileUnreadable(
            "The file declares a document type, which no bank statement does. It was not read."
        )
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 - without a document type there is nothing to expand
    except ElementTree.ParseError:
        raise BankFileUnreadable("The file is no XML. Ask the bank for camt.053 or camt.054.") from None
    names = {_name(child) for child in root}
    if _name(root) != "Document" or not names & {"BkToCstmrStmt", "BkToCstmrDbtCdtNtfctn"}:
        raise BankFileUnreadable("The file is neither camt.053 nor camt.054. Ask the bank for one of these.")
    return [booking for entry in root.iter() if _name(entry) == "Ntry" for booking in _bookings(entry)]


def matched(
    bookings: Sequence[Booking], payments: Sequence[Payment], facts: StatementFacts, own_id: str
) -> Matched:
    """Which of a statement's payments, made or received by `own_id`, the bank booked in full; each once."""
    by_reference = {one.reference: one for one in payments if own_id in (one.debtor_id, one.creditor_id)}
    paid: dict[str, Match] = {}
    wrong: list[tuple[Match, str]] = []
    for booking in bookings:
        payment = by_reference.get(booking.reference)
        if payment is None:
            continue
        right_way = booking.incoming == (payment.creditor_id == own_id)
        match = Match(payment, booking, _units(booking, facts) if right_way else 0)
        problem = _problem(match, facts, own_id)
        if problem is None and booking.reference in paid:
            problem = "it was booked twice"
        if problem:
            wrong.append((match, problem))
        else:
            paid[booking.reference] = match
    return Matched(tuple(paid.values()), tuple(wrong))


def _problem(match: Match, facts: StatementFacts, own_id: str) -> str | None:
    payment, booking = match.payment, match.booking
    if booking.incoming != (payment.creditor_id == own_id):
        return "it went the other way"
    if booking.currency != facts.currency:
        return f"it is in {booking.currency}, not {facts.currency}"
    try:
        Decimal(booking.amount)
    except InvalidOperation:
        return "its amount is no number"
    if match.units != payment.amount:
        due = Decimal(payment.amount).scaleb(-facts.currency_exponent)
        return f"it is of {booking.amount}, not of {due:f}"
    return None


def _units(booking: Booking, facts: StatementFacts) -> int:
    if booking.currency != facts.currency:
        return 0
    try:
        units = Decimal(booking.amount).scaleb(facts.currency_exponent)
    except InvalidOperation:
        return 0
    return int(units) if units.is_finite() and units == units.to_integral_value() and units > 0 else 0


def _bookings(entry: ElementTree.Element) -> Iterator[Booking]:
    status = _first(entry, "Sts")
    said = (_text(_first(status, "Cd")) or (status.text or "").strip()) if status is not None else ""
    if said != _BOOKED:
        return
    details = [one for one in entry.iter() if _name(one) == "TxDtls"]
    for detail in details or [entry]:
        amount = _first(detail, "Amt")
        if amount is None and len(details) == 1:
            amount = _first(entry, "Amt")  # a version that leaves out what the entry says already
        if amount is None:
            amount = next((one for one in detail.iter() if _name(one) == "Amt" and one.text), None)
        direction = _text(_first(detail, "CdtDbtInd")) or _text(_first(entry, "CdtDbtInd"))
        reference = next((_text(one) for one in detail.iter() if _name(one) == "EndToEndId"), "")
        if amount is None or not reference:
            continue
        yield Booking(
            reference,
            (amount.text or "").strip(),
            amount.get("Ccy", ""),
            direction == "CRDT",
            next((_text(one) for one in entry.iter() if _name(one) == "AcctSvcrRef"), ""),
        )


def _first(element: ElementTree.Element, name: str) -> ElementTree.Element | None:
    return next((child for child in element if _name(child) == name), None)


def _text(element: ElementTree.Element | None) -> str:
    return (element.text or "").strip() if element is not None else ""


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
