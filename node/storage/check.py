"""The proof of a store: every journal replays to every balance, the chains hold, the postings sum to zero.

It reads a store and writes nothing. What it recomputes, it recomputes from the journal alone: accounts,
amendments, books and due times, with the very code that the living node uses to change them, and compares
the result with what is stored. Identifiers are checked against the accounts' own links.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from node.ledger.account import Account
from node.ledger.evolve import apply_entry
from node.ledger.lots import NEVER_MS
from node.ledger.postings import MEMBER, Books
from node.ledger.returns import amend
from node.ledger.transactions import Amendment
from node.storage import keyspace
from node.storage.check_lanes import check_lanes
from node.storage.keyspace import Kind, PartitionMeta
from node.storage.store import Store
from node.wire import records
from node.wire.records import PartitionHead, RecordUnreadable

MAX_FINDINGS = 100
PROGRESS_ENTRIES = 10_000


class Findings(Struct):
    """What a check found. `problems` are sentences, at most MAX_FINDINGS; none means clean."""

    entries: int = 0
    accounts: int = 0
    problems: list[str] = []
    books: dict[tuple[str, str], int] = {}

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def wrong(self, problem: str) -> None:
        """Notes a problem."""
        if len(self.problems) < MAX_FINDINGS:
            self.problems.append(problem)

    def add(self, other: Findings) -> None:
        """Takes over the findings of another store."""
        self.entries += other.entries
        self.accounts += other.accounts
        for problem in other.problems:
            self.wrong(problem)
        for key, units in other.books.items():
            self.books[key] = self.books.get(key, 0) + units

    def finish(self) -> None:
        """What only shows over all stores: nothing may be in transit for ever is for the delivery to see to,
        but the books of each purse sum to zero over the whole node."""
        sums: dict[str, int] = {}
        for (_, purse), units in self.books.items():
            sums[purse] = sums.get(purse, 0) + units
        for purse, units in sums.items():
            if units:
                self.wrong(f"the books of purse {purse!r} sum to {units}, not to 0")


Progress = Callable[[int], None]
"""Told the number of entries replayed so far."""


def check_store(
    store: Store, partitions: Iterable[int], progress: Progress = lambda entries: None
) -> Findings:
    """Proves the given partitions of a store."""
    findings = Findings(problems=[], books={})
    for number in partitions:
        _Replay(store, number, findings, progress).run()
    return findings


class _Replay:
    """One partition, from its first entry to its last."""

    def __init__(self, store: Store, number: int, findings: Findings, progress: Progress) -> None:
        self._store = store
        self._number = number
        self._findings = findings
        self._progress = progress
        self._accounts: dict[bytes, Account] = {}
        self._amendments: dict[int, Amendment] = {}
        self._books = Books({})
        self._hash = records.GENESIS
        self._sequence = 0

    def run(self) -> None:
        """Replays, then compares everything that is stored with what came out."""
        start, end = keyspace.kind_range(self._number, Kind.JOURNAL)
        for key, data in self._store.scan(start, end):
            if not self._replay(keyspace.parse_sequence(key, Kind.JOURNAL)[1], data):
                return
        self._compare_head()
        self._compare_accounts()
        self._compare_amendments()
        self._compare_requests()
        check_lanes(self._store, self._number, self._books.units, self._wrong)
        self._findings.accounts += len(self._accounts)

    def _wrong(self, problem: str) -> None:
        self._findings.wrong(f"partition {self._number}: {problem}")

    def _replay(self, sequence: int, data: bytes) -> bool:
        if sequence != self._sequence + 1:
            self._wrong(f"entry {self._sequence + 1} is missing")
            return False
        if not records.chained(data, self._hash):
            self._wrong(f"the hash chain breaks at entry {sequence}")
            return False
        try:
            stored = records.decode_entry(data)
        except RecordUnreadable as unreadable:
            self._wrong(f"entry {sequence}: {unreadable}")
            return False
        entry, self._hash, self._sequence = stored.entry, stored.hash, sequence
        try:
            if entry.account_id:
                before = self._accounts.get(entry.account_id) or Account(entry.account_id)
                if before.last_sequence != entry.previous:
                    self._wrong(f"entry {sequence} does not follow its account's last entry")
                self._accounts[entry.account_id] = apply_entry(before, entry)
        except AssertionError as fault:
            self._wrong(f"entry {sequence} does not fit the account before it: {fault}")
            return False
        self._books.post(entry.events)
        for event in entry.events:
            original = getattr(event, "original", 0)
            if original:
                known = self._amendments.get(original) or Amendment(original)
                self._amendments[original] = amend(known, event, entry.at_ms)
        self._findings.entries += 1
        if self._findings.entries % PROGRESS_ENTRIES == 0:
            self._progress(self._findings.entries)
        return True

    def _compare_head(self) -> None:
        data = self._store.get(keyspace.partition_meta_key(self._number, PartitionMeta.HEAD))
        head = PartitionHead() if data is None else records.HEAD.decode(data)
        if (head.sequence, head.hash) != (self._sequence, self._hash):
            self._wrong(f"the head says entry {head.sequence}, the journal ends at {self._sequence}")
        if records.books_from(head.books).units != self._books.units:
            self._wrong("the books are not what the journal's postings give")
        if head.accounts != len(self._accounts):
            self._wrong(f"the head counts {head.accounts} accounts, the journal opens {len(self._accounts)}")
        for purse, units in self._books.sums().items():
            if units:
                self._wrong(f"the postings of purse {purse!r} sum to {units}, not to 0")
        for key, units in self._books.units.items():
            self._findings.books[key] = self._findings.books.get(key, 0) + units

    def _compare_accounts(self) -> None:
        owned: dict[str, int] = {}
        stored = 0
        start, end = keyspace.kind_range(self._number, Kind.ACCOUNT)
        for key, data in self._store.scan(start, end):
            stored += 1
            account_id = keyspace.parse_id(key, Kind.ACCOUNT)[1]
            account = self._accounts.get(account_id)
            if account is None or records.ACCOUNT.decode(data) != account:
                self._wrong(f"account {account_id.hex()} is not what its journal entries give")
                continue
            for code, purse in account.purses.items():
                owned[code] = owned.get(code, 0) + purse.owned
            self._check_due(account)
            self._check_quarantine(account_id)
        if stored != len(self._accounts):
            self._wrong(f"{len(self._accounts)} accounts were opened, {stored} are stored")
        for code, units in owned.items():
            if units != self._books.units.get((MEMBER, code), 0):
                self._wrong(f"the members' purses {code!r} hold {units}, the books say otherwise")

    def _check_due(self, account: Account) -> None:
        if account.due_ms == NEVER_MS:
            return
        if self._store.get(keyspace.due_key(self._number, account.due_ms, account.account_id)) is None:
            self._wrong(f"account {account.account_id.hex()} is missing from the due index")

    def _check_quarantine(self, account_id: bytes) -> None:
        if self._store.get(keyspace.quarantine_key(self._number, account_id)) is not None:
            self._wrong(f"account {account_id.hex()} is set aside after a fault; look at it and release it")

    def _compare_amendments(self) -> None:
        start, end = keyspace.kind_range(self._number, Kind.TRANSACTION)
        stored = {
            keyspace.parse_sequence(key, Kind.TRANSACTION)[1]: records.AMENDMENT.decode(data)
            for key, data in self._store.scan(start, end)
        }
        if stored != self._amendments:
            differing = sorted(
                number
                for number in stored.keys() | self._amendments.keys()
                if stored.get(number) != self._amendments.get(number)
            )
            self._wrong(f"what became of entries {differing[:5]} is not what the journal says")

    def _compare_requests(self) -> None:
        """Every remembered request points to the entry that it made."""
        start, end = keyspace.kind_range(self._number, Kind.REQUEST)
        for _, data in self._store.scan(start, end):
            record = records.REQUEST.decode(data)
            if record.sequence > self._sequence:
                self._wrong(f"a request record points to entry {record.sequence}, which is not there")
