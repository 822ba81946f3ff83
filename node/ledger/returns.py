"""How much of a purchase comes back, and how much of each award goes with it.

Everything is computed from cumulative quantities, so that any sequence of partial returns that together
bring everything back takes back exactly what was earned, and rounding on the way favours the member.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from node.ledger.awards import Award
from node.ledger.events import Claimed, Earned, Returned, ReturnUndone, Reversed, Sold
from node.ledger.purchase import Line, Purchase
from node.ledger.refusals import Reason, Refused, refuse
from node.ledger.transactions import Amendment


class LineBack(Struct, frozen=True):
    """A line that came back; `quantity_milli` 0 means all of it that is still out."""

    number: int
    quantity_milli: int


class Part(Struct, frozen=True):
    """The part of a purchase that comes back now: quantities by line, money, units of each award."""

    original: int
    lines: tuple[tuple[int, int], ...]
    minor: int
    award_units: tuple[int, ...]


def amend(amended: Amendment, event: object, at_ms: int) -> Amendment:
    """The amendment of an entry after a later event about it; other events leave it as it is."""
    if isinstance(event, Returned):
        return _shift(amended, event.lines, event.minor, event.award_units, 1)
    if isinstance(event, ReturnUndone):
        return _shift(amended, event.lines, event.minor, event.award_units, -1)
    if isinstance(event, Reversed):
        return replace(amended, reversed_ms=at_ms)
    if isinstance(event, Claimed):
        return replace(amended, claimed_by=event.claimed_by)
    return amended


def _shift(
    amended: Amendment,
    lines: tuple[tuple[int, int], ...],
    minor: int,
    award_units: tuple[int, ...],
    sign: int,
) -> Amendment:
    back = dict(amended.lines)
    for number, quantity in lines:
        left = back.get(number, 0) + sign * quantity
        back[number] = left
        if sign < 0 and left == 0:
            del back[number]
    before = amended.award_units or (0,) * len(award_units)
    units = tuple(old + sign * new for old, new in zip(before, award_units, strict=True))
    return replace(amended, lines=back, minor=amended.minor + sign * minor, award_units=units or before)


def part_of_purchase(
    original: int, event: Earned | Sold, amended: Amendment, lines: Sequence[LineBack], minor: int
) -> Part | Refused:
    """What comes back with `lines` or `minor`, or all that is left with neither; or why it cannot."""
    purchase = event.purchase
    by_number = {line.number: line for line in purchase.lines}
    if purchase.lines:
        if minor:
            return refuse(
                Reason.INVALID_ARGUMENT,
                "This purchase has lines; name the lines that came back.",
                field="lines",
            )
        back = _lines_back(purchase, by_number, amended, lines)
    else:
        if lines:
            return refuse(
                Reason.INVALID_ARGUMENT, "This purchase has no lines; name an amount.", field="amount_minor"
            )
        back = _amount_back(purchase, amended, minor)
    if isinstance(back, Refused):
        return back
    cumulative, minor_back = back
    whole = _is_whole(purchase, cumulative, minor_back)
    awards = event.awards if isinstance(event, Earned) else ()
    before = amended.award_units or (0,) * len(awards)
    # A line that had lowered the total may come back later than what it was taken off. Then more is back
    # already than the sums ask for, and nothing is taken now: neither money nor units.
    units = tuple(
        max(0, (award.units if whole else _award_back(award, purchase, by_number, *back)) - old)
        for award, old in zip(awards, before, strict=True)
    )
    changed = tuple(
        (number, quantity - amended.lines.get(number, 0))
        for number, quantity in cumulative.items()
        if number not in amended.lines or quantity != amended.lines[number]
    )
    return Part(original, changed, max(0, minor_back - amended.minor), units)


def _lines_back(
    purchase: Purchase, by_number: Mapping[int, Line], amended: Amendment, lines: Sequence[LineBack]
) -> tuple[dict[int, int], int] | Refused:
    """Quantities by line and money that are back after this return, earlier returns included."""
    cumulative = dict(amended.lines)
    if not lines:
        lines = [
            LineBack(line.number, 0)
            for line in purchase.lines
            if cumulative.get(line.number, -1) != line.quantity_milli
        ]
        if not lines:
            return _exceeds()
    for wanted in lines:
        line = by_number.get(wanted.number)
        if line is None:
            return refuse(
                Reason.INVALID_ARGUMENT, f"The receipt has no line {wanted.number}.", field="lines.number"
            )
        left = line.quantity_milli - cumulative.get(line.number, 0)
        quantity = wanted.quantity_milli or left
        nothing_left = line.number in cumulative and left == 0
        if nothing_left or not 0 <= quantity <= left:
            return _exceeds(line.number)
        cumulative[line.number] = cumulative.get(line.number, 0) + quantity
    money = sum(_share_back(by_number[n], by_number[n].net_minor, back) for n, back in cumulative.items())
    # Where some lines lower the total, those that raise it are together worth more than was paid.
    return cumulative, min(max(0, money), purchase.total_minor)


def _amount_back(purchase: Purchase, amended: Amendment, minor: int) -> tuple[dict[int, int], int] | Refused:
    left = purchase.total_minor - amended.minor
    now = minor or left
    # A purchase of nothing has no part that could come back: its reversal is the way to undo it.
    return _exceeds() if now <= 0 or now > left else ({}, amended.minor + now)


def _is_whole(purchase: Purchase, cumulative: Mapping[int, int], minor: int) -> bool:
    if purchase.lines:
        return all(cumulative.get(line.number, -1) == line.quantity_milli for line in purchase.lines)
    return minor == purchase.total_minor


def _award_back(
    award: Award, purchase: Purchase, by_number: Mapping[int, Line], cumulative: Mapping[int, int], minor: int
) -> int:
    """The units of an award that are back once a part of the purchase, `cumulative` and `minor`, is."""
    if award.line_shares and by_number:
        units = sum(
            _share_back(by_number[number], share, cumulative[number])
            for number, share in award.line_shares
            if number in cumulative
        )
    elif purchase.total_minor:
        units = award.units * minor // purchase.total_minor
    else:
        units = 0
    return min(max(0, units), award.units)


def _share_back(line: Line, share: int, back: int) -> int:
    """The part of `share`, which belongs to a whole line, for the quantity of it that is back."""
    # A line without quantity is back as a whole or not at all.
    return share if back == line.quantity_milli else share * back // line.quantity_milli


def _exceeds(line_number: int = 0) -> Refused:
    return refuse(
        Reason.RETURN_EXCEEDS_PURCHASE,
        "More would come back than was bought, earlier returns included. Nothing was changed.",
        line=line_number,
    )


def taken_back_by(event: Earned, amended: Amendment) -> tuple[int, ...]:
    """The units of each award that have come back with everything that the amendment says came back.

    For a sale whose awards are another merchant's to take back: what `part_of_purchase` would have counted in
    all, from the quantities and the money alone.
    """
    purchase = event.purchase
    by_number = {line.number: line for line in purchase.lines}
    if _is_whole(purchase, amended.lines, amended.minor):
        return tuple(award.units for award in event.awards)
    return tuple(
        _award_back(award, purchase, by_number, amended.lines, amended.minor) for award in event.awards
    )
