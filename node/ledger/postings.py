"""Double entry: what each event moves between a member's purse and the node's own books.

Every event yields postings that sum to zero for each purse, so an entry does, a batch does and a partition
does. A member's gain is positive on MEMBER; the node's books carry the other side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from node.ledger.account import Taken
from node.ledger.awards import Award
from node.ledger.events import (
    ActivityEarned,
    AnyEvent,
    Credited,
    Debited,
    Earned,
    Expired,
    HoldClosed,
    PositionMoved,
    Spent,
)
from node.ledger.lots import total

MEMBER = "member"
ISSUED = "issued"
REDEEMED = "redeemed"
BREAKAGE = "breakage"
ADJUSTED = "adjusted"
IN_TRANSIT = "in_transit"
ABROAD = "abroad"
"""The other side of what partners' members did at this node's tills."""


def payable(partner_id: str) -> str:
    """The book of what this node owes a partner for what was spent at the other's tills; positive."""
    return f"payable:{partner_id}"


def is_payable(book: str) -> bool:
    """Whether a book is one of `payable`."""
    return book.startswith("payable:")


def receivable(partner_id: str) -> str:
    """The book of what a partner owes this node; negative."""
    return f"receivable:{partner_id}"


class Posting(Struct, frozen=True, array_like=True):
    """`units` (minor units of `purse`) on one book."""

    book: str
    purse: str
    units: int


def postings_of(events: Iterable[AnyEvent]) -> Iterator[Posting]:
    """The postings of some events, two for each movement."""
    for event in events:
        if isinstance(event, PositionMoved):
            yield Posting(event.book, event.purse, event.units)
            yield Posting(ABROAD, event.purse, -event.units)
            continue
        for book, purse, units in movements(event):
            if units:
                yield Posting(MEMBER, purse, units)
                yield Posting(book, purse, -units)


def movements(event: AnyEvent) -> Iterable[tuple[str, str, int]]:
    """What an event moves, as (book, purse, units gained by the member)."""
    kind = type(event)
    if kind is Earned or kind is ActivityEarned:
        return _awarded(event.awards)  # type: ignore[union-attr]  # `kind` says which event it is
    if kind is Spent:
        return _spent(event.taken, event.book)  # type: ignore[union-attr]  # `kind` says which event it is
    if kind is HoldClosed:
        return _spent(event.spent, event.book)  # type: ignore[union-attr]  # `kind` says which event it is
    if isinstance(event, Credited):
        return ((event.book, event.purse, total(event.lots) + event.debt),)
    if isinstance(event, Debited):
        return ((event.book, event.purse, -total(event.lots) - total(event.pending_lots) - event.debt),)
    if isinstance(event, Expired):
        return ((BREAKAGE, event.purse, -total(event.lots)),)
    if isinstance(event, PositionMoved):  # from book to book; nothing stays with the members
        return ((event.book, event.purse, -event.units), (ABROAD, event.purse, event.units))
    return ()


def _awarded(awards: tuple[Award, ...]) -> Iterable[tuple[str, str, int]]:
    return [(ISSUED, award.purse, award.units) for award in awards]


def _spent(taken: tuple[Taken, ...], book: str) -> Iterable[tuple[str, str, int]]:
    return [(book or REDEEMED, part.purse, -part.units) for part in taken]


class Books(Struct):
    """The node's books of one partition: units by (book, purse), MEMBER included.

    The one mutable record of the ledger: a running sum, changed by `post` and nothing else.
    """

    units: dict[tuple[str, str], int] = {}

    def post(self, events: Iterable[AnyEvent]) -> None:
        """Adds the postings of `events`."""
        units = self.units
        for event in events:
            for book, purse, gained in movements(event):
                member, other = (MEMBER, purse), (book, purse)
                units[member] = units.get(member, 0) + gained
                units[other] = units.get(other, 0) - gained

    def sums(self) -> dict[str, int]:
        """The sum over all books by purse: 0 for each, or the books are wrong."""
        sums: dict[str, int] = {}
        for (_, purse), units in self.units.items():
            sums[purse] = sums.get(purse, 0) + units
        return sums
