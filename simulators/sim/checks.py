"""What must be true of a node when all is quiet, whatever was put on it; each check gives sentences."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from node.ledger.account import Account
from node.ledger.transactions import Entry
from node.storage import keyspace
from node.storage.check import Findings, check_store
from node.storage.keyspace import Kind, PartitionMeta
from node.storage.store import Store
from node.wire import records
from simulators.sim.asking import Sent
from simulators.sim.node import SimNode

POINTS = "points"


class Books:
    """What a node's disks hold, read once."""

    def __init__(self, node: SimNode) -> None:
        self.merchant = node.plan.merchant
        self._placed = [(shard.disk.read(), node.placement, shard.number) for shard in node.shards]
        self.entries = list(self._entries())
        self.accounts = {
            account.account_id: account
            for _, value in self.stored(Kind.ACCOUNT)
            for account in (records.ACCOUNT.decode(value),)
        }

    def partitions(self) -> Iterator[tuple[int, Store]]:
        """Each partition with the store that holds it."""
        for store, placement, number in self._placed:
            for partition, shard in placement.items():
                if shard == number:
                    yield partition, store

    def stored(self, kind: Kind) -> Iterator[tuple[bytes, bytes]]:
        """Everything of one kind."""
        for partition, store in self.partitions():
            yield from store.scan(*keyspace.kind_range(partition, kind))

    def heads(self) -> Iterator[dict[tuple[str, str], int]]:
        """The books of each partition: units by (book, purse)."""
        for partition, store in self.partitions():
            value = store.get(keyspace.partition_meta_key(partition, PartitionMeta.HEAD))
            if value is not None:
                yield records.books_from(records.HEAD.decode(value).books).units

    def _entries(self) -> Iterator[Entry]:
        for _, value in self.stored(Kind.JOURNAL):
            yield records.decode_entry(value).entry

    def account_of(self, request_id: str) -> Account | None:
        """The account that an enrolment by this request opened."""
        for entry in self.entries:
            if entry.request_id == request_id:
                return self.accounts.get(entry.account_id)
        return None


def replay(books: Books) -> list[str]:
    """Every balance is what its journal gives, the chains hold, the postings sum to zero."""
    findings = Findings(problems=[], books={})
    for partition, store in books.partitions():
        findings.add(check_store(store, (partition,)))
    findings.finish()
    return [f"{books.merchant}: {problem}" for problem in findings.problems]


def delivered(books: Books) -> list[str]:
    """Nothing waits in an outbox."""
    waiting = sum(1 for _ in books.stored(Kind.OUTBOX))
    return [f"{books.merchant}: {waiting} outbox entries were never delivered"] if waiting else []


def requests(books: Books, sent: Iterable[Sent]) -> list[str]:
    """What was acknowledged is in the journal once, as acknowledged; what was refused is not in it."""
    entries: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in books.entries:
        if entry.request_id:
            entries[entry.terminal, entry.request_id].append(entry)
    answers = _answers(books, {(one.scope, one.request_id) for one in sent})
    found = []
    for one in sent:
        count = len(entries[one.scope, one.request_id])
        name = f"{books.merchant}: {one.op.name} {one.scope} {one.request_id}"
        if not one.known:
            found.append(f"{name} was never answered")
        elif one.answer is not None and count != 1:
            found.append(f"{name} was acknowledged and is in the journal {count} times")
        elif one.answer is not None and answers.get((one.scope, one.request_id)) not in (one.answer, None):
            found.append(f"{name} would be answered otherwise than it was")
        elif one.refusal and count:
            found.append(f"{name} was refused ({one.refusal}) and is in the journal")
        elif one.never and not one.undone and count:
            found.append(f"{name} was reversed before it arrived, and was done")
        elif count > 1:
            found.append(f"{name} is in the journal {count} times")
    return found


def _answers(books: Books, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
    """The answers that the node would give again."""
    found = {}
    for partition, store in books.partitions():
        for scope, request_id in wanted:
            value = store.get(keyspace.request_key(partition, scope, request_id))
            if value is not None and (record := records.REQUEST.decode(value)).answer:
                found[scope, request_id] = record.answer
    return found


def receipts(books: Books, sent: Iterable[Sent]) -> list[str]:
    """A purchase that was reversed has let its receipt number go."""
    undone = {(one.scope, one.request_id) for one in sent if one.undone}
    return [
        f"{books.merchant}: the receipt of {claim.scope} {claim.request_id} is still taken; it was reversed"
        for _, value in books.stored(Kind.RECEIPT)
        for claim in (records.RECEIPT.decode(value),)
        if not claim.let_go and (claim.scope, claim.request_id) in undone
    ]


def index(books: Books) -> list[str]:
    """The index says of each identifier what the accounts say, and nothing is half linked."""
    owned: dict[bytes, list[tuple[bytes, bool]]] = defaultdict(list)
    for key, value in books.stored(Kind.IDENTIFIER):
        for owner in records.INDEX.decode(value).owners:
            if not owner.until_ms:
                owned[keyspace.parse_id(key, Kind.IDENTIFIER)[1]].append((owner.account_id, owner.confirmed))
    linked: dict[bytes, list[tuple[bytes, bool]]] = defaultdict(list)
    for account in books.accounts.values():
        for link in account.links:
            if not link.until_ms:
                linked[link.digest].append((account.account_id, True))
    return [
        f"{books.merchant}: {digest.hex()} is {owned[digest]} in the index, {linked[digest]} in accounts"
        for digest in sorted(owned.keys() | linked.keys())
        if owned[digest] != linked[digest]
    ]


def balances(books: Books, enrolments: dict[str, str], sent: Sequence[Sent]) -> list[str]:
    """No points are made or lost: a member has what the acknowledged requests add up to.

    `enrolments` maps each card to the request that enrolled it.
    """
    expected: Counter[str] = Counter()
    for one in sent:
        expected[one.card] += one.moved
        if one.to_card:
            expected[one.to_card] -= one.moved
    found = []
    for card, request_id in enrolments.items():
        account = books.account_of(request_id)
        if account is None:
            found.append(f"{books.merchant}: the member with card {card} is not there")
            continue
        purse = account.purses.get(POINTS)
        owned = 0 if purse is None else purse.owned
        if owned != expected[card]:
            found.append(
                f"{books.merchant}: the member with card {card} has {owned} points; "
                f"what was acknowledged adds up to {expected[card]}"
            )
    return found
