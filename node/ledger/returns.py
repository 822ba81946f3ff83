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
from node.ledger.purchase import Purchase
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
    if purchase.lines:
        if minor:
            return refuse(
                Reason.INVALID_ARGUMENT,
                "This purchase has lines; name the lines that came back.",
                field="lines",
            )
        back = _lines_back(purchase, amended, lines)
    else:
        if lines:
            return refuse(
                Reason.INVALID_ARGUMENT, "This purchase has no lines; name an amount.", field="amount_minor"
            )
        back = _amount_back(purchase, amended, minor)
    if isinstance(back, Refused):
        return back
    cumulative, now_minor = back
    whole = _is_whole(purchase, cumulative, amended.minor + now_minor)
    awards = event.awards if isinstance(event, Earned) else ()
    before = amended.award_units or (0,) * len(awards)
    units = tuple(
        max(0, _award_back(award, purchase, cumulative, amended.minor + now_minor, whole) - old)
        for award, old in zip(awards, before, strict=True)
    )
    changed = tuple(
        (number, quantity - amended.lines.get(number, 0))
        for number, quantity in cumulative.items()
        if number not in amended.lines or quantity != amended.lines[number]
    )
    return Part(original, changed, now_minor, units)


def _lines_back(
    purchase: Purchase, amended: Amendment, lines: Sequence[LineBack]
) -> tuple[dict[int, int], int] | Refused:
    """Cumulative quantities by line after this return, and the money of what comes back now."""
    cumulative = dict(amended.lines)
    if not lines:
        lines = [
            LineBack(line.number, 0)
            for line in purchase.lines
            if not _is_back(purchase, amended, line.number)
        ]
        if not lines:
            return _exceeds()
    for wanted in lines:
        line = purchase.line(wanted.number)
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
    money = sum(_line_money(purchase, number, back) for number, back in cumulative.items())
    return cumulative, money - amended.minor


def _is_back(purchase: Purchase, amended: Amendment, number: int) -> bool:
    line = purchase.line(number)
    return line is not None and amended.lines.get(number, -1) == line.quantity_milli


def _line_money(purchase: Purchase, number: int, quantity: int) -> int:
    line = purchase.line(number)
    assert line is not None
    if quantity == line.quantity_milli:  # also the line without quantity
        return line.net_minor
    return line.net_minor * quantity // line.quantity_milli


def _amount_back(purchase: Purchase, amended: Amendment, minor: int) -> tuple[dict[int, int], int] | Refused:
    left = purchase.total_minor - amended.minor
    now = minor or left
    # A purchase of nothing can come back once: its reversal is the way to undo it, a return has no part.
    return _exceeds() if now <= 0 or now > left else ({}, now)


def _is_whole(purchase: Purchase, cumulative: Mapping[int, int], minor: int) -> bool:
    if purchase.lines:
        return all(cumulative.get(line.number, -1) == line.quantity_milli for line in purchase.lines)
    return minor == purchase.total_minor


def _award_back(
    award: Award, purchase: Purchase, cumulative: Mapping[int, int], minor: int, whole: bool
) -> int:
    """The units of an award that are back once `cumulative` and `minor` are."""
    if whole:
        return award.units
    if award.line_shares and purchase.lines:
        return sum(
            _share_back(purchase, number, share, cumulative.get(number, -1))
            for number, share in award.line_shares
        )
    if purchase.total_minor <= 0:
        return 0
    return min(award.units, max(0, award.units * minor // purchase.total_minor))


def _share_back(purchase: Purchase, number: int, share: int, back: int) -> int:
    line = purchase.line(number)
    if line is None or back < 0:
        return 0
    return share if back == line.quantity_milli else share * back // line.quantity_milli


def _exceeds(line_number: int = 0) -> Refused:
    return refuse(
        Reason.RETURN_EXCEEDS_PURCHASE,
        "More would come back than was bought, earlier returns included. Nothing was changed.",
        line=line_number,
    )
