"""The operator's money: corrections, prepaid balances, payments that were made; each change once by its
request id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

from msgspec import Struct

from node.coalition.directory import Directory
from node.settlement import prepaid
from node.settlement.documents import Correction
from node.settlement.statement import prepaid_partners
from node.storage.settlement_keys import Item, item_key, item_range
from node.storage.store import Batch, Store
from node.wire import settlement_store as store
from node.wire.settlement_store import BalanceRecord


class Why(StrEnum):
    """What kind of refusal it is."""

    INVALID = "invalid"
    """It can never be done as it is."""
    NOT_YET = "not yet"
    """It may be done later."""
    CONFLICT = "conflict"
    """Something else was done in its place."""
    UNKNOWN = "unknown"
    """There is no such thing."""


class NotDone(Struct, frozen=True):
    """Why nothing was changed, in words for a person."""

    why: Why
    text: str


class OperatorMoney:
    """What came in and what is put right. Its store is that of the operator's books."""

    def __init__(self, store_: Store, directory: Callable[[], Directory]) -> None:
        self._store = store_
        self._directory = directory

    def correct(self, request_id: str, correction: Correction) -> NotDone | None:
        """Puts something right in the next statement."""
        number = sum(1 for _ in self._store.scan(*item_range(Item.CORRECTION)))
        value = store.CORRECTION.encode(correction)
        return self.once(request_id, value, {item_key(Item.CORRECTION, number): value})

    def corrections(self) -> Iterator[Correction]:
        """What the next statement will put right."""
        return (store.CORRECTION.decode(data) for _, data in self._store.scan(*item_range(Item.CORRECTION)))

    def balance(self, partner_id: str) -> BalanceRecord:
        """A prepaid partner's balance."""
        data = self._store.get(item_key(Item.BALANCE, partner_id))
        return BalanceRecord() if data is None else store.BALANCE.decode(data)

    def top_up(self, request_id: str, partner_id: str, amount: int) -> BalanceRecord | NotDone:
        """Adds money that came in, in the smallest amount that is paid."""
        if partner_id not in prepaid_partners(self._directory(), [partner_id]) or amount <= 0:
            text = f"{partner_id} was not topped up: it is no prepaid partner, or the amount is not above 0."
            return NotDone(Why.INVALID, text)
        before = self.balance(partner_id)
        after = BalanceRecord(prepaid.topped_up(before.balance, amount), before.topped_up + amount)
        asked = f"top-up {partner_id} {amount}".encode()
        refusal = self.once(
            request_id, asked, {item_key(Item.BALANCE, partner_id): store.BALANCE.encode(after)}
        )
        return refusal or self.balance(partner_id)

    def opening_balances(self, partners: Iterable[str]) -> dict[str, tuple[int, int]]:
        """(balance after the last statement, topped up since) of those of the partners that pay ahead."""
        ahead = prepaid_partners(self._directory(), partners)
        records = {partner_id: self.balance(partner_id) for partner_id in ahead}
        return {
            partner_id: (one.balance.left - one.topped_up, one.topped_up)
            for partner_id, one in records.items()
        }

    def paid(self, number: int) -> set[str]:
        """The references of a statement's payments that were made."""
        size = len(item_key(Item.PAID, number)) + 1
        return {key[size:].decode() for key, _ in self._store.scan(*item_range(Item.PAID, number))}

    def was_done(self, request_id: str, asked: bytes) -> bool:
        """Whether this very request was done before."""
        data = self._store.get(item_key(Item.REQUEST, request_id))
        return data is not None and store.REQUEST_DONE.decode(data).asked == hashlib.sha256(asked).digest()

    def once(self, request_id: str, asked: bytes, changes: dict[bytes, bytes]) -> NotDone | None:
        """Writes what a request changes, once; another body under the same id is refused."""
        key, digest = item_key(Item.REQUEST, request_id), hashlib.sha256(asked).digest()
        data = self._store.get(key)
        if data is not None:
            same = store.REQUEST_DONE.decode(data).asked == digest
            text = f"The request id {request_id} came before with something else. Nothing was done."
            return None if same else NotDone(Why.CONFLICT, text)
        batch = Batch.of(changes)
        batch.put(key, store.REQUEST_DONE.encode(store.RequestDone(digest)))
        self.commit(batch)
        return None

    def commit(self, batch: Batch) -> None:
        """Writes a batch of the books and makes it durable."""
        self._store.write(batch)
        self._store.sync()
