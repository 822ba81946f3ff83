"""Bank statements in: which payments of a settlement the bank says were made (ISO 20022 camt.053, camt.054).

Read by element names, whatever the version of the schema (001.02 to 001.12 name these alike): booked
entries, their transactions, the end-to-end reference and the amount. The reference is the statement's own,
so a payment is found without guessing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from xml.etree import ElementTree

from msgspec import Struct
from msgspec.structs import replace

from node.settlement.documents import Payment, StatementFacts
from node.wire.settlement_camt_names import Unnamed, named, numbered

MAX_FILE_BYTES = 64 * 1024 * 1024
_FORBIDDEN = (b"<!DOCTYPE", b"<!ENTITY")
_BOOKED = "BOOK"
_STATEMENTS = frozenset({"Stmt", "Ntfctn"})


class BankFileUnreadable(ValueError):
    """The file is no camt.053 or camt.054; the text is for who was given it by the bank."""


class Booking(Struct, frozen=True):
    """One transaction that the bank booked. `amount` is a decimal in `currency`. `bank_reference` tells it
    from every other booking and is never empty: the bank's own, or else made by `settlement_camt_names` of
    what it is alike with others in, `alike`.
    """

    reference: str
    amount: str
    currency: str
    incoming: bool
    bank_reference: str = ""
    alike: str = ""


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

    @property
    def told(self) -> list[Match]:
        """What the operator is told of: all that came, wrong amounts too."""
        return [*self.paid, *(match for match, _ in self.wrong if match.units)]


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
    found: dict[tuple[str, str, bool], list[Booking]] = {}
    for statement in (one for one in root.iter() if _name(one) in _STATEMENTS):
        here: dict[tuple[str, str, bool], list[Booking]] = {}
        for booking in _named(statement):
            here.setdefault((booking.reference, booking.bank_reference, booking.incoming), []).append(booking)
        # One message may carry two statements of overlapping times: what both have was booked once.
        found |= here
    return [booking for some in found.values() for booking in some]


def matched(
    bookings: Sequence[Booking],
    payments: Sequence[Payment],
    facts: StatementFacts,
    own_id: str,
    both_ways: Collection[str] = (),
) -> Matched:
    """Which of a statement's payments, made or received by `own_id`, the bank booked in full: at once, or in
    parts that add up. What was sent back under a payment's reference is taken off what came under it; not
    so under those of `both_ways`, which what stands between two is paid under in either direction.
    """
    by_reference = {one.reference: one for one in payments if own_id in (one.debtor_id, one.creditor_id)}
    groups: dict[str, list[Match]] = {}
    for booking in bookings:
        payment = by_reference.get(booking.reference)
        if payment is not None:
            match = Match(payment, booking)
            if _is_right_way(match, own_id):
                match = replace(match, units=_units(booking, facts))
            groups.setdefault(booking.reference, []).append(match)
    paid: list[Match] = []
    wrong: list[tuple[Match, str]] = []
    for group in groups.values():
        way = _right_way if group[0].payment.reference in both_ways else _without_sent_back
        kept, back = way(group, facts, own_id)
        wrong += back
        whole = next((one for one in kept if one.units == one.payment.amount), None)
        if whole is not None:
            paid.append(whole)
            wrong += [
                (one, _problem(one, facts, own_id) or "it was booked twice")
                for one in kept
                if one is not whole
            ]
        elif (
            kept
            and sum(one.units for one in kept) == kept[0].payment.amount
            and all(one.units for one in kept)
        ):
            paid += kept
        else:
            wrong += [(one, _problem(one, facts, own_id) or "") for one in kept]
    return Matched(tuple(paid), tuple(wrong))


def _is_right_way(match: Match, own_id: str) -> bool:
    return match.booking.incoming == (match.payment.creditor_id == own_id)


def _right_way(
    group: Iterable[Match], facts: StatementFacts, own_id: str
) -> tuple[list[Match], list[tuple[Match, str]]]:
    kept, wrong = [], []
    for one in group:
        if _is_right_way(one, own_id):
            kept.append(one)
        else:
            wrong.append((one, "it went the other way"))
    return kept, wrong


def _without_sent_back(
    group: Iterable[Match], facts: StatementFacts, own_id: str
) -> tuple[list[Match], list[tuple[Match, str]]]:
    """A payment's bookings less what was sent back, and those that count for nothing with why.

    What went back is the newest booking of the same amount before it; banks list the newest first or last,
    so where none is before it, one after it. Where another amount went back nobody can say which booking it
    was of: then none of them is told to the operator.
    """
    kept: list[Match] = []
    wrong: list[tuple[Match, str]] = []
    back: list[int] = []
    for one in group:
        if _is_right_way(one, own_id):
            kept.append(one)
            continue
        wrong.append((one, "it went the other way"))
        amount = _units(one.booking, facts)
        if amount and not _took_back(kept, amount, wrong):
            back.append(amount)
    if not all(_took_back(kept, amount, wrong) for amount in back):
        wrong += [(replace(one, units=0), "some of it was sent back, nobody was told of it") for one in kept]
        kept = []
    return _numbered_anew(kept), wrong


def _numbered_anew(kept: Iterable[Match]) -> list[Match]:
    """Those without a name of the bank's, counted without those that were sent back: a notification of one of
    them has it as the first.
    """
    seen = Counter[str]()
    found = []
    for one in kept:
        alike = one.booking.alike
        if alike:
            seen[alike] += 1
            one = replace(one, booking=replace(one.booking, bank_reference=numbered(alike, seen[alike])))
        found.append(one)
    return found


def _took_back(kept: list[Match], amount: int, wrong: list[tuple[Match, str]]) -> bool:
    equal = next((one for one in reversed(kept) if one.units == amount), None)
    if equal is not None:
        kept.remove(equal)
        wrong.append((replace(equal, units=0), "it was sent back"))
    return equal is not None


def _problem(match: Match, facts: StatementFacts, own_id: str) -> str | None:
    payment, booking = match.payment, match.booking
    if not _is_right_way(match, own_id):
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


def _named(statement: ElementTree.Element) -> Iterator[Booking]:
    """A statement's bookings, each with the name that it has in every other statement."""
    found = [one for entry in statement.iter() if _name(entry) == "Ntry" for one in _bookings(entry)]
    names = named([unnamed for _, unnamed in found])
    return (
        replace(booking, bank_reference=name, alike=alike)
        for (booking, _), (name, alike) in zip(found, names, strict=True)
    )


def _bookings(entry: ElementTree.Element) -> Iterator[tuple[Booking, Unnamed]]:
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
        reference = _anywhere(detail, "EndToEndId")
        if amount is None or not reference:
            continue
        booking = Booking(reference, (amount.text or "").strip(), amount.get("Ccy", ""), direction == "CRDT")
        date = _date(_first(entry, "BookgDt")) or _date(_first(entry, "ValDt"))
        yield (
            booking,
            Unnamed(
                entry=_text(_first(entry, "AcctSvcrRef")),
                transaction=_anywhere(detail, "AcctSvcrRef"),
                end_to_end=_anywhere(detail, "UETR"),
                said=(reference, booking.amount, booking.currency, booking.incoming, date),
            ),
        )


def _date(element: ElementTree.Element | None) -> str:
    """The day of a DateAndDateTime choice, as it is written there."""
    return "" if element is None else (_anywhere(element, "Dt") or _anywhere(element, "DtTm")[:10])


def _anywhere(element: ElementTree.Element, name: str) -> str:
    return next((_text(one) for one in element.iter() if _name(one) == name), "")


def _first(element: ElementTree.Element, name: str) -> ElementTree.Element | None:
    return next((child for child in element if _name(child) == name), None)


def _text(element: ElementTree.Element | None) -> str:
    return (element.text or "").strip() if element is not None else ""


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
