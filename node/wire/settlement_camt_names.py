"""What tells a booking in a bank's file from every other one, so that it counts once in however many files it
comes.

ISO 20022 gives an entry its AcctSvcrRef, "unique reference as assigned by the account servicing institution
to unambiguously identify the entry", the same in a notification (camt.054) and in the day's statement
(camt.053). Not every bank fills it in. NtryRef does not help: many banks number the entries of each message
from 1. So a booking without it is known by what both messages must say alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from msgspec import Struct

_NOTHING = frozenset({"", "NONREF", "NOTPROVIDED"})
"""What banks write where they have no reference; NOTPROVIDED is the guidelines' own word for it."""


class Unnamed(Struct, frozen=True):
    """What a bank says of a booking: the entry's own reference, the transaction's, and the end-to-end
    transaction's (UETR), each empty where it says none; (payment's reference, amount, currency, incoming,
    day).
    """

    entry: str
    transaction: str
    end_to_end: str
    said: tuple[str, str, str, bool, str]


def named(bookings: Sequence[Unnamed]) -> list[tuple[str, str]]:
    """(name, "" or what it is alike with others in) of each booking of one statement, in their order.

    The bank's reference where there is one, or else the UETR. Otherwise the payment's reference, the
    amount, the direction and the day, and which of those that are alike in this statement it is: two equal
    parts of one day are two, and the same ones in another statement. What the second of two notifications
    has alike with the first is taken for the same: too little counts until the day's statement has both,
    never too much.
    """
    seen = Counter[str]()
    names = []
    for one in bookings:
        given = (one.entry, one.transaction, one.end_to_end)
        name, alike = next((text for text in given if text not in _NOTHING), ""), ""
        if not name:
            reference, amount, currency, incoming, day = one.said
            parts = (reference, _plain(amount), currency, "in" if incoming else "out", day)
            alike = " ".join(filter(None, parts))
            seen[alike] += 1
            name = numbered(alike, seen[alike])
        names.append((name, alike))
    return names


def numbered(alike: str, number: int) -> str:
    """The name of one of those that are alike in a statement, numbered from 1."""
    return f"{alike} #{number}"


def _plain(amount: str) -> str:
    """An amount as it is written in one way only: 0.50 and 0.5 are the same."""
    try:
        value = Decimal(amount)
    except InvalidOperation:
        return amount
    return f"{value.normalize():f}" if value.is_finite() else amount
