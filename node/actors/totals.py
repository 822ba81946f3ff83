"""The totals of each purse, from the node's books."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from node.ledger.postings import BREAKAGE, ISSUED, MEMBER, REDEEMED


class Totals(Struct, frozen=True):
    """One purse over the node, in its minor units; `books_sum` is 0 or the books are wrong."""

    purse: str
    issued: int
    redeemed: int
    breakage: int
    outstanding: int
    books_sum: int


def totals_of(rows: Iterable[tuple[str, str, int]]) -> list[Totals]:
    """The totals of every purse from (book, purse, units)."""
    books: dict[str, dict[str, int]] = {}
    for book, purse, units in rows:
        of_purse = books.setdefault(purse, {})
        of_purse[book] = of_purse.get(book, 0) + units
    return [
        Totals(
            purse,
            -found.get(ISSUED, 0),
            found.get(REDEEMED, 0),
            found.get(BREAKAGE, 0),
            found.get(MEMBER, 0),
            sum(found.values()),
        )
        for purse, found in sorted(books.items())
    ]
