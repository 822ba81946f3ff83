"""A partition's running head: its sequence, hash chain, clock, books and number of accounts.

A partition is the unit of order. Whatever is posted to it gets the next sequence and the next hash, and its
postings go to its books, in one place.
"""

from __future__ import annotations

from node.actors.work import Work
from node.ledger.postings import Books
from node.ledger.returns import amend
from node.ledger.transactions import Amendment, Entry
from node.storage import keyspace
from node.storage.keyspace import PartitionMeta
from node.storage.store import Store
from node.wire import records
from node.wire.records import PartitionHead

CLOCK_TOLERANCE_MS = 60_000
"""How far the clock may stand behind the journal before postings are refused (a leap, a small correction)."""


class Partition:
    """The head of one partition in memory; `save` puts it into a batch."""

    def __init__(self, number: int, head: PartitionHead) -> None:
        self.number = number
        self.sequence = head.sequence
        self.hash = head.hash
        self.clock_ms = head.clock_ms
        self.accounts = head.accounts
        self.books: Books = records.books_from(head.books)
        self._saved_sequence = head.sequence

    @classmethod
    def load(cls, store: Store, number: int) -> Partition:
        """The partition as the store has it; an empty one where it has none yet."""
        data = store.get(keyspace.partition_meta_key(number, PartitionMeta.HEAD))
        return cls(number, PartitionHead() if data is None else records.HEAD.decode(data))

    def now_ms(self, clock_ms: int) -> int | None:
        """The moment to post at: never before the journal's last. None where the clock is far behind."""
        if clock_ms >= self.clock_ms:
            return clock_ms
        return self.clock_ms if self.clock_ms - clock_ms <= CLOCK_TOLERANCE_MS else None

    def post(self, work: Work, entry: Entry) -> None:
        """Puts the next entry into the journal and its movements into the books; amends older entries."""
        assert entry.sequence == self.sequence + 1, "an entry is posted out of order"
        # Whatever could fault comes first: an entry is posted wholly or not at all.
        data, digest = records.encode_entry(entry, self.hash)
        amendments = self._amendments(work, entry)
        self.books.post(entry.events)
        self.sequence, self.hash = entry.sequence, digest
        if entry.at_ms > self.clock_ms:
            self.clock_ms = entry.at_ms
        work.put(keyspace.journal_key(self.number, entry.sequence), data)
        for key, value in amendments.items():
            work.put(key, value)

    def _amendments(self, work: Work, entry: Entry) -> dict[bytes, bytes]:
        """What becomes of older entries by this one, as it is stored."""
        amended: dict[int, Amendment] = {}
        for event in entry.events:
            original = getattr(event, "original", 0)
            if original:
                before = amended.get(original) or work.amendment(self.number, original)
                amended[original] = amend(before, event, entry.at_ms)
        return {
            keyspace.transaction_key(self.number, original): records.AMENDMENT.encode(one)
            for original, one in amended.items()
        }

    def save(self, work: Work) -> bool:
        """Puts the head into the batch where something was posted since it was last saved; says whether."""
        if self.sequence == self._saved_sequence:
            return False
        key = keyspace.partition_meta_key(self.number, PartitionMeta.HEAD)
        work.put(key, records.HEAD.encode(self.head()))
        self._saved_sequence = self.sequence
        return True

    def head(self) -> PartitionHead:
        """The head as it is stored."""
        books = records.books_record(self.books)
        return PartitionHead(self.sequence, self.hash, self.clock_ms, self.accounts, books)
