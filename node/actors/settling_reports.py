"""What a merchant found where its records and a partner's part: kept, and told until the operator has it."""

from __future__ import annotations

from collections.abc import Iterator

from node.settlement.documents import Mismatch
from node.storage.settlement_keys import Item, item_key, item_range
from node.storage.store import Batch, Store
from node.wire.settlement import mismatch_message, read_mismatch_bytes


class Reports:
    """The mismatches in a merchant's control store, and which of them the operator has not taken yet.

    What is kept and that it is to be told are one batch, so no lost call and no restart forgets a report.
    """

    def __init__(self, store_: Store) -> None:
        self._store = store_

    def keep(self, found: Mismatch) -> None:
        """Keeps what was found. The same once more, as each new search brings it, is not told again."""
        data, place = mismatch_message(found).SerializeToString(), _place(found)
        key = item_key(Item.MISMATCH, *place)
        if self._store.get(key) == data:
            return
        batch = Batch()
        batch.put(key, data)
        batch.put(item_key(Item.UNREPORTED, *place), b"\x01")
        self._commit(batch)

    def of_window(self, window: int) -> list[Mismatch]:
        """What was found in a window, told or not."""
        return [read_mismatch_bytes(data) for _, data in self._store.scan(*item_range(Item.MISMATCH, window))]

    def untold(self) -> Iterator[Mismatch]:
        """What the operator has not taken yet, of whatever window, oldest window first."""
        start, _ = item_range(Item.UNREPORTED)
        before = item_key(Item.MISMATCH)
        for key, _ in list(self._store.scan(*item_range(Item.UNREPORTED))):
            data = self._store.get(before + key[len(start) :])
            if data is not None:
                yield read_mismatch_bytes(data)

    def told(self, found: Mismatch) -> None:
        """The operator has it. What was found anew in its place during the call is still to be told."""
        place = _place(found)
        if self._store.get(item_key(Item.MISMATCH, *place)) == mismatch_message(found).SerializeToString():
            batch = Batch()
            batch.delete(item_key(Item.UNREPORTED, *place))
            self._commit(batch)

    def _commit(self, batch: Batch) -> None:
        self._store.write(batch)
        self._store.sync()


def _place(found: Mismatch) -> tuple[int, str, str, int]:
    return found.window, found.home_id, found.acquirer_id, found.lane
