"""Payments that come in parts: what each party's bank booked of one, kept until it adds up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from msgspec import Struct

from node.actors.operator_money import NotDone, Why
from node.settlement.payments import Booked
from node.storage.settlement_keys import Item, item_key, item_range
from node.storage.store import Store
from node.wire import settlement_store as store
from node.wire.settlement_store import PartRecord

MAX_PARTS = 100
"""Parts that are kept of one payment."""


class Added(Struct, frozen=True):
    """What a report of parts changes in the books, and what has come of each of its payments then."""

    changes: dict[bytes, bytes]
    totals: dict[str, int]


class Parts:
    """The parts in an operator's books. A part is known by what the bank calls it: said again it is the same
    one, with its newest amount. A receiver's account and the operator's may be of the same money, so they
    are not added to each other; the larger counts. A part without a name may be any of those with one, so
    neither are these; `vafa` names each that it finds in a bank's file.
    """

    def __init__(self, store_: Store) -> None:
        self._store = store_

    def total(self, number: int, reference: str) -> int:
        """What came of a payment of a window so far, in the smallest amount that is paid."""
        return _total(self._kept(number, reference))

    def by(self, number: int, reference: str, caller: str) -> int:
        """What a caller alone says that has come."""
        return _total(self._kept(number, reference, caller))

    def with_more(self, number: int, caller: str, more: Iterable[Booked]) -> Added | NotDone:
        """What becomes of payments with a caller's parts; nothing is written. Two bookings of one report that
        the bank calls the same are one part.
        """
        amounts: dict[tuple[str, str], int] = {}
        for one in more:
            name = one.reference, _hashed(one.bank_reference)
            amounts[name] = amounts.get(name, 0) + one.amount
        added = Added({}, {})
        for reference in sorted({reference for reference, _ in amounts}):
            new = {
                item_key(Item.PART, number, reference, caller, name): store.PART.encode(
                    PartRecord(caller, amount)
                )
                for (of, name), amount in amounts.items()
                if of == reference
            }
            kept = self._kept(number, reference) | new
            if len(kept) > MAX_PARTS:
                return NotDone(
                    Why.INVALID,
                    f"Payment {reference} came in more than {MAX_PARTS} parts. Nothing was kept. Once all "
                    f"of it has come, the operator marks it: vafa operator paid {number} {reference}",
                )
            added.changes.update(new)
            added.totals[reference] = _total(kept)
        return added

    def _kept(self, number: int, *place: str) -> dict[bytes, bytes]:
        return dict(self._store.scan(*item_range(Item.PART, number, *place)))


def _hashed(bank_reference: str) -> str:
    return hashlib.sha256(bank_reference.encode()).hexdigest()


_WITHOUT_NAME = _hashed("").encode()


def _total(parts: Mapping[bytes, bytes]) -> int:
    sums: dict[tuple[str, bool], int] = {}
    for key, data in parts.items():
        part = store.PART.decode(data)
        account = part.caller, key.endswith(_WITHOUT_NAME)
        sums[account] = sums.get(account, 0) + part.amount
    return max(sums.values(), default=0)
