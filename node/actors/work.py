"""One batch of a shard: what it reads, what it will write, and nothing durable before it is committed.

Every change of a batch goes through its `Work`: reads see what earlier commands of the same batch wrote, and
`commit` makes one write and one sync of it all. A command that faults half-way has put nothing here, since
members put their changes only when everything about them is decided and encoded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice

from node.ledger.transactions import Amendment
from node.storage import keyspace
from node.storage.store import Batch, Store
from node.wire import records
from node.wire.records import RequestRecord, StoredEntry

_GONE = b""


class Work:
    """The reads and writes of one batch over one store.

    A batch is one moment: `clock_ms` is when it was begun, by the node's clock.
    """

    def __init__(self, store: Store, clock_ms: int) -> None:
        self._store = store
        self.clock_ms = clock_ms
        self._changed: dict[bytes, bytes] = {}
        self.lasting = False
        """Whether anything of it must be durable before it is answered."""

    def __len__(self) -> int:
        return len(self._changed)

    def get(self, key: bytes) -> bytes | None:
        """The value of `key` as this batch sees it."""
        if self._changed:
            changed = self._changed.get(key)
            if changed is not None:
                return changed or None
        return self._store.get(key)

    def scan(self, start: bytes, end: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        """Up to `limit` pairs with start <= key < end in their order, as this batch sees them when asked."""
        changed = {key: value for key, value in self._changed.items() if start <= key < end}
        if not changed:
            return self._store.scan(start, end, limit=limit)
        # Of so many pairs of the store at least `limit` are left, whatever this batch has deleted.
        seen = dict(self._store.scan(start, end, limit=limit + len(changed))) | changed
        return islice(((key, seen[key]) for key in sorted(seen) if seen[key] != _GONE), limit)

    def put(self, key: bytes, value: bytes) -> None:
        """Sets `key`; values are never empty, so an empty one can stand for a deletion."""
        assert value
        self._changed[key] = value
        self.lasting = True

    def note(self, key: bytes, value: bytes) -> None:
        """Sets `key` to what nobody is answered by: it is written with the batch, but the batch is not
        synced for it alone. The next sync makes it durable; a power cut before that loses it.
        """
        assert value
        self._changed[key] = value

    def delete(self, key: bytes) -> None:
        """Removes `key`."""
        self._changed[key] = _GONE
        self.lasting = True

    def request(self, partition: int, scope: str, request_id: str) -> RequestRecord | None:
        """The record of a request, or None where it never took effect."""
        return self.request_at(keyspace.request_key(partition, scope, request_id))

    def request_at(self, key: bytes) -> RequestRecord | None:
        """The same by its key."""
        data = self.get(key)
        return None if data is None else records.REQUEST.decode(data)

    def entry(self, partition: int, sequence: int) -> StoredEntry | None:
        """A journal entry, or None."""
        data = self.get(keyspace.journal_key(partition, sequence))
        return None if data is None else records.decode_entry(data)

    def amendment(self, partition: int, sequence: int) -> Amendment:
        """What became of an entry; an empty amendment where nothing did."""
        data = self.get(keyspace.transaction_key(partition, sequence))
        return Amendment(sequence) if data is None else records.AMENDMENT.decode(data)

    def commit(self) -> float:
        """Writes everything in one atomic batch and makes it durable; gives the seconds that took.

        A batch of notes alone is written and not synced. Raises StoreFailed; nothing of the batch may then
        be answered.
        """
        if not self._changed:
            return 0.0
        started = time.perf_counter()
        self._store.write(Batch.of(self._changed))
        if self.lasting:
            self._store.sync()
        return time.perf_counter() - started
